"""Who reads over plain HTTP: requests that follow each other are one visit, which counts as one use and is seen so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

VISIT_SECONDS = 300.0  # without a request, and a visit is over
VISITS_EACH = 64  # of one invite at a time; its oldest gives way


@dataclass
class _Visit:
    until: float
    joined: bool = False  # a WebSocket has come with the use that it took


class Readers:
    """The visits that go on, by invite, and there by device, or by network where the invite's own token is shown."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._visits: dict[str, dict[str, _Visit]] = {}  # the oldest first

    def came(self, invite_id: str, reader: str) -> None:
        """A request of a reader has come, whose visit begins or goes on."""
        visits = self._visits[invite_id] = self._going(invite_id)
        visit = visits.pop(reader, None) or _Visit(0.0)
        if len(visits) >= VISITS_EACH:
            del visits[next(iter(visits))]
        visit.until = self._clock() + VISIT_SECONDS
        visits[reader] = visit

    def is_here(self, invite_id: str, reader: str) -> bool:
        return reader in self._going(invite_id)

    def may_join(self, invite_id: str, reader: str) -> bool:
        """Whether a visit goes on whose use is good for one WebSocket still."""
        visit = self._going(invite_id).get(reader)
        return visit is not None and not visit.joined

    def join(self, invite_id: str, reader: str) -> bool:
        """A WebSocket comes with the use of the reader's visit, once; false if there is none."""
        if not self.may_join(invite_id, reader):
            return False
        self._visits[invite_id][reader].joined = True
        return True

    def count(self, invite_id: str) -> int:
        """How many visits of an invite go on."""
        return len(self._going(invite_id))

    def forget(self, ended: str) -> None:
        """An invite or a device has ended."""
        self._visits.pop(ended, None)
        for visits in self._visits.values():
            visits.pop(ended, None)

    def _going(self, invite_id: str) -> dict[str, _Visit]:
        now = self._clock()
        return {reader: visit for reader, visit in self._visits.get(invite_id, {}).items() if visit.until > now}
