"""Real agents whose sessions rest: they are closed, cost nothing, and go on where they were."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from tests.agents.model_server import CONTENT
from tests.agents.real import CLAUDE, CODEX, OPENCODE, Real
from tests.agents.recorder import ALLOW, DENY, Recorder
from tests.agents.test_real_agents import Workplace, at_work

from myagent.agents.acp.host import AcpAgent

SESSIONS = 6


def memory() -> tuple[int, int]:
    """Processes below this one, and their memory in MiB (shared pages counted once where the kernel says)."""
    found = psutil.Process().children(recursive=True)
    size = 0
    for process in found:
        try:
            size += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return len(found), size >> 20


@pytest.mark.parametrize("real", [CLAUDE, CODEX, OPENCODE], ids=lambda real: real.name)
def test_sessions_are_closed_and_go_on_and_still_ask(real: Real, tmp_path: Path) -> None:
    real.need()

    async def test(place: Workplace) -> None:
        file = place.workspace / "hello.txt"
        prompt = f"STUB please write FILE={file} now"
        async with place.hosted(idle_seconds=0.5) as agent:
            assert isinstance(agent, AcpAgent)
            first = await agent.run(place.turn(prompt), Recorder(ALLOW))
            assert file.read_text() == CONTENT
            file.unlink()
            session = agent._sessions._ours["one"]
            while not session.is_closed or agent._sessions._resting._closing:
                await asyncio.sleep(0.05)
            said = Recorder(DENY)
            end = await agent.run(place.turn(prompt, first.agent_session_id), said)
            assert end.agent_session_id == first.agent_session_id
            assert not session.is_closed
            assert "lost" not in said.err
            assert len(said.asked) == 1
            assert not file.exists()

    at_work(real, tmp_path, test)


def test_what_is_at_rest_costs_no_process(tmp_path: Path) -> None:
    """claude-agent-acp has a process for each session that is open."""
    CLAUDE.need()

    async def six(place: Workplace, idle_seconds: float) -> tuple[tuple[int, int], tuple[int, int]]:
        async with place.hosted(idle_seconds=idle_seconds) as agent:
            assert isinstance(agent, AcpAgent)
            before = memory()
            for number in range(SESSIONS):
                file = place.workspace / f"hello-{number}.txt"
                turn = replace(place.turn(f"STUB please write FILE={file} now"), session_id=f"s{number}")
                end = await agent.run(turn, Recorder(ALLOW))
                assert end.stop_reason == "end_turn", end
            opened = list(agent._sessions._ours.values())
            while idle_seconds and not all(each.is_closed for each in opened):
                await asyncio.sleep(0.1)
            while idle_seconds and (agent._sessions._resting._closing or memory()[0] > before[0]):
                await asyncio.sleep(0.1)
            return before, memory()

    results: dict[float, tuple[tuple[int, int], tuple[int, int]]] = {}

    async def with_rest(place: Workplace) -> None:
        results[2.0] = await six(place, 2.0)

    async def without(place: Workplace) -> None:
        results[0.0] = await six(place, 0.0)

    tests: list[Callable[[Workplace], Awaitable[None]]] = [without, with_rest]
    for number, test in enumerate(tests):
        (tmp_path / str(number)).mkdir()
        at_work(CLAUDE, tmp_path / str(number), test)
    report = os.environ.get("MYAGENT_TEST_REPORT")
    if report:
        Path(report).write_text(f"{results}\n")
    (_, kept), (before, rested) = results[0.0], results[2.0]
    assert kept[0] >= SESSIONS, "the control: without rest they stay"
    assert rested[0] <= before[0]
    assert rested[1] < kept[1] / 2
