"""A child process to talk with: three pipes in the event loop, a process group of its own, and an exit that is seen.

`process.py` runs a command to its end and has no stdin; this is for those that stay.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from subprocess import PIPE

from myagent.agents.processes import spawned

BUFFER_BYTES = 64 << 10  # at most twice that waits in asyncio's buffer before the pipe is no longer read
GRACE_SECONDS = 1.0  # for the children of one that was told to end; claude writes its history as it goes
LOOK_SECONDS = 0.02


class PipedChild:
    """A process and its pipes. Its exit is seen by itself, whoever still holds the pipes, and without reaping it: while
    it is a zombie, the number of its group cannot become somebody else's. `exited` is set when it was reaped."""

    stdin: asyncio.StreamWriter
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader

    def __init__(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            argv, cwd=cwd, env=env, stdin=PIPE, stdout=PIPE, stderr=PIPE, bufsize=0, start_new_session=True
        )
        spawned.started(self.pid)
        self._transports: list[asyncio.BaseTransport] = []
        self._grace = 0.0  # seconds that the others of its group have, after its exit
        self.exited = asyncio.Event()
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except OSError:  # too many open files: a child that cannot be watched must not run
            self.signal(signal.SIGKILL)
            self._process.communicate()
            spawned.ended(self.pid)
            raise
        asyncio.get_running_loop().add_reader(self._pidfd, self._ended)

    async def connect(self) -> None:
        """Take the pipes into the event loop."""
        loop, process = asyncio.get_running_loop(), self._process
        writing, flow = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, process.stdin)
        self._transports.append(writing)
        self.stdin = asyncio.StreamWriter(writing, flow, None, loop)
        self.stdout, self.stderr = asyncio.StreamReader(BUFFER_BYTES), asyncio.StreamReader(BUFFER_BYTES)
        for reader, pipe in ((self.stdout, process.stdout), (self.stderr, process.stderr)):
            reading, _ = await loop.connect_read_pipe(partial(asyncio.StreamReaderProtocol, reader), pipe)
            self._transports.append(reading)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        return self._process.returncode

    def signal(self, number: signal.Signals) -> None:
        """Signal the whole process group."""
        if self._process.returncode is None:
            try:
                os.killpg(self.pid, number)
            except (ProcessLookupError, PermissionError):
                pass  # a setuid child: it sees its pipes closed instead

    def close_pipes(self) -> None:
        for transport in self._transports:
            if isinstance(transport, asyncio.WriteTransport) and transport.get_write_buffer_size():
                transport.abort()  # `close` would wait for somebody to read what is left
            else:
                transport.close()

    def leave_time(self) -> None:
        """It was told to end: whoever it started may take a moment longer than itself, to write what must be kept."""
        self._grace = GRACE_SECONDS

    def _ended(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._pidfd)
        self._sweep(loop.time() + self._grace)

    def _sweep(self, deadline: float) -> None:
        """Reap it, when the others of its group have left, or have been killed."""
        loop = asyncio.get_running_loop()
        if loop.time() < deadline and _others_in_group(self.pid):
            loop.call_later(LOOK_SECONDS, self._sweep, deadline)
            return
        self.signal(signal.SIGKILL)
        os.close(self._pidfd)
        self._process.wait()
        spawned.ended(self.pid)
        self.exited.set()


def _others_in_group(leader: int) -> bool:
    """Whether a process group has living members beside its leader."""
    for name in os.listdir("/proc"):
        if not name.isdecimal() or int(name) == leader:
            continue
        try:
            stat = Path("/proc", name, "stat").read_bytes()
        except OSError:  # it ended meanwhile
            continue
        state, _, group = stat.rpartition(b")")[2].split()[:3]  # the name before it may hold anything
        if int(group) == leader and state != b"Z":
            return True
    return False
