"""Requests that are taken back, by either side; how an agent's end is told; which mode its options show."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.agents.recorder import Recorder
from tests.agents.test_acp import Hosted, hosting, never

from myagent.agents.acp.host import AcpAgent
from myagent.exceptions import AgentUnavailable

# --- taken back -----------------------------------------------------------------------------------------------------


def test_a_request_that_is_taken_back_at_once_is_answered(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        for _ in range(20):  # also where both arrive in one read
            end, said = await hosted.run("take_back", Recorder(while_asking=never))
            assert (end.stop_reason, said.out) == ("end_turn", "-32800")

    hosting(test, tmp_path)


def test_a_question_that_is_taken_back_is_open_no_more(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        withdrawn: list[str] = []

        async def asking() -> None:
            (tmp_path / "now").touch()
            try:
                await never()
            except asyncio.CancelledError:
                withdrawn.append("the host's side of it was told")
                raise

        end, said = await hosted.run("take_back later", Recorder(while_asking=asking))
        assert (end.stop_reason, said.out) == ("end_turn", "asked-32800")
        assert len(said.asked) == len(withdrawn) == 1

    hosting(test, tmp_path)


def test_an_agent_that_takes_its_question_back_and_acts_is_found_out(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        _, said = await hosted.run("take_back do", Recorder(while_asking=never))
        assert [each.title for each in said.unasked_calls] == ["Take back"]

    hosting(test, tmp_path)


def test_the_agent_is_told_what_we_wait_for_no_more(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        said = Recorder()
        first = asyncio.create_task(hosted.run("until_taken_back", said))
        await said.until(lambda: bool(said.said))
        end, _ = await hosted.run("say x", session="two")  # its session/new is never answered
        assert (end.stop_reason, end.exit_code) == ("failed", 1)
        await first
        assert said.out == "waiting 3", "initialize, session/new, session/prompt, session/new"

    hosting(test, tmp_path, "--at", "session/new=hang-again", start_seconds=1)


# --- its end --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 1", "the agent exited with status 1 and said nothing"),
        ("echo lost its key >&2; exit 3", "the agent exited with status 3; its stderr ended with: lost its key"),
        (
            "for n in 1 2 3 4 5 6 7; do echo line $n >&2; done; exit 3",
            "status 3; its stderr ended with: line 3\nline 4\nline 5\nline 6\nline 7",
        ),
        ("echo it is called otherwise now", "status 0; its stdout ended with: it is called otherwise now"),
        ("printf %s 'no newline'", "status 0; its stdout ended with: no newline"),
        ("echo noise >&2; echo why; exit 2", "status 2; its stderr ended with: noise; its stdout ended with: why"),
        ("kill -9 $$", "the agent was killed by SIGKILL"),
        ("printf '{\"half'; exit 4", "the agent exited with status 4 and said nothing"),
    ],
)
def test_an_agent_that_cannot_start_is_told_with_its_status_and_its_last_words(
    script: str, words: str, tmp_path: Path
) -> None:
    async def main() -> None:
        agent = AcpAgent(["sh", "-c", script], cwd=tmp_path)
        with pytest.raises(AgentUnavailable) as caught:
            await agent.start()
        assert words in str(caught.value)

    asyncio.run(main())


def test_last_words_of_much_on_stderr_are_not_lost(tmp_path: Path) -> None:
    """They are in the pipe when its output ends."""
    script = "import sys, os; sys.stderr.write('x' * 60_000 + '\\nthe reason\\n'); sys.stderr.flush(); os._exit(1)"

    async def main() -> None:
        for _ in range(10):
            agent = AcpAgent([sys.executable, "-I", "-c", script], cwd=tmp_path)
            with pytest.raises(AgentUnavailable, match="\nthe reason"):
                await agent.start()

    asyncio.run(main())


def test_what_the_start_waits_for_can_be_told(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        assert hosted.agent.info.waits_for == ""
        starting = asyncio.create_task(hosted.agent.start())
        while hosted.agent.info.waits_for != "its answer to initialize":
            await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert hosted.agent.info.waits_for == ""

    hosting(test, tmp_path, "--at", "initialize=hang")


# --- its mode -------------------------------------------------------------------------------------------------------


def modes(state: dict[str, Any]) -> set[str]:
    """Every mode that the state tells."""
    return {state["mode"], *(row["value"] for row in state["config"] if row["id"] == "m")}


def test_options_show_the_mode_that_it_is_in(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        assert modes(hosted.agent.info.state) == {"ask"}
        _, said = await hosted.run("say x")
        assert modes(said.state) == {"ask"}
        before = said.state["config"]
        _, said = await hosted.run("switch auto")
        assert modes(said.state) == {"auto"}
        assert modes({"mode": "ask", "config": before}) == {"ask"}, "what was told is not changed afterwards"

    hosting(test, tmp_path, "--modes", "auto,ask", "--mode-by", "both")
