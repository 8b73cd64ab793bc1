"""Standard input and output as a stream of lines, for a program at the other end of two pipes."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from myagent.exceptions import MyagentError

Write = Callable[[bytes], Awaitable[None]]


class NoPipes(MyagentError):
    """Nobody can be at the other end."""

    def __str__(self) -> str:
        return "stdin and stdout must be pipes, as a client of the Agent Client Protocol makes them"


def check() -> None:
    """Raises `NoPipes` where no client can be at the other end: a file, a terminal, /dev/null."""
    modes = [os.fstat(stream.fileno()).st_mode for stream in (sys.stdin, sys.stdout)]
    if any(stat.S_ISREG(mode) or stat.S_ISCHR(mode) for mode in modes):
        raise NoPipes


@asynccontextmanager
async def pipes() -> AsyncIterator[tuple[asyncio.StreamReader, Write]]:
    """Both, from here on for these lines alone: whatever prints goes to stderr. A write waits until the other side has
    room, and is lost quietly where that is gone, as the end of the reader tells."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    reading, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    writing, flow = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, out)
    writer = asyncio.StreamWriter(writing, flow, None, loop)
    one_at_a_time = asyncio.Lock()

    async def write(data: bytes) -> None:
        async with one_at_a_time:
            try:
                writer.write(data)
                await writer.drain()
            except ConnectionError:
                pass

    try:
        yield reader, write
    finally:
        reading.close()
        writing.close()
