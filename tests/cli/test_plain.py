"""Sitting in a session line by line: nothing is written over, a line is a prompt, a command or an answer."""

from __future__ import annotations

import re
from typing import Any

import pytest

from myagent.__main__ import main
from myagent.extras import install

QUESTION = "Allow? [y/N]"


def attach(terminal: Any, serving: Any, *options: str) -> Any:
    return terminal("remote", "attach", "--plain", "--url", serving.url, *options, cwd=serving.directory)


def test_prompting_answering_and_leaving(serve: Any, terminal: Any) -> None:
    serving = serve()
    anna = attach(terminal, serving, "--label", "anna")
    anna.read_until("role: owner")
    anna.type("!printf '\\033[31mred\\033[0m\\n' | tee made\n")
    anna.read_until(QUESTION)
    anna.type("y\n")
    anna.read_until("turn ended: exit 0")
    assert (serving.directory / "made").exists()
    anna.type("!rm made\n")
    anna.read_until(lambda text: text.count(QUESTION) == 2)
    anna.type("n\n")
    anna.read_until("turn ended: exit 1")
    assert (serving.directory / "made").exists()
    anna.type("/history 30\n")
    anna.read_until("Permission denied by anna")
    anna.type("/quit\n")
    assert anna.finish() == 0
    assert b"\x1b" not in anna.raw
    assert not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\r[^\n]", anna.raw)


def test_sessions_queue_and_prompts_of_several_lines(serve: Any, terminal: Any) -> None:
    serving = serve()
    anna = attach(terminal, serving)
    anna.read_until("role: owner")
    anna.type('"""\nwrite a.txt\none\ntwo\n"""\n')
    anna.read_until(QUESTION)
    anna.type("y\n")
    anna.read_until("turn ended: exit 0")
    assert (serving.directory / "a.txt").read_text() == "one\ntwo"
    anna.type("/new\n")
    anna.read_until("opens a new session")
    anna.type("help\n")
    anna.read_until(lambda text: text.count("turn ended: exit 0") == 2)
    anna.type("/sessions\n")
    listed = anna.read_until(lambda text: len(set(re.findall(r"remote_\d+_\w+", text))) == 2)
    other = next(
        line.split()[1]
        for line in listed.splitlines()
        if "remote_" in line and "completed" in line and "shown" not in line
    )
    anna.type(f"/session {other}\n")
    anna.read_until("Permission allowed")
    anna.type("/queue\n")
    anna.read_until("no prompt waits here")
    anna.type("/dance\n")
    anna.read_until("that cannot be done: /dance")
    anna.type("\x04")
    assert anna.finish() == 0


def test_handing_over(serve: Any, terminal: Any) -> None:
    serving = serve()
    anna = attach(terminal, serving, "--label", "anna")
    anna.read_until("role: owner")
    ben = attach(terminal, serving, "--label", "ben")
    ben.read_until("role: follower")
    anna.type("/who\n")
    shown = anna.read_until(lambda text: "ben" in text)
    to = next(line.split()[1] for line in shown.splitlines() if line.endswith("ben"))
    anna.type(f"/handover {to}\n")
    ben.read_until("role: owner")
    anna.type("help\n")
    anna.read_until("error: ")


def test_without_a_terminal_it_watches(serve: Any, myagent: Any, terminal: Any) -> None:
    import subprocess

    from tests.cli.conftest import MYAGENT, environment

    serving = serve()
    with subprocess.Popen(
        [*MYAGENT, "remote", "attach", "--plain", "--role", "follower", "--url", serving.url],
        cwd=serving.directory, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    ) as log:  # fmt: skip
        assert log.stdout is not None
        while "role: follower" not in log.stdout.readline():
            pass
        (serving.directory / "a.txt").write_text("content of a\n")
        myagent("remote", "client", "--url", serving.url, "--prompt", "read a.txt")
        lines = []
        while "turn ended" not in "".join(lines):
            lines.append(log.stdout.readline())
        assert "content of a\n" in lines
        log.terminate()
        assert log.wait(20) == 0


def test_attach_without_textual_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert main(["remote", "attach"]) == 3
    assert install("tui") in capsys.readouterr().err
