"""What is told to whom: a connection's role and welcome, who owns, how many follow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec.structs import replace

from myagent import __version__
from myagent.core.codec import encode
from myagent.core.messages import (
    Ack,
    ConnectionId,
    ConnectionInfo,
    Connections,
    OwnerChanged,
    OwnerInfo,
    Presence,
    Resume,
    RoleMessage,
    ServerInfo,
    SessionMetadata,
    Welcome,
    Who,
)
from myagent.core.ownership import MAY, Change, Ownership, told
from myagent.core.refusals import BadMessage, RateLimited
from myagent.core.session import Session
from myagent.delivery.window import frame
from myagent.host.peer import Peer, watches
from myagent.host.session_store import SessionStore, iso
from myagent.settings import Settings, limits_of

REPLAYS = 16  # that one connection may have outstanding
WELCOME_SESSIONS = 50
PRESENCE_SECONDS = 1.0  # between two that tell how many follow


class Shown(Protocol):
    """The open permission requests."""

    def show(self, peer: Peer) -> None:
        """Send each that the connection may see, marked `pending`."""


class Announcements:
    """To the connections of one workspace, of which `peers` is kept by the host."""

    def __init__(
        self,
        peers: Mapping[ConnectionId, Peer],
        ownership: Ownership,
        store: SessionStore,
        requests: Shown,
        settings: Settings,
    ) -> None:
        self._peers = peers
        self._ownership = ownership
        self._store = store
        self._requests = requests
        self._settings = settings
        self.takes: Callable[[], tuple[str, ...]] = tuple  # what a prompt may carry; set before anybody joins
        self._timer: asyncio.TimerHandle | None = None  # while it runs, presence was told within the second
        self._told = 0
        self._closed = False

    def close(self) -> None:
        """Tell no presence any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def role(self, peer: Peer) -> None:
        peer.send(encode(RoleMessage(role=self._ownership.role(peer.connection_id))))

    def owner(self, change: Change, *, welcomed: Peer | None = None) -> None:
        """Tell everybody that the slot moved; who lost it is fenced. `welcomed` was told already that it owns."""
        owner = OwnerInfo(change.owner.connection_id, change.owner.label) if change.owner else None
        news = OwnerChanged(owner_epoch=change.epoch, owner=owner, why=change.why)
        loser = self._peers.get(change.lost) if change.lost else None
        if loser is not None:
            self.role(loser)
            if change.fenced is not None:
                loser.fence()
        winner = self._peers.get(change.owner.connection_id) if change.owner else None
        if winner is not None and winner is not welcomed:
            self.role(winner)
            winner.send(encode(replace(news, reclaim_token=self._ownership.reclaim_token)))
            self._requests.show(winner)
        self._store.fanout.state(encode(news), kind="owner")

    def presence(self) -> None:
        """Tell how many follow: at once, then at most once a second."""
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(PRESENCE_SECONDS, self._presence_due)
            self._told = self._ownership.followers
            self._store.fanout.state(encode(Presence(followers=self._told)), kind="presence")

    def _presence_due(self) -> None:
        self._timer = None
        if self._told != self._ownership.followers:
            self.presence()

    def who(self, peer: Peer, message: Who) -> None:
        connections = [
            ConnectionInfo(
                other.connection_id,
                self._ownership.role(other.connection_id),
                told(other.scope),
                other.label,
                iso(other.since),
                MAY[other.scope],
            )
            for other in self._peers.values()
        ]
        peer.send(encode(Connections(id=message.id, connections=connections)))

    def resume(self, peer: Peer, message: Resume, session: Session) -> None:
        """Tell a session's metadata and, if that is asked for, its events again. Raises `BadMessage`, `RateLimited`."""
        head = self._store.fanout.window.heads.get(session.session_id, 0)
        if message.after_seq is not None and message.after_seq > head:
            raise BadMessage(f"`afterSeq` is beyond the session's head, which is {head}", message.id)
        if peer.cursor.replays >= REPLAYS:
            raise RateLimited("resumes at a time")
        ack = encode(Ack(id=message.id, session_id=session.session_id, duplicate=False))
        metadata = encode(SessionMetadata(session=self._store.metadata(session)))
        if message.after_seq is None:
            peer.send(ack)
            peer.send(metadata)
        else:
            opening = frame(ack) + frame(metadata)
            peer.cursor.replay(session.session_id, message.after_seq, reply_to=message.id, opening=opening)

    def welcome(self, peer: Peer) -> Welcome:
        owner = self._ownership.owner
        owns = owner is not None and owner.connection_id == peer.connection_id
        visible = [each for each in self._store.latest_first() if watches(peer, each.session_id)][:WELCOME_SESSIONS]
        return Welcome(
            connection_id=peer.connection_id,
            server=ServerInfo("myagent", __version__),
            scope=told(peer.scope),
            owner_epoch=self._ownership.epoch,
            owner=OwnerInfo(owner.connection_id, owner.label) if owner else None,
            followers=self._ownership.followers,
            sessions=[self._store.metadata(each) for each in visible],
            limits=limits_of(self._settings.limits, peer.scope),
            may=MAY[peer.scope],
            takes=self.takes(),
            reclaim_token=self._ownership.reclaim_token if owns else None,
        )
