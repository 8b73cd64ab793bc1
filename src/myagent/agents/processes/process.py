"""Run one child process: streamed output with back-pressure, and nothing left behind however it ends.

Needs Linux. Who leaves the process group on purpose (`setsid`, a daemon) cannot hold up the turn, and ends with it.
"""

from __future__ import annotations

import asyncio
import codecs
import fcntl
import os
import signal
import struct
import termios
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from myagent.agents.processes.kept import KeptChild
from myagent.exceptions import MyagentError

READ_BYTES = 56 * 1024  # at most, in one piece: as JSON still one event, which is at most 64 KiB, and one write
LINGER_SECONDS = 1.0  # for who still holds a pipe when the child has ended: the tail of `> >(tee log)`
GRACE_SECONDS = 2.0  # between two signals, the last of which is SIGKILL

# What a child may know of our environment. Everything else may hold a secret, or steer us (`MYAGENT_*`).
_INHERITED = frozenset({"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"})

Sink = Callable[[str], Awaitable[None]]


class NotStarted(MyagentError):
    """A process could not be started; nothing ran."""

    def __init__(self, program: str, reason: str) -> None:
        super().__init__(program, reason)
        self.program, self.reason = program, reason

    def __str__(self) -> str:
        return f"cannot start {self.program}: {self.reason}"


def child_environment(source: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child: what is on the allow-list, of ours or of `source`, and a dumb terminal."""
    source = os.environ if source is None else source
    kept = {name: value for name, value in source.items() if name in _INHERITED or name.startswith("LC_")}
    return {"PATH": os.defpath, **kept, "TERM": "dumb"}


async def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdout: Sink,
    stderr: Sink,
    stops: Sequence[signal.Signals] = (signal.SIGTERM,),
) -> int:
    """Run a program to its end, in its own session and process group; returns its exit code, 128+n for signal n.

    Its stdin is empty, it inherits no descriptor, it has no terminal to ask at. Output is decoded from UTF-8 (what is
    not UTF-8 becomes U+FFFD) and given to the sinks as it comes; the next piece is read when the sink has returned.

    When the program has ended, whoever of its group still holds a pipe has `LINGER_SECONDS`; then the group is killed.
    When this is cancelled, or a sink raises, the group gets each of `stops` until it has gone, then SIGKILL, at most
    `GRACE_SECONDS` after one another; a second cancellation means at once.

    Raises:
        NotStarted: the program or `cwd` is not there, or the arguments are too long.
    """
    async with _Child(argv, cwd, env, stops) as child:
        try:
            return await child.forward(stdout, stderr)
        except BaseException:
            await child.end()
            raise


class _Child:
    """A process and its two pipes. Its exit is seen without reaping it: while the leader is a zombie, the number of its
    group cannot become somebody else's, so that killing the group is always safe."""

    def __init__(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], stops: Sequence[signal.Signals]) -> None:
        self._argv, self._cwd, self._env, self._stops = argv, cwd, env, stops
        self._process: KeptChild

    async def __aenter__(self) -> Self:
        with ExitStack() as resources:
            try:
                self._out = resources.enter_context(closing(_Pipe()))
                self._err = resources.enter_context(closing(_Pipe()))
                null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    self._process = await KeptChild.start(
                        self._argv, cwd=self._cwd, env=self._env,
                        stdin=null, stdout=self._out.write_end, stderr=self._err.write_end,
                    )  # fmt: skip
                finally:
                    os.close(null)
                resources.callback(self._process.drop)
            except OSError as error:
                raise NotStarted(self._argv[0], error.strerror or str(error)) from error
            except ValueError as error:  # a null byte, a lone surrogate
                raise NotStarted(self._argv[0], str(error)) from error
            self._out.close_write_end()
            self._err.close_write_end()
            self._resources = resources.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._resources.close()

    async def forward(self, stdout: Sink, stderr: Sink) -> int:
        pumps = [
            asyncio.create_task(self._out.pump(stdout), name="child stdout"),
            asyncio.create_task(self._err.pump(stderr), name="child stderr"),
        ]
        exited = asyncio.create_task(self._process.exited.wait(), name="child exit")
        try:
            waiting: set[asyncio.Task[Any]] = {exited, *pumps}
            while exited in waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()  # a sink that raised ends the child
            await asyncio.wait(pumps, timeout=LINGER_SECONDS)
            self._signal(signal.SIGKILL)
            self._out.finish()
            self._err.finish()
            await asyncio.gather(*pumps)
        finally:
            await _stop(exited, *pumps)
        await self._leave()
        code = self._process.status
        assert code is not None
        return code if code >= 0 else 128 - code

    async def end(self) -> None:
        """Stop the group and reap the child. Goes on when cancelled, but then does not wait for anybody's good will."""
        ending = asyncio.create_task(self._end(), name="child end")
        while not ending.done():
            try:
                await asyncio.shield(ending)
            except asyncio.CancelledError:
                self._signal(signal.SIGKILL)

    async def _end(self) -> None:
        # The pipes are read on, so that nobody hangs in a last write, and because their end tells that all have gone.
        drains = [asyncio.create_task(pipe.pump(_discard), name="child drain") for pipe in (self._out, self._err)]
        exited = asyncio.create_task(self._process.exited.wait(), name="child exit")
        for number in self._stops:
            self._signal(number)
            _, staying = await asyncio.wait([exited, *drains], timeout=GRACE_SECONDS)
            if not staying:
                break
        self._signal(signal.SIGKILL)
        await asyncio.wait([exited], timeout=GRACE_SECONDS)  # bounded: a setuid child may be beyond our reach
        await _stop(exited, *drains)
        await self._leave()

    async def _leave(self) -> None:
        """Have everybody ended who is left, in whatever group or session."""
        self._process.release()
        try:
            await asyncio.wait_for(self._process.gone.wait(), GRACE_SECONDS)
        except TimeoutError:  # its keeper was stopped, or a setuid child is beyond our reach
            self._process.drop()

    def _signal(self, number: signal.Signals) -> None:
        self._process.signal(number)


