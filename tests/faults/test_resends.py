"""The same prompt under the same id runs once, wherever the connection is cut, and over restarts."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from tests.faults.resends import resend
from tests.faults.serving import InProcess, script
from tests.faults.wire import Wire

from myagent.eventlog.sqlite import SqliteLog
from myagent.server import Settings


def test_every_prompt_runs_once(tmp_path: Path) -> None:
    tally = asyncio.run(resend(tmp_path, 30, seed=1))
    assert tally.wrong == []


@pytest.mark.long
def test_every_prompt_runs_once_over_a_thousand_cuts(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**9)
    tally = asyncio.run(resend(tmp_path, 1000, seed=seed))
    print(f"seed {seed}: {tally}")
    assert tally.wrong == []
    assert tally.cuts.total() >= 1000


def test_not_looking_for_an_earlier_one_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""

    async def never(*_: Any) -> None:
        return None

    monkeypatch.setattr(SqliteLog, "find_opening", never)
    assert asyncio.run(resend(tmp_path, 30, seed=1)).wrong


async def test_the_same_id_for_another_prompt_is_a_conflict_also_after_a_restart(tmp_path: Path) -> None:
    server = await InProcess(tmp_path, Settings(owner_grace=0)).start()
    wire = await Wire.open(server.port, server.token)
    session = (await wire.answer(await wire.send("user_message", id="p", prompt=script(lines=1))))["sessionId"]
    await wire.until("terminal_state")
    for _ in range(2):
        await wire.send("user_message", id="p", prompt=script(lines=2), sessionId=session)
        assert (await wire.until("error"))["code"] == "conflict"
        await wire.close()
        await server.stop()
        await server.start()
        wire = await Wire.open(server.port, server.token)
    wire.abort()
    await server.stop()
    assert server.agent.ran["p"] == 1
