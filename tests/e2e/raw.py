"""Bytes over a TCP connection, for what no honest client sends, and enough of HTTP and RFC 6455 to read answers."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from puppet import PATIENCE

from myagent.server import Server

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
MASK = b"\x37\xfa\x21\x3d"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; status 0: the connection was closed without one."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name.lower()), None)


def request(
    server: Server, *, method: str = "GET", target: str = "/", drop: tuple[str, ...] = (), **more: str
) -> bytes:
    """A right upgrade request, with some headers left out or replaced; `_` in a name stands for `-`."""
    headers = {
        "Host": f"127.0.0.1:{server.port}",
        "Authorization": f"Bearer {server.token}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if name not in drop]
    return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode("latin-1")


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True, length: int | None = None
) -> bytes:
    """A client's frame; `length` is what the header claims."""
    size = len(payload) if length is None else length
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if masked else 0
    if size < 126:
        head = bytes([first, bit | size])
    elif size < 1 << 16:
        head = bytes([first, bit | 126]) + struct.pack("!H", size)
    else:
        head = bytes([first, bit | 127]) + struct.pack("!Q", size)
    if not masked:
        return head + payload
    return head + MASK + bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))


class Raw:
    """One TCP connection: `async with Raw(server) as raw`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:  # the server has reset the connection, as it may
            pass

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        try:
            await self._writer.drain()
        except OSError:  # closed by the server while we were still sending
            pass

    def send_eof(self) -> None:
        self._writer.write_eof()

    def reset(self) -> None:
        self._writer.transport.abort()

    async def answer(self) -> Answer:
        """Read an HTTP answer; its body as long as it says."""
        try:
            head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), PATIENCE)
        except (asyncio.IncompleteReadError, ConnectionError):
            return Answer(0)
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = tuple((name.lower(), value) for name, _, value in (line.partition(": ") for line in lines if line))
        length = int(dict(headers).get("content-length", "0"))
        body = await asyncio.wait_for(self._reader.readexactly(length), PATIENCE)
        return Answer(int(status.split()[1]), headers, body)

    async def upgrade(self, query: str = "") -> None:
        """Become a WebSocket, and take `ready`, `role` and `welcome`."""
        await self.send(request(self._server, target=f"/{query}"))
        assert (await self.answer()).status == 101
        for _ in range(3):
            opcode, _ = await self.read_frame()
            assert opcode == 1

    async def read_frame(self) -> tuple[int, bytes]:
        """The opcode and the payload of the next frame."""
        first, second = await asyncio.wait_for(self._reader.readexactly(2), PATIENCE)
        size = second
        if size == 126:
            (size,) = struct.unpack("!H", await self._reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self._reader.readexactly(8))
        return first & 0xF, await asyncio.wait_for(self._reader.readexactly(size), PATIENCE)

    async def close_code(self) -> int:
        """Read on to the close frame; its code, 1006 if the connection ended without one."""
        try:
            while True:
                opcode, payload = await self.read_frame()
                if opcode == 8:
                    return int(struct.unpack("!H", payload[:2])[0]) if payload else 1005
        except (asyncio.IncompleteReadError, ConnectionError):
            return 1006

    async def at_eof(self) -> bytes:
        """Read to the end of the stream; what came."""
        try:
            return await asyncio.wait_for(self._reader.read(), PATIENCE)
        except ConnectionError:
            return b""
