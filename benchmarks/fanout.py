"""Deliveries per server CPU-second: events × followers over the CPU time of the server's process, all threads.

The ceiling is a C program with one send() per follower and tick, of as many frames as the tick has events. The product
is measured in two ways. *Delivery*: events that are committed already are published, so this is the fan-out alone, as
it is for the peers, none of which stores anything. *Whole*: an agent says the events, each tick waits for its commit
(fsync), then they are delivered.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from benchmarks.measure import Effort, Figure, Incomplete, Program, Result, Spread, Verdict, compare, interleave, pick
from benchmarks.tools import TOKEN, Missing, Tools

EVENT = '{"type":"agent_std'
NAP = "300"  # microseconds that the client sleeps, so that waking it is not billed to the server
FRAME = 124  # bytes of a ceiling's frame; that of the anchors' payload
PATIENCE = 60
TICKS = {1: 6000, 10: 3000, 100: 800, 1000: 100}  # so that a repetition takes some tenths of a second
PER_MESSAGE = ("Node ws", "websockets.broadcast", "aiohttp")  # one send for each event: they need fewer ticks
GOALS = {(1, 100): 0.8, (1, 1000): 0.75, (8, 100): 0.75, (8, 1000): 0.75, (32, 100): 0.75, (32, 1000): 0.75}


class Audience:
    """Followers of one server, and the deliveries per CPU-second that it reaches with them."""

    def __init__(self, tools: Tools, stack: ExitStack, server: Program, *, preparing: bool = False) -> None:
        self.server = server
        self._preparing = preparing
        told = server.hear()
        options = ("--token", told.get("token", TOKEN), "--match", EVENT, "--nap", NAP)
        self.client = stack.enter_context(tools.client(told["port"], *options))
        self.followers = 0

    def grow(self, followers: int) -> None:
        if followers > self.followers:
            self.client.ask(f"open {followers - self.followers}")
            self.followers = followers

    def deliveries(self, command: str, ticks: int, batch: int) -> float:
        """Per CPU-second."""
        if self._preparing and command == "deliver":
            self.server.ask(f"prepare {ticks * batch}")
        expected = ticks * batch * self.followers
        self.client.ask("zero")
        before = self.server.cpu
        self.server.ask(f"{command} {ticks} {batch}")
        counted = self.client.ask(f"frames {expected} {PATIENCE}")
        used = self.server.cpu - before
        if counted["frames"] != expected or counted["closed"]:
            raise Incomplete(f"{counted['frames']} of {expected} frames came, {counted['closed']} connections closed")
        return expected / used


def run(tools: Tools, effort: Effort) -> Result:
    crowds: tuple[int, ...] = pick(effort, (1, 10, 100, 1000), (100, 1000), (10,))
    batches = (1, 8, 32)
    repetitions = pick(effort, 5, 3, 1)
    cells: dict[str, dict[str, Spread]] = {}
    with ExitStack() as stack:
        audiences = _audiences(tools, stack)
        anchors = _anchors(tools, stack)
        for followers in crowds:
            for each in audiences.values():
                each.grow(followers)
            for anchor in anchors.values():
                anchor.grow(followers)
            for batch in batches if followers >= 100 else batches[:1]:
                ticks = max(10, TICKS[followers] // pick(effort, 1, 8, 300) // max(1, batch // 8))
                subjects: dict[str, Callable[[], float]] = {}
                for name, audience in audiences.items():
                    command = "deliver" if name.startswith("myagent") else "emit"
                    few = max(4, ticks // batch) if name in PER_MESSAGE else ticks
                    subjects[name] = partial(audience.deliveries, command, few, batch)
                subjects["myagent, whole"] = partial(audiences["myagent"].deliveries, "emit", ticks, batch)
                if followers >= 100:
                    for name, anchor in anchors.items():
                        subjects[name] = partial(anchor.deliveries, ticks, batch)
                cells[f"{batch} × {followers}"] = interleave(subjects, repetitions)
    return Result("fanout", _verdicts(cells), {"deliveries per CPU-second": cells}, _figure(cells))


def _audiences(tools: Tools, stack: ExitStack) -> dict[str, Audience]:
    audiences = {}
    starts: dict[str, Callable[[], Program]] = {
        "C send()": tools.ceiling,
        "myagent": tools.product,
        "myagent, uvloop": lambda: tools.product(loop="uvloop"),
        "Node ws": tools.node,
        "websockets.broadcast": lambda: tools.python_peer("websockets"),
        "aiohttp": lambda: tools.python_peer("aiohttp"),
    }
    for name, start in starts.items():
        try:
            server = stack.enter_context(start())
            audiences[name] = Audience(tools, stack, server, preparing=name.startswith("myagent"))
        except Missing as missing:
            tools.left_out[name] = str(missing)
    return audiences


class Anchor:
    """A message broker with subscribers: it parses each publish, and takes the next batch when a round trip says that
    it has the last one; our own figures have none of that."""

    def __init__(self, tools: Tools, stack: ExitStack, name: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        payload = b"x" * (FRAME - 2)
        if name == "NATS":
            self.server = stack.enter_context(tools.nats(port))
            preamble, self._ping, self._pong = 'CONNECT {"verbose":false}\r\nSUB s 1\r\n', b"PING\r\n", b"PONG"
            self._message = b"PUB s %d\r\n%b\r\n" % (len(payload), payload)
            self._size = len(b"MSG s 1 %d\r\n%b\r\n" % (len(payload), payload))
        else:
            self.server = stack.enter_context(tools.redis(port))
            preamble, self._ping, self._pong = "SUBSCRIBE s\r\n", b"PING\r\n", b"PONG"
            self._message = b"*3\r\n$7\r\nPUBLISH\r\n$1\r\ns\r\n$%d\r\n%b\r\n" % (len(payload), payload)
            self._size = len(b"*3\r\n$7\r\nmessage\r\n$1\r\ns\r\n$%d\r\n%b\r\n" % (len(payload), payload))
        self._publisher = stack.enter_context(_connect(port))
        if name == "NATS":
            self._publisher.sendall(b'CONNECT {"verbose":false}\r\n')
        self.client = stack.enter_context(tools.client(port, "--raw", preamble, "--nap", NAP))
        self.followers = 0

    def grow(self, followers: int) -> None:
        if followers > self.followers:
            self.client.ask(f"open {followers - self.followers}")
            self.followers = followers
            self.client.ask("stats 0.3")  # greetings come

    def deliveries(self, ticks: int, batch: int) -> float:
        expected = ticks * batch * self.followers
        self.client.ask("zero")
        before = self.server.cpu
        data = self._message * batch + self._ping
        for _ in range(ticks):
            self._publisher.sendall(data)
            answer = b""
            while self._pong not in answer:
                answer += self._publisher.recv(65536)
        counted = self.client.ask(f"bytes {expected * self._size} {PATIENCE}")
        used = self.server.cpu - before
        if counted["bytes"] < expected * self._size:
            raise Incomplete(f"{counted['bytes']} of {expected * self._size} bytes came")
        return expected / used


def _anchors(tools: Tools, stack: ExitStack) -> dict[str, Anchor]:
    anchors = {}
    for name in ("NATS", "Redis"):
        try:
            anchors[name] = Anchor(tools, stack, name)
        except Missing as missing:
            tools.left_out[name] = str(missing)
    return anchors


def _connect(port: int) -> socket.socket:
    for _ in range(100):
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
    raise Missing("it did not listen")


def _verdicts(cells: dict[str, dict[str, Spread]]) -> list[Verdict]:
    verdicts = []
    for (batch, followers), goal in GOALS.items():
        cell = cells.get(f"{batch} × {followers}", {})
        what = f"delivery, {batch} event{'s' if batch > 1 else ''} a tick, {followers} followers / "
        verdicts.append(compare(what + "C send()", _ratio(cell, "C send()"), least=goal))
        if batch > 1:
            verdicts.append(compare(what + "Node ws", _ratio(cell, "Node ws"), least={8: 8, 32: 20}[batch]))
            verdicts.append(compare(what + "Redis", _ratio(cell, "Redis"), least=1.0))
    return verdicts


def _ratio(cell: dict[str, Spread], other: str) -> Spread | None:
    return cell["myagent"].over(cell[other]) if "myagent" in cell and other in cell else None


def _figure(cells: dict[str, dict[str, Spread]]) -> Figure:
    names = list(dict.fromkeys(name for cell in cells.values() for name in cell))
    bars = {name: [cell.get(name) for cell in cells.values()] for name in names}
    return Figure(
        "Fan-out (events a tick × followers)", "deliveries per server CPU-second", list(cells), bars, logarithmic=True
    )
