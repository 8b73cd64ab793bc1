"""An editor's first message: from its `session/prompt` to the first words of the answer, with us in between or not.

The agent is the same, `myagent agent --acp` with commands for a model, whose answer costs nothing. An editor starts it
itself, or starts `myagent acp`, which joins a server that hosts it. The difference is what we add: two more processes,
a WebSocket, and a prompt and its answer that are on the disk before they are shown.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from functools import partial
from statistics import median
from typing import Any

from benchmarks.measure import (
    CLIENT_CPU,
    SERVER_CPU,
    Effort,
    Figure,
    Program,
    Result,
    Spread,
    Verdict,
    interleave,
    pick,
)
from benchmarks.tools import Tools

MYAGENT = [sys.executable, "-m", "myagent"]
AGENT = [*MYAGENT, "agent", "--acp"]
GOAL = 5.0  # milliseconds that we may add, by the median


class Editor:
    """JSON-RPC with an agent, as an editor starts it."""

    def __init__(self, program: Program, cwd: str) -> None:
        self._program, self._number = program, 0
        info = {"name": "benchmark", "version": "1"}
        self._ask("initialize", protocolVersion=1, clientCapabilities={}, clientInfo=info)
        self._session = self._ask("session/new", cwd=cwd, mcpServers=[])["sessionId"]

    def first_message(self) -> float:
        """Milliseconds of one prompt; its turn has ended when this returns."""
        number = self._send("session/prompt", sessionId=self._session, prompt=[{"type": "text", "text": "help"}])
        began, came = time.perf_counter(), 0.0
        while True:
            message = self._program.hear()
            if not came and "agent_message_chunk" in str(
                message.get("params", {}).get("update", {}).get("sessionUpdate")
            ):
                came = time.perf_counter()
            if message.get("id") == number:
                return (came - began) * 1000

    def _send(self, method: str, **params: Any) -> int:
        self._number += 1
        self._program.say(json.dumps({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}))
        return self._number

    def _ask(self, method: str, **params: Any) -> Any:
        number = self._send(method, **params)
        while (message := self._program.hear()).get("id") != number:
            pass
        return message["result"]


def run(tools: Tools, effort: Effort) -> Result:
    prompts = pick(effort, 100, 30, 2)
    place = str(tools.scratch.directory())
    with ExitStack() as stack:
        # All on one CPU as far as they wait for one another; the editor's own program is on the other.
        alone = Editor(stack.enter_context(Program([*AGENT], SERVER_CPU, {"PWD": place})), place)
        serving = stack.enter_context(
            Program(
                [*MYAGENT, "serve", "--cwd", place, "--port", "0", "--allow-unsupervised", "--", *AGENT], SERVER_CPU
            )
        )
        while "connect with" not in str(serving.hear()):
            pass
        between = Editor(stack.enter_context(Program([*MYAGENT, "acp", "--cwd", place], CLIENT_CPU)), place)
        stack.callback(serving.process.terminate)
        subjects = {
            "without us": partial(_median, alone, prompts),
            "through myagent acp and a server": partial(_median, between, prompts),
        }
        times = interleave(subjects, pick(effort, 10, 3, 1))
    ours, theirs = times["through myagent acp and a server"], times["without us"]
    added = Spread(tuple(a - b for a, b in zip(ours.values, theirs.values, strict=True)))
    verdict = Verdict("what we add to an editor's first message", f"≤ {GOAL:g} ms", f"{added} ms", added.median <= GOAL)
    figure = Figure("An editor's first message", "ms", ["prompt → first words"], {k: [v] for k, v in times.items()})
    return Result("editors", [verdict], {"ms": times, "added ms": added}, figure)


def _median(editor: Editor, prompts: int) -> float:
    return median(editor.first_message() for _ in range(prompts))
