"""A child process to talk with: three pipes in the event loop, a process group of its own, and an exit that is seen.

`process.py` runs a command to its end and has no stdin; this is for those that stay.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from functools import partial
from io import FileIO
from pathlib import Path

from myagent.agents.processes.kept import KeptChild

BUFFER_BYTES = 64 << 10  # at most twice that waits in asyncio's buffer before the pipe is no longer read
GRACE_SECONDS = 1.0  # for the children of one that was told to end; claude writes its history as it goes
LOOK_SECONDS = 0.02
GONE_SECONDS = 2.0  # for what is left of it to end, once killed


class PipedChild:
    """A process and its pipes. Its exit is seen by itself, whoever still holds the pipes, and without reaping it: while
    it is a zombie, the number of its group cannot become somebody else's. `exited` is set when it was reaped, and all
    that it had started has ended."""

    stdin: asyncio.StreamWriter
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader

    def __init__(self) -> None:
        self._process: KeptChild
        self._transports: list[asyncio.BaseTransport] = []
        self._grace = 0.0  # seconds that the others of its group have, after its exit
        self._sweeping: asyncio.Task[None] | None = None
        self.exited = asyncio.Event()

    async def start(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        """Start it and take its pipes into the event loop; once. Raises `OSError`, `ValueError`."""
        pipes: list[int] = []
        try:
            for _ in range(3):
                pipes += os.pipe()
            stdin, to, out, stdout, err, stderr = pipes
            self._process = await KeptChild.start(argv, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr)
        except BaseException:
            for each in pipes:
                os.close(each)
            raise
        self._sweeping = asyncio.create_task(self._sweep(), name="child sweep")
        for each in (stdin, stdout, stderr):
            os.close(each)
        files = [FileIO(to, "wb"), FileIO(out, "rb"), FileIO(err, "rb")]
        try:
            await self._connect(*files)
        except BaseException:
            self.close_pipes()
            for file in files[len(self._transports) :]:
                file.close()
            self._process.drop()
            raise

    async def _connect(self, to: FileIO, out: FileIO, err: FileIO) -> None:
        loop = asyncio.get_running_loop()
        writing, flow = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, to)
        self._transports.append(writing)
        self.stdin = asyncio.StreamWriter(writing, flow, None, loop)
        self.stdout, self.stderr = asyncio.StreamReader(BUFFER_BYTES), asyncio.StreamReader(BUFFER_BYTES)
        for reader, pipe in ((self.stdout, out), (self.stderr, err)):
            protocol = partial(asyncio.StreamReaderProtocol, reader)
            reading, _ = await loop.connect_read_pipe(protocol, pipe)
            self._transports.append(reading)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        return self._process.status

    def signal(self, number: signal.Signals) -> None:
        """Signal the whole process group."""
        self._process.signal(number)

    def close_pipes(self) -> None:
        for transport in self._transports:
            if isinstance(transport, asyncio.WriteTransport) and transport.get_write_buffer_size():
                transport.abort()  # `close` would wait for somebody to read what is left
            else:
                transport.close()

    def leave_time(self) -> None:
        """It was told to end: whoever it started may take a moment longer than itself, to write what must be kept."""
        self._grace = GRACE_SECONDS

    async def _sweep(self) -> None:
        try:
            await self._see_off()
        finally:  # also when the loop ends
            self._process.drop()
            self.exited.set()

    async def _see_off(self) -> None:
        """When it has ended, and the others of its group have left or their time is over: end whatever is left."""
        await self._process.exited.wait()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._grace
        while loop.time() < deadline and _others_in_group(self.pid):  # noqa: ASYNC110 -- the kernel tells nobody
            await asyncio.sleep(LOOK_SECONDS)
        self.signal(signal.SIGKILL)
        self._process.release()
        try:
            await asyncio.wait_for(self._process.gone.wait(), GONE_SECONDS)
        except TimeoutError:  # a setuid child may be beyond our reach
            pass


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
