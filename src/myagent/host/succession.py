"""What follows when the owner slot moves: everybody is told, and what runs goes on, is denied or is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from myagent.core.messages import ConnectionId
from myagent.core.ownership import Change, Ownership
from myagent.host.announcements import Announcements
from myagent.host.epochs import Epochs
from myagent.host.notifications import Notifications
from myagent.host.peer import Peer
from myagent.host.permission_requests import PermissionRequests
from myagent.host.session_store import SessionStore
from myagent.host.turns import Turns
from myagent.settings import Settings


class Succession:
    """`record` is the audit's."""

    def __init__(
        self,
        peers: Mapping[ConnectionId, Peer],
        ownership: Ownership,
        settings: Settings,
        epochs: Epochs,
        store: SessionStore,
        turns: Turns,
        requests: PermissionRequests,
        announcements: Announcements,
        notifications: Notifications | None,
        record: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._peers = peers
        self._ownership = ownership
        self._settings = settings
        self._epochs = epochs
        self._store = store
        self._turns = turns
        self._requests = requests
        self._announcements = announcements
        self._notifications = notifications
        self._record = record
        self._closed = False

    def close(self) -> None:
        """The server stops: who leaves now leaves nothing behind that is decided for them."""
        self._closed = True

    def announce(self, change: Change, *, welcomed: Peer | None = None) -> None:
        """Tell everybody that the slot moved, and do what follows. `welcomed` was told already that it owns."""
        holder = self._peers.get(change.owner.connection_id) if change.owner else None
        self._record(
            "owner",
            {
                "epoch": change.epoch,
                "why": change.why,
                "connection": change.owner.connection_id if change.owner else None,
                "credential": holder.credential_id if holder else None,
                "device": holder.device_id if holder else None,
                "lost": change.lost,
            },
        )
        self._announcements.owner(change, welcomed=welcomed)
        awaited = self._ownership.reserved_until
        if self._notifications is not None and not self._closed:
            lost = change.why in ("lost", "grace_over") and awaited is None
            self._notifications.owner(owned=change.owner is not None, lost=lost)
        if change.owner is not None:
            self._epochs.keep_ahead()
        elif awaited is not None:
            asyncio.get_running_loop().call_at(awaited, self._end_grace)
        else:
            self._owner_gone()

    def _end_grace(self) -> None:
        change = self._ownership.expire(asyncio.get_running_loop().time())
        if change is not None:
            self.announce(change)

    def _owner_gone(self) -> None:
        """Nobody owns and nobody is waited for: `--on-owner-leave` says what becomes of what runs."""
        if self._closed:
            return
        match self._settings.on_owner_leave:
            case "continue":
                pass
            case "deny":
                self._requests.deny_all("the owner has left")
            case "interrupt":
                self._store.spawn(self._turns.interrupt_all(), "interrupt")
