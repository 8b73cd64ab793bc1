"""Where a client stands in each session, and which of the events that come are shown.

Pure: no socket, no clock. The rules, for each session that is watched:

1. What is shown is one contiguous rising run of `seq`s, or an announced gap.
2. What was seen already is dropped. What comes too early is an error, unless a resume is outstanding:
   the server answers a resume by moving its cursor, so what it sent before the `ack` is superseded and comes again.
3. After a new connection the server's cursor is at each session's head, which `welcome` tells. A session that stood
   still meanwhile needs nothing; any other is resumed after the last event seen; one that is new, from its start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from myagent.client.errors import LogShrunk, MissingEvents


@dataclass(frozen=True, slots=True)
class _Asked:
    """A resume that was sent. `moved`: the user asked to go there, so the run begins anew at its `ack`."""

    session_id: str
    after: int
    moved: bool


class Cursors:
    """The last event seen of each session, and the resumes that are under way on this connection."""

    def __init__(self) -> None:
        self.last: dict[str, int] = {}
        self._planned: dict[str, None] = {}  # sessions still to be resumed, in order
        self._asked: dict[str, _Asked] = {}  # by the id of the resume; until its ack
        self._replaying: dict[str, str] = {}  # session by the id of the resume; from its ack to its `replayed`
        self._heads: dict[str, int] = {}  # where each session stood at the start of this connection

    def disconnected(self) -> None:
        """Forget what was under way: a new connection starts with `connected`."""
        for under_way in (self._planned, self._asked, self._replaying, self._heads):
            under_way.clear()

    def connected(self, heads: Mapping[str, int], *, again: bool, only: str | None = None) -> None:
        """Take the heads that `welcome` tells.

        `again`: this client was connected before. `only`: the connection watches that session alone, and asked for it
        in the URL with `after` where it had seen any of it, so that nothing needs a resume.
        """
        self._heads = dict(heads)
        for session_id, last in self.last.items():
            head = heads.get(session_id)
            if head is not None and head < last:
                raise LogShrunk(session_id, last, head)
            if only is None and again and head != last:
                self._planned[session_id] = None
        for session_id in heads.keys() - self.last.keys():
            if only in (None, session_id):
                self.last[session_id] = 0 if again and only is None else heads[session_id]
                if again and only is None and heads[session_id]:
                    self._planned[session_id] = None

    def event(self, session_id: str, seq: int) -> bool:
        """Say whether an event is shown, and go on to it if so. Raises `MissingEvents`."""
        last = self.last.get(session_id)
        if last is None or seq == last + 1:
            self.last[session_id] = seq
            return True
        if seq <= last or self._superseded(session_id):
            return False
        raise MissingEvents(session_id, last, seq)

    def gap(self, session_id: str, start: int, end: int) -> bool:
        """The same for a stretch that is gone for good."""
        last = self.last.get(session_id)
        if last is not None and end <= last:
            return False
        if last is not None and start > last + 1:
            if self._superseded(session_id):
                return False
            raise MissingEvents(session_id, last, start)
        self.last[session_id] = end
        return True

    def next_resume(self) -> tuple[str, int] | None:
        """The next session to resume and after which event; the caller sends it and says so with `asked`."""
        session_id = next(iter(self._planned), None)
        return None if session_id is None else (session_id, self.last[session_id])

    def asked(self, resume_id: str, session_id: str, after: int, *, moved: bool = False) -> None:
        self._asked[resume_id] = _Asked(session_id, after, moved)
        if not moved:
            self._planned.pop(session_id, None)

    def acked(self, resume_id: str) -> bool:
        """Take an `ack`: from here on the session's events come from the resume. Says whether it was one of ours."""
        if (asked := self._asked.pop(resume_id, None)) is None:
            return False
        if asked.moved:
            self.last[asked.session_id] = asked.after
        self._replaying[resume_id] = asked.session_id
        return True

    def replayed(self, resume_id: str) -> None:
        self._replaying.pop(resume_id, None)

    def refused(self, resume_id: str, *, again: bool) -> bool:
        """Take an `error`: plan the resume `again`, or forget a session that the server no longer has. Says whether
        it was a resume at all."""
        if (asked := self._asked.pop(resume_id, None)) is None:
            return False
        if again and not asked.moved:
            self._planned[asked.session_id] = None
        elif not asked.moved:
            self.last.pop(asked.session_id, None)
        return True

    @property
    def behind(self) -> frozenset[str]:
        """Sessions whose events are from the past still."""
        late = {s for s, head in self._heads.items() if s in self.last and self.last[s] < head}
        asked = (asked.session_id for asked in self._asked.values())
        return frozenset(late.union(self._planned, asked, self._replaying.values()))

    def _superseded(self, session_id: str) -> bool:
        return session_id in self._planned or any(a.session_id == session_id for a in self._asked.values())
