"""20 followers that never read, while an agent writes 200 MB: what they cost the server, the owner and who reads.

Two servers run the same turn, one of them with the followers that never read. A real owner (WebSocket, token) sends a
prompt again and again in another session and takes the time to each `ack`, which comes after that prompt's commit.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from contextlib import ExitStack
from typing import Any

from websockets.sync.client import ClientConnection, connect

from benchmarks.fanout import EVENT
from benchmarks.measure import Effort, Figure, Program, Result, Spread, Verdict, compare, pick
from benchmarks.tools import Tools

STALLED = 20
READERS = 3
ACKS_A_SECOND = 40
PATIENCE = 120
GROWTH_MB = 64
SLOWDOWN = 1.2


def run(tools: Tools, effort: Effort) -> Result:
    size = pick(effort, 200, 50, 2) * 1_000_000
    file = tools.scratch.text_file(size)
    growth: dict[int, list[float]] = {0: [], STALLED: []}
    acks: dict[int, list[float]] = {0: [], STALLED: []}
    cut = 0
    for _ in range(pick(effort, 5, 2, 1)):
        for stalled in (0, STALLED):
            measured = _measure(tools, stalled, size, str(file))
            growth[stalled].append(measured["growth"])
            acks[stalled].append(measured["p99"])
            cut += measured["cut"]
    peaks = {count: Spread(tuple(each)) for count, each in growth.items()}
    delays = {count: Spread(tuple(each)) for count, each in acks.items()}
    more = peaks[STALLED].median - peaks[0].median
    what = f"{STALLED} that never read, {size / 1e6:.0f} MB: "
    verdicts = [
        Verdict(what + "memory beside a run without them", f"≤ +{GROWTH_MB} MB", f"{more:+.1f} MB", more <= GROWTH_MB),
        compare(what + "owner's p99 ack / without them", delays[STALLED].over(delays[0]), most=SLOWDOWN),
        Verdict(what + "readers cut off", "0", str(cut), cut == 0),
    ]
    figure = Figure(
        f"Memory while an agent writes {size / 1e6:.0f} MB", "MB above idle", ["peak"],
        {"all read": [peaks[0]], f"{STALLED} never read": [peaks[STALLED]]}, line=GROWTH_MB,
    )  # fmt: skip
    data = {"peak MB above idle": peaks, "owner's p99 ack, ms": delays, "readers cut off": cut}
    return Result("stalled", verdicts, data, figure)


def _measure(tools: Tools, stalled: int, size: int, file: str) -> dict[str, Any]:
    with ExitStack() as stack:
        server = stack.enter_context(tools.product())
        told = server.hear()
        options = ("--token", told["token"], "--match", EVENT, "--path", "/?role=follower")
        readers = stack.enter_context(tools.client(told["port"], *options))
        readers.ask(f"open {READERS}")
        mutes = stack.enter_context(tools.client(told["port"], *options))
        mutes.ask("mute 1")
        if stalled:
            mutes.ask(f"open {stalled}")
        owner = _Owner(told)
        server.ask(f"spawn {json.dumps(['true'])}")  # once, for what is imported on first use
        readers.ask("zero")
        idle = server.rss
        owner = stack.enter_context(owner)
        peak = stack.enter_context(_Peak(server))
        server.ask(f"spawn {json.dumps(['cat', file])}")
        counted = readers.ask(f"bytes {size * READERS} {PATIENCE}")
    cut = counted["closed"] + (counted["bytes"] < size * READERS)
    return {"growth": (peak.bytes - idle) / 1e6, "p99": owner.p99 * 1000, "cut": cut}


class _Thread(threading.Thread):
    """Runs while the block does."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.done = threading.Event()

    def __enter__(self) -> Any:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.join()


class _Peak(_Thread):
    """The most memory that a server had."""

    def __init__(self, server: Program) -> None:
        super().__init__()
        self._server = server
        self.bytes = 0

    def run(self) -> None:
        while not self.done.wait(0.005):
            self.bytes = max(self.bytes, self._server.rss)


class _Owner(_Thread):
    """Sends prompts, each a turn that ends at once, in a session that this connection alone watches."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__()
        self._url = f"ws://127.0.0.1:{told['port']}"
        self._headers = {"Authorization": f"Bearer {told['token']}"}
        self._delays: list[float] = []
        with self._connect("/") as connection:
            self._session = self._prompt(connection, "opens")

    def run(self) -> None:
        with self._connect(f"/?session={self._session}") as connection:
            while not self.done.wait(1 / ACKS_A_SECOND):
                began = time.perf_counter()
                self._prompt(connection, f"p{len(self._delays)}", sessionId=self._session)
                self._delays.append(time.perf_counter() - began)
                while json.loads(connection.recv())["type"] != "terminal_state":
                    pass

    def _connect(self, path: str) -> ClientConnection:
        return connect(self._url + path, additional_headers=self._headers, compression=None, max_size=None)

    def _prompt(self, connection: ClientConnection, message_id: str, **where: str) -> str:
        """Returns the session, when the prompt was acknowledged."""
        prompt = {"type": "user_message", "id": message_id, "prompt": json.dumps(["rest"]), **where}
        connection.send(json.dumps(prompt))
        while True:
            answer = json.loads(connection.recv())
            if answer["type"] == "error":
                raise RuntimeError(answer["message"])
            if answer["type"] == "ack":
                return str(answer["sessionId"])

    @property
    def p99(self) -> float:
        return statistics.quantiles(self._delays, n=100)[98] if len(self._delays) > 1 else 0.0
