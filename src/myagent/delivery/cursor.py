"""One connection's place in everything that is published: what it has been sent, and what it is sent next.

Live or behind is one loop, `Cursor.pump`:

1. Replays that were asked for (`resume`) are read from the log.
2. What the window no longer has is read from the log.
3. In the window, slices of it are sent.
4. At its end, the cursor joins a group of cursors (`fanout`) that are all at the same place and get the same bytes.

A reader that does not read leaves its group until its socket has room again: it costs a cursor and what one write of at
most `SLICE_BYTES` left over. Nothing is ever queued for it. A cursor that fell below the window gets, when it is back,
the latest of each kind of state.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import NamedTuple

from myagent.core.codec import encode
from myagent.core.messages import Gap, Replayed, SessionId
from myagent.delivery.deflate import deflated
from myagent.delivery.fanout import Fanout, Group, Sink
from myagent.delivery.window import SLICE_BYTES, Entry, View, frame
from myagent.eventlog import Stored, with_update

_log = logging.getLogger(__name__)


class Replay(NamedTuple):
    """A stretch of a session that was asked for.

    `opening`, whole frames, is sent when it begins, and `reply_to` is told when it is done: so one that was asked for
    while another was on its way can be told apart from it.
    """

    session_id: SessionId
    after_seq: int
    until_seq: int
    reply_to: str | None
    opening: bytes


class Cursor:
    """What one connection has been sent, and what it is sent next."""

    __slots__ = (
        "_dropped",
        "_fanout",
        "_group",
        "_index",
        "_pos",
        "_reading",
        "_seen",
        "_skip",
        "_todo",
        "_told",
        "deflate",
        "session_id",
        "sink",
        "view",
    )

    def __init__(self, fanout: Fanout, sink: Sink, *, session_id: SessionId | None) -> None:
        self._fanout = fanout
        self.sink = sink
        self.session_id = session_id  # the one session that it watches, or all
        self.view: View = "plain"
        self.deflate = False  # whether its client asked for compression
        self._group: Group | None = None  # where it stands while it is at the end of the window
        self._todo: tuple[Replay, ...] = ()
        self._skip: dict[str, int] | None = None  # session → the seq up to which a replay serves it instead
        self._reading = False
        self._dropped = False
        # Where it stands while it is in no group: what of the window it was given, the same as a position of the log,
        # and the last seq of each session where those are needed: to find gaps, or to read one session on.
        self._index = 0
        self._pos = 0
        self._seen: dict[str, int] | None = None
        self._told = 0  # on the way into the window: state that was told before this index is not missed any more
        self._stand_at(fanout.window.next)

    def start(self, after_seq: int | None = None) -> None:
        """Begin: at the present end, or for a cursor of one session after one of its events."""
        self._stand_at(self._fanout.window.next)
        if self.session_id is not None and after_seq is not None:
            self.replay(self.session_id, after_seq)
        else:
            self.pump()

    @property
    def replays(self) -> int:
        """How many replays run or wait."""
        return len(self._todo)

    @property
    def live(self) -> bool:
        return self._group is not None

    @property
    def behind(self) -> int:
        """How many events of the workspace were published and not given to it yet."""
        return 0 if self._group is not None else self._fanout.window.pos - self._pos

    def replay(
        self, session_id: SessionId, after_seq: int, *, reply_to: str | None = None, opening: bytes = b""
    ) -> None:
        """Move to after `after_seq` in one session: send it from there, say `replayed`, go on live."""
        self.leave_group()
        head = self._fanout.window.heads.get(session_id, 0)
        self._todo = (*self._todo, Replay(session_id, after_seq, head, reply_to, opening))
        self._skip = {**(self._skip or {}), session_id: head}
        if self._seen is not None:
            self._seen[session_id] = max(self._seen.get(session_id, 0), head)
        self.pump()

    def look(self, view: View) -> None:
        """Get the other view from here on."""
        if view != self.view:
            self.leave_group()
            self.view = view
            self.pump()

    def has_passed(self, pos: int) -> bool:
        """Whether everything up to a position was given to the transport."""
        if self._group is not None:
            return self._fanout.window.pos_before(self._group.index) >= pos
        return self._pos >= pos

    def hold(self) -> None:
        """The transport is full: what comes now waits in the log."""
        if self._group is not None and not self._fanout.hold(self):
            self.leave_group()

    def leave_group(self) -> None:
        group = self._group
        if group is not None:
            self._group = None
            self._fanout.leave(group, self)
            self._stand_at(group.index)

    def drop(self) -> None:
        """The connection is gone."""
        self.leave_group()
        self._dropped = True

    # --- the loop -------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Send until the transport has no room, or there is nothing more; then wait in a group."""
        window = self._fanout.window
        while not (self.sink.paused or self._reading or self._dropped or self._group is not None):
            if self._todo or self._index < window.first:
                self._reading = True
                self._fanout.start_read(self)
            elif self._index != window.next:
                self._send_slice()
            else:
                group = self._fanout.group(self.view, self.session_id, deflate=self.deflate)
                group.sockets[self] = self.sink.socket
                self._group = group
                self._skip = self._seen = None

    async def read(self) -> None:
        """Serve one slice from the log."""
        try:
            await (self._read_replay(self._todo[0]) if self._todo else self._read_behind())
        except asyncio.CancelledError:
            raise
        except Exception:
            _log.exception("reading the log for a connection failed")
            self.sink.fail()
            return
        self._reading = False
        self.pump()

    def _send_slice(self) -> None:
        window = self._fanout.window
        start = self._index
        if self._skip:
            data, end = window.slice_without(self.view, self.session_id, start, self._skip, deflate=self.deflate)
        else:
            data, end = window.slice(self.view, self.session_id, start, deflate=self.deflate)
        self._index, self._pos = end, window.pos_before(end)
        if self._seen is not None:
            for entry in window.entries(start, end):
                if entry.seq and entry.session_id is not None and self.session_id in (None, entry.session_id):
                    self._seen[entry.session_id] = max(entry.seq, self._seen.get(entry.session_id, 0))
        self._write(data)

    async def _read_replay(self, replay: Replay) -> None:
        rows: list[Stored] = []
        if replay.after_seq < replay.until_seq:
            rows = await self._fanout.log.read_session(
                replay.session_id,
                replay.after_seq,
                until_seq=replay.until_seq,
                max_bytes=SLICE_BYTES - len(replay.opening),
            )
        whole = len(rows) > 0 and rows[-1].seq - replay.after_seq == len(rows)  # no seq is missing
        seen = None if whole else {str(replay.session_id): replay.after_seq}
        parts = [replay.opening, *self._frames(rows, seen, {})]
        reached = rows[-1].seq if rows else replay.until_seq
        if not rows and replay.after_seq < replay.until_seq:
            parts.append(_gap(replay.session_id, replay.after_seq, replay.until_seq))
        if reached < replay.until_seq:
            self._todo = (replay._replace(after_seq=reached, opening=b""), *self._todo[1:])
        else:
            self._todo = self._todo[1:]
            if replay.reply_to is not None:
                done = Replayed(id=replay.reply_to, session_id=replay.session_id, head=replay.until_seq)
                parts.append(frame(encode(done)))
        self._write(b"".join(parts))

    async def _read_behind(self) -> None:
        """Read on below the window, as far as has been published, and enter the window where it begins."""
        window, log = self._fanout.window, self._fanout.log
        published = window.pos
        if self.session_id is None:
            # A `gap` is smaller than any event, and there is at most one before each.
            half = 2 if self._fanout.announce_gaps else 1
            rows = await log.read(self._pos, max_bytes=SLICE_BYTES // half)
        else:
            assert self._seen is not None
            rows = await log.read_session(self.session_id, self._seen[self.session_id], max_bytes=SLICE_BYTES)
        # What is committed but not yet published comes through the window, after its ack.
        rows = [row for row in rows if row.pos <= published]
        parts = self._frames(rows, self._seen, self._skip or {})
        self._pos = rows[-1].pos if rows else published
        index = window.index_after(self._pos)
        if index is not None:
            self._enter(index, parts)
        self._write(b"".join(parts))

    def _enter(self, index: int, parts: list[bytes]) -> None:
        """Step into the window, once all that was missed on the way fits into what is written now: `parts`."""
        size = sum(map(len, parts))
        for missed in self._missed(index):
            size += len(missed)
            if size > SLICE_BYTES and parts:
                return  # the next read goes on from here
            parts.append(missed)
        self._index = index

    def _missed(self, index: int) -> Iterator[bytes]:
        """What retention took and what state was told between the place before and an index of the window. Each counts
        as told once the next one is asked for."""
        window = self._fanout.window
        if self._seen is not None:
            # The window may still hold, before this place, what the log has forgotten.
            passed = {
                each.session_id: each.seq
                for each in window.entries(window.first, index)
                if each.session_id and each.seq
            }
            for session_id, head in {**window.dropped, **passed}.items():
                seen = self._seen.get(session_id, 0)
                if self.session_id in (None, session_id) and seen < head:
                    yield _gap(session_id, seen, head)
                    self._seen[session_id] = head
        since = max(self._index, self._told)
        states = [
            (told_at, entry)
            for told_at, entry in window.latest.values()
            if since <= told_at < index
            and (None in (self.session_id, entry.session_id) or self.session_id == entry.session_id)
        ]
        for self._told, entry in sorted(states, key=_told_at):
            yield entry.plain

    def _frames(self, rows: list[Stored], seen: dict[str, int] | None, skip: dict[str, int]) -> list[bytes]:
        """Rows as frames of this view, with a `gap` wherever a seq is missing from what was `seen`."""
        plain = self.view == "plain"
        finished = _deflated_frame if self.deflate else frame
        if seen is None and not skip:  # a long replay spends much of its time here
            return [finished(row.body if plain else with_update(row.body, row.update)) for row in rows]
        parts = []
        for row in rows:
            if row.seq <= skip.get(row.session_id, 0):
                continue
            if seen is not None:
                before = seen.get(row.session_id, 0)
                if row.seq > before + 1:
                    parts.append(_gap(row.session_id, before, row.seq - 1))
                seen[row.session_id] = row.seq
            parts.append(finished(row.body if plain else with_update(row.body, row.update)))
        return parts

    def _stand_at(self, index: int) -> None:
        window = self._fanout.window
        self._index, self._pos = index, window.pos_before(index)
        if self.session_id is not None or self._fanout.announce_gaps:
            self._seen = window.heads_at(index, self.session_id)

    def _write(self, data: bytes) -> None:
        if data and not self._dropped:
            self.sink.write(data)


def _deflated_frame(payload: bytes) -> bytes:
    return deflated(frame(payload))


def _told_at(state: tuple[int, Entry]) -> int:
    return state[0]


def _gap(session_id: str, after_seq: int, until_seq: int) -> bytes:
    """What is told instead of the events after `after_seq`, up to and with `until_seq`."""
    return frame(encode(Gap(SessionId(session_id), after_seq + 1, until_seq)))
