"""The host's side of forwarding: relays vouch for connections, each of which is a peer of the host.

What one of them sends counts only over a link that is alive: a relay that has been silent for as long as a connection
may be is dead, and with it all that it vouched for. What it still says later, it says to nobody.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from myagent.access.credentials import Credential
from myagent.access.registry import Access
from myagent.core.messages import ConnectionId
from myagent.host.host import Host
from myagent.relay.chain import Received, Sender
from myagent.relay.engine import Engine, EngineAway, EngineUnusable
from myagent.relay.far_peer import FarPeer
from myagent.relay.subjects import INBOXES, commands, told
from myagent.relay.words import (
    Beat,
    Broken,
    Carried,
    Close,
    Join,
    Left,
    Open,
    Opened,
    Returned,
    Said,
    ToHost,
    ToRelay,
    Unseated,
    digest_of,
)
from myagent.server.admission import Rejected, known_session

if TYPE_CHECKING:
    from nats.aio.msg import Msg

LINKS = 256  # relays that vouch for somebody at one host
LOOK_SECONDS = 0.25  # between two looks at which of them are silent
CLOSE_SECONDS = 1.0  # for what is left to say

_RELAY = re.compile(r"[0-9a-f]{16,64}")
_CONNECTION = re.compile(r"c_[0-9a-f]{8,32}")
_log = logging.getLogger(__name__)


class _Link:
    """One relay, as long as it is there."""

    def __init__(self, number: str, relay: str, sender: Sender[ToRelay | Broken], now: float) -> None:
        self.id = number
        self.relay = relay
        self.sender = sender
        self.received = Received()
        self.heard = now
        self.peers: dict[ConnectionId, FarPeer] = {}


class Seats:
    """Answers for one name, from the first `open` until `close`. `ours`: whether we are the one who publishes under
    it, so that of two hosts one decides. `counted`: whether a use of their invite was counted, if it has to be.
    `has_room`: whether one more may connect."""

    def __init__(
        self, host: Host, access: Access, engine: Engine, name: str, *,
        ours: Callable[[], bool], counted: Callable[[Credential], bool],
    ) -> None:  # fmt: skip
        self._host = host
        self._access = access
        self._engine = engine
        self._name = name
        self._ours = ours
        self._counted = counted
        self.has_room: Callable[[Credential], bool] = lambda _: True
        self._links: dict[str, _Link] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._listening = False
        self._closed = False

    @property
    def count(self) -> int:
        """Connections that relays vouch for."""
        return sum(len(link.peers) for link in self._links.values())

    async def open(self) -> None:
        if not self._listening:
            self._listening = True
            await self._engine.hear(commands(self._name), self._heard)

    def lost(self) -> None:
        """The name is another's, or the engine is away for too long: nobody is vouched for any more."""
        for link in list(self._links.values()):
            self._drop(link)

    async def close(self) -> None:
        """Tell everybody that the host stops."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        links, self._links = self._links, {}
        for link in links.values():
            for peer in list(link.peers.values()):
                peer.close(1001, "the server is stopping")
            link.sender.put(Broken())
        try:
            async with asyncio.timeout(CLOSE_SECONDS if self._engine.connected else 0):
                for link in links.values():
                    await link.sender.drain()
        except TimeoutError:
            pass  # they see that the name was given back
        for link in links.values():
            await link.sender.close()

    async def _heard(self, message: Msg) -> None:
        if self._closed or not self._ours():
            return
        if message.reply:
            await self._opening(message)
            return
        try:
            carried = msgspec.json.decode(message.data, type=Carried)
        except (msgspec.DecodeError, RecursionError):
            return
        link = self._links.get(carried.link)
        if link is None or link.relay != carried.relay:
            if not isinstance(carried.what, Broken):
                await self._say_broken(carried.link, carried.relay)
            return
        if isinstance(carried.what, Broken):
            self._drop(link)
            return
        is_next = link.received.take(carried.number)
        if is_next is None:
            self._drop(link)
            await self._say_broken(carried.link, carried.relay)
        elif is_next:
            link.heard = _now()
            self._take(link, carried.what)

    async def _opening(self, message: Msg) -> None:
        try:
            asked = msgspec.json.decode(message.data, type=Open)
        except (msgspec.DecodeError, RecursionError):
            return
        if not (message.reply.startswith(INBOXES) and _RELAY.fullmatch(asked.relay) and _RELAY.fullmatch(asked.link)):
            return
        ok = asked.link not in self._links and self._has_place()
        if ok:
            self._links[asked.link] = self._make(asked.link, asked.relay)
            if self._timer is None:
                self._look()
        await message.respond(msgspec.json.encode(Opened(ok)))

    def _has_place(self) -> bool:
        """Where all are taken, the oldest over which nobody came gives way."""
        if len(self._links) >= LINKS and (
            empty := next((each for each in self._links.values() if not each.peers), None)
        ):
            self._drop(empty)
        return len(self._links) < LINKS

    def _make(self, link_id: str, relay: str) -> _Link:
        subject, name = told(self._name, relay), digest_of(link_id)

        def encode(number: int, what: ToRelay | Broken) -> bytes:
            return msgspec.json.encode(Returned(name, number, what))

        async def send(data: bytes) -> None:
            await self._engine.tell(subject, data)

        def broke() -> None:
            if link_id in self._links:
                self._drop(self._links[link_id])

        return _Link(link_id, relay, Sender(encode, send, broke), _now())

    async def _say_broken(self, link_id: str, relay: str) -> None:
        if _RELAY.fullmatch(relay):
            try:
                said = msgspec.json.encode(Returned(digest_of(link_id), 0, Broken()))
                await self._engine.tell(told(self._name, relay), said)
            except (EngineAway, EngineUnusable):
                pass  # it hears nothing, and sees so

    def _drop(self, link: _Link) -> None:
        """Whoever was on it is gone, without having said so."""
        self._links.pop(link.id, None)
        link.sender.open = False
        self._host.store.spawn(link.sender.close(), "close a link")
        for peer in list(link.peers.values()):
            self._host.leave(peer, clean=False)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        silent = 2 * self._host.settings.heartbeat  # as long as a connection of our own may be
        late = now - self._timer.when() if self._timer is not None else 0.0
        for link in list(self._links.values()):
            if late > self._host.settings.heartbeat:  # it was this host that stood still
                link.heard = min(now, link.heard + late)
            if now - link.heard > silent:
                _log.warning("a relay of %s is silent: whoever came through it is gone", self._name)
                self._drop(link)
            for peer in list(link.peers.values()):  # closed by the host
                if peer.connection_id not in self._host.peers:
                    del link.peers[peer.connection_id]
        self._timer = loop.call_later(LOOK_SECONDS, self._look) if self._links else None

    # --- what a relay says ----------------------------------------------------------------------------------------

    def _take(self, link: _Link, what: ToHost) -> None:
        match what:
            case Join():
                self._join(link, what)
            case Said():
                peer = link.peers.get(what.connection)
                if peer is not None and peer.connection_id in self._host.peers:
                    peer.said(what)
            case Left():
                peer = link.peers.pop(what.connection, None)
                if peer is not None:
                    self._host.leave(peer, clean=what.clean)
            case Beat():
                if link.sender.idle:
                    link.sender.put(Beat())

    def _join(self, link: _Link, said: Join) -> None:
        """Seat somebody, if the host's own registry knows what they showed."""
        try:
            credential = self._access.authenticator.check_digest(bytes.fromhex(said.digest))
        except ValueError:
            credential = None
        if credential is None:
            link.sender.put(Close(said.connection, 4401, "the credential was revoked or has expired"))
            return
        taken = said.connection in self._host.peers or not _CONNECTION.fullmatch(said.connection)
        if taken or credential.scope == "follower" or not (self.has_room(credential) and self._counted(credential)):
            link.sender.put(Unseated(said.connection))
            return
        try:
            session_id = known_session(self._host.sessions, said.session_id, credential)
        except Rejected:
            link.sender.put(Unseated(said.connection))
            return
        peer = FarPeer(
            self._host, said, credential, session_id, put=link.sender.put,
            is_good=self._access.authenticator.still_good,
        )  # fmt: skip
        link.peers[peer.connection_id] = peer
        self._host.join(peer, as_follower=said.as_follower, after_seq=None, reclaim=said.reclaim)
        if said.said_hello:
            self._host.ownership.hello(peer.connection_id, reclaim=None, token="")


def _now() -> float:
    return asyncio.get_running_loop().time()
