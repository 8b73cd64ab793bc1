"""The ACP host against an agent that does as told: turns, permissions, modes, cancelling, restarts."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.agents.contract import check_updates
from tests.agents.recorder import ALLOW, DENY, Recorder

from myagent.agents import Answer, Turn, TurnEnd
from myagent.agents.acp.directory import NOT_KNOWN
from myagent.agents.acp.host import AcpAgent
from myagent.agents.acp.presets import PRESETS, UNKNOWN, Preset
from myagent.core.messages import PermissionMode
from myagent.exceptions import AgentUnavailable

FAKE = Path(__file__).parent / "fake_agent.py"


class Hosted:
    """A hosted fake agent, and what a test does with it."""

    def __init__(self, cwd: Path, *options: str, preset: Preset = UNKNOWN, **settings: Any) -> None:
        self.cwd = cwd
        self.agent = AcpAgent([sys.executable, "-I", str(FAKE), *options], cwd=cwd, preset=preset, **settings)

    def turn(
        self, prompt: str, *, session: str = "one", mode: PermissionMode = "default", earlier: str | None = None
    ) -> Turn:
        return Turn(session, f"turn of {session}", prompt, mode, self.cwd, earlier)

    async def run(self, prompt: str, told: Recorder | None = None, **turn: Any) -> tuple[TurnEnd, Recorder]:
        told = Recorder() if told is None else told
        return await self.agent.run(self.turn(prompt, **turn), told), told

    async def says(self, prompt: str, **turn: Any) -> str:
        end, told = await self.run(prompt, **turn)
        assert end.stop_reason == "end_turn", end
        return told.out.strip()


async def never() -> None:
    """What happens while nobody decides."""
    await asyncio.Event().wait()


def hosting(test: Callable[[Hosted], Awaitable[None]], cwd: Path, *options: str, **settings: Any) -> None:
    """Run a test with a hosted agent, and end it whatever happens."""

    async def main() -> None:
        hosted = Hosted(cwd, *options, **settings)
        try:
            async with asyncio.timeout(30):
                await test(hosted)
        finally:
            await hosted.agent.close()

    asyncio.run(main())


# --- turns ----------------------------------------------------------------------------------------------------------


def test_words_stream_as_stdout_with_their_updates(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        end, told = await hosted.run("say hello from here")
        assert told.out == "hello from here "
        assert [update["content"]["text"] for update in told.updates] == ["hello ", "from ", "here "]
        assert end.stop_reason == "end_turn"
        assert end.exit_code is None
        assert str(end.agent_session_id).startswith("fake-")

    hosting(test, tmp_path)


def test_start_tells_what_the_agent_is_and_its_session_serves_the_first_prompt(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        info = hosted.agent.info
        assert (info.name, info.version, info.note) == (
            "fake",
            "7.1",
            f"unverified: it may or may not ask (mode ask); {NOT_KNOWN}",
        )
        first, _ = await hosted.run("say x")
        second, _ = await hosted.run("say x", session="two")
        assert (
            hosted.agent.tally["response"] == 6
        )  # initialize, 2 × session/new, set_mode (each asks already), 2 prompts
        assert first.agent_session_id != second.agent_session_id

    hosting(test, tmp_path, "--modes", "auto,ask")


def test_turns_of_different_sessions_run_at_the_same_time(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        told = Recorder()
        waiting = asyncio.create_task(hosted.run("wait", told, session="one"))
        await told.until(lambda: bool(told.said))
        assert await hosted.says("say meanwhile", session="two") == "meanwhile"
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    hosting(test, tmp_path)


def test_a_slow_host_holds_the_agent_back(tmp_path: Path) -> None:
    """Back-pressure: while the host has no room, no more than a pipe and two buffers are read."""

    class Full(Recorder):
        room = asyncio.Event()

        async def stdout(self, text: str, *, update: dict[str, Any] | None = None) -> None:
            await super().stdout(text, update=update)
            await self.room.wait()

    async def test(hosted: Hosted) -> None:
        told = Full()
        running = asyncio.create_task(hosted.run("flood 20000", told))
        await told.until(lambda: bool(told.said))
        for _ in range(100):
            await asyncio.sleep(0)
        assert told.out == "0 "
        told.room.set()
        await running
        assert told.out.split() == [str(number) for number in range(20000)]

    hosting(test, tmp_path)


def test_our_variables_do_not_reach_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYAGENT_TOKEN", "secret")
    monkeypatch.setenv("OPENAI_API_KEY", "theirs")

    async def test(hosted: Hosted) -> None:
        seen = json.loads(await hosted.says("env MYAGENT_TOKEN OPENAI_API_KEY EXTRA"))
        assert seen == {"MYAGENT_TOKEN": None, "OPENAI_API_KEY": "theirs", "EXTRA": "1"}

    hosting(test, tmp_path, env={"EXTRA": "1"})


# --- permissions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "option_id", "said", "written"),
    [
        ("allow", None, "yes: completed", True),  # by kind: not the first option, which allows for ever
        ("allow", "forever", "forever: completed", True),
        ("allow", "unheard-of", "yes: completed", True),
        ("allow", "cancel", "yes: completed", True),  # an option of the other kind says nothing
        ("deny", None, "cancel: failed", False),
        ("deny", "yes", "cancel: failed", False),
        ("expired", None, "cancel: failed", False),
    ],
)
def test_answers_choose_options_by_kind(
    tmp_path: Path, kind: Any, option_id: str | None, said: str, written: bool
) -> None:
    async def test(hosted: Hosted) -> None:
        told = Recorder(Answer(kind, option_id=option_id))
        end, _ = await hosted.run("write note.txt hello", told)
        assert (end.stop_reason, told.out) == ("end_turn", said)
        assert (tmp_path / "note.txt").exists() is written

    hosting(test, tmp_path)


def test_the_request_shows_all_that_will_be_done(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        told = Recorder(DENY)
        await hosted.run("write note.txt hello", told)
        (call,) = told.asked
        path = str(tmp_path / "note.txt")
        assert (call.tool_name, call.kind, call.title) == ("edit", "edit", "Write note.txt")
        assert call.input == {"path": path, "content": "hello"}
        assert call.diffs[0].path == path
        assert call.diffs[0].old_text is None
        assert call.diffs[0].new_text == "hello"
        assert f"file: {path}" in call.text
        assert "+hello" in call.text
        assert [option.kind for option in call.options] == ["allow_always", "allow_once", "reject_once"]
        assert call.plan["call"]["toolCallId"].startswith("call-")

    hosting(test, tmp_path)


def test_an_approval_is_never_made_wider_than_it_was_given(tmp_path: Path) -> None:
    """An agent that offers only "always" gets no approval that was meant for once."""

    async def test(hosted: Hosted) -> None:
        told = Recorder(ALLOW)
        end, _ = await hosted.run("write note.txt hello", told)
        assert end.stop_reason == "cancelled"
        assert "no approval for this time only" in told.err
        assert not (tmp_path / "note.txt").exists()

    hosting(test, tmp_path, "--without", "allow_once")


# --- modes ----------------------------------------------------------------------------------------------------------

QWEN = replace(PRESETS["qwen"], verified=("7.1", "7.1"))  # as the fake says that it is


@pytest.mark.parametrize("by", ["mode", "config"])
@pytest.mark.parametrize(
    ("mode", "expected"), [("default", "default"), ("plan", "plan"), ("bypassPermissions", "yolo")]
)
def test_the_permission_mode_chooses_the_agents_mode(tmp_path: Path, by: str, mode: Any, expected: str) -> None:
    async def test(hosted: Hosted) -> None:
        assert await hosted.says("mode", mode=mode) == expected
        assert await hosted.says("mode") == "default"

    hosting(test, tmp_path, "--modes", "auto,default,plan,yolo", "--mode-by", by, preset=QWEN)


def test_a_plan_mode_that_is_not_known_to_hold_is_not_used(tmp_path: Path) -> None:
    """It asks instead, and the host denies."""

    async def test(hosted: Hosted) -> None:
        assert await hosted.says("mode", mode="plan") == "default"

    hosting(test, tmp_path, "--modes", "plan,default", preset=replace(QWEN, plan=None))


def test_no_plan_turn_is_run_by_an_agent_that_was_not_verified_to_keep_it(tmp_path: Path) -> None:
    wanted: list[str] = []

    async def refused(hosted: Hosted) -> None:
        end, _ = await hosted.run("say hello", mode="plan")
        assert end.stop_reason == "failed"
        assert "plan mode was not verified" in str(end.message)

    async def accepted(hosted: Hosted) -> None:
        end, told = await hosted.run("mode", mode="plan")
        assert (end.stop_reason, told.out) == ("end_turn", wanted[-1])
        assert "plan mode: whether this agent changes nothing in it was not verified" in told.err

    hosting(refused, tmp_path, "--modes", "plan,default")
    hosting(refused, tmp_path)
    for modes, mode in (("yolo,plan", "plan"), ("yolo,x#plan", "x#plan"), ("yolo,x", "yolo")):
        wanted.append(mode)
        hosting(accepted, tmp_path, "--modes", modes, allow_unsupervised=True)


def test_an_agent_that_refuses_its_bypass_mode_asks_instead(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        assert await hosted.says("mode", mode="bypassPermissions") == "default"

    hosting(test, tmp_path, "--modes", "auto,default,yolo", "--refuse-mode", "yolo", preset=QWEN)


def test_an_agent_that_changed_its_mode_is_set_back_before_the_next_prompt(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        _, told = await hosted.run("switch auto")
        assert told.state["mode"] == "auto"
        assert await hosted.says("mode") == "default"

    hosting(test, tmp_path, "--modes", "default,auto", preset=QWEN)


def test_an_agent_that_would_not_ask_is_refused_unless_that_was_accepted(tmp_path: Path) -> None:
    async def refused(hosted: Hosted) -> None:
        with pytest.raises(AgentUnavailable, match=r"no mode of it that asks is known.*yolo, turbo.*--allow-unsuperv"):
            await hosted.agent.start()
        end, told = await hosted.run("write note.txt x")
        assert (end.stop_reason, end.exit_code, told.asked) == ("failed", 1, [])
        assert "--allow-unsupervised" in str(end.message)

    async def accepted(hosted: Hosted) -> None:
        await hosted.agent.start()
        assert hosted.agent.info.note.startswith("UNSUPERVISED")
        assert await hosted.says("mode") == "yolo"

    hosting(refused, tmp_path, "--modes", "yolo,turbo")
    hosting(accepted, tmp_path, "--modes", "yolo,turbo", allow_unsupervised=True)


def test_an_agent_that_never_asks_is_refused_though_it_has_no_modes(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        with pytest.raises(AgentUnavailable, match="runs tools without asking"):
            await hosted.agent.start()

    hosting(test, tmp_path, preset=PRESETS["gptme"])


def test_what_an_agent_says_of_itself_chooses_its_preset(tmp_path: Path) -> None:
    """It is started again with what the preset sets, before any session."""

    async def test(hosted: Hosted) -> None:
        seen = json.loads(await hosted.says("env OPENCODE_PERMISSION"))
        assert json.loads(seen["OPENCODE_PERMISSION"])["edit"] == "ask"
        assert await hosted.says("mode") == "build"

    hosting(test, tmp_path, "--name", "OpenCode", "--modes", "plan,build", "--mode-by", "config")


# --- signing in -----------------------------------------------------------------------------------------------------


def test_a_key_in_the_environment_signs_in(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        assert await hosted.says("say in") == "in"

    preset = Preset(name="fake", auth=(("FAKE_KEY", "key"),))
    hosting(test, tmp_path, "--auth", "key", preset=preset, env={"FAKE_KEY": "x"})


def test_without_a_key_the_error_says_how_to_sign_in(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        with pytest.raises(AgentUnavailable, match="Authentication required; sign in first: set FAKE_KEY"):
            await hosted.agent.start()

    hosting(test, tmp_path, "--auth", "key")


# --- cancelling -----------------------------------------------------------------------------------------------------


def test_cancel_ends_the_turn_and_its_tool_calls(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        told = Recorder()
        running = asyncio.create_task(hosted.run("wait", told))
        await told.until(lambda: bool(told.said))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        check_updates(told.updates)
        assert told.updates[-1] == {"sessionUpdate": "tool_call_update", "toolCallId": "w", "status": "failed"}
        assert await hosted.says("say again") == "again"  # the same process, the same session

    hosting(test, tmp_path)


def test_cancel_takes_back_an_open_permission_request(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        told = Recorder(ALLOW, never)
        running = asyncio.create_task(hosted.run("write note.txt x", told))
        await told.until(lambda: bool(told.asked))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        check_updates(told.updates)
        assert not (tmp_path / "note.txt").exists()

    hosting(test, tmp_path)


def test_an_agent_that_does_not_stop_is_killed_and_starts_again(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        first, _ = await hosted.run("say before")
        told = Recorder()
        running = asyncio.create_task(hosted.run("ignore_cancel", told))
        await told.until(lambda: bool(told.said))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        check_updates(told.updates)
        end, told = await hosted.run("say after", earlier=first.agent_session_id)
        assert (end.agent_session_id, told.out) == (first.agent_session_id, "after ")

    (tmp_path / "store").mkdir()
    hosting(test, tmp_path, "--store", str(tmp_path / "store"), cancel_seconds=0.2)


# --- restarts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "exit_code", "said"), [(3, 3, "status 3"), (0, 1, "status 0"), (-9, 137, "SIGKILL")]
)
def test_death_ends_the_turn_and_the_next_prompt_goes_on(
    tmp_path: Path, status: int, exit_code: int, said: str
) -> None:
    async def test(hosted: Hosted) -> None:
        first, _ = await hosted.run("say before")
        end, told = await hosted.run(f"die {status}")
        assert (end.stop_reason, end.exit_code, told.out) == ("failed", exit_code, "dying")
        assert said in str(end.message)
        assert "out of cheese" in str(end.message)
        check_updates(told.updates)
        end, told = await hosted.run("say after", earlier=first.agent_session_id)
        assert (end.agent_session_id, told.out, told.err) == (first.agent_session_id, "after ", "")
        assert hosted.agent.tally["replayed"] == 4  # of the two earlier prompts, none was shown again

    (tmp_path / "store").mkdir()
    hosting(test, tmp_path, "--store", str(tmp_path / "store"))


def test_a_session_that_cannot_be_loaded_begins_anew_and_says_so(tmp_path: Path) -> None:
    async def lost(hosted: Hosted) -> None:
        end, told = await hosted.run("say hello", earlier="fake-0-0")
        assert (end.stop_reason, told.out) == ("end_turn", "hello ")
        assert "lost its earlier session (no such session)" in told.err
        assert end.agent_session_id != "fake-0-0"

    async def cannot(hosted: Hosted) -> None:
        _, told = await hosted.run("say hello", earlier="fake-0-0")
        assert "cannot load its earlier session" in told.err

    hosting(lost, tmp_path, "--store", str(tmp_path))
    hosting(cannot, tmp_path)


# --- state ----------------------------------------------------------------------------------------------------------


def test_a_huge_list_of_commands_becomes_small_state(tmp_path: Path) -> None:
    """200 commands of 4 KB: one update of 800 KB, as the largest ever seen."""

    async def test(hosted: Hosted) -> None:
        _, told = await hosted.run("say x")
        assert len(told.state["commands"]) == 100
        assert len(json.dumps(told.state)) < 32 * 1024
        assert told.state["mode"] == "ask"

    hosting(test, tmp_path, "--commands", "200", "--modes", "ask")


def test_an_error_of_the_agent_is_the_turns_message(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        end, _ = await hosted.run("refuse")
        assert end.message == "the agent answered with an error: Internal error: the model is asleep"
        assert await hosted.says("say on") == "on"

    hosting(test, tmp_path)
