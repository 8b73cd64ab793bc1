"""Where the output goes may end early or be full: no traceback, and the documented exit code, of every command."""

from __future__ import annotations

import os
from typing import Any

import pytest

COMMANDS = {
    "help": ["--help"],
    "version": ["--version"],
    "completion": ["completion", "bash"],
    "agents": ["remote", "agents"],
    "remotes": ["remote", "remotes"],
    "sessions": ["remote", "sessions"],
    "sessions --json": ["remote", "sessions", "--json"],
    "client": ["remote", "client", "--prompt", "help"],
    "export": ["remote", "export", "SESSION", "--format", "md"],
    "replay": ["remote", "replay", "SESSION", "--speed", "1000"],
    "invite": ["remote", "invite", "--json"],
    "invites": ["remote", "invites"],
    "audit": ["remote", "audit"],
    "audit verify": ["remote", "audit", "verify"],
    "doctor": ["remote", "doctor"],
}


@pytest.fixture
def commands(serve: Any, myagent: Any) -> dict[str, list[str]]:
    """All of them, with a session to tell of."""
    serve()
    assert myagent("remote", "client", "--prompt", "help").returncode == 0
    listed = myagent("remote", "sessions").stdout
    session_id = next(word for word in listed.split() if word.startswith("remote_"))
    return {name: [each.replace("SESSION", session_id) for each in words] for name, words in COMMANDS.items()}


def test_when_nobody_reads_there_is_no_traceback(commands: dict[str, list[str]], writing_to: Any) -> None:
    for name, arguments in commands.items():
        reader, writer = os.pipe()
        os.close(reader)
        try:
            done = writing_to(writer, *arguments)
        finally:
            os.close(writer)
        assert done.returncode == 1, (name, done)
        assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr, (name, done.stderr)


def test_when_the_output_is_full_one_line_says_so(commands: dict[str, list[str]], writing_to: Any) -> None:
    for name, arguments in commands.items():
        full = os.open("/dev/full", os.O_WRONLY)
        try:
            done = writing_to(full, *arguments)
        finally:
            os.close(full)
        assert done.returncode == 1, (name, done)
        assert done.stderr.splitlines()[-1] == "[remote] cannot write: No space left on device", (name, done.stderr)
        assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr, (name, done.stderr)
