"""The shared window of finished WebSocket frames: what was published last, bounded, for all connections.

Each event is encoded once per view. State (a session's metadata, who owns) is not in the log; it travels in the
window, in its place among the events.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import Literal

from msgspec import Struct

from myagent.delivery.deflate import deflated
from myagent.eventlog import Stored, with_update

SLICE_BYTES = 64 * 1024  # the most that one write hands to a transport, and so the most that waits unsent in memory
ENTRY_BYTES = 160  # what an entry costs beside its frames: itself, two ints, two byte-string headers
WINDOW_BYTES = 8 << 20  # frames kept in memory for all connections together; older ones are read from the log

View = Literal["plain", "updates"]


def frame(payload: bytes) -> bytes:
    """A finished, unmasked text frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return b"\x81%c%b" % (size, payload)
    if size < 1 << 16:
        return b"\x81\x7e%b%b" % (struct.pack("!H", size), payload)
    return b"\x81\x7f%b%b" % (struct.pack("!Q", size), payload)


class Entry(Struct, frozen=True, gc=False):
    """One frame of the window, in each view. State has the position of the event before it, and `seq` 0.

    Thousands are in the window, so they are kept from the garbage collector, which would look at each again and again.
    """

    pos: int
    session_id: str | None
    seq: int
    plain: bytes
    updates: bytes


class Window:
    """Frames in the order of publication, numbered for ever by `index`; the newest `window_bytes` are kept."""

    def __init__(self, heads: dict[str, int], pos: int, *, window_bytes: int = WINDOW_BYTES) -> None:
        self.first = 0  # index of the oldest entry that is kept
        self.next = 0  # index that the next entry will have
        self.pos = pos  # position of the last event
        self.heads = heads  # session id → its last seq
        self.base = pos  # position of the last event that is not in the window
        self.dropped = dict(heads)  # session id → its last seq that is not in the window
        self.latest: dict[str, tuple[int, Entry]] = {}  # kind of state → where it was last told
        self._entries: list[Entry] = []
        self.window_bytes = window_bytes
        self._bytes = 0
        self._slices: dict[tuple[View, str | None, bool, int], tuple[bytes, int]] = {}

    def event(self, stored: Stored) -> None:
        plain = frame(stored.body)
        updates = plain if stored.update is None else frame(with_update(stored.body, stored.update))
        self.pos = stored.pos
        self.heads[stored.session_id] = stored.seq
        self._append(Entry(stored.pos, stored.session_id, stored.seq, plain, updates))

    def state(self, payload: bytes, *, kind: str | None, session_id: str | None) -> None:
        """Tell state to all, or to those who watch a session. Of each `kind` only the latest matters."""
        data = frame(payload)
        entry = Entry(self.pos, session_id, 0, data, data)
        if kind is not None:
            self.latest[kind] = (self.next, entry)
        self._append(entry)

    def slice(self, view: View, session_id: str | None, index: int, *, deflate: bool = False) -> tuple[bytes, int]:
        """Joined frames from `index` on, at most `SLICE_BYTES` unless one frame is larger, and the index after them."""
        key = (view, session_id, deflate, index)
        found = self._slices.get(key)
        if found is None:
            if len(self._slices) > 256:
                self._slices.clear()
            found = self._slices[key] = self._cut(view, session_id, index, {}, deflate=deflate)
        return found

    def slice_without(
        self, view: View, session_id: str | None, index: int, skip: dict[str, int], *, deflate: bool = False
    ) -> tuple[bytes, int]:
        """The same, leaving out the events of some sessions up to a `seq`."""
        return self._cut(view, session_id, index, skip, deflate=deflate)

    def entries(self, start: int, end: int) -> list[Entry]:
        return self._entries[start - self.first : end - self.first]

    def heads_at(self, index: int, session_id: str | None) -> dict[str, int]:
        """The last seq of each session, or of one, before an index of the window."""
        heads = dict(self.heads) if session_id is None else {session_id: self.heads.get(session_id, 0)}
        for entry in reversed(self._entries[index - self.first :]):
            if entry.seq and entry.session_id in heads:
                heads[entry.session_id] = entry.seq - 1
        return heads

    def pos_before(self, index: int) -> int:
        """Position of the last event before an index of the window."""
        return self.base if index == self.first else self._entries[index - self.first - 1].pos

    def index_after(self, pos: int) -> int | None:
        """The index of what comes after a position; `None` if that has left the window."""
        if pos < self.base:
            return None
        return self.first + bisect_right(self._entries, pos, key=_pos_of)

    def _append(self, entry: Entry) -> None:
        self._slices.clear()
        self._entries.append(entry)
        self.next += 1
        self._bytes += _cost(entry)
        if self._bytes > self.window_bytes:
            self._trim()

    def _trim(self) -> None:
        """Drop the older half, so that dropping costs little per entry."""
        count = 0
        while self._bytes > self.window_bytes // 2 and count < len(self._entries) - 1:
            entry = self._entries[count]
            self._bytes -= _cost(entry)
            if entry.session_id is not None and entry.seq:
                self.dropped[entry.session_id] = entry.seq
            self.base = entry.pos
            count += 1
        del self._entries[:count]
        self.first += count

    def _cut(
        self, view: View, session_id: str | None, index: int, skip: dict[str, int], *, deflate: bool
    ) -> tuple[bytes, int]:
        parts: list[bytes] = []
        size = 0
        at = index - self.first
        entries = self._entries
        while at < len(entries):
            entry = entries[at]
            wanted = session_id is None or entry.session_id is None or entry.session_id == session_id
            if wanted and not (skip and entry.seq and entry.seq <= skip.get(entry.session_id or "", 0)):
                data = entry.plain if view == "plain" else entry.updates
                size += len(data)
                if parts and size > SLICE_BYTES:
                    break
                parts.append(deflated(data) if deflate and entry.seq else data)
            at += 1
        return b"".join(parts), self.first + at


def _pos_of(entry: Entry) -> int:
    return entry.pos


def _cost(entry: Entry) -> int:
    """Bytes that an entry holds in memory: a frame that both views share counts once."""
    return len(entry.plain) + (len(entry.updates) if entry.updates is not entry.plain else 0) + ENTRY_BYTES
