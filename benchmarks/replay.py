"""A late joiner: 100,000 stored events from the first byte of its request to the last event's arrival.

Beside it, in this process: a plain SELECT of the same rows, as Python's `sqlite3` gives them, and `cat` of the same
bytes through a socket.
"""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import time
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

from benchmarks.fanout import EVENT
from benchmarks.measure import (
    SERVER_CPU,
    Effort,
    Figure,
    Incomplete,
    Result,
    Verdict,
    compare,
    interleave,
    pick,
    pinned,
)
from benchmarks.tools import Missing, Tools

EVENTS = 100_000
SESSION = "remote_20260101000000_00000000"
BEST_PEER = 0.07  # seconds, measured earlier
PATIENCE = 60


def run(tools: Tools, effort: Effort) -> Result:
    databases: list[Path] = []
    events = pick(effort, EVENTS, EVENTS, 1000)
    with ExitStack() as stack:
        products = {}
        for name, loop in (("myagent", "asyncio"), ("myagent, uvloop", "uvloop")):
            place = tools.scratch.directory()
            try:
                server = stack.enter_context(tools.product(place, loop=loop))
            except Missing as missing:
                tools.left_out[name] = str(missing)
                continue
            told = server.hear()
            server.ask(f"fill 1 {events}")
            products[name] = told
            databases.append(place / ".myagent" / "remote" / "sessions.db")
        database = databases[0]
        copy = tools.scratch.path / "bodies"
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            copy.write_bytes(b"".join(body for (body,) in connection.execute("SELECT body FROM events ORDER BY pos")))

        def join(told: dict[str, str]) -> float:
            options = ("--token", told["token"], "--match", EVENT, "--path", f"/?session={SESSION}&after=0")
            with tools.client(int(told["port"]), *options) as client:
                client.ask("zero")
                client.say("open 1")
                client.hear()
                counted = client.ask(f"frames {events} {PATIENCE}")
            if counted["frames"] != events:
                raise Incomplete(f"{counted['frames']} of {events} events came")
            return float(counted["seconds"])

        subjects = {name: partial(join, told) for name, told in products.items()}
        subjects["SELECT"] = partial(_select, database, events)
        subjects["cat into a socket"] = partial(_cat, copy)
        seconds = interleave(subjects, pick(effort, 9, 3, 1))
    mine = seconds.get("myagent")
    what = f"late joiner, {events:,} events"
    verdicts = [
        compare(f"{what}: time of the SELECT / ours", seconds["SELECT"].over(mine) if mine else None, least=0.5),
        Verdict(
            f"{what}, complete", f"{events:,} of {events:,}", f"{events:,}; {mine} s" if mine else "not all", bool(mine)
        ),
    ]
    figure = Figure(
        f"A late joiner, {events:,} events",
        "seconds",
        ["all events"],
        {k: [v] for k, v in seconds.items()},
        line=BEST_PEER,
    )
    return Result("replay", verdicts, {"seconds": seconds}, figure)


def _select(database: Path, events: int) -> float:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection, pinned(SERVER_CPU):
        began = time.perf_counter()
        rows = connection.execute('SELECT pos, session, seq, body, "update" FROM events ORDER BY pos').fetchall()
        took = time.perf_counter() - began
    assert len(rows) >= events
    return took


def _cat(file: Path) -> float:
    left, right = socket.socketpair()
    size = file.stat().st_size
    with left, right:
        began = time.perf_counter()
        child = subprocess.Popen(["cat", str(file)], stdout=right)
        while size > 0:
            size -= len(left.recv(1 << 18))
        took = time.perf_counter() - began
        child.wait()
    return took
