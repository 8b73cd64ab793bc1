"""What a connection costs: resident memory while idle, and the time of 1,000 connects with handshake and token."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.measure import Effort, Figure, Program, Result, Spread, Verdict, compare, pick
from benchmarks.tools import TOKEN, Missing, Tools

CROWDS = (1000, 5000)
GOAL = 8.0  # kB
SETTLE = 1.0  # seconds before memory is read


def run(tools: Tools, effort: Effort) -> Result:
    starts: dict[str, Callable[[], Program]] = {
        "myagent": tools.product,
        "myagent, uvloop": lambda: tools.product(loop="uvloop"),
        "Node ws": tools.node,
        "websockets": lambda: tools.python_peer("websockets"),
        "aiohttp": lambda: tools.python_peer("aiohttp"),
    }
    seconds: dict[str, list[float]] = {}
    memory: dict[str, dict[int, list[float]]] = {}
    crowds = pick(effort, CROWDS, CROWDS[:1], (50,))
    for _ in range(pick(effort, 5, 2, 1)):
        for name, start in starts.items():
            if name in tools.left_out:
                continue
            try:
                server_program = start()
            except Missing as missing:
                tools.left_out[name] = str(missing)
                continue
            with ExitStack() as stack:
                server = stack.enter_context(server_program)
                told = server.hear()
                client = stack.enter_context(tools.client(told["port"], "--token", told.get("token", TOKEN)))
                client.ask("open 10")  # whatever is imported or compiled on first use
                time.sleep(SETTLE)
                empty = server.rss
                seconds.setdefault(name, []).append(client.ask(f"open {crowds[0]}")["seconds"])
                for crowd in crowds:
                    if crowd > crowds[0]:
                        client.ask(f"open {crowd - crowds[0]}")
                    client.ask(f"stats {SETTLE}")
                    kilobytes = (server.rss - empty) / crowd / 1000
                    memory.setdefault(name, {}).setdefault(crowd, []).append(kilobytes)
    times = {name: Spread(tuple(each)) for name, each in seconds.items()}
    sizes = {name: {crowd: Spread(tuple(v)) for crowd, v in each.items()} for name, each in memory.items()}
    verdicts = []
    for crowd in crowds:
        mine = sizes["myagent"][crowd]
        verdicts.append(
            Verdict(f"kB per idle connection, {crowd:,}", f"≤ {GOAL:g} kB", f"{mine} kB", mine.median <= GOAL)
        )
    node = times.get("Node ws")
    verdicts.append(
        compare("1,000 connects with token / Node ws", times["myagent"].over(node) if node else None, most=1.0)
    )
    figure = Figure(
        "An idle connection", "kB resident", [f"{crowd:,} connections" for crowd in crowds],
        {name: [each[crowd] for crowd in crowds] for name, each in sizes.items()}, line=GOAL,
    )  # fmt: skip
    return Result("connections", verdicts, {"seconds for 1,000 connects": times, "kB per connection": sizes}, figure)
