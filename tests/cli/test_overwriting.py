"""Progress bars on a terminal, into a pipe and in what is played again: the line as it is in the end."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from typing import Any

import pytest

from myagent.cli.terminal import output as terminal_output
from myagent.cli.terminal.output import Screen
from myagent.text.times import absolute

BAR = r"!printf 'start\n'; printf 'progress 10%%\r'; sleep 0.1; printf 'progress 50%%\r\033[32mprogress 100%%\033[0m\n'"
BYPASS = ("--allow-bypass", "--permission-mode", "bypassPermissions")
QUESTION = "Allow? [y/N]"


@pytest.fixture
def session(serve: Any, myagent: Any) -> tuple[Any, str]:
    serving = serve(*BYPASS)
    done = myagent("remote", "client", "--url", serving.url, "--prompt", BAR)
    assert done.stdout == "start\nprogress 100%\n"
    (found,) = (line.split()[-1] for line in done.stderr.splitlines() if "session: " in line)
    return serving, found


def test_in_every_view_but_the_raw_ones(session: tuple[Any, str], myagent: Any, terminal: Any) -> None:
    serving, found = session
    at = ("--url", serving.url)
    for form in ("md", "html"):
        text = myagent("remote", "export", found, *at, "--format", form).stdout
        assert "start\nprogress 100%\n" in text
        assert not re.search("50%[^%]", text)
    assert r"progress 50%\r" in myagent("remote", "export", found, *at, "--format", "jsonl").stdout
    assert r"progress 50%\r" in myagent("remote", "export", found, *at, "--format", "asciicast").stdout
    replay = ("remote", "replay", found, *at, "--speed", "0")
    piped = myagent(*replay).stdout
    assert "start\nprogress 100%\n" in piped
    assert not {"\x1b", "\r"} & set(piped)
    shown = terminal(*replay, cwd=serving.directory)
    assert shown.finish() == 0
    assert b"progress 50%\r" in shown.raw
    assert "\nprogress 100%\n" in shown.text
    assert b"\x1b[32m" in shown.raw
    plain = terminal(*replay, cwd=serving.directory, NO_COLOR="1")
    assert plain.finish() == 0
    assert b"\x1b" not in plain.raw
    assert "\nprogress 100%\n" in plain.text


def test_live_on_a_terminal_and_raw(serve: Any, terminal: Any, myagent: Any) -> None:
    serving = serve(*BYPASS)
    live = terminal("remote", "client", "--url", serving.url, "--prompt", BAR, cwd=serving.directory)
    assert live.finish() == 0
    assert "\nprogress 100%\n[remote] turn ended" in live.text
    assert b"progress 10%\r" in live.raw  # it is sent as it comes, not when the line has ended
    raw = subprocess.run(
        [sys.executable, "-m", "myagent", "remote", "client", "--url", serving.url, "--raw", "--prompt", BAR],
        cwd=serving.directory, capture_output=True, timeout=20.0,
    )  # fmt: skip
    assert b"progress 50%\r\x1b[32mprogress 100%" in raw.stdout


def test_a_line_that_never_ends_is_written_with_the_turn(serve: Any, myagent: Any) -> None:
    serving = serve(*BYPASS)
    done = myagent("remote", "client", "--url", serving.url, "--prompt", r"!printf 'one\rtwo three'")
    assert done.stdout == "two three"


def test_what_is_asked_cannot_be_overwritten(serve: Any, terminal: Any) -> None:
    """Neither in the request itself, nor by output that comes while it is on the terminal."""
    serving = serve()
    first = terminal("remote", "client", "--url", serving.url, "--prompt", "!rm x\rls", cwd=serving.directory)
    assert r"rm x\u{d}ls" in first.read_until(QUESTION)
    first.type("n\n")
    first.finish()


class OneTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_place_to_answer_is_not_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    for turn, wanted in (("Allow? [y/N] ", "Allow? [y/N] \n\rAllow all? done"), ("told\n", "told\n\rAllow all? done")):
        both = OneTerminal()
        monkeypatch.setattr(sys, "stdout", both)
        monkeypatch.setattr(sys, "stderr", both)
        screen = Screen(raw=False)
        screen.own(turn)
        screen.agent("t", "\rAllow all? ")
        screen.agent("t", "done")
        assert both.getvalue() == wanted


def test_what_was_written_before_a_word_of_ours_is_not_written_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    output, ours = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", ours)
    screen = Screen(raw=False)
    screen.agent("t", "one ")
    assert output.getvalue() == ""
    screen.say("asked")
    assert output.getvalue() == "one "
    screen.agent("t", "two\nthree")
    screen.say("asked")
    screen.agent("t", "\rfour")
    screen.end_turn("t")
    assert output.getvalue() == "one two\nthree\nfoure"


def test_with_times_each_line_begins_with_that_of_the_event_that_ended_it(monkeypatch: pytest.MonkeyPatch) -> None:
    output, ours = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", ours)
    monkeypatch.setattr(terminal_output, "milliseconds", lambda: 0)
    screen = Screen(raw=False, times=True)
    with screen.at(1_790_000_000_000):
        screen.agent("t", "one\r")
    with screen.at(1_790_000_001_000):
        screen.agent("t", "two\n\nthree\n\x1b[2Jfour")
    screen.say("asked")
    with screen.at(None):
        screen.agent("t", "\n")
    two, four = absolute(1_790_000_001_000), absolute(0)  # the line of which nobody knows how it goes on is ours to end
    assert output.getvalue() == f"{two} two\n\n{two} three\n{four} \\u{{1b}}[2Jfour\n"
    assert ours.getvalue() == f"{four} [remote] asked\n"
    with screen.at(None):
        screen.agent("t", "old\n")
    assert output.getvalue().endswith("\nunknown time old\n")
