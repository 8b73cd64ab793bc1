"""Counts what others make this server hold, each kind within a bound of its own; where one is full, whoever holds the
most gives way, and never the owner.

What a stranger, an invite or an idle socket can take is therefore taken from their like. What scope `owner` holds is
counted apart or not at all.
"""

from __future__ import annotations

import asyncio
import os
import resource
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

from myagent.access.credentials import Credential
from myagent.core.ownership import told
from myagent.server.admission import Rejected
from myagent.server.listening import batch
from myagent.server.tls import TURNS
from myagent.settings import Settings

if TYPE_CHECKING:
    from myagent.server.connection import Connection

PENDING_SOCKETS = 512  # that have not sent a whole request, or as many as may connect
LINGERING_SOCKETS = 128  # that have their whole answer, or a close frame, and are not gone yet
UNREAD_SOCKETS = 128  # that do not take all of their answer
UNFINISHED_REQUESTS_BYTES = 16 << 20
UNFINISHED_MESSAGES_BYTES = 32 << 20  # of all but the owner
UNREAD_ANSWERS_BYTES = 32 << 20  # of HTTP, to all but scope `owner`
OUTBOX_BYTES_IN_ALL = 16 << 20  # of answers on WebSockets, to all but scope `owner`
OWNER_PLACES = 4  # of the connections, kept for owner scope so that followers cannot lock it out
WORK = 16  # answers of one scope that are being made, or were made and are not taken yet: about 1 MiB each
WORK_EACH = 4  # of one credential that is no owner's
WAITING = 64  # requests of one scope that wait for that
WAITING_EACH = 16  # of one credential that is no owner's
DESCRIPTORS = 0.75  # of those that the process may have: for connections, and for what is open at the start

T = TypeVar("T", bound=Hashable)


class Budget(Generic[T]):
    """Bytes that many hold together; beyond the bound, `end` is called for whoever holds the most."""

    def __init__(self, bound: int, end: Callable[[T], None]) -> None:
        self._bound = bound
        self._end = end
        self._held: dict[T, int] = {}
        self.total = 0

    def put(self, holder: T, size: int) -> None:
        """Say how much somebody holds now."""
        self.total += size - self._held.get(holder, 0)
        self._held[holder] = size
        while self.total > self._bound:
            most = max(self._held, key=self._held.__getitem__)
            self.drop(most)
            self._end(most)

    def drop(self, holder: T) -> None:
        """They hold nothing any more."""
        self.total -= self._held.pop(holder, 0)


class Crowd(Generic[T]):
    """Those in one state, by what they have in common (an address, a credential); beyond the bound, `end` is called
    for the oldest of whoever has the most in it."""

    def __init__(self, bound: int, end: Callable[[T], None]) -> None:
        self._bound = bound
        self._end = end
        self._groups: dict[str, dict[T, None]] = {}  # oldest first
        self._keys: dict[T, str] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, one: T) -> bool:
        return one in self._keys

    def add(self, one: T, key: str) -> None:
        self.drop(one)
        self._keys[one] = key
        self._groups.setdefault(key, {})[one] = None
        if len(self._keys) > self._bound:
            self.push_out()

    def drop(self, one: T) -> None:
        key = self._keys.pop(one, None)
        if key is not None:
            group = self._groups[key]
            del group[one]
            if not group:
                del self._groups[key]

    def push_out(self) -> bool:
        """End one; false if there is nobody."""
        if not self._groups:
            return False
        group = max(self._groups.values(), key=len)
        oldest = next(iter(group))
        self.drop(oldest)
        self._end(oldest)
        return True


class Work:
    """Places in which answers that cost something are made. Scope `owner` has its own, so that nobody else can fill
    them; every other credential has a few of those that they share."""

    def __init__(self) -> None:
        self._shared = {scope: asyncio.Semaphore(WORK) for scope in ("owner", "follower")}
        self._each: dict[str, asyncio.Semaphore] = {}
        self._waiting: Counter[str] = Counter()  # by scope and by credential

    @asynccontextmanager
    async def place(self, credential: Credential | None) -> AsyncIterator[None]:
        """Wait for a place, and have it. Raises `Rejected` where too many wait; `None` is whoever has no credential."""
        scope = told(credential.scope) if credential is not None else "follower"
        name = f"credential {credential.credential_id if credential is not None else None}"
        owns = scope == "owner"
        if self._waiting[scope] >= WAITING + WORK or (not owns and self._waiting[name] >= WAITING_EACH + WORK_EACH):
            raise Rejected(503, "too many requests at once; try again")
        each = self._each.setdefault(name, asyncio.Semaphore(WORK if owns else WORK_EACH))
        self._waiting.update((scope, name))
        try:
            async with each, self._shared[scope]:
                yield
        finally:
            self._waiting.subtract((scope, name))
            if not self._waiting[name]:
                del self._waiting[name], self._each[name]


class Places:
    """Everything of one server that is counted."""

    def __init__(self, settings: Settings) -> None:
        def abort(connection: Connection) -> None:
            connection.abort()

        self._most = settings.max_connections
        self.seats = self._most  # WebSockets at once
        self._sockets = 2 * self._most + PENDING_SOCKETS  # connections at once, in whatever state
        self.pending: Crowd[Connection] = Crowd(max(PENDING_SOCKETS, self._most), abort)
        self.lingering: Crowd[Connection] = Crowd(LINGERING_SOCKETS, abort)
        self.closing: Crowd[Connection] = Crowd(max(LINGERING_SOCKETS, self._most), abort)
        self.unread: Crowd[Connection] = Crowd(UNREAD_SOCKETS, abort)
        self.requests: Budget[Connection] = Budget(UNFINISHED_REQUESTS_BYTES, abort)
        self.messages: Budget[Connection] = Budget(UNFINISHED_MESSAGES_BYTES, lambda one: one.close(1009, "too much"))
        self.answers: Budget[Connection] = Budget(UNREAD_ANSWERS_BYTES, abort)
        self.outboxes: Budget[Connection] = Budget(OUTBOX_BYTES_IN_ALL, lambda one: one.close(4408, "reads too slowly"))
        self.work = Work()

    def measure(self) -> None:
        """See how many descriptors there are; to be called when everything else that the server needs is open."""
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit == resource.RLIM_INFINITY:
            return
        used = len(os.listdir("/proc/self/fd")) + TURNS * batch()  # the latter are accepted before they are counted
        free = max(8, int(limit * DESCRIPTORS) - used)
        self._sockets = min(self._sockets, free)
        self.seats = min(self._most, max(OWNER_PLACES + 2, free - min(LINGERING_SOCKETS, free // 4)))

    def has_seat(self, credential: Credential, taken: int) -> bool:
        """Whether one more may connect, when so many have."""
        kept = OWNER_PLACES if credential.scope != "owner" else 0
        return taken < max(1, self.seats - kept)

    def opened(self, connection: Connection, key: str, count: int) -> None:
        """One more connection, from the address or network `key`; with it there are `count`."""
        if count > self._sockets:
            any(crowd.push_out() for crowd in (self.lingering, self.closing, self.unread, self.pending))
        self.pending.add(connection, key)

    def closed(self, connection: Connection) -> None:
        for crowd in (self.pending, self.lingering, self.closing, self.unread):
            crowd.drop(connection)
        for budget in (self.requests, self.messages, self.answers, self.outboxes):
            budget.drop(connection)
