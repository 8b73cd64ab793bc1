"""The command agent: a prompt is one command, and it is honest about that."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from tests.agents.contract import check_updates, turn
from tests.agents.recorder import ALLOW, DENY, Recorder

from myagent.agents import Answer, TurnEnd
from myagent.agents.builtin.command import HELP, PIECE_CHARACTERS, CommandAgent


def run(root: Path, prompt: str, answer: Answer = ALLOW) -> tuple[TurnEnd, Recorder]:
    async def main() -> tuple[TurnEnd, Recorder]:
        agent, io = CommandAgent(), Recorder(answer)
        await agent.start()
        end = await agent.run(turn(root, prompt), io)
        await agent.close()
        check_updates(io.updates)
        return end, io

    return asyncio.run(main())


def test_it_says_what_it_is() -> None:
    assert CommandAgent().info.note == "no model configured: command mode"


def test_help(tmp_path: Path) -> None:
    end, io = run(tmp_path, "help")
    assert (end, io.out, io.err) == (TurnEnd(exit_code=0), HELP, "")


@pytest.mark.parametrize("prompt", ["hello", "Read a", "!", "read", "write a", "edit a\nx", "grep", "read a\nb"])
def test_what_it_does_not_understand_does_nothing_and_says_how_to_get_help(tmp_path: Path, prompt: str) -> None:
    end, io = run(tmp_path, prompt)
    assert end.exit_code == 1
    assert end.message == io.err.rstrip("\n")
    assert io.err.endswith("; try: help\n")
    assert "\n" not in io.err.rstrip("\n")
    assert list(tmp_path.iterdir()) == []


def test_who_says_hello_sees_what_can_be_said(tmp_path: Path) -> None:
    end, io = run(tmp_path, "hello, can you fix the tests?")
    assert io.out == HELP
    assert io.err == 'no model is configured, and "hello," is not a command; try: help\n'
    assert end == TurnEnd(exit_code=1, message=io.err.rstrip())


def test_read(tmp_path: Path) -> None:
    (tmp_path / "with space").write_text("one\ntwo")
    end, io = run(tmp_path, "  read  with space \n")
    assert (end.exit_code, io.out, io.err, io.asked) == (0, "one\ntwo", "", [])
    assert [update["sessionUpdate"] for update in io.updates] == [
        "tool_call",
        "agent_message_chunk",
        "tool_call_update",
    ]
    assert io.updates[0] == {
        "sessionUpdate": "tool_call",
        "toolCallId": "turn in session-1",
        "title": "read with space",
        "kind": "read",
        "status": "in_progress",
        "locations": [{"path": str(tmp_path / "with space")}],
        "rawInput": {"path": "with space"},
    }


def test_a_long_answer_comes_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("é" * (2 * PIECE_CHARACTERS + 1))
    _, io = run(tmp_path, "read a")
    assert io.out == "é" * (2 * PIECE_CHARACTERS + 1)
    assert [len(text) for stream, text, _ in io.said if stream == "stdout"] == [PIECE_CHARACTERS] * 2 + [1]


def test_a_tool_that_fails_says_why(tmp_path: Path) -> None:
    end, io = run(tmp_path, "read ../x")
    sentence = '../x: may not contain ".."; name the file from the top of the workspace'
    assert (end, io.out, io.err) == (TurnEnd(exit_code=1, message=sentence), "", f"{sentence}\n")
    assert io.updates[-1]["status"] == "failed"


def test_glob(tmp_path: Path) -> None:
    (tmp_path / "b.py").touch()
    (tmp_path / "a.py").touch()
    end, io = run(tmp_path, "glob *.py")
    assert (end.exit_code, io.out, io.err) == (0, "a.py\nb.py\n", "")


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        (r"grep \bdef\s\w+ a.py", "a.py:1:def one():\n"),
        ("grep one", "a.py:1:def one():\nb.py:1:one\n"),
        ('grep "def one" a.py', "a.py:1:def one():\n"),
        ("grep 'def one'", "a.py:1:def one():\n"),
        ("grep nothing", ""),
    ],
)
def test_grep(tmp_path: Path, prompt: str, found: str) -> None:
    (tmp_path / "a.py").write_text("def one():\n")
    (tmp_path / "b.py").write_text("one\n")
    end, io = run(tmp_path, prompt)
    assert (end.exit_code, io.out, io.err) == (0, found, "")


def test_write_asks_with_a_diff(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one\n")
    end, io = run(tmp_path, "write a\none\n\n  two\n")
    assert (end.exit_code, io.out, io.err) == (0, "a written\n", "")
    assert (tmp_path / "a").read_text() == "one\n\n  two\n"
    [call] = io.asked
    assert (call.tool_name, call.kind, call.title) == ("Write", "edit", "Write a")
    assert call.text == "a\n--- a\n+++ a\n@@ -1 +1,3 @@\n one\n+\n+  two\n"
    assert [update.get("status") for update in io.updates] == ["pending", "in_progress", "completed", None]
    assert io.updates[0]["content"] == [{"type": "diff", "path": "a", "oldText": "one\n", "newText": "one\n\n  two\n"}]


@pytest.mark.parametrize(
    ("old", "new", "after"),
    [
        ("two\n", "2\nand more\n", "one\n2\nand more\nthree\n"),
        ("one\ntwo\n", "", "three\n"),
        ("wo\n", "wo!\n", "one\ntwo!\nthree\n"),
        ("two\n", "\n", "one\n\nthree\n"),
    ],
)
def test_edit(tmp_path: Path, old: str, new: str, after: str) -> None:
    (tmp_path / "a").write_text("one\ntwo\nthree\n")
    end, io = run(tmp_path, f"edit a\n<<<<<<<\n{old}=======\n{new}>>>>>>>\n")
    assert (end.exit_code, io.err) == (0, "")
    assert io.asked[0].tool_name == "Edit"
    assert (tmp_path / "a").read_text() == after


def test_a_command_asks_and_its_exit_code_is_the_turns(tmp_path: Path) -> None:
    end, io = run(tmp_path, "!pwd; echo 'two  words' >&2\nexit 42")
    assert (end, io.out, io.err) == (TurnEnd(exit_code=42), f"{tmp_path}\n", "two  words\n")
    [call] = io.asked
    assert (call.tool_name, call.kind, call.title) == ("Bash", "execute", "pwd; echo 'two  words' >&2")
    assert call.text == "pwd; echo 'two  words' >&2\nexit 42"
    assert call.input == {"command": call.text}
    assert io.updates[-1]["rawOutput"] == {"exitCode": 42}
    assert run(tmp_path, "!kill $$")[0].exit_code == 143


@pytest.mark.parametrize("prompt", ["!echo ran >a", "write a\nran", "edit b\n<<<<<<<\nb\n=======\nran\n>>>>>>>"])
@pytest.mark.parametrize(
    ("answer", "end"),
    [
        (DENY, TurnEnd(exit_code=1, message="denied: not today")),
        (Answer("deny"), TurnEnd(exit_code=1, message="denied")),
        (Answer("expired"), TurnEnd(exit_code=1, message="nobody decided in time")),
        (Answer("cancelled"), TurnEnd(stop_reason="cancelled")),
    ],
)
def test_denied(tmp_path: Path, prompt: str, answer: Answer, end: TurnEnd) -> None:
    (tmp_path / "b").write_text("b")
    ended, io = run(tmp_path, prompt, answer)
    assert ended == end
    assert io.err == (f"{end.message}\n" if end.message else "")
    assert not (tmp_path / "a").exists()
    assert (tmp_path / "b").read_text() == "b"
    assert io.updates[-1]["status"] == "failed"


def test_a_command_line_that_is_too_long_says_so(tmp_path: Path) -> None:
    end, io = run(tmp_path, f"!: {'x' * 200_000}")
    assert end == TurnEnd(exit_code=1, message="cannot start /bin/sh: Argument list too long")
    assert io.updates[-1]["status"] == "failed"


def test_a_command_streams_as_it_comes(tmp_path: Path) -> None:
    """The first line is heard while the command still waits for what the test does when it has heard it."""

    async def main() -> None:
        agent, io = CommandAgent(), Recorder()
        running = asyncio.create_task(agent.run(turn(tmp_path, "!echo one; cat fifo"), io))
        await io.until(lambda: io.out == "one\n")
        assert not running.done()
        await asyncio.to_thread((tmp_path / "fifo").write_text, "two\n")
        assert (await running).exit_code == 0
        assert io.out == "one\ntwo\n"

    os.mkfifo(tmp_path / "fifo")
    asyncio.run(main())
