"""What `serve` says while it runs: who joins, what waits, wrong credentials; and that a reader who stands still, or has
gone, holds up nobody."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import MYAGENT, PATIENCE, Serving, environment

from myagent.access.credentials import load_owner_token
from myagent.client import connect

PIPE_BYTES = 4096  # the least that the kernel gives a pipe


def client(directory: Path, *options: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MYAGENT, "remote", "client", *options],
        cwd=directory, env=environment(), input=stdin, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip


def test_it_says_who_joins_what_waits_and_how_it_was_answered(serve: Callable[..., Serving], tmp_path: Path) -> None:
    serving = serve()
    assert client(tmp_path, "--label", "ann", "--prompt", "!touch made").returncode == 1  # nobody to ask: denied
    for _ in range(3):
        wrong = urllib.request.Request(
            f"{serving.url.replace('ws', 'http', 1)}/ticket", headers={"Authorization": "Bearer wrong"}
        )
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(wrong, timeout=PATIENCE)
    code, output, _ = serving.stop()
    said = output.replace("[remote] ", "").splitlines()
    assert code == 0
    assert "ann joined as owner, with the owner token" in said
    assert any(line.startswith("waits for the owner, in session ") and "touch made" in line for line in said)
    assert any(line.startswith("denied by ann: touch made") for line in said)
    assert said.index("ann left") < said.index("nobody owns the session: ann has left")
    assert said.count("a wrong credential from 127.0.0.1") == 1
    assert said[-1] == "stopping"


def test_quiet_says_nothing_of_it(serve: Callable[..., Serving], tmp_path: Path) -> None:
    serving = serve("--quiet")
    assert client(tmp_path, "--label", "ann", "--prompt", "help").returncode == 0
    _, output, _ = serving.stop()
    assert output == "[remote] stopping\n"


def test_a_pipe_that_nobody_reads_holds_up_nobody(serve: Callable[..., Serving], tmp_path: Path) -> None:
    """The reader has read the announcement and stands still; every line of more is for a pipe that is full."""
    serving = serve()
    assert serving.process.stdout is not None
    pipe = serving.process.stdout.fileno()
    size = fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    token = load_owner_token(tmp_path / ".myagent" / "remote" / "auth.json")

    async def come_and_go() -> None:
        for _ in range(size // 200 + 2):  # four lines of over 50 characters each
            async with connect(serving.url, token=token, label="x" * 60):
                pass

    asyncio.run(come_and_go())
    assert client(tmp_path, "--prompt", "help").returncode == 0
    serving.process.send_signal(signal.SIGTERM)
    assert serving.process.wait(PATIENCE) == 0
    assert len(os.read(pipe, 2 * size)) > size - 200  # negative control: it was as good as full


def test_serving_goes_on_when_nobody_reads_any_more(serve: Callable[..., Serving], tmp_path: Path) -> None:
    serving = serve()
    assert serving.process.stdout is not None
    serving.process.stdout.close()
    serving.process.stdout = None
    for _ in range(2):
        assert client(tmp_path, "--prompt", "help").returncode == 0
    code, _, errors = serving.stop()
    assert code == 0
    assert errors.count("nobody reads standard output any more") == 1
