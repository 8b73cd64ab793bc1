"""Delivery to those who are up to date: what one turn of the event loop produced goes out in one write to each.

A **group** is the cursors at the end of the window that get the same bytes. How a connection gets there, and what it is
sent while it is behind, is in `cursor`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Protocol

from myagent.delivery.window import ENTRY_BYTES, View, Window
from myagent.eventlog import EventLog, Stored


class Sink(Protocol):
    """A connection's outgoing side."""

    paused: bool  # set and cleared by the transport: bytes wait to be sent

    @property
    def socket(self) -> int:
        """The descriptor that takes the same bytes as `write` while nothing waits, or -1 if there is none (TLS)."""

    def write(self, data: bytes, /) -> None:
        """Hand over whole frames, or the rest of one that the socket took a part of; may set `paused`."""

    def fail(self) -> None:
        """End this connection: the server could not go on serving it."""


class Member(Protocol):
    """A cursor, as its group knows it."""

    sink: Sink

    def leave_group(self) -> None: ...

    async def read(self) -> None: ...


class Group:
    """Cursors at the end of the window which get the same bytes."""

    __slots__ = ("deflate", "index", "session_id", "sockets", "view")

    def __init__(self, view: View, session_id: str | None, index: int, *, deflate: bool) -> None:
        self.view: View = view
        self.session_id = session_id
        self.deflate = deflate  # whether they asked for compression
        self.index = index  # all members have been given everything before this
        self.sockets: dict[Member, int] = {}  # of all members; nothing waits to be sent to any of them

    def write(self, data: bytes) -> None:
        """Send to each member. The transport comes in where the socket does not take all of it: two thirds of what
        Python does for a delivery is `Transport.write`."""
        size = len(data)
        for cursor, socket in self.sockets.items():
            try:
                sent = os.write(socket, data) if socket >= 0 else 0
            except OSError:  # full, or broken: the transport finds out the same, and knows what to do
                sent = 0
            if sent != size:
                cursor.sink.write(data[sent:])


class Fanout:
    """All delivery of one workspace: the window, the groups, the flush once in a turn of the event loop."""

    def __init__(
        self,
        window: Window,
        log: EventLog,
        *,
        announce_gaps: bool = False,
        cover: Callable[[bytes], bytes] = lambda payload: payload,
    ) -> None:
        self.window = window
        self.log = log
        self._cover = cover  # what of a state's message may be told
        self.announce_gaps = announce_gaps  # retention may drop events: keep count of what each cursor has seen
        self.writes = 0  # transport writes for groups so far: with `window.next`, what tests and metrics count
        self.on_flush: Callable[[], None] = lambda: None  # called when the groups have what is new
        self._groups: dict[tuple[View, str | None, bool], Group] = {}
        self._flushing = False
        self._held: list[Member] = []  # members whose transport filled up in the flush that runs now
        self._unflushed = 0  # bytes that the window may hold and groups have not been given
        self._reads: set[asyncio.Task[None]] = set()

    def event(self, stored: Stored) -> None:
        views = 1 if stored.update is None else 2
        self._make_room(views * len(stored.body) + len(stored.update or b""))
        self.window.event(stored)

    def state(self, payload: bytes, *, kind: str | None = None, session_id: str | None = None) -> None:
        """Tell state to everybody, in its place among the events."""
        payload = self._cover(payload)
        self._make_room(len(payload))
        self.window.state(payload, kind=kind, session_id=session_id)

    def forget(self, session_id: str) -> None:
        """A session is gone: there is nothing of it to be missed."""
        self.window.heads.pop(session_id, None)
        self.window.dropped.pop(session_id, None)

    def flush(self) -> None:
        """Give every group what is new."""
        self._unflushed = 0
        for group in list(self._groups.values()):
            self._flush_group(group)
        self.on_flush()

    def group(self, view: View, session_id: str | None, *, deflate: bool) -> Group:
        """The group for a view, brought up to date."""
        key = (view, session_id, deflate)
        if key in self._groups:
            self._flush_group(self._groups[key])  # which may fill up all its members, and then it is gone
        if key not in self._groups:
            self._groups[key] = Group(view, session_id, self.window.next, deflate=deflate)
        return self._groups[key]

    def leave(self, group: Group, cursor: Member) -> None:
        del group.sockets[cursor]
        if not group.sockets:
            self._groups.pop((group.view, group.session_id, group.deflate), None)

    def hold(self, cursor: Member) -> bool:
        """Whether a flush is under way, which then takes the cursor out of its group itself."""
        if self._flushing:
            self._held.append(cursor)
        return self._flushing

    def start_read(self, cursor: Member) -> None:
        task = asyncio.get_running_loop().create_task(cursor.read(), name="read log")
        self._reads.add(task)
        task.add_done_callback(self._reads.discard)

    async def close(self) -> None:
        reads = list(self._reads)
        for task in reads:
            task.cancel()
        await asyncio.gather(*reads, return_exceptions=True)

    def _make_room(self, size: int) -> None:
        """Flush before the window could drop what a group has not been given; else once, when this turn is over."""
        if self._unflushed and self._unflushed + size > self.window.window_bytes // 4:
            self.flush()
        if not self._unflushed:
            asyncio.get_running_loop().call_soon(self.flush)
        self._unflushed += size + ENTRY_BYTES

    def _flush_group(self, group: Group) -> None:
        window = self.window
        self._flushing = True
        while group.index != window.next and group.sockets:
            data, end = window.slice(group.view, group.session_id, group.index, deflate=group.deflate)
            group.index = end
            if data:
                group.write(data)
                self.writes += len(group.sockets)
            if self._held:
                held, self._held = self._held, []
                for cursor in held:
                    cursor.leave_group()
        group.index = window.next
        self._flushing = False
