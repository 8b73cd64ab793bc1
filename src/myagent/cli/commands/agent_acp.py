"""`myagent agent --acp`: the agent on stdin and stdout, for any client of the Agent Client Protocol."""

from __future__ import annotations

import asyncio
import os
import stat
import sys

from myagent.agents import Agent
from myagent.agents.acp.agent import AcpSide
from myagent.exceptions import MyagentError
from myagent.redaction.redactor import Redactor


class NoPipes(MyagentError):
    """Nobody can be at the other end."""

    def __str__(self) -> str:
        return "stdin and stdout must be pipes, as a client of the Agent Client Protocol makes them"


async def serve(agent: Agent, redactor: Redactor) -> int:
    """Start the agent and serve the client until it closes its side.

    Raises `NoPipes`, `AgentUnavailable`, `LineTooLong`.
    """
    if any(stat.S_ISREG(os.fstat(stream.fileno()).st_mode) for stream in (sys.stdin, sys.stdout)):
        raise NoPipes
    try:
        await agent.start()
        for secret in agent.info.secrets:
            redactor.register(secret)
        # Only messages may come out there: whatever prints goes to stderr from here on.
        out = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        await _served(agent, out)
    finally:
        await agent.close()
    return 0


async def _served(agent: Agent, out: object) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    reading, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    writing, flow = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, out)
    writer = asyncio.StreamWriter(writing, flow, None, loop)
    one_at_a_time = asyncio.Lock()

    async def write(line: bytes) -> None:
        async with one_at_a_time:
            try:
                writer.write(line)
                await writer.drain()
            except ConnectionError:  # the client has gone, as the end of its side will tell
                pass

    try:
        await AcpSide(agent, reader, write).run()
    finally:
        reading.close()
        writing.close()
