"""How attach ends when its terminal does, and what it reads where there is no terminal."""

from __future__ import annotations

import os
import signal
import termios
from typing import Any

import pytest
from tests.cli.conftest import MYAGENT, PATIENCE

pytest.importorskip("textual", reason="the extra myagent[tui] is not installed")

ATTACH = ("remote", "attach", "--url")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_gives_the_terminal_back_and_the_draft(serve: Any, terminal: Any, number: signal.Signals) -> None:
    serving = serve()
    anna = terminal(*ATTACH, serving.url, cwd=serving.directory)
    before = termios.tcgetattr(anna._master)[3]
    anna.read_until("OWNER")
    anna.type("half a thought")
    anna.read_until("half a thought")
    assert not termios.tcgetattr(anna._master)[3] & termios.ECHO  # the negative control: there is something to restore
    anna.process.send_signal(number)
    assert anna.finish() == 128 + number
    for mode in (b"1049", b"2004", b"1004"):
        assert anna.raw.rfind(b"\x1b[?%bl" % mode) > anna.raw.rfind(b"\x1b[?%bh" % mode)
    assert anna.raw.rfind(b"\x1b[?25h") > anna.raw.rfind(b"\x1b[?25l")
    assert termios.tcgetattr(anna._master)[3] == before
    assert b"not sent:\r\nhalf a thought" in anna.raw


def test_a_terminal_that_is_gone_ends_it_even_with_the_signal_ignored(serve: Any, terminal: Any) -> None:
    serving = serve()
    ignoring = ("sh", "-c", 'trap "" HUP; exec "$@"', "sh", *MYAGENT)
    anna = terminal(*ATTACH, serving.url, cwd=serving.directory, command=ignoring)
    anna.read_until("OWNER")
    os.close(anna._master)
    assert anna.process.wait(PATIENCE) == 128 + signal.SIGHUP
    anna._master = os.open(os.devnull, os.O_RDONLY)


def test_a_dumb_terminal_is_told_of_plain(serve: Any, terminal: Any) -> None:
    serving = serve()
    anna = terminal(*ATTACH, serving.url, cwd=serving.directory, TERM="dumb")
    assert anna.finish() == 3
    assert b"\x1b" not in anna.raw
    assert "attach --plain works line by line" in anna.text


def test_plain_reads_a_pipe_and_a_file_in_order(serve: Any, myagent: Any) -> None:
    serving = serve("--allow-bypass", "--permission-mode", "bypassPermissions")
    lines = '!printf one\\\\n\n!echo two\n"""\n!echo three\n"""\n'
    done = myagent(*ATTACH, serving.url, "--plain", stdin=lines)
    assert done.returncode == 0
    assert done.stdout == "one\ntwo\nthree\n"
    listed = myagent("remote", "sessions", "--url", serving.url, "--json").stdout
    assert listed.count('"sessionId"') == 1


def test_a_prompt_from_standard_input(serve: Any, myagent: Any) -> None:
    serving = serve("--allow-bypass", "--permission-mode", "bypassPermissions")
    client = ("remote", "client", "--url", serving.url, "--prompt", "-")
    assert myagent(*client, stdin="!echo from here\n").stdout == "from here\n"
    blank = myagent(*client, stdin="\n")
    assert (blank.returncode, "--prompt is blank" in blank.stderr) == (2, True)
    assert myagent(*client, stdin="x" * ((256 << 10) + 1)).stderr.splitlines()[-1] == (
        "[remote] the prompt has 262145 bytes, and the server takes 262144 at most"
    )


def test_the_audit_says_what_was_asked_for_and_decided(serve: Any, myagent: Any, terminal: Any) -> None:
    serving = serve()
    asked = terminal("remote", "client", "--url", serving.url, "--prompt", "!echo hello", cwd=serving.directory)
    asked.read_until("Allow? [y/N]")
    asked.type("y\n")
    assert asked.finish() == 0
    lines = myagent("remote", "audit").stdout.splitlines()
    (request,) = (line for line in lines if " request " in line)
    (decision,) = (line for line in lines if " decision " in line)
    for line in (request, decision):
        assert 'target="' in line
        assert "echo hello" in line
    assert "outcome=allow" in decision
