"""Claude's work in the background, through `claude -p` and its ACP adapter: it goes on after its turn, in its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
from tests.agents.contract import Attending, check_updates
from tests.agents.model_server import model_server
from tests.agents.real import CLAUDE, CLAUDE_P, Real
from tests.agents.recorder import ALLOW, WAIT_SECONDS, Recorder
from tests.agents.test_real_agents import Workplace

from myagent.agents import Agent, Turn
from myagent.agents.claude.agent import ClaudePrintAgent

WORK = "until [ -e go ]; do sleep 0.05; done; touch done-later"
BOTH = pytest.mark.parametrize("real", [CLAUDE_P, CLAUDE], ids=lambda real: real.name)


@asynccontextmanager
async def at_work(real: Real, tmp_path: Path) -> AsyncIterator[tuple[Agent, Attending, Callable[[str], Turn]]]:
    """The agent in a turn that has ended, with a command of its own that goes on until there is a file `go`."""
    if not real.path.exists():
        pytest.skip(f"{real.name} is not installed")
    workspace, home, outside = tmp_path / "workspace", tmp_path / "home", Attending()
    outside.quiet_seconds = 1.0  # the ACP adapter does not say when it is idle
    workspace.mkdir()
    home.mkdir()
    async with model_server([]) as url:
        place = Workplace(real, workspace, home, url)
        async with place.hosted() as agent:
            agent.attend(outside)  # type: ignore[attr-defined]
            io = Recorder(ALLOW)
            end = await agent.run(place.turn(f"STUB please LATER={quote(WORK)} now"), io)
            assert (end.stop_reason, len(io.asked)) == ("end_turn", 1), (end, io.err)
            assert "touch done-later" in io.asked[0].text
            yield agent, outside, partial(place.turn, earlier=end.agent_session_id)


@BOTH
async def test_what_ends_after_its_turn_is_told_in_one_of_its_own(real: Real, tmp_path: Path) -> None:
    async with at_work(real, tmp_path) as (agent, outside, turn):
        workspace = tmp_path / "workspace"
        assert not (workspace / "done-later").exists()
        (workspace / "go").touch()
        io = Recorder(ALLOW)
        end = await asyncio.wait_for((await outside.due("one")).run(io), WAIT_SECONDS)
        assert end.stop_reason == "end_turn"
        assert (workspace / "done-later").exists()
        assert "ok" in io.out, "the model's answer to being told"
        check_updates(io.updates)
        after = Recorder()
        end = await agent.run(turn("RECALL"), after)
        assert end.stop_reason == "end_turn" and "lost" not in after.err


async def test_a_prompt_meanwhile_goes_to_the_process_that_goes_on(tmp_path: Path) -> None:
    """It is answered, and the work in the background is neither stopped nor begun again."""
    async with at_work(CLAUDE_P, tmp_path) as (agent, outside, turn):
        assert isinstance(agent, ClaudePrintAgent)
        [conversation] = agent._going_on.values()
        io = Recorder()
        end = await agent.run(turn("hello"), io)
        assert (end.stop_reason, io.out) == ("end_turn", "ok")
        assert [*agent._going_on.values()] == [conversation] and not conversation.talk.over.is_set()
        (tmp_path / "workspace" / "go").touch()
        own = Recorder()
        await asyncio.wait_for((await outside.due("one")).run(own), WAIT_SECONDS)
        assert "completed" in own.err and "ok" in own.out
        assert (tmp_path / "workspace" / "done-later").exists()
        await asyncio.wait_for(conversation.talk.over.wait(), WAIT_SECONDS)  # there is nothing more to wait for
        assert agent._going_on == {}


async def test_a_cancelled_turn_ends_what_it_left_running(tmp_path: Path) -> None:
    async with at_work(CLAUDE_P, tmp_path) as (agent, _, turn):
        io = Recorder()
        running = asyncio.create_task(agent.run(turn("SLOW"), io))
        await io.until(lambda: "word3" in io.out)
        running.cancel()
        await asyncio.wait({running})
        (tmp_path / "workspace" / "go").touch()
        assert [each for each in psutil.Process().children(recursive=True) if "until" in " ".join(each.cmdline())] == []
        assert not (tmp_path / "workspace" / "done-later").exists()


async def test_closing_ends_all_of_it(tmp_path: Path) -> None:
    async with at_work(CLAUDE_P, tmp_path) as (agent, *_):
        assert psutil.Process().children(recursive=True)
        await agent.close()
        assert psutil.Process().children(recursive=True) == []
