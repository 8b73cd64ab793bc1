"""10 MB of ordinary output to followers who asked for compression and to others: bytes, and the server's CPU."""

from __future__ import annotations

import json
from contextlib import ExitStack

from benchmarks.measure import Effort, Figure, Incomplete, Result, Spread, compare, pick
from benchmarks.tools import Tools

OFFERS = {"as it is": (), "compressed": ("--extensions", "permessage-deflate")}
END = '{"type":"terminal_state"'  # of the turn: short, so it is never compressed
PATIENCE = 120
LEAST = 4  # a quarter of the bytes
CPU = 1.1


def run(tools: Tools, effort: Effort) -> Result:
    size, followers = pick(effort, 10, 10, 1) * 1_000_000, pick(effort, 100, 100, 10)
    file = str(tools.scratch.text_file(size))
    taken: dict[str, list[float]] = {name: [] for name in OFFERS}
    used: dict[str, list[float]] = {name: [] for name in OFFERS}
    for _ in range(pick(effort, 5, 3, 1)):
        for name, offer in OFFERS.items():
            came, seconds = _measure(tools, offer, followers, file)
            taken[name].append(came / followers / size)
            used[name].append(seconds)
    sizes = {name: Spread(tuple(each)) for name, each in taken.items()}
    clocks = {name: Spread(tuple(each)) for name, each in used.items()}
    what = f"{size / 1e6:.0f} MB to {followers} followers, compressed / as it is: "
    verdicts = [
        compare(what + "bytes", sizes["compressed"].over(sizes["as it is"]), most=1 / LEAST),
        compare(what + "CPU of the server", clocks["compressed"].over(clocks["as it is"]), most=CPU),
    ]
    figure = Figure(
        f"The server's CPU for {size / 1e6:.0f} MB to {followers} followers", "seconds", ["CPU"],
        {name: [each] for name, each in clocks.items()},
    )  # fmt: skip
    return Result("compression", verdicts, {"bytes of each follower's / of the text": sizes, "CPU, s": clocks}, figure)


def _measure(tools: Tools, offer: tuple[str, ...], followers: int, file: str) -> tuple[int, float]:
    with ExitStack() as stack:
        server = stack.enter_context(tools.product())
        told = server.hear()
        options = ("--token", told["token"], "--match", END, "--path", "/?role=follower", *offer)
        client = stack.enter_context(tools.client(told["port"], *options))
        client.ask(f"open {followers}")
        server.ask(f"spawn {json.dumps(['true'])}")  # once, for what is imported on first use
        client.ask(f"frames {followers} {PATIENCE}")
        client.ask("zero")
        before = server.cpu
        server.ask(f"spawn {json.dumps(['cat', file])}")
        counted = client.ask(f"frames {followers} {PATIENCE}")
        used = server.cpu - before
    if counted["frames"] != followers or counted["closed"]:
        raise Incomplete(f"{counted['frames']} of {followers} had the end, {counted['closed']} connections closed")
    return int(counted["bytes"]), used
