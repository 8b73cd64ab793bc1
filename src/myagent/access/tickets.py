"""Tickets: how a browser, which cannot set headers on a WebSocket, shows its credential. Good once, and briefly."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from time import monotonic

from myagent.access.credentials import Credential
from myagent.exceptions import MyagentError

SECONDS = 30.0  # from `GET /ticket` to the WebSocket
LIMIT = 1024  # tickets that wait
LIMIT_EACH = 16  # of one credential, so that no invite can take the places of others; its oldest gives way
PREFIX = "myagent_tkt_"  # known to the redactor


class TicketsFull(MyagentError):
    def __str__(self) -> str:
        return "too many tickets wait; try again"


class Tickets:
    """The tickets that have been given out and not used; only their digests are kept."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._waiting: dict[bytes, tuple[Credential, float]] = {}  # oldest first

    def issue(self, credential: Credential) -> str:
        """Raises `TicketsFull`."""
        now = self._clock()
        self._waiting = {key: each for key, each in self._waiting.items() if each[1] > now}
        same = [key for key, each in self._waiting.items() if each[0].credential_id == credential.credential_id]
        if len(same) >= LIMIT_EACH:
            del self._waiting[same[0]]
        elif len(self._waiting) >= LIMIT:
            raise TicketsFull
        ticket = PREFIX + secrets.token_urlsafe(32)
        self._waiting[_digest(ticket)] = (credential, now + SECONDS)
        return ticket

    def redeem(self, ticket: str) -> Credential | None:
        """Whose ticket it is, once; looked up by its digest, so that nothing is compared with what was sent."""
        found = self._waiting.pop(_digest(ticket), None)
        return found[0] if found is not None and self._clock() < found[1] else None

    def forget(self, credential_id: str) -> None:
        """Void the tickets of a credential that has ended, or of a device."""
        self._waiting = {
            key: each
            for key, each in self._waiting.items()
            if credential_id not in (each[0].credential_id, each[0].device_id)
        }


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode("utf-8", "replace")).digest()
