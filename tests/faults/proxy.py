"""A TCP proxy whose network can be made bad: cut, reset, silent, slow, half closed, or cut after so many bytes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Literal, Self

from myagent.server.tls import stop_listening

Way = Literal["up", "down"]  # to the server; to the client

PIECE = 16 * 1024  # bytes read at a time
TRICKLE = 200_000  # bytes a second that a slow network passes on, however busy this machine is…
TRICKLE_PAUSE = 0.002  # …and the seconds between two looks at how many that are


class Link:
    """One proxied connection."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.passed: dict[Way, int] = {"up": 0, "down": 0}  # bytes
        self._proxy = proxy
        self._ends = {"up": server, "down": client}
        self._finished: set[Way] = set()  # half closed
        self.open = True

    async def pump(self, way: Way, source: asyncio.StreamReader) -> None:
        """Pass bytes on, one way, as the proxy's network lets them; a reset is passed on, too."""
        try:
            await self._pump(way, source)
        except OSError:
            self.reset()

    async def _pump(self, way: Way, source: asyncio.StreamReader) -> None:
        proxy, end, loop = self._proxy, self._ends[way], asyncio.get_running_loop()
        looked = loop.time()
        while self.open:
            await proxy.passable.wait()
            size = PIECE
            if proxy.slow:
                await asyncio.sleep(TRICKLE_PAUSE)
                before, looked = looked, loop.time()
                size = max(1, min(PIECE, round(TRICKLE * (looked - before))))
            data = await source.read(size)
            await proxy.passable.wait()  # a black hole also swallows what was on its way
            if not self.open:
                return
            if not data:
                self.half_close(way)
                return
            if way in self._finished:
                continue  # said to be over, so it goes nowhere
            left = proxy.cuts.get(way)
            if left is not None and self.passed[way] + len(data) >= left:
                del proxy.cuts[way]
                end.write(data[: left - self.passed[way]])
                with contextlib.suppress(ConnectionError):
                    await end.drain()
                self.cut()
                return
            end.write(data)
            self.passed[way] += len(data)
            await end.drain()

    def cut(self) -> None:
        """End both sides in good order (FIN); what was passed on still arrives."""
        self.open = False
        for end in self._ends.values():
            end.close()

    def reset(self) -> None:
        """End both sides with RST: what the other end has not read yet is lost to it."""
        self.open = False
        for end in self._ends.values():
            sock = end.get_extra_info("socket")
            if sock is not None and sock.fileno() >= 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.transport.abort()

    def half_close(self, way: Way) -> None:
        """Say that nothing more comes, one way only."""
        end = self._ends[way]
        if self.open and way not in self._finished:
            self._finished.add(way)
            with contextlib.suppress(OSError):  # it is gone already, and that is noticed elsewhere
                end.write_eof()


class Proxy:
    """Listens on a port of its own, connects to `target`; faults concern all connections, present and to come.

    `async with Proxy(port) as proxy:` then connect to `proxy.port`.
    """

    def __init__(self, target: int, *, buffer: int | None = None) -> None:
        self.target = target
        self.links: list[Link] = []
        self.cuts: dict[Way, int] = {}  # cut the next connection that has passed so many bytes, one way
        self.slow = False
        self.passable = asyncio.Event()
        self.passable.set()
        self._closing = False
        self._buffer = buffer  # bytes of each socket's buffers: small ones make a stalled reader felt at once
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        listening = socket.create_server(("127.0.0.1", 0))
        if self._buffer is not None:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._buffer)
        self.port = int(listening.getsockname()[1])
        self._server = await asyncio.start_server(self._connected, sock=listening, limit=PIECE)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        await stop_listening(self._server)
        self.passable.set()
        self.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for _turn in range(3):  # transports close their sockets in a later turn
            await asyncio.sleep(0)

    @property
    def live(self) -> list[Link]:
        self.links = [link for link in self.links if link.open]
        return self.links

    def heal(self) -> None:
        """A good network again; what a black hole held back is passed on, as after a route came back."""
        self.cuts.clear()
        self.slow = False
        self.passable.set()

    def cut(self) -> None:
        for link in self.live:
            link.cut()

    def reset(self) -> None:
        for link in self.live:
            link.reset()

    def half_close(self, way: Way) -> None:
        for link in self.live:
            link.half_close(way)

    def trickle(self) -> None:
        self.slow = True

    def black_hole(self) -> None:
        """Pass nothing on, tell nobody: no FIN, no RST."""
        self.passable.clear()

    def cut_after(self, way: Way, count: int) -> None:
        """Cut the connection which next has passed `count` bytes that way, counted from its start."""
        self.cuts[way] = count

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self._closing:
                writer.transport.abort()
            else:
                await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()  # nobody there, or the proxy closes; streams would log it
        finally:
            self._tasks.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(sock=await self._dial(), limit=PIECE)
        link = Link(self, writer, server_writer)
        self.links.append(link)
        for end in (writer, server_writer):
            end.transport.set_write_buffer_limits(high=0)
        try:
            await asyncio.gather(link.pump("up", reader), link.pump("down", server_reader))
        finally:
            if link.open:
                link.cut()

    async def _dial(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if self._buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.target))
        except BaseException:
            sock.close()
            raise
        return sock