class _Pipe:
    """The way of one output stream: the child writes, `pump` reads."""

    def __init__(self) -> None:
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._left: int | None = None  # bytes still to be read; None: until the end of file
        self._wake: Callable[[], None] = lambda: None

    async def pump(self, sink: Sink) -> None:
        """Hand on what is written until the end of file, or until the end of what `finish` found."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while self._left != 0:
            await self._readable()
            data = os.read(self._read_end, READ_BYTES if self._left is None else min(READ_BYTES, self._left))
            if not data:
                break
            if self._left is not None:
                self._left -= len(data)
            if text := decoder.decode(data):
                await sink(text)
        if text := decoder.decode(b"", final=True):
            await sink(text)

    async def _readable(self) -> None:
        ready = asyncio.get_running_loop().create_future()
        self._wake = partial(_resolve, ready)
        await _readable(self._read_end, ready)

    def finish(self) -> None:
        """Let `pump` hand on what is in the pipe now, and end: whoever keeps it open writes in vain."""
        (self._left,) = struct.unpack("i", fcntl.ioctl(self._read_end, termios.FIONREAD, b"\0" * 4))
        self._wake()

    def close_write_end(self) -> None:
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def close(self) -> None:
        self.close_write_end()
        os.close(self._read_end)


async def _readable(fd: int, ready: asyncio.Future[None] | None = None) -> None:
    """Return when `fd` can be read, or `ready` is resolved. Always goes through the event loop, so that one busy child
    starves nobody."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future() if ready is None else ready
    loop.add_reader(fd, _resolve, ready)
    try:
        await ready
    finally:
        loop.remove_reader(fd)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _discard(text: str) -> None:
    """A sink for what nobody wants any more."""


async def _stop(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
