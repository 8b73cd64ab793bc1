"""An echo behind our own listener, for conformance suites: admission, handshake, the framing and its limits are what
is shipped; only what becomes of a message is another.

The relay before it adds the `Authorization` header, which the suites cannot send. Every byte after it is untouched.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State

import myagent.server.acceptor
from myagent.agents.builtin.command import CommandAgent
from myagent.server import Server, Settings
from myagent.server.connection import Connection


class EchoConnection(Connection):
    """A connection that says again what it hears, text and binary, and joins nobody."""

    def accept(self, request: Request, *, as_follower: bool, after_seq: int | None, reclaim: str | None) -> None:
        response = self._protocol.accept(request)
        self._protocol.send_response(response)
        self._send_protocol()
        self._cancel_timer()
        self._opcode = Opcode.TEXT
        self._binary: list[bytes] = []

    def _frame_received(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._opcode = frame.opcode
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._fragment_received(frame)

    def _fragment_received(self, frame: Frame) -> None:
        """As ours, with binary messages beside the text."""
        self._seated = True
        try:
            if self._opcode is Opcode.TEXT:
                super()._fragment_received(frame)
            else:
                self._binary.append(bytes(frame.data))
                if frame.fin:
                    data, self._binary = b"".join(self._binary), []
                    self._message_received(data)
        finally:
            self._seated = False

    def _message_received(self, data: bytes) -> None:
        if self._protocol.state is not State.OPEN:  # it has been closed within the bytes that came with this
            return
        if self._opcode is Opcode.TEXT:
            self._protocol.send_text(data)
        else:
            self._protocol.send_binary(data)

    def _leave(self, *, clean: bool) -> None:
        """Nobody was joined."""


@asynccontextmanager
async def echo_server(workspace: Path) -> AsyncIterator[str]:
    """Serve the echo; yields the relay's URL."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(myagent.server.acceptor, "Connection", EchoConnection)
        async with Server(workspace, CommandAgent(), Settings(max_connections=64)) as server:
            relaying: set[asyncio.Task[None]] = set()

            def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = asyncio.create_task(_relay(server, reader, writer))
                relaying.add(task)
                task.add_done_callback(relaying.discard)

            async with await asyncio.start_server(begin, "127.0.0.1", 0) as relay:
                yield f"ws://127.0.0.1:{relay.sockets[0].getsockname()[1]}"
            for task in list(relaying):
                task.cancel()
            await asyncio.gather(*relaying, return_exceptions=True)


async def _relay(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    onward_reader, onward = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        first = await reader.readline()
        onward.write(first + f"Authorization: Bearer {server.token}\r\n".encode())
        line = b""
        while line != b"\r\n":
            line = await reader.readline()
            host = line.lower().startswith(b"host:")
            onward.write(f"Host: 127.0.0.1:{server.port}\r\n".encode() if host else line)
            if not line:
                return
        await asyncio.gather(_pump(reader, onward), _pump(onward_reader, writer))
    except OSError:  # a suite that resets connections is doing its work
        pass
    finally:
        onward.close()
        writer.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    finally:
        if sink.can_write_eof() and not sink.is_closing():
            sink.write_eof()
