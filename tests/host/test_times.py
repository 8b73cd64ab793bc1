"""Every event has the time at which it was accepted: once, whenever it could be stored, and for ever after."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from myagent.eventlog import Draft, Stored, Unit
from myagent.eventlog.memory import MemoryLog
from myagent.host.covered_log import CoveredLog
from myagent.redaction.redactor import Redactor

PROMPT = Draft("s", b'{"type":"prompt","id":"t","sessionId":"s"}')


def times(stored: list[Stored]) -> list[Any]:
    return [json.loads(each.body).get("at") for each in stored]


def test_what_waits_for_space_has_the_time_at_which_it_came() -> None:
    async def script() -> None:
        clock = iter((1000, 2000, 3000))
        memory = MemoryLog()
        log = CoveredLog(memory, Redactor(()), lambda: next(clock))
        await log.open()
        told: list[Stored] = []
        memory.full = True
        log.write(Unit(told.extend, events=(PROMPT, PROMPT), fact=True))
        await asyncio.sleep(0)
        log.write(Unit(told.extend, events=(PROMPT,), fact=True))
        memory.full = False
        await log.flush()
        assert times(told) == [1000, 1000, 2000]
        await log.close()
        await log.open()
        assert await log.read(0, max_bytes=1 << 20) == told

    asyncio.run(script())


def test_a_unit_without_events_asks_for_no_time() -> None:
    async def script() -> None:
        log = CoveredLog(MemoryLog(), Redactor(()), lambda: 1 // 0)
        await log.open()
        log.write(Unit(lambda _: None, sessions={"s": b"{}"}))
        await log.flush()
        await log.close()

    asyncio.run(script())
