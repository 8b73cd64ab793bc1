"""Who could answer a permission request and who has seen it; and what happens while nobody is there who could."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from myagent.core.away import REASON, OwnerAway
from myagent.core.codec import encode
from myagent.core.messages import Ack, ConnectionId, RequestSeen, Seen, SessionId
from myagent.core.ownership import Ownership
from myagent.host.notifications import Notifications
from myagent.host.peer import Peer, name_of, watches
from myagent.host.permission_requests import PermissionRequests


class Attention:
    """`seen` is a fact of a connection whose client has shown the request, and is told to those who could answer."""

    def __init__(
        self,
        peers: Mapping[ConnectionId, Peer],
        ownership: Ownership,
        requests: PermissionRequests,
        away: OwnerAway,
        notifications: Notifications | None,
        record: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._peers = peers
        self._ownership = ownership
        self._requests = requests
        self._away = away
        self._notifications = notifications
        self._record = record
        self._seen: dict[str, dict[ConnectionId, str]] = {}  # open request → who has seen it, as others see them
        self._told: dict[str, tuple[list[str], list[str]]] = {}  # open request → what was told last of it
        self._away_since: float | None = asyncio.get_running_loop().time()
        self._timer: asyncio.TimerHandle | None = None
        self._looking = False
        self.on_away: Callable[[], None] = lambda: None  # called when the last one who may answer has gone

    @property
    def gone(self) -> str | None:
        """Why what is asked now is denied at once, if it is."""
        now = asyncio.get_running_loop().time()
        return REASON if self._away.is_over(self._away_since, now) else None

    @property
    def is_anybody_here(self) -> bool:
        return any(map(self._ownership.may_answer, self._peers))

    def seen(self, peer: Peer, message: Seen, actor: Mapping[str, Any]) -> None:
        """Take that a client has shown a request; it counts once for each connection."""
        session_id = self._requests.session_of(message.permission_request_id)
        known = self._seen.setdefault(message.permission_request_id, {}) if session_id is not None else {}
        new = session_id is not None and peer.connection_id not in known
        peer.send(encode(Ack(id=message.id, session_id=session_id, duplicate=not new)))
        if new:
            known[peer.connection_id] = name_of(peer)
            request = {"session": session_id, "request": message.permission_request_id}
            self._record("seen", {**actor, **request})
            self.changed()

    def changed(self) -> None:
        """Somebody came or went, the slot moved, a request opened or closed: look, once for all of a loop's turn."""
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_soon(self._look)

    def joined(self, peer: Peer) -> None:
        """Tell whoever comes of what is open, also if that is nothing new to others."""
        for request_id, (could, seen) in self._told.items():
            self._tell(peer, request_id, could, seen)
        self.changed()

    def close(self) -> None:
        self._looking = True
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._looking = False
        loop = asyncio.get_running_loop()
        here = [peer for peer in self._peers.values() if self._ownership.may_answer(peer.connection_id)]
        if here:
            self._away_since = None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        elif self._away_since is None:
            self._away_since = loop.time()
            self.on_away()
            if self._notifications is not None and self._away.what == "notify":
                self._notifications.nobody_here()
        if not here and self._away.what == "deny" and self._timer is None and self._away_since is not None:
            self._timer = loop.call_at(self._away_since + self._away.seconds, self._requests.deny_all, REASON)
        opened = self._requests.open_ids
        self._seen = {key: who for key, who in self._seen.items() if key in opened}
        self._told = {key: told for key, told in self._told.items() if key in opened}
        for request_id, session_id in opened.items():
            could = [name_of(peer) for peer in here if watches(peer, session_id)]
            told = could, [*self._seen.get(request_id, {}).values()]
            if self._told.get(request_id) != told:
                self._told[request_id] = told
                for peer in here:
                    self._tell(peer, request_id, *told)

    def _tell(self, peer: Peer, request_id: str, could: list[str], seen: list[str]) -> None:
        session_id: SessionId | None = self._requests.session_of(request_id)
        if session_id is None or not watches(peer, session_id) or not self._ownership.may_answer(peer.connection_id):
            return
        peer.send(
            encode(
                RequestSeen(permission_request_id=request_id, session_id=session_id, could_answer=could, seen_by=seen)
            )
        )
