"""How a server listens: TLS handshakes are bounded, and who was accepted just now is not forgotten when it stops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable

QUEUE = 1024  # connections that the kernel keeps until they are accepted; asyncio's default of 100 loses a crowd
HANDSHAKES = 256  # TLS, at once, of about 330 kB each; one more drops the oldest
UNDISTURBED = 0.5  # seconds that each has before: two round trips at most, of somebody far away, in a crowd
RETRY_SECONDS = 1.0  # until it is tried again to accept, when no descriptor or memory is left, as asyncio does
TURNS = 3  # of the event loop, from a socket that was accepted: its transport, its protocol, that one's task

_log = logging.getLogger(__name__)


class TlsListener:
    """Accepts in the place of a server that was made and does not serve, and connects those who end their handshake.

    asyncio alone begins as many handshakes as come. Here, while `HANDSHAKES` are under way, who comes waits in the
    kernel's queue until one of them is done, or the oldest has had its time and makes room.
    """

    def __init__(
        self,
        server: asyncio.Server,
        connect: Callable[[], asyncio.BaseProtocol],
        context: ssl.SSLContext,
        handshake_timeout: float,
    ) -> None:
        self._loop = server.get_loop()
        self._connect = connect
        self._context = context
        self._handshake_timeout = handshake_timeout
        self._handshakes: dict[asyncio.Task[None], tuple[socket.socket, float]] = {}  # oldest first; when they began
        self._sockets = [listening.dup() for listening in server.sockets]
        for listening in self._sockets:
            listening.listen(QUEUE)
        self._accepting = [self._loop.create_task(self._accept(listening)) for listening in self._sockets]

    async def stop(self) -> None:
        """Accept nobody more; who was accepted is connected or dropped when this returns."""
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        for accepted, _ in self._handshakes.values():
            _drop(accepted)
        if self._handshakes:
            await asyncio.wait(self._handshakes)
        for listening in self._sockets:
            listening.close()

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            await self._somebody(listening)
            await self._room()
            try:  # not `loop.sock_accept`: cancelled in the turn in which it accepts, it forgets the socket
                accepted, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):  # gone again
                continue
            except OSError as error:
                _log.error("nobody can be accepted now: %s", error.strerror)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._begin(accepted)

    async def _somebody(self, listening: socket.socket) -> None:
        """Wait until somebody can be accepted."""
        readable = asyncio.Event()
        self._loop.add_reader(listening, readable.set)
        try:
            await readable.wait()
        finally:
            self._loop.remove_reader(listening)

    async def _room(self) -> None:
        """Wait until a handshake more may begin."""
        while len(self._handshakes) >= HANDSHAKES:
            oldest, (accepted, began) = next(iter(self._handshakes.items()))
            rest = max(0.0, began + UNDISTURBED - self._loop.time())
            done, _ = await asyncio.wait(self._handshakes, timeout=rest, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                _drop(accepted)
                await asyncio.wait({oldest})

    def _begin(self, accepted: socket.socket) -> None:
        task = self._loop.create_task(self._shake(accepted))
        self._handshakes[task] = accepted, self._loop.time()
        task.add_done_callback(self._handshakes.pop)

    async def _shake(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._connect, accepted, ssl=self._context, ssl_handshake_timeout=self._handshake_timeout
            )
        except OSError as error:  # no TLS, garbage, gone or too slow; asyncio has closed it
            error.__traceback__ = None  # a cycle through all of the handshake, which would stay until it is collected


def _drop(accepted: socket.socket) -> None:
    """End a handshake as if the other side had gone: asyncio copes with that at any point of it, not with `cancel`."""
    with contextlib.suppress(OSError):  # it has gone
        accepted.shutdown(socket.SHUT_RDWR)


async def stop_listening(server: asyncio.Server) -> None:
    """Accept nobody more; who was accepted is connected when this returns.

    asyncio alone forgets a socket that it accepted in the very turn in which the server is closed (seen with 3.11 and
    3.12): it stays open, and the other end waits for an answer until the garbage is collected.
    """
    for listening in server.sockets:
        server.get_loop().remove_reader(listening.fileno())
    for _ in range(TURNS):
        await asyncio.sleep(0)
    server.close()
