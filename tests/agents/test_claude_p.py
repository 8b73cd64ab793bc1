"""`claude -p` as an agent, against a program that speaks as it does: the contract, its answers, its misbehaviour."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.agents.contract import CHECKS, Attending, Check, Subject, check_updates, populate
from tests.agents.recorder import ALLOW, DENY, Recorder
from tests.core.test_pictures import png

from myagent.agents import Answer, Attached, Turn, TurnEnd
from myagent.agents.acp.directory import NOT_KNOWN
from myagent.agents.acp.presets import CLAUDE_P, preset
from myagent.agents.claude.agent import ClaudePrintAgent
from myagent.agents.claude.stream import Stream, tool_call
from myagent.agents.claude.talk import ClaudeTalk
from myagent.agents.rendering.blocks import diffs_of
from myagent.core.content import sent_pictures
from myagent.exceptions import AgentUnavailable

FAKE = Path(__file__).parent / "fake_claude.py"


def agent(root: Path, *options: str, **settings: Any) -> ClaudePrintAgent:
    argv = [sys.executable, "-I", str(FAKE), *options]
    return ClaudePrintAgent(argv, cwd=root, preset=preset(CLAUDE_P), **settings)


CLAUDE = Subject(
    name="claude-p",
    make=agent,
    says="read greeting.txt",
    changes="write changed something",
    lingers="linger",
    runs=None,
    fails="refuse",
    asks="question",
    speaks_later="later",
)


pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Check, tmp_path: Path) -> None:
    populate(tmp_path)
    asyncio.run(check(CLAUDE, tmp_path))


Run = Callable[..., Awaitable[tuple[TurnEnd, Recorder]]]


def hosting(
    root: Path, test: Callable[[Run, ClaudePrintAgent], Awaitable[None]], *options: str, **settings: Any
) -> None:
    """Run a test with the agent, and a way to have it answer one prompt."""

    async def main() -> None:
        hosted = agent(root, *options, **settings)

        async def run(
            prompt: str, told: Recorder | None = None, earlier: str | None = None
        ) -> tuple[TurnEnd, Recorder]:
            told = Recorder() if told is None else told
            return await hosted.run(Turn("one", "turn", prompt, "default", root, earlier), told), told

        try:
            async with asyncio.timeout(30):
                await test(run, hosted)
        finally:
            await hosted.close()

    asyncio.run(main())


def test_words_and_thoughts_stream_and_are_said_once(tmp_path: Path) -> None:
    async def test(run: Run, hosted: ClaudePrintAgent) -> None:
        end, told = await run("say hello from here")
        assert (end.stop_reason, told.out) == ("end_turn", "hello from here ")
        assert [update["content"]["text"] for update in told.updates] == ["hello ", "from ", "here "]
        assert told.state["commands"] == [{"name": "review", "description": "Look at it"}]
        _, told = await run("think deeply")
        assert (told.out, told.err) == ("", "thinking: deeply")
        _, told = await run("whole sentence at once")
        assert told.out == "sentence at once"  # what an inner agent says is not this agent's answer

    hosting(tmp_path, test)


async def test_a_skill_that_it_offers_begins_the_prompt(tmp_path: Path) -> None:
    told = Recorder()
    await agent(tmp_path).run(Turn("one", "turn", "it", "default", tmp_path, skill_names=("review", "magic")), told)
    assert told.out == "it"
    assert "skills not used: magic" in told.err


def test_what_is_asked_shows_the_change(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("old\n")

    async def test(run: Run, hosted: ClaudePrintAgent) -> None:
        _, told = await run("write note new")
        (call,) = told.asked
        assert (call.tool_name, call.kind) == ("Write", "edit")
        assert [(diff.old_text, diff.new_text) for diff in call.diffs] == [("old\n", "new")]
        assert "-old" in call.text and "+new" in call.text
        assert [option.kind for option in call.options] == ["allow_once", "reject_once"]
        assert (tmp_path / "note").read_text() == "new"
        check_updates(told.updates)
        assert any(diffs_of(update) for update in told.updates)

    hosting(tmp_path, test)


def test_a_command_is_asked_for_and_its_output_shown(tmp_path: Path) -> None:
    async def test(run: Run, hosted: ClaudePrintAgent) -> None:
        _, told = await run("bash echo from the shell")
        (call,) = told.asked
        assert (call.tool_name, call.kind) == ("Bash", "execute")
        assert "command: echo from the shell" in call.text
        assert "✓ Bash echo from the shell: completed\n  from the shell" in told.err
        _, told = await run("bash echo from the shell", Recorder(DENY))
        assert "denied: not today" in told.err and "✗ Bash" in told.err
        check_updates(told.updates)

    hosting(tmp_path, test)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("Edit", {"file_path": "a", "old_string": "x", "new_string": "y"}, [("x", "y")]),
        ("MultiEdit", {"file_path": "a", "edits": [{"old_string": "x", "new_string": "y"}, 7]}, [("x", "y")]),
        ("Write", {"file_path": "a", "content": "y"}, [(None, "y")]),
        ("Write", {"file_path": "binary", "content": "y"}, []),  # no diff is better than one that says "new file"
        ("Write", {"file_path": ".", "content": "y"}, []),
        ("Write", {"file_path": 7, "content": "y"}, []),
        ("Read", {"file_path": "a"}, []),
    ],
)
def test_a_diff_is_shown_where_it_is_known(
    tmp_path: Path, name: str, given: dict[str, Any], expected: list[tuple[str | None, str]]
) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\x00")
    assert [(diff.old_text, diff.new_text) for diff in diffs_of(tool_call("t", name, given, tmp_path))] == expected


def test_a_conversation_goes_on_and_one_that_is_lost_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()

    async def test(run: Run, hosted: ClaudePrintAgent) -> None:
        first, _ = await run("say one")
        second, told = await run("recall", earlier=first.agent_session_id)
        assert told.out == "say one\n"
        assert second.agent_session_id == first.agent_session_id
        third, told = await run("say three", earlier="never-was")
        assert (third.stop_reason, told.out) == ("end_turn", "three ")
        assert "lost its earlier session" in told.err
        assert third.agent_session_id not in ("never-was", first.agent_session_id)

    hosting(tmp_path, test, "--store", str(tmp_path / "store"))


def test_it_is_kept_in_its_asking_mode_unless_that_was_given_up(tmp_path: Path) -> None:
    """Negative control: with `allow_unsupervised` nothing is said of asking, and its settings count."""

    async def arguments(run: Run, hosted: ClaudePrintAgent) -> None:
        await hosted.start()
        _, told = await run("arguments")
        said.append(json.loads(told.out))
        notes.append(hosted.info.note)

    said: list[list[str]] = []
    notes: list[str] = []
    hosting(tmp_path, arguments)
    hosting(tmp_path, arguments, allow_unsupervised=True)
    kept, free = said
    assert kept[kept.index("--permission-mode") + 1] == "default"
    assert kept[kept.index("--setting-sources") + 1] == "user"
    assert {"Bash", "Edit", "Write"} <= set(json.loads(kept[kept.index("--settings") + 1])["permissions"]["ask"])
    assert not {"--permission-mode", "--setting-sources", "--settings"} & set(free)
    assert notes[0] == f"unverified: it may or may not ask (mode default); {NOT_KNOWN}" and notes[1].startswith(
        "UNSUPERVISED"
    )


def test_options_are_those_that_it_offers(tmp_path: Path) -> None:
    async def test(run: Run, hosted: ClaudePrintAgent) -> None:
        await hosted.start()
        assert (
            hosted.info.note
            == f"unverified: it may or may not ask (mode default); model=small; effort=low; {NOT_KNOWN}"
        )
        rows = {row["id"]: row["value"] for row in hosted.info.state["config"]}
        assert rows == {"model": "small", "effort": "low"}
        _, told = await run("say x")
        assert told.state["model"] == "small"

    hosting(tmp_path, test, options={"model": "small", "effort": "low"})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "huge"}, "does not offer model=huge; it offers default, big-1, small, small-2"),
        ({"speed": "9"}, "does not offer the option speed; it offers model, effort"),
    ],
)
def test_an_option_that_is_not_offered_is_an_error(tmp_path: Path, options: dict[str, str], said: str) -> None:
    async def test(run: Run, hosted: ClaudePrintAgent) -> None:
        with pytest.raises(AgentUnavailable, match=said):
            await hosted.start()

    hosting(tmp_path, test, options=options)


@pytest.mark.parametrize(
    ("at", "said", "code"),
    [
        ("initialize=hang", "did not answer initialize within 0.5 seconds", 1),
        ("initialize=exit", "exited with status 41; its stderr ended with: no key found", 41),
        ("initialize=refuse", "claude says: please sign in", 1),
    ],
)
def test_one_that_cannot_start_says_why(tmp_path: Path, at: str, said: str, code: int) -> None:
    async def test(run: Run, hosted: ClaudePrintAgent) -> None:
        with pytest.raises(AgentUnavailable, match=said):
            await hosted.start()
        end, _ = await run("say x")
        assert (end.stop_reason, end.exit_code) == ("failed", code)
        assert said.rpartition(": ")[2] in str(end.message)

    hosting(tmp_path, test, "--at", at, start_seconds=0.5 if "hang" in at else 20.0)


def test_a_missing_program_says_how_to_install_it(tmp_path: Path) -> None:
    async def main() -> None:
        hosted = ClaudePrintAgent(["/nowhere/claude"], cwd=tmp_path, preset=preset(CLAUDE_P))
        with pytest.raises(AgentUnavailable, match=r"/nowhere/claude: No such file.*npm install"):
            await hosted.start()
        end = await hosted.run(Turn("one", "turn", "say x", "default", tmp_path), Recorder())
        assert end.stop_reason == "failed"

    asyncio.run(main())


def test_what_it_says_that_nobody_knows_is_passed_over(tmp_path: Path) -> None:
    async def test(run: Run, hosted: ClaudePrintAgent) -> None:
        end, told = await run("strange")
        assert (end.stop_reason, told.out) == ("end_turn", "unknown request mcp_message")
        assert hosted.tally["refused"] == 1
        end, told = await run("garbage")
        assert (end.stop_reason, told.out, hosted.tally["garbage"]) == ("end_turn", "still here", 6)

    hosting(tmp_path, test)


def test_an_exit_in_the_middle_ends_the_turn_with_its_status(tmp_path: Path) -> None:
    async def test(run: Run, hosted: ClaudePrintAgent) -> None:
        end, told = await run("die 7")
        assert (end.stop_reason, end.exit_code, told.out) == ("failed", 7, "dying")
        assert "out of cheese" in str(end.message)
        end, told = await run("refuse")
        assert (end.stop_reason, end.message) == ("failed", "claude says: the model is asleep")

    hosting(tmp_path, test)


@pytest.mark.parametrize("deaf", [False, True])
def test_cancelled_while_asking_nothing_is_done_and_the_call_is_closed(tmp_path: Path, deaf: bool) -> None:
    """It stops when it is told to; one that does not is ended."""

    async def never() -> None:
        await asyncio.Event().wait()

    async def test(run: Run, hosted: ClaudePrintAgent) -> None:
        told = Recorder(ALLOW, never)
        running = asyncio.create_task(run("write changed something", told))
        await told.until(lambda: bool(told.asked))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert not (tmp_path / "changed").exists()
        check_updates(told.updates)
        assert hosted.tally["withdrawn"] == (0 if deaf else 1)

    hosting(tmp_path, test, *(["--at", "interrupt=hang"] if deaf else []), cancel_seconds=0.2 if deaf else 20.0)


def test_cancelled_before_its_turn_began_it_is_not_waited_for(tmp_path: Path) -> None:
    async def test(run: Run, hosted: ClaudePrintAgent) -> None:
        running = asyncio.create_task(run("say x"))
        while not psutil.Process().children():
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    hosting(tmp_path, test, "--at", "initialize=hang", cancel_seconds=1000.0)


def test_a_host_that_fails_ends_the_turn_and_allows_nothing(tmp_path: Path) -> None:
    class Broken(Recorder):
        async def ask(self, call: object) -> Answer:
            raise OSError("no space")

    class Mute(Recorder):
        async def stdout(self, text: str, *, update: object = None) -> None:
            raise OSError("no space")

    async def test(run: Run, hosted: ClaudePrintAgent) -> None:
        for told, prompt in ((Broken(), "write changed something"), (Mute(), "say x")):
            with pytest.raises(OSError, match="no space"):
                await run(prompt, told)
            assert not (tmp_path / "changed").exists()
            check_updates(told.updates)

    hosting(tmp_path, test)


def test_a_call_of_a_subagent_names_the_call_that_it_belongs_to(tmp_path: Path) -> None:
    stream = Stream(tmp_path)
    block = {"type": "tool_use", "id": "inner", "name": "Bash", "input": {"command": "ls"}}
    said = {"type": "assistant", "parent_tool_use_id": "outer", "message": {"id": "m", "content": [block]}}
    result = {"type": "tool_result", "tool_use_id": "inner", "content": "a"}
    heard = {"type": "user", "parent_tool_use_id": "outer", "message": {"content": [result]}}
    updates = [*stream.updates(said), *stream.updates(heard)]
    assert [each["_meta"]["claudeCode"]["parentToolUseId"] for each in updates] == ["outer", "outer"]
    assert "_meta" not in next(stream.updates(said | {"parent_tool_use_id": None}))


async def overtaken(root: Path) -> tuple[str, str]:
    """How a prompt's turn ends, before which the model was told of something else, and what is said in it."""
    host = agent(root, "--at=prompt=overtaken")
    host.attend(Attending())
    await host.start()
    try:
        end = await host.run(Turn("one", "turn", "later", "default", root), Recorder())
        said = Recorder()
        end = await host.run(Turn("one", "turn", "say the answer", "default", root, end.agent_session_id), said)
        return end.stop_reason, said.out
    finally:
        await host.close()


