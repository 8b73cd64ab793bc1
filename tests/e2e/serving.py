"""The real server process, as a person starts it: `python -m myagent remote serve`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from puppet import PATIENCE
from wire import Scene

COMMAND = (sys.executable, "-m", "myagent", "remote", "serve", "--port", "0")


class Process:
    """What a `Scene` needs to know of a server, and its process."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, workspace: Path, said: str) -> None:
        self.process, self.url, self.said = process, url, said
        self.port = int(url.rpartition(":")[2])
        self.token = json.loads((workspace / ".myagent/remote/auth.json").read_text())["token"]

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), PATIENCE)


@asynccontextmanager
async def process(
    workspace: Path, *options: str, python: str = sys.executable, before: tuple[str, ...] = (), **started: Any
) -> AsyncIterator[tuple[Process, Scene]]:
    """Start it, and read what it says up to how to connect; it is gone at the end. `before`: a command that runs it."""
    running = await asyncio.create_subprocess_exec(
        *before, python, *COMMAND[1:], "--cwd", str(workspace), *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, **started,
    )  # fmt: skip
    assert running.stdout is not None
    try:
        said = ""
        while "connect with" not in said:
            line = await asyncio.wait_for(running.stdout.readline(), PATIENCE)
            assert line, said
            said += line.decode()
        url = next(word for word in said.split() if word.startswith(("ws://", "wss://")))
        async with AsyncExitStack() as stack:
            server = Process(running, url, workspace, said)
            yield server, Scene(server, stack)  # type: ignore[arg-type]
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()


async def refused(workspace: Path, *options: str, **started: Any) -> tuple[int, str]:
    """Start one that must not start; its exit code and everything that it said."""
    running = await asyncio.create_subprocess_exec(
        *COMMAND, "--cwd", str(workspace), *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, **started,
    )  # fmt: skip
    try:
        said, _ = await asyncio.wait_for(running.communicate(), PATIENCE)
    finally:
        if running.returncode is None:
            running.terminate()
            await running.wait()
    return running.returncode, said.decode()


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # it has ended just now
        return True
