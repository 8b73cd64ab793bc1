"""Before a directory's settings start programs: `serve` names them and asks once on a terminal, or refuses."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest
from tests.cli.conftest import MYAGENT, environment

FAKE = (Path(__file__).parents[1] / "agents" / "fake_agent.py").resolve()
HOSTILE = '[mcp_servers."in\\u001b[2Jnocent"]\ncommand = "sh"\nargs = ["-c", "touch started"]\n'


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / ".codex").mkdir()
    (tmp_path / ".codex" / "config.toml").write_text(HOSTILE)
    return tmp_path


def serve(directory: Path, *options: str) -> list[str]:
    agent = ["python3", "-I", str(FAKE), "--name", "@agentclientprotocol/codex-acp", "--modes", "read-only"]
    return [*MYAGENT, "remote", "serve", "--port", "0", "--agent", "codex", *options, "--", *agent]


def test_without_a_terminal_it_is_two_lines_and_no_agent(directory: Path) -> None:
    done = subprocess.run(
        serve(directory), cwd=directory, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (3, "")
    named, remedy = done.stderr.splitlines()
    assert named.startswith("[remote] agent codex cannot run: ") and ".codex/config.toml: MCP server" in named
    assert "sh -c 'touch started'" in named and "\x1b" not in done.stderr
    assert remedy.startswith("[remote] ") and "--trust-directory" in remedy


@pytest.mark.parametrize(("answer", "starts"), [("y\n", True), ("\n", False), ("n\n", False), ("\x04", False)])
def test_on_a_terminal_it_asks_once(directory: Path, answer: str, starts: bool) -> None:
    ours, theirs = pty.openpty()
    server = subprocess.Popen(
        serve(directory), cwd=directory, env=environment(), stdin=theirs, stderr=theirs, stdout=subprocess.PIPE
    )
    os.close(theirs)
    assert server.stdout is not None
    try:
        asked = ""
        while "[y/N]" not in asked:
            asked += os.read(ours, 4096).decode()
        assert "  .codex/config.toml: MCP server" in asked and "touch started" in asked and "\x1b" not in asked
        os.write(ours, answer.encode())
        said = b""
        while starts and b"connect with" not in said:
            line = server.stdout.readline()
            assert line, said
            said += line
    finally:
        if starts:
            server.send_signal(signal.SIGTERM)
        code = server.wait(20)
        server.stdout.close()
        os.close(ours)
    assert code == (0 if starts else 3)


def test_with_the_operators_trust_it_serves(directory: Path) -> None:
    server = subprocess.Popen(
        serve(directory, "--trust-directory"),
        cwd=directory,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    said = ""
    while "connect with" not in said:
        line = server.stdout.readline()
        assert line, said
        said += line
    server.send_signal(signal.SIGTERM)
    assert server.wait(20) == 0
    server.stdout.close()