async def test_a_prompt_is_answered_by_its_own_result(tmp_path: Path) -> None:
    """A turn that was under way as the prompt came ends before it, and is not its end."""
    assert await overtaken(tmp_path) == ("end_turn", "something else has ended\nthe answer ")


async def test_taking_any_result_for_its_own_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    prompt = ClaudeTalk.prompt

    async def any_will_do(self: ClaudeTalk, *what: Any) -> None:
        await prompt(self, *what)
        self._unread = None

    monkeypatch.setattr(ClaudeTalk, "prompt", any_will_do)
    assert (await overtaken(tmp_path))[0] == "failed"


async def test_one_that_dies_between_turns_is_not_prompted_again(tmp_path: Path) -> None:
    """The next prompt begins a process of its own, which resumes."""
    host = agent(tmp_path, f"--store={tmp_path}")
    host.attend(Attending())
    await host.start()
    try:
        end = await host.run(Turn("one", "turn", "later", "default", tmp_path), Recorder())
        [kept] = host._going_on.values()
        kept.talk.kill("a test")
        await kept.talk.over.wait()
        said = Recorder()
        end = await host.run(Turn("one", "turn", "say hello", "default", tmp_path, end.agent_session_id), said)
        assert (end.stop_reason, said.out, said.err) == ("end_turn", "hello ", "")
    finally:
        await host.close()


async def test_pictures_go_with_a_prompt_and_come_with_a_result(tmp_path: Path) -> None:
    """As the model's own API has them; what a tool brings is named, and its bytes are the host's to keep."""
    (tmp_path / "p").write_bytes(png(4, 3))
    host = agent(tmp_path, f"--heard={tmp_path / 'heard'}")
    await host.start()
    try:
        assert host.info.takes == ("image",)
        content = (
            Attached("image", mime_type="image/png", path=tmp_path / "p"),
            Attached("text", text="between"),
            Attached("link", name="a.py", path=tmp_path / "a.py"),
        )
        said = Recorder()
        await host.run(Turn("one", "turn", "screenshot", "default", tmp_path, content=content), said)
    finally:
        await host.close()
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(png(4, 3)).decode()}
    heard = [json.loads(line) for line in (tmp_path / "heard").read_text().splitlines()]
    (prompt,) = (each["message"]["content"] for each in heard if each["type"] == "user")
    assert prompt[1:] == [{"type": "image", "source": source}, {"type": "text", "text": "between"}]
    assert f"[image image/png, {len(png(4, 3))} bytes]" in said.err
    assert [*sent_pictures(said.updates)] == [png(4, 3)]
