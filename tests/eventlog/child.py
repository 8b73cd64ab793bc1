"""A process that writes to a log and says what was told to be stored, until it is killed.

    child.py LOG [early]

A line of its output is what one `on_commit` was given: `session first-seq last-seq unit`. With `early`, it is said
before the commit: the fault that the test must find.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from pathlib import Path

from myagent.eventlog import Draft, Stored, Unit
from myagent.eventlog.sqlite import SqliteLog


async def main(path: Path, early: bool) -> None:
    log = SqliteLog(path)
    heads = (await log.open()).heads
    chance = random.Random()

    def say(stored: list[Stored], unit: str) -> None:
        line = f"{stored[0].session_id} {stored[0].seq} {stored[-1].seq} {unit}\n"
        os.write(1, line.encode())  # one write, so that no line is ever half said

    while True:
        for _ in range(chance.choice((1, 1, 8, 64))):
            session, size, unit = chance.choice("abc"), chance.randint(1, 5), chance.randbytes(8).hex()
            events = [
                Draft(session, json.dumps({"unit": unit, "of": size, "chunk": "x" * chance.choice((9, 900))}).encode())
                for _ in range(size)
            ]
            if early:
                first = heads.get(session, 0) + 1
                heads[session] = first + size - 1
                say([Stored(0, session, seq, b"") for seq in (first, heads[session])], unit)
            log.write(
                Unit(
                    on_commit=(lambda _: None) if early else lambda stored, u=unit: say(stored, u),  # type: ignore[misc]
                    events=events,
                    sessions={session: json.dumps({"last": unit}).encode()},
                )
            )
        await log.room()
        if chance.random() < 0.5:
            await log.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), "early" in sys.argv))
