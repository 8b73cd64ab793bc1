"""`myagent remote relay` as a process: also while there is no engine it says so, and ends when it is told to."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

pytest.importorskip("nats")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_also_while_the_engine_is_away(tmp_path: Path, number: signal.Signals) -> None:
    command = [
        sys.executable,
        "-m",
        "myagent",
        "remote",
        "relay",
        "--nats",
        "nats://user:word@127.0.0.1:1",
        "--port",
        "0",
    ]
    running = await asyncio.create_subprocess_exec(
        *command, "--data", str(tmp_path / "data"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert running.stdout is not None
    try:
        async with asyncio.timeout(60):
            said = b""
            while b"does not answer" not in said:
                said = await running.stdout.readline()
                assert said, "it has ended"
            assert b"127.0.0.1:1;" in said
            assert b"word" not in said
            running.send_signal(number)
            assert await running.wait() == 0
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
