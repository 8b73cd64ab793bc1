"""Takes connections at one address and holds them until they are gone; what becomes of their requests is for others."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from contextlib import nullcontext

from myagent.server.addresses import bracketed
from myagent.server.admission import Call, Rejected
from myagent.server.connection import Connection
from myagent.server.http import Answering, rejection
from myagent.server.listener import Listener
from myagent.server.listening import begin, listen, load_tls
from myagent.server.places import Places
from myagent.server.rate_limit import network
from myagent.server.tls import TlsListener, stop_listening
from myagent.settings import Settings

BEATS = 10  # looks at every connection in one heartbeat interval
READ_BYTES = 64 * 1024  # at a time from one connection


class Acceptor:
    """The connections of one address. `listener` is who judges what they ask."""

    def __init__(self, settings: Settings, listener: Callable[[], Listener]) -> None:
        self.settings = settings
        self.port = settings.port
        self.places = Places(settings)
        self.incoming = memoryview(bytearray(READ_BYTES))
        self.connections: set[Connection] = set()
        self._listener = listener
        self._tls: ssl.SSLContext | None = None
        self._server: asyncio.Server | None = None
        self._tls_listener: TlsListener | None = None  # accepts in the server's place
        self._empty = asyncio.Event()  # no connections are left, while the server closes
        self._working: dict[Connection, asyncio.Task[None]] = {}
        self._beat_timer: asyncio.TimerHandle | None = None
        self._closing = False

    @property
    def tls(self) -> bool:
        return self._tls is not None

    @property
    def url(self) -> str:
        """Where clients connect: `ws://host:port`, `wss://` with TLS."""
        return f"{'wss' if self._tls else 'ws'}://{bracketed(self.settings.host)}:{self.port}"

    def load(self) -> None:
        """Read the certificate. Raises `CannotListen`, `FileUnusable`, `ExposedPlain`."""
        self._tls = load_tls(self.settings)

    async def listen(self) -> None:
        """Take the address; nobody is let in before `begin`. Raises `CannotListen`."""
        self._server = await listen(self.settings, lambda: Connection(self._listener()))
        self.port = self._server.sockets[0].getsockname()[1]

    async def begin(self) -> None:
        """Let them in; everything else that needs a descriptor is open."""
        assert self._server is not None
        self.places.measure()
        if self._tls is None:
            await begin(self._server)
        else:
            timeout = self.settings.handshake_timeout
            self._tls_listener = TlsListener(self._server, lambda: Connection(self._listener()), self._tls, timeout)
        self._beat()

    def abandon(self) -> None:
        """Let go of the address that was taken for nothing."""
        if self._server is not None:
            self._server.close()

    async def stop(self) -> None:
        """Let nobody in any more."""
        assert self._server is not None
        self._closing = True
        if self._tls_listener is not None:
            await self._tls_listener.stop()
        await stop_listening(self._server)
        if self._beat_timer is not None:
            self._beat_timer.cancel()

    async def close(self) -> None:
        """Close those who are here with 1001, and wait for them as long as `close_timeout`."""
        for connection in list(self.connections):
            if connection in self.places.pending or (connection in self._working and connection.answer is None):
                connection.abort()
            else:
                connection.close(1001, "the server is stopping")
        if self.connections:
            self._empty.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), self.settings.close_timeout)
        for connection in list(self.connections):
            connection.abort()

    # --- for connections ------------------------------------------------------------------------------------------

    def opened(self, connection: Connection) -> None:
        self.connections.add(connection)
        if self._closing:  # it was accepted just before; `close` has not seen it
            connection.abort()
            return
        (address, _), _ = connection.addresses
        self.places.opened(connection, network(address), len(self.connections))

    def closed(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()
        self.places.closed(connection)
        task = self._working.pop(connection, None)
        if task is not None:
            task.cancel()

    def stays(self, connection: Connection) -> None:
        """It has its whole answer, and may ask again."""
        (address, _), _ = connection.addresses
        self.places.pending.add(connection, network(address))

    def asked(self, connection: Connection) -> None:
        """Its request is whole."""
        self.places.pending.drop(connection)
        self.places.requests.drop(connection)

    def work(self, connection: Connection, task: asyncio.Task[None]) -> None:
        """What is done for a connection, which ends with it."""
        self._working[connection] = task

    async def answer(self, connection: Connection, call: Call, answers: Answering) -> None:
        """Answer a call. A place for one that costs something is kept until the answer was taken: so no more are made
        than can be sent."""
        key: str | None = network(connection.addresses[0][0])
        if call.credential is not None:
            key = None if call.credential.scope == "owner" else call.credential.credential_id
        try:
            async with self.places.work.place(call.credential) if answers.costs(call) else nullcontext():
                answer = connection.respond(await answers.answer(call), key=key)
                if answer is not None:
                    await answer.taken()
        except Rejected as rejected:
            connection.respond(rejection(rejected), key=key)
        if self._working.get(connection) is asyncio.current_task():  # it may have asked again by now
            del self._working[connection]

    def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = now - self._beat_timer.when() if self._beat_timer is not None else 0.0
        for connection in list(self.connections):
            if late > self.settings.heartbeat:  # the process was stopped, or the machine had no time for it
                connection.excuse(late)
            connection.beat(now)
        self._beat_timer = loop.call_later(self.settings.heartbeat / BEATS, self._beat)
