"""What is told to whom: a connection's role and welcome, who owns, how many follow."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from msgspec.structs import replace

from myagent import __version__
from myagent.core.codec import encode
from myagent.core.messages import (
    ConnectionId,
    ConnectionInfo,
    Connections,
    OwnerChanged,
    OwnerInfo,
    Presence,
    RoleMessage,
    ServerInfo,
    Welcome,
    Who,
)
from myagent.core.ownership import Change, Ownership
from myagent.host.peer import Peer
from myagent.host.permission_requests import PermissionRequests, watches
from myagent.host.session_store import SessionStore, iso
from myagent.settings import Settings, follower_limits

WELCOME_SESSIONS = 50
PRESENCE_SECONDS = 1.0  # between two that tell how many follow


class Announcements:
    """To the connections of one workspace, of which `peers` is kept by the host."""

    def __init__(
        self,
        peers: Mapping[ConnectionId, Peer],
        ownership: Ownership,
        store: SessionStore,
        requests: PermissionRequests,
        settings: Settings,
    ) -> None:
        self._peers = peers
        self._ownership = ownership
        self._store = store
        self._requests = requests
        self._settings = settings
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
                other.scope,
                other.label,
                iso(other.since),
            )
            for other in self._peers.values()
        ]
        peer.send(encode(Connections(id=message.id, connections=connections)))

    def welcome(self, peer: Peer) -> Welcome:
        owner = self._ownership.owner
        owns = owner is not None and owner.connection_id == peer.connection_id
        visible = [each for each in self._store.latest_first() if watches(peer, each.session_id)][:WELCOME_SESSIONS]
        return Welcome(
            connection_id=peer.connection_id,
            server=ServerInfo("myagent", __version__),
            scope=peer.scope,
            owner_epoch=self._ownership.epoch,
            owner=OwnerInfo(owner.connection_id, owner.label) if owner else None,
            followers=self._ownership.followers,
            sessions=[self._store.metadata(each) for each in visible],
            limits=self._settings.limits if peer.scope == "owner" else follower_limits(self._settings.limits),
            reclaim_token=self._ownership.reclaim_token if owns else None,
        )
