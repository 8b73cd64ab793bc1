"""Latency from the agent's write to the last of its followers, at 200 events a second.

The agent is a C program that stamps each line with the monotonic clock just before it writes it; the client takes the
time when the line has come to the last follower. The product stores each event (fsync) before it shows it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.fanout import EVENT
from benchmarks.measure import Effort, Figure, Program, Result, Spread, compare, pick
from benchmarks.tools import TOKEN, Missing, Tools

RATE = 200
PATIENCE = 60


def run(tools: Tools, effort: Effort) -> Result:
    events, repetitions = pick(effort, (600, 6), (200, 2), (20, 1))
    crowds = pick(effort, (100, 1000), (100, 1000), (10,))
    verdicts, groups = [], []
    measured: dict[str, dict[str, list[float]]] = {}
    for followers in crowds:
        values: dict[str, dict[str, list[float]]] = {}
        with ExitStack() as stack:
            servers: dict[str, tuple[Program, Program]] = {}
            starts: dict[str, Callable[[], Program]] = {
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
                client = stack.enter_context(
                    tools.client(told["port"], "--token", told.get("token", TOKEN), "--match", EVENT)
                )
                client.ask(f"open {followers}")
                servers[name] = server, client
            for _ in range(repetitions):
                for name, (server, client) in servers.items():
                    counted = _measure(tools, server, client, events)
                    for key in ("p50", "p99", "max"):
                        values.setdefault(name, {}).setdefault(key, []).append(counted[key])
        for name, each in values.items():
            measured[f"{name} × {followers}"] = each
        groups.append({name: Spread(tuple(each["p99"])) for name, each in values.items()})
        node = groups[-1].get("Node ws")
        ratio = groups[-1]["myagent"].over(node) if node else None
        verdicts.append(compare(f"p99 latency to the last of {followers} / Node ws", ratio, most=1.0))
    names = list(groups[0])
    figure = Figure(
        "p99 latency, agent's write to the last follower", "ms", [f"{each:,} followers" for each in crowds],
        {name: [group.get(name) for group in groups] for name in names},
    )  # fmt: skip
    return Result("latency", verdicts, {"ms": measured, "events a second": RATE}, figure)


def _measure(tools: Tools, server: Program, client: Program, events: int) -> dict[str, float]:
    client.ask("zero")
    server.ask(f"spawn {json.dumps([str(tools.compiled('pacer')), str(events), str(RATE)])}")
    counted: dict[str, float] = client.ask("stats 0.3")
    if counted["stamps"] != events:
        raise RuntimeError(f"{counted['stamps']} of {events} stamped lines came")
    return counted
