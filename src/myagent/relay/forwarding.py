"""The relay's side of forwarding: connections whose credentials may more than watch have a seat at the host.

What they send goes there, what the host tells them comes back, and the relay vouches for them all the time. Nothing is
decided here. A link that breaks ends them as a server that stops would: they come again, and show what they had.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import msgspec

from myagent.core.codec import encode
from myagent.core.messages import ClientMessage, ConnectionId
from myagent.host.peer import Peer
from myagent.relay.chain import Received, Sender
from myagent.relay.ending import end
from myagent.relay.engine import Engine, EngineAway, EngineUnusable, NobodyThere
from myagent.relay.subjects import commands
from myagent.relay.words import (
    Beat,
    Broken,
    Carried,
    Close,
    Fence,
    Join,
    Left,
    Open,
    Opened,
    Returned,
    Said,
    ToHost,
    Told,
    Unseated,
    digest_of,
)

if TYPE_CHECKING:
    from myagent.relay.mirror import Mirror

BEAT_SECONDS = 1.0  # between two signs of life
CLOSE_SECONDS = 1.0  # for what is left to say


class Forwarding:
    """Of one name, at one relay. A link is there while somebody has a seat, or waits for one."""

    def __init__(
        self, name: str, engine: Engine, relay: str, mirror: Mirror, digest_of: Callable[[Peer], bytes | None],
        *, heartbeat: float,
    ) -> None:  # fmt: skip
        self._name = name
        self._engine = engine
        self._relay = relay
        self._mirror = mirror
        self._digest_of = digest_of
        self._heartbeat = heartbeat
        self.seats: dict[ConnectionId, None] = {}
        self._sender: Sender[ToHost | Broken] | None = None
        self._link = ""
        self._received = Received()
        self._heard = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def join(self, peer: Peer, *, as_follower: bool, reclaim: str | None, said_hello: bool = False) -> bool:
        """Ask for a seat; the answer is the first that the host tells. False: the host has to be asked first who they
        are."""
        digest = self._digest_of(peer)
        if digest is None:
            return False
        self.seats[peer.connection_id] = None
        self._put(
            Join(
                peer.connection_id, digest.hex(), peer.label, peer.cursor.session_id,
                as_follower=as_follower, reclaim=reclaim, said_hello=said_hello,
            )
        )  # fmt: skip
        return True

    def said(self, peer: Peer, message: ClientMessage, *, shown: bool) -> None:
        self._put(Said(peer.connection_id, msgspec.Raw(encode(message)), shown))

    def left(self, connection_id: ConnectionId, *, clean: bool) -> None:
        if connection_id in self.seats:
            del self.seats[connection_id]
            self._put(Left(connection_id, clean))

    def lost(self) -> None:
        """The host is away."""
        if self._sender is not None:
            self._break()

    async def close(self) -> None:
        """Say what is left to say."""
        sender, self._sender = self._sender, None
        if self._timer is not None:
            self._timer.cancel()
        if sender is not None:
            try:
                async with asyncio.timeout(CLOSE_SECONDS if self._engine.connected else 0):
                    await sender.drain()
                    await self._say_broken(self._link)
            except TimeoutError:
                pass  # the host sees that nobody vouches any more
            await sender.close()
        await end(*self._tasks)

    # --- the link -------------------------------------------------------------------------------------------------

    def _put(self, what: ToHost) -> None:
        if self._sender is None:
            self._sender = self._make()
        self._sender.put(what)

    def _make(self) -> Sender[ToHost | Broken]:
        link = self._link = secrets.token_hex(16)
        self._received = Received()
        self._heard = asyncio.get_running_loop().time()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BEAT_SECONDS, self._beat)

        def encoded(number: int, what: ToHost | Broken) -> bytes:
            return msgspec.json.encode(Carried(link, self._relay, number, what))

        async def opened() -> bool:
            asked = msgspec.json.encode(Open(link, self._relay))
            try:
                return msgspec.json.decode(await self._engine.ask(commands(self._name), asked), type=Opened).ok
            except (EngineAway, NobodyThere, msgspec.DecodeError):
                return False

        async def send(data: bytes) -> None:
            await self._engine.tell(commands(self._name), data)

        def broke() -> None:
            if link == self._link and self._sender is not None:
                self._break()

        return Sender(encoded, send, broke, first=opened)

    def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = now - self._timer.when() if self._timer is not None else 0.0
        self._timer = None
        if late > self._heartbeat:  # it was this relay that stood still
            self._heard = min(now, self._heard + late)
        if self._sender is None:
            return
        if now - self._heard > 2 * self._heartbeat or (not self.seats and self._sender.idle):
            self._break()
            return
        if self._sender.idle:
            self._sender.put(Beat())
        self._timer = loop.call_later(min(BEAT_SECONDS, self._heartbeat / 4), self._beat)

    def _break(self) -> None:
        sender, self._sender = self._sender, None
        ended, self.seats = self.seats, {}
        if sender is not None:
            sender.open = False
            self._spawn(sender.close())
        self._spawn(self._say_broken(self._link))
        self._mirror.broken(list(ended))

    async def _say_broken(self, link: str) -> None:
        try:
            said = msgspec.json.encode(Carried(link, self._relay, 0, Broken()))
            await self._engine.tell(commands(self._name), said)
        except (EngineAway, EngineUnusable):
            pass  # the host sees that nobody vouches any more

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=f"link of {self._name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def heard(self, data: bytes) -> None:
        """The host has said something."""
        try:
            returned = msgspec.json.decode(data, type=Returned)
        except (msgspec.DecodeError, RecursionError):
            return
        if self._sender is None or returned.link != digest_of(self._link):
            return
        is_next = False if isinstance(returned.what, Broken) else self._received.take(returned.number)
        if isinstance(returned.what, Broken) or is_next is None:
            self._break()
            return
        if not is_next:
            return
        self._heard = asyncio.get_running_loop().time()
        mirror = self._mirror
        match returned.what:
            case Told(connection, message):
                mirror.told(connection, bytes(message))
            case Fence(connection):
                mirror.fenced(connection)
            case Close(connection, code, reason):
                mirror.closed(connection, code, reason)
            case Unseated(connection):
                self.seats.pop(connection, None)
                mirror.unseated(connection)
            case Beat():
                pass
