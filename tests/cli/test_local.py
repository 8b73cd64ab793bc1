"""`myagent agent PROMPT`: one turn without a server, asked for on this terminal."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.agents.contract import all_gone
from tests.agents.model_server import model_server
from tests.agents.modelled import needs_models

from myagent.__main__ import main

QUESTION = "Allow? [y/N]"


def test_a_pipe_gets_the_agent_alone_and_nothing_is_left(myagent: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("content of a\n")
    done = myagent("agent", "read a.txt")
    assert (done.returncode, done.stdout) == (0, "content of a\n")
    assert done.stderr == (
        "[agent] agent command (no model configured: command mode)\n[agent] turn ended: exit 0 (end_turn)\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_without_a_terminal_what_needs_leave_is_denied_and_said(myagent: Any, tmp_path: Path) -> None:
    done = myagent("agent", "!touch made", stdin="y\n")
    assert done.returncode == 1
    assert "[agent] permission denied: touch made: there is no terminal to ask on\n" in done.stderr
    assert not (tmp_path / "made").exists()
    assert myagent("agent", "--permission-mode", "bypassPermissions", "!touch made").returncode == 0
    assert (tmp_path / "made").exists()  # the control
    done = myagent("agent", "--permission-mode", "plan", "!touch more")
    assert done.returncode == 1 and "plan mode" in done.stderr


def test_the_question_is_that_of_the_client(terminal: Any, tmp_path: Path) -> None:
    screen = terminal("agent", "write a.txt\none\n", cwd=tmp_path)
    screen.type("y\ny\nallow\n")  # before it is asked: no answer
    shown = screen.read_until(QUESTION)
    assert "[agent] permission needed: Create a.txt" in shown and "  +one" in shown and str(tmp_path) in shown
    screen.type("n\n")
    assert screen.finish() == 1
    assert "turn ended: exit 1 (denied)" in screen.text and not (tmp_path / "a.txt").exists()
    screen = terminal("agent", "write a.txt\none\n", cwd=tmp_path)
    screen.read_until(QUESTION)
    screen.type("y\n")
    assert screen.finish() == 0
    assert (tmp_path / "a.txt").read_text() == "one\n"


def test_what_hides_needs_the_whole_word(terminal: Any, tmp_path: Path) -> None:
    screen = terminal("agent", "!touch made # \u202e", cwd=tmp_path)
    screen.read_until(QUESTION)
    screen.type("y\n")
    shown = screen.read_until(lambda text: text.count(QUESTION) == 2)
    assert "[agent] this request has warnings: type the word allow, or n" in shown
    screen.type("allow\n")
    assert screen.finish() == 0
    assert (tmp_path / "made").exists()


def test_the_agent_cannot_drive_the_terminal(terminal: Any, tmp_path: Path) -> None:
    command = r"!printf '\033]0;owned\007\033[31mred'"
    screen = terminal("agent", "--permission-mode", "bypassPermissions", command, cwd=tmp_path)
    assert screen.finish() == 0
    assert screen.screen.title == "" and r"\u{1b}]0;owned\u{7}red" in screen.text
    raw = terminal("agent", "--raw", "--permission-mode", "bypassPermissions", command, cwd=tmp_path)
    assert raw.finish() == 0
    assert raw.screen.title == "owned"


def test_ctrl_c_ends_the_turn_with_all_that_it_started(terminal: Any, tmp_path: Path) -> None:
    screen = terminal("agent", "!sleep 1000 & echo $$ $! >pids; echo begun; wait", cwd=tmp_path)
    screen.read_until(QUESTION)
    screen.type("y\n")
    screen.read_until("\nbegun")
    screen.type("\x03")
    assert screen.finish() == 130
    assert "turn ended: exit 130 (cancelled)" in screen.text
    await_end((tmp_path / "pids").read_text())
    asked = terminal("agent", "!touch made", cwd=tmp_path)
    asked.read_until(QUESTION)
    asked.type("\x03")
    assert asked.finish() == 130
    assert "[agent] the question is withdrawn" in asked.text and not (tmp_path / "made").exists()


def test_a_reader_that_leaves_ends_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "myagent", "agent", "--permission-mode", "bypassPermissions", "!yes"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None and running.stderr is not None
        running.stdout.read(100)
        running.stdout.close()
        assert b"Traceback" not in running.stderr.read()
    assert running.returncode == 1


def test_another_agent_can_answer(myagent: Any) -> None:
    done = myagent("agent", "--agent", "exec:echo {prompt}", "--permission-mode", "bypassPermissions", "hello there")
    assert (done.returncode, done.stdout) == (0, "hello there\n")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["agent"], 2, "give a PROMPT, or --acp"),
        (["agent", "--acp", "x"], 2, "give a PROMPT, or --acp"),
        (["agent", " "], 2, "the prompt is blank"),
        (["agent", "--cwd", "nowhere", "x"], 2, "is not a directory"),
        (["agent", "--agent", "nobody", "x"], 2, "no agent named 'nobody'"),
        (["agent", "--agent", "exec:echo", "x"], 2, "{prompt}"),
        (["agent", "--agent", "gemini", "--model", "m", "x"], 2, "belong to --agent model"),
        (["agent", "--base-url", "http://127.0.0.1:1", "x"], 2, "belong to --agent model"),
        (["agent", "--agent", "model", "x"], 3, "no model is named"),
        (["agent", "--agent", "exec:/no/such {prompt}", "x"], 3, "/no/such"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_told_in_one_line(
    arguments: list[str], code: int, told: str, tmp_path: Path, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    try:
        ended = main(arguments)
    except SystemExit as left:
        ended = left.code
    out, err = capfd.readouterr()
    assert (ended, out) == (code, "")
    lines = err.splitlines()
    assert told in lines[0] and len(lines) <= 2  # what is wrong, and where help is


def test_an_agent_that_cannot_run_is_one_line_wherever_it_is_started(myagent: Any) -> None:
    done = myagent("agent", "--acp", "--agent", "exec:/no/such {prompt}")
    assert done.returncode == 3 and "/no/such" in done.stderr and done.stderr.count("\n") == 1
    done = myagent("remote", "serve", "--port", "0", "--agent", "model")
    assert done.returncode == 3 and "no model is named; name one with --model" in done.stderr.splitlines()[-1]
    done = myagent("remote", "serve", "--port", "0", "--agent", "model", "--", "cat")
    assert done.returncode == 2 and "takes no -- COMMAND" in done.stderr


def await_end(pids: str) -> None:
    """Wait for the end of processes that were killed."""
    there = [psutil.Process(int(pid)) for pid in pids.split() if psutil.pid_exists(int(pid))]
    asyncio.run(all_gone(there))


@needs_models
async def test_a_model_answers_here_and_what_it_may_not_do_it_is_told(tmp_path: Path) -> None:
    async with model_server() as url:
        running = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "myagent", "agent", "--model", "stub", "--base-url", f"{url}/v1", "STUB FILE=a.txt",
            cwd=tmp_path, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await running.communicate()
    assert (running.returncode, out.decode()) == (0, "I will write the file. \nAll done."), err
    assert "✗ Create a.txt: failed\n  denied: there is no terminal to ask on\n" in err.decode()
    assert list(tmp_path.iterdir()) == []


def test_where_no_client_can_be_it_says_so(tmp_path: Path) -> None:
    with open(tmp_path / "out", "w") as out:
        command = [sys.executable, "-m", "myagent", "agent", "--acp"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, text=True)
    said = "stdin and stdout must be pipes, as a client of the Agent Client Protocol makes them\n"
    assert (done.returncode, done.stderr) == (3, f"[agent] {said}")
    for command in (["agent", "--acp"], ["acp"]):
        nobody = [sys.executable, "-m", "myagent", *command]
        done = subprocess.run(nobody, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 3 and done.stderr.endswith(said)
