"""The whole way of an agent's output: a real process's stdout, its commit, 100 followers; MB delivered per CPU-second.

The raw way is a C program that reads the same `cat` from a pipe and sends what it reads to as many sockets: no frames,
no text, no log. MB are those of the agent's text, times followers; the CPU is the server's, without the agent.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from benchmarks.fanout import EVENT, NAP
from benchmarks.measure import Effort, Figure, Incomplete, Program, Result, compare, interleave, pick
from benchmarks.tools import TOKEN, Missing, Tools

FOLLOWERS = 100
PATIENCE = 120


def run(tools: Tools, effort: Effort) -> Result:
    size = pick(effort, 32, 4, 1) << 20
    file = tools.scratch.text_file(size)
    subjects: dict[str, Callable[[], float]] = {}
    with ExitStack() as stack:
        starts: dict[str, Callable[[], Program]] = {
            "cat into sockets (C)": tools.ceiling,
            "myagent": tools.product,
            "myagent, uvloop": lambda: tools.product(loop="uvloop"),
            "Node ws": tools.node,
        }
        for name, start in starts.items():
            try:
                server = stack.enter_context(start())
            except Missing as missing:
                tools.left_out[name] = str(missing)
                continue
            told = server.hear()
            options = ("--token", told.get("token", TOKEN), "--match", EVENT, "--nap", NAP)
            client = stack.enter_context(tools.client(told["port"], *options))
            client.ask(f"open {FOLLOWERS}")
            command = f"pipe {file}" if name.startswith("cat") else f"spawn {json.dumps(['cat', str(file)])}"
            subjects[name] = partial(_measure, server, client, command, size)
        rates = interleave(subjects, pick(effort, 5, 3, 1))
    mine, raw, node = (rates.get(name) for name in ("myagent", "cat into sockets (C)", "Node ws"))
    verdicts = [
        compare("whole way, 100 followers / raw way", mine.over(raw) if mine and raw else None, least=0.5),
        compare(
            "whole way, 100 followers / Node ws spawn + broadcast",
            mine.over(node) if mine and node else None,
            least=1.0,
        ),
    ]
    figure = Figure(
        "The whole way, 100 followers", "MB per CPU-second", ["stdout → followers"], {k: [v] for k, v in rates.items()}
    )
    return Result("path", verdicts, {"MB per CPU-second": rates, "MB of output": size / 1e6}, figure)


def _measure(server: Program, client: Program, command: str, size: int) -> float:
    client.ask("zero")
    before = server.cpu
    server.ask(command)
    counted = client.ask(f"bytes {size * FOLLOWERS} {PATIENCE}")
    client.ask("stats 0.05")
    if counted["bytes"] < size * FOLLOWERS or counted["closed"]:
        raise Incomplete(f"{counted} is not everything")
    return size * FOLLOWERS / 1e6 / (server.cpu - before)
