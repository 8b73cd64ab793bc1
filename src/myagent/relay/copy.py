"""A relay's copy of a host's log, filled from the event stream: the same events, with the same bytes and numbers.

What the stream has no longer is missing from the copy, too, and readers are told a gap there. Where the copy ends is
where it goes on after a restart; what it has already it takes no second time, so the note of the place in the stream
may be old, or gone.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from myagent.access.state_directory import read_private, write_private
from myagent.eventlog import Draft, EventLog, LogRefused, Stored, Unit
from myagent.relay.engine import Kept
from myagent.relay.subjects import TAKEN

_TAIL = re.compile(rb',"seq":(\d+)}$')
_log = logging.getLogger(__name__)


class Place(msgspec.Struct, frozen=True):
    """How far the stream was read, and how far the log was then: a log that has less has lost it with the power."""

    number: int
    pos: int


class Copy:
    """Writes what comes of the stream to the log. `stored` gets what is new; `skipped` says that something is missing
    just before what follows."""

    def __init__(
        self, log: EventLog, path: Path, heads: dict[str, int], *,
        stored: Callable[[Stored], None], skipped: Callable[[], None],
    ) -> None:  # fmt: skip
        self.number = 0  # of the last message that was taken
        self.failed: LogRefused | None = None
        self._log = log
        self._path = path
        self._heads = dict(heads)  # session → the last event that was written, or is being
        self._stored = stored
        self._skipped = skipped

    def load(self, pos: int) -> None:
        """Go on where the note says, if there is one that holds for a log which ends at `pos`."""
        data = read_private(self._path)
        try:
            place = msgspec.json.decode(data or b"", type=Place)
        except msgspec.DecodeError:
            return
        if place.pos <= pos:
            self.number = place.number

    def save(self, pos: int) -> None:
        """Note how far it has come, when all of that is in the log. Raises `OSError`."""
        write_private(self._path, msgspec.json.encode(Place(self.number, pos)) + b"\n")

    def head(self, session_id: str) -> int:
        return self._heads.get(session_id, 0)

    async def take(self, messages: Iterable[Kept]) -> None:
        """Write messages of the stream, and return when they are stored and shown. Raises `LogRefused`."""
        drafts: list[Draft] = []
        skips: dict[str, int] = {}  # where each session's events go on: their numbers are those of the host, or none
        missing = False
        for kept in messages:
            self.number = kept.number
            session_id = kept.subject.rpartition(".")[2]
            if session_id == TAKEN:
                continue
            body, newline, update = kept.data.partition(b"\n")
            matched = _TAIL.search(body)
            if matched is None or b'"sessionId":"%b"' % session_id.encode() not in body:
                _log.warning("message %d of the event stream is no event of its session", kept.number)
                continue
            seq, head = int(matched[1]), self.head(session_id)
            if seq <= head:
                continue
            if seq > head + 1:
                self._write(drafts, skips, missing)
                drafts, skips, missing = [], {}, True
            skips.setdefault(session_id, seq - 1)
            drafts.append(Draft(session_id, body[: matched.start()] + b"}", update if newline else None))
            self._heads[session_id] = seq
        self._write(drafts, skips, missing)
        await self._log.flush()
        if self.failed is not None:
            raise self.failed

    async def miss(self, session_id: str, head: int) -> None:
        """The stream has no event of a session up to this one any more. Raises `LogRefused`."""
        if head > self.head(session_id):
            self._heads[session_id] = head
            self._write([], {session_id: head}, missing=True)
            await self._log.flush()

    def _write(self, drafts: list[Draft], skips: dict[str, int], missing: bool) -> None:
        if not drafts and not skips:
            return

        def committed(stored: list[Stored]) -> None:
            if missing:
                self._skipped()
            for each in stored:
                self._stored(each)

        self._log.write(Unit(committed, self._refused, events=drafts, skips=skips, fact=True))

    def _refused(self, error: LogRefused) -> None:
        self.failed = error
