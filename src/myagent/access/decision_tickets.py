"""Decision tickets: how a device that is not connected gives one answer to one request, once, while that is open."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from myagent.access.credentials import Credential
from myagent.access.tickets import PREFIX

LIMIT = 4096  # tickets at a time; the oldest give way


@dataclass(frozen=True, slots=True)
class Leave:
    """What a ticket is good for: this answer to this request, as it was shown to this device."""

    credential: Credential
    request_id: str
    digest: str
    answer: Literal["allow", "deny"]


class DecisionTickets:
    """The tickets that were given out and not used; only their digests are kept, and none outlives this process."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, Leave] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._waiting)

    def issue(self, leave: Leave) -> str:
        if len(self._waiting) >= LIMIT:
            del self._waiting[next(iter(self._waiting))]
        ticket = PREFIX + secrets.token_urlsafe(32)
        self._waiting[_digest(ticket)] = leave
        return ticket

    def redeem(self, ticket: str, answer: str) -> Leave | None:
        """What it is good for, once, whatever comes of it. With another answer than its own it is good for nothing, and
        spent; so are, with the first one that is shown, the others of the same request and device."""
        found = self._waiting.pop(_digest(ticket), None)
        if found is None:
            return None
        self._keep(lambda each: each.request_id != found.request_id or each.credential != found.credential)
        return found if secrets.compare_digest(found.answer.encode(), answer.encode()) else None

    def close(self, request_id: str) -> None:
        """The request is open no more."""
        self._keep(lambda each: each.request_id != request_id)

    def forget(self, ended: str) -> None:
        """A credential, or a device, is good no more."""
        self._keep(lambda each: ended not in (each.credential.credential_id, each.credential.device_id))

    def _keep(self, good: Callable[[Leave], bool]) -> None:
        self._waiting = {key: each for key, each in self._waiting.items() if good(each)}


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode("utf-8", "replace")).digest()
