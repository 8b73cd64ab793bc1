"""A process that deletes a session and says how far it is, until it is killed.

    deleting_child.py LOG [halves]

Lines of its output: `deleting`, `gone`, one `step` for each step of dropping events, `erased`. With `halves` events are
dropped before the session is gone: the fault that the test must find.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from functools import partial
from pathlib import Path

from myagent.eventlog import Unit, dropping
from myagent.eventlog.database import Index
from myagent.eventlog.sqlite import SqliteLog


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def step(connection: sqlite3.Connection, index: Index, *, halves: bool) -> bool:
    if halves:
        index.erasing.add(index.numbers["gone"])
    more = dropping.erase(connection, index)
    say("step")
    return more


async def main(path: Path, halves: bool) -> None:
    dropping.STEP_EVENTS = 40
    log = SqliteLog(path)
    await log.open()
    say("deleting")
    if halves:
        while await log._call(partial(step, halves=True)):
            pass
    log.write(Unit(lambda _: say("gone"), deletes=("gone",)))
    await log.flush()
    while await log._call(partial(step, halves=False)):
        pass
    await log.erase()
    say("erased")
    await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), "halves" in sys.argv))
