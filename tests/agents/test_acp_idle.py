"""Sessions that nobody uses are closed, and had again with the next prompt, in each way in which agents can do that."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from tests.agents.recorder import Recorder
from tests.agents.test_acp import Hosted, hosting

from myagent.agents.acp import sessions
from myagent.agents.acp.resting import IDLE_SECONDS
from myagent.cli.parser import make_parser

SOON = 0.01  # seconds without a word

DONE = [{"sessionUpdate": "tool_call", "toolCallId": "c", "title": "Do it", "kind": "execute", "status": "completed"}]


def closed(cwd: Path) -> list[str]:
    log = cwd / "log"
    return [line.removeprefix("closed ") for line in log.read_text().splitlines()] if log.exists() else []


async def until_closed(cwd: Path, agent_id: str | None, count: int = 1) -> None:
    while closed(cwd).count(str(agent_id)) < count:
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("ways", "replayed"),
    [((), 0), (("--never", "load"), 0), (("--never", "resume"), 1)],
    ids=["both", "resume", "load"],
)
def test_an_idle_session_is_closed_and_goes_on_when_prompted(
    ways: tuple[str, ...], replayed: int, tmp_path: Path
) -> None:
    async def test(hosted: Hosted) -> None:
        first, _ = await hosted.run("say a")
        for count in (1, 2):
            await until_closed(tmp_path, first.agent_session_id, count)
            end, said = await hosted.run("say b", earlier=first.agent_session_id)
            assert (end.stop_reason, end.agent_session_id) == ("end_turn", first.agent_session_id)
            assert (said.out, said.err) == ("b ", "")
        assert (hosted.agent.tally["replayed"] > 0) == bool(replayed)

    hosting(test, tmp_path, "--store", str(tmp_path), *ways, idle_seconds=SOON)


@pytest.mark.parametrize(
    ("options", "idle"),
    [(("--never", "load", "--never", "resume"), SOON), (("--never", "close"), SOON), ((), 0.0)],
    ids=["could not be had again", "cannot be closed", "switched off"],
)
def test_a_session_stays_open_where_it_must(options: tuple[str, ...], idle: float, tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        await hosted.run("say a")
        assert not hosted.agent._sessions._resting._timers
        await hosted.run("say b")

    hosting(test, tmp_path, "--store", str(tmp_path), *options, idle_seconds=idle)


def test_a_session_that_a_turn_runs_in_is_not_closed(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        said = Recorder()
        await hosted.run("say x", session="busy")
        waiting = asyncio.create_task(hosted.run("wait", said, session="busy"))
        await said.until(lambda: bool(said.out))
        end, _ = await hosted.run("say x", session="other")
        await until_closed(tmp_path, end.agent_session_id)
        assert closed(tmp_path) == [end.agent_session_id]
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    hosting(test, tmp_path, "--store", str(tmp_path), idle_seconds=0.2)


def test_an_agent_that_does_not_want_to_close_a_session_keeps_it(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        first, _ = await hosted.run("say a")
        while hosted.agent.tally["response"] < 4:  # initialize, session/new, session/prompt, session/close
            await asyncio.sleep(0.001)
        end, said = await hosted.run("say b", earlier=first.agent_session_id)
        assert (end.agent_session_id, said.out) == (first.agent_session_id, "b ")

    hosting(test, tmp_path, "--store", str(tmp_path), "--refuse-close", idle_seconds=SOON)


def test_a_prompt_waits_for_a_close_that_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the agent closed it is then not known; it is had again."""
    monkeypatch.setattr(sessions, "CLOSE_SECONDS", 0.5)

    async def test(hosted: Hosted) -> None:
        first, _ = await hosted.run("say a")
        while not hosted.agent._sessions._resting._closing:
            await asyncio.sleep(0.001)
        end, said = await hosted.run("say b", earlier=first.agent_session_id)
        assert (end.stop_reason, end.agent_session_id, said.out) == ("end_turn", first.agent_session_id, "b ")

    hosting(test, tmp_path, "--store", str(tmp_path), "--at", "session/close=hang", idle_seconds=SOON)


def test_a_session_that_cannot_be_had_again_is_told_and_a_new_one_begins(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        first, _ = await hosted.run("say a")
        await until_closed(tmp_path, first.agent_session_id)
        (tmp_path / str(first.agent_session_id)).unlink()
        end, said = await hosted.run("say b", earlier=first.agent_session_id)
        assert end.agent_session_id != first.agent_session_id
        assert "lost its earlier session (no such session); this prompt begins a new one" in said.err
        assert said.out == "b "

    hosting(test, tmp_path, "--store", str(tmp_path), idle_seconds=SOON)


def test_an_agent_that_resumes_and_does_not_load_goes_on_after_a_restart(tmp_path: Path) -> None:
    ids: list[str | None] = []

    async def first(hosted: Hosted) -> None:
        ids.append((await hosted.run("say a"))[0].agent_session_id)

    async def second(hosted: Hosted) -> None:
        end, said = await hosted.run("say b", earlier=ids[0])
        assert (end.agent_session_id, said.out, said.err) == (ids[0], "b ", "")
        assert hosted.agent.tally["replayed"] == 0

    for test in (first, second):
        hosting(test, tmp_path, "--store", str(tmp_path), "--never", "load")


def test_the_session_that_waits_for_the_first_prompt_rests_as_well(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        while not closed(tmp_path):
            await asyncio.sleep(0.001)
        assert await hosted.says("say x") == "x"

    hosting(test, tmp_path, "--store", str(tmp_path), idle_seconds=SOON)


def test_a_session_that_acted_unasked_is_not_trusted_again_for_having_been_away(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        first, _ = await hosted.run(f"show {json.dumps(DONE)}")
        await until_closed(tmp_path, first.agent_session_id)
        _, said = await hosted.run("say x", earlier=first.agent_session_id)
        assert said.state["supervision"] == "unsupervised"
        await hosted.run("die 3", earlier=first.agent_session_id)
        _, said = await hosted.run("say x", earlier=first.agent_session_id)
        assert (said.out, said.state["supervision"]) == ("x ", "unsupervised")

    hosting(test, tmp_path, "--store", str(tmp_path), idle_seconds=SOON)


def test_the_command_line_says_the_same_default() -> None:
    arguments = make_parser().parse_args(["remote", "serve"])
    assert arguments.agent_idle == IDLE_SECONDS
