"""Who listens on a port: this user's programs and root's are no strangers; another user's is, and gets no token."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import MYAGENT, PATIENCE, environment

from myagent.client.listeners import TABLE, stranger_at

STRANGER = 12345
LISTEN = f"""
import os, socket
os.setgid({STRANGER}); os.setuid({STRANGER})
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
taken, _ = listener.accept()
print(taken.recv(65536), flush=True)
"""
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
needs_table = pytest.mark.skipif(not TABLE.exists(), reason="this system does not tell who listens")


@needs_table
def test_a_server_of_this_user_is_no_stranger() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert stranger_at(listener.getsockname()[1]) is None


def test_a_table_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    assert stranger_at(8765, tmp_path / "none") is None


def test_the_row_of_another_user_is_found_among_others(tmp_path: Path) -> None:
    row = "   {}: {}:{:04X} 00000000:0000 {} 00000000:00000000 00:00000000 00000000 {:5}        0 1 1 0 100 0 0 10 0"
    rows = [
        row.format(0, "0100007F", 8765, "01", STRANGER),  # connected, not listening
        row.format(1, "0101A8C0", 8765, "0A", STRANGER),  # of another address
        row.format(2, "0100007F", 8766, "0A", 0),
        row.format(3, "00000000", 8767, "0A", STRANGER),
    ]
    table = tmp_path / "tcp"
    table.write_text("  sl  local_address rem_address   st\n" + "\n".join(rows) + "\n")
    assert [stranger_at(port, table) for port in (8765, 8766, 8767)] == [None, None, STRANGER]


@needs_root
@needs_table
@pytest.mark.parametrize("given", ["environment", "option"])
def test_a_token_without_an_address_is_not_shown_to_another_user(tmp_path: Path, given: str) -> None:
    with subprocess.Popen([sys.executable, "-c", LISTEN], stdout=subprocess.PIPE, text=True) as stranger:
        assert stranger.stdout is not None
        port = stranger.stdout.readline().strip()
        launch = [
            sys.executable, "-c",
            "import sys, myagent.cli.target as target; target.DEFAULT_PORT = int(sys.argv.pop(1));"
            "from myagent.__main__ import main; sys.exit(main(sys.argv[1:]))", port,
        ]  # fmt: skip
        more = {"MYAGENT_REMOTE_TOKEN": "secret"} if given == "environment" else {}
        options = ["--token", "secret"] if given == "option" else []
        done = subprocess.run(
            [*launch, "remote", "sessions", *options],
            cwd=tmp_path, env=environment(**more), capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 3
        assert f"is another user's (uid {STRANGER}): the token is not sent there" in done.stderr
        # Negative control: one who names the address means it, and then the stranger gets the token.
        named = subprocess.run(
            [*MYAGENT, "remote", "sessions", "--url", f"127.0.0.1:{port}", *options],
            cwd=tmp_path, env=environment(**more), capture_output=True, timeout=PATIENCE,
        )  # fmt: skip
        assert named.returncode == 3
        assert "secret" in stranger.stdout.read()
