"""Who came and went, for the audit: each visit by itself while there are few, joined into one record where somebody
comes and goes as fast as they may; and who reads over HTTP, always joined."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from myagent.core.messages import ConnectionId, TwoScopes
from myagent.core.ownership import told
from myagent.host.peer import Peer
from myagent.host.session_store import now

# Visits of one credential that are recorded by themselves: so many at once, and then one in so many seconds. At 0.5 kB
# a record, two a visit, and one joined record in `JOINED_SECONDS`, that is 3 MB a day for an invite, at most.
EACH: dict[TwoScopes, tuple[int, float]] = {"owner": (256, 10.0), "follower": (64, 60.0)}
JOINED_SECONDS = 300.0
READS_EACH = 16  # records of one credential in that time about what it has read over HTTP; what is more is told in one


@dataclass
class _Guest:
    """One credential."""

    most: int  # of `EACH`
    seconds: float
    left: float  # visits that may be recorded by themselves now
    at: float  # when that was worked out
    joins: int = 0  # that are not recorded yet
    leaves: int = 0
    since: str = ""  # of the first of them


@dataclass
class _Reading:
    """Requests of one device, or of all that show an invite's own token, for one session or for the list of them."""

    since: str
    reads: int = 0


class Visits:
    """Records joins, leaves and reads. A leave is recorded as its join was, so that the two belong together."""

    def __init__(self, record: Callable[[str, dict[str, Any]], None], clock: Callable[[], float]) -> None:
        self._record = record
        self._clock = clock
        self._guests: dict[str, _Guest] = {}
        self._single: set[ConnectionId] = set()  # who are here and have a record of their own
        self._timer: asyncio.TimerHandle | None = None
        self._reads: dict[str, dict[tuple[str | None, str | None], _Reading]] = {}  # by credential

    def joined(self, peer: Peer, fields: dict[str, Any]) -> None:
        most, seconds = EACH[told(peer.scope)]
        guest = self._guests.setdefault(peer.credential_id, _Guest(most, seconds, most, self._clock()))
        guest.left, guest.at = self._left(guest), self._clock()
        if guest.left >= 1:
            guest.left -= 1
            self._single.add(peer.connection_id)
            self._record("join", fields)
        else:
            self._count(guest)
            guest.joins += 1

    def left(self, peer: Peer, fields: dict[str, Any]) -> None:
        if peer.connection_id in self._single:
            self._single.discard(peer.connection_id)
            self._record("leave", fields)
        elif (guest := self._guests.get(peer.credential_id)) is not None:
            self._count(guest)
            guest.leaves += 1

    def read(self, credential_id: str, device_id: str | None, session_id: str | None) -> None:
        """Somebody has read over HTTP: a session, or the list of them."""
        readings = self._reads.setdefault(credential_id, {})
        key = (device_id, session_id)
        if key not in readings and len(readings) >= READS_EACH - 1:
            key = (None, None)
        readings.setdefault(key, _Reading(now())).reads += 1
        self._wait()

    def flush(self) -> None:
        """Record what is not recorded yet, one record for a credential; also called when the server stops."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for credential_id, readings in self._reads.items():
            for (device_id, session_id), reading in readings.items():
                fields = {"credential": credential_id, "device": device_id, "sessionId": session_id}
                self._record("reads", {**fields, "reads": reading.reads, "since": reading.since})
        self._reads = {}
        for credential_id, guest in list(self._guests.items()):
            if guest.since:
                counts = {"joins": guest.joins, "leaves": guest.leaves, "since": guest.since}
                self._record("visits", {"credential": credential_id, **counts})
                guest.joins = guest.leaves = 0
                guest.since = ""
            elif self._left(guest) == guest.most:
                del self._guests[credential_id]  # as if it had never been here

    def _left(self, guest: _Guest) -> float:
        return min(guest.most, guest.left + (self._clock() - guest.at) / guest.seconds)

    def _count(self, guest: _Guest) -> None:
        guest.since = guest.since or now()
        self._wait()

    def _wait(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(JOINED_SECONDS, self.flush)
