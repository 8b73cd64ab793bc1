"""A workspace's delivery under test: readers of every speed, and the rules that each of them is held to.

A `World` makes moves on a real log, run and fan-out. Each `Reader` is the outgoing side of a connection, with the
buffer of a transport, and checks every frame it is given against what the protocol promises; what was wrong is
collected, since whoever writes to a reader must not see it fail.
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from myagent.core.messages import SessionId
from myagent.delivery.cursor import Cursor
from myagent.delivery.fanout import Fanout
from myagent.delivery.window import SLICE_BYTES, Window, frame
from myagent.eventlog import Draft, Stored, Unit, with_update
from myagent.eventlog.memory import MemoryLog

SESSIONS = [SessionId(name) for name in ("r", "s", "t")]
SIZES = [10, 2_000, 30_000, 66_000]  # characters of an event's text
HIGH_WATER = [0, 20_000, SLICE_BYTES, 1 << 40]  # bytes unsent at which a reader's transport is full
WINDOW = 120_000  # bytes
KINDS: list[tuple[str | None, SessionId | None]] = [
    ("owner", None),
    ("presence", None),
    *((f"session {name}", name) for name in SESSIONS),
    (None, None),  # of which not only the latest matters
    (None, SESSIONS[0]),
]

Move = tuple[str, int, int, int]


class SlowLog(MemoryLog):
    """Answers reads some turns of the event loop later, with what it held when it was asked."""

    turns = 0

    async def read(self, after_pos: int, *, max_bytes: int) -> list[Stored]:
        rows = await super().read(after_pos, max_bytes=max_bytes)
        await self._wait()
        return rows

    async def read_session(
        self, session_id: str, after_seq: int, *, until_seq: int | None = None, max_bytes: int
    ) -> list[Stored]:
        rows = await super().read_session(session_id, after_seq, until_seq=until_seq, max_bytes=max_bytes)
        await self._wait()
        return rows

    async def _wait(self) -> None:
        for _ in range(self.turns):
            await asyncio.sleep(0)


def frames_of(data: bytes, *, deflates: bool = False) -> list[bytes]:
    """The payloads of whole, unmasked text frames; `deflates`: some of them may be compressed, each by itself."""
    payloads, at = [], 0
    while at < len(data):
        assert data[at] == 0x81 or (deflates and data[at] == 0xC1)
        packed = data[at] == 0xC1
        size, head = data[at + 1], 2
        if size == 126:
            (size,), head = struct.unpack_from("!H", data, at + 2), 4
            assert size >= 126, "the shortest form of a length is the only one (RFC 6455, section 5.2)"
        elif size == 127:
            (size,), head = struct.unpack_from("!Q", data, at + 2), 10
            assert size >= 1 << 16
        payload = data[at + head : at + head + size]
        payloads.append(zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff") if packed else payload)
        at += head + size
    assert at == len(data)
    return payloads


@dataclass
class Stretch:
    """A replay that is owed: the next seq, the last one, and who is to be told `replayed`."""

    session_id: str
    next: int
    last: int
    reply_to: str | None
    begun: bool = False


@dataclass(eq=False)
class Reader:
    """One connection's outgoing side, and what it has a right to."""

    world: World
    session_id: SessionId | None
    high_water: int
    deflates: bool = False
    cursor: Cursor = field(init=False)
    socket: int = -1  # all goes through `write`
    paused: bool = False
    unsent: int = 0
    due: dict[str, int] = field(default_factory=dict)  # session → the next seq that it is to get live
    owed: deque[Stretch] = field(default_factory=deque)
    told: dict[str | None, int] = field(default_factory=lambda: defaultdict(lambda: -1))  # kind → latest number
    joined: int = 0  # how many frames had been published when it came
    steady: bool = True  # it never fell behind, nor asked for anything: it gets exactly what is published
    resumed: bool = False
    left: bool = False
    received: list[bytes] = field(default_factory=list)
    writes: int = 0

    def __post_init__(self) -> None:
        self.cursor = self.world.cursor_type(self.world.fanout, self, session_id=self.session_id)
        self.cursor.deflate = self.deflates

    # --- the transport --------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        self.writes += 1
        self.world.expect(not self.left, "written to after it left")
        self.world.expect(not self.paused, "a paused reader was written to")
        self.world.expect(len(data) > 0, "nothing was written")
        try:
            self._check(data)
        except AssertionError as error:
            self.world.wrong.append(str(error))
        self.unsent += len(data)
        if self.unsent > self.high_water and not self.paused:
            self.paused, self.steady = True, False
            self.cursor.hold()

    def drain(self, count: int) -> None:
        """The other side reads some of what it was sent."""
        self.unsent = max(0, self.unsent - count)
        if self.paused and self.unsent <= self.high_water // 4:
            self.paused = False
            self.cursor.pump()

    def fail(self) -> None:
        self.world.wrong.append("a reader was failed")

    # --- the rules ------------------------------------------------------------------------------------------------

    def watches(self, session_id: str | None) -> bool:
        return None in (self.session_id, session_id) or self.session_id == session_id

    def join(self, after_seq: int | None) -> None:
        self.joined = len(self.world.published)
        self.due = {name: self.world.heads[name] + 1 for name in SESSIONS if self.watches(name)}
        if after_seq is not None and self.session_id is not None:
            self.steady = False
            if after_seq < self.world.heads[self.session_id]:
                last = self.world.heads[self.session_id]
                self.owed.append(Stretch(self.session_id, after_seq + 1, last, None, begun=True))
        self.cursor.start(after_seq)

    def resume(self, session_id: SessionId, after_seq: int, reply_to: str) -> None:
        self.steady, self.resumed = False, True
        head = self.world.heads[session_id]
        self.owed.append(Stretch(session_id, after_seq + 1, head, reply_to))
        self.due[session_id] = head + 1
        opening = frame(msgspec.json.encode({"type": "opening", "id": reply_to}))
        self.cursor.replay(session_id, after_seq, reply_to=reply_to, opening=opening)

    def _check(self, data: bytes) -> None:
        payloads = frames_of(data, deflates=self.deflates)
        self.received += payloads
        events = [payload for payload in payloads if self._take(payload, msgspec.json.decode(payload))]
        size = sum(map(len, events)) - 32 * len(events)  # frames' heads do not count
        assert len(events) == 1 or size <= SLICE_BYTES, f"{size} bytes were written at once"

    def _take(self, payload: bytes, message: dict[str, Any]) -> bool:
        """Judge one message; tell whether it is an event."""
        match message["type"]:
            case "agent_stdout":
                self._event(payload, message["sessionId"], message["seq"])
                return True
            case "gap":
                self._gap(message["sessionId"], message["from"], message["to"])
            case "opening":
                assert self.owed[0].reply_to == message["id"], "a replay began out of turn"
                assert not self.owed[0].begun, "a replay began twice"
                self.owed[0].begun = True
            case "replayed":
                done = self.owed.popleft()
                assert (done.reply_to, done.session_id, done.last) == (
                    message["id"],
                    message["sessionId"],
                    message["head"],
                ), "`replayed` out of order"
                assert done.begun, "`replayed` before it began"
                assert done.next > done.last, "`replayed` before its last event"
            case "state":
                kind = message["kind"]
                assert self.watches(message["session"]), "state of a session that it does not watch"
                assert message["number"] > self.told[kind], "older state after newer"
                self.told[kind] = message["number"]
            case _:
                raise AssertionError(f"unknown {payload[:40]!r}")
        return False

    def _event(self, payload: bytes, session_id: str, seq: int) -> None:
        stored = self.world.stored[session_id][seq - 1]
        assert self.watches(session_id), "an event of a session that it does not watch"
        assert payload in (stored.body, with_update(stored.body, stored.update)), "other bytes than the stored ones"
        if stored.update is not None:
            assert (payload != stored.body) == (self.cursor.view == "updates"), "the other view"
        assert stored.pos <= self.world.published_pos, "an event was shown before it was published"
        self._advance(session_id, seq, seq)

    def _gap(self, session_id: str, start: int, end: int) -> None:
        assert self.watches(session_id), "a gap in a session that it does not watch"
        assert start <= end < self.world.first_kept[session_id], "a gap where the log has events"
        self._advance(session_id, start, end)

    def _advance(self, session_id: str, start: int, end: int) -> None:
        """`start` is due; then what follows `end` is."""
        stretch = next((each for each in self.owed if each.session_id == session_id), None)
        if stretch is None:
            assert start == self.due[session_id], f"{session_id} {start} came, {self.due[session_id]} was due"
            self.due[session_id] = end + 1
            return
        assert stretch.begun and stretch is self.owed[0], "an event of a session whose replay has not begun"
        assert start == stretch.next <= stretch.last, f"{session_id} {start} came, {stretch.next} was due in a replay"
        stretch.next = end + 1
        if stretch.reply_to is None and stretch.next > stretch.last:
            self.owed.remove(stretch)

    def check_complete(self) -> None:
        """Nothing is left to send."""
        assert self.cursor.live, "at the end, and not live"
        assert self.cursor.has_passed(self.world.published_pos)
        assert not self.owed, "a replay was not finished"
        missing = {name: due for name, due in self.due.items() if due != self.world.heads[name] + 1}
        assert not missing, f"events are missing: {missing}, heads {dict(self.world.heads)}"
        for kind, (told_at, number, session_id) in self.world.latest.items():
            if kind is not None and told_at >= self.joined and self.watches(session_id):
                assert self.told[kind] == number, f"the latest state {kind!r} was not told"
        if self.steady and self.cursor.view == "plain":
            shown = [body for session, body in self.world.published[self.joined :] if self.watches(session)]
            assert self.received == shown, "not exactly what was published, in its order"


class World:
    """A log, a run, a fan-out, and everything that happens to them."""

    def __init__(
        self,
        *,
        window_type: type[Window] = Window,
        fanout_type: type[Fanout] = Fanout,
        cursor_type: type[Cursor] = Cursor,
        announce_gaps: bool = True,
    ) -> None:
        self.cursor_type = cursor_type
        self.log = SlowLog()
        self.window = window_type({}, 0, window_bytes=WINDOW)
        self.fanout = fanout_type(self.window, self.log, announce_gaps=announce_gaps)
        self.readers: list[Reader] = []
        self.wrong: list[str] = []
        self.untold: deque[list[Stored]] = deque()  # committed, not yet published
        self.stored: dict[str, list[Stored]] = defaultdict(list)
        self.heads: dict[str, int] = defaultdict(int)  # of what is published
        self.published_pos = 0
        self.published: list[tuple[str | None, bytes]] = []
        self.first_kept: dict[str, int] = defaultdict(lambda: 1)
        self.latest: dict[str | None, tuple[int, int, str | None]] = {}
        self.numbers = 0

    def expect(self, condition: bool, otherwise: str) -> None:
        if not condition:
            self.wrong.append(otherwise)

    async def play(self, moves: list[Move]) -> None:
        """Make the moves, then let everybody read to the end; raises `AssertionError` for the first thing wrong."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.wrong.append(f"{context['message']} {context}"))
        await self.log.open()
        try:
            for name, *numbers in moves:
                done = getattr(self, name)(*numbers)
                if isinstance(done, Awaitable):
                    await done
                assert not self.wrong, self.wrong[0]
                self._check_passed()
            await self.finish()
        finally:
            await self.fanout.close()
            await self.log.close()

    async def finish(self) -> None:
        await self.log.flush()
        while self.untold:
            self.tell(0, 0, 0)
        while True:
            await self.settle(0, 0, 0)
            if self.wrong or not any(reader.paused for reader in self.readers):
                break
            for reader in self.readers:
                reader.drain(1 << 40)
        assert not self.wrong, self.wrong[0]
        for reader in self.readers:
            reader.check_complete()

    def _check_passed(self) -> None:
        """Whoever is said to be past an event was given it."""
        for reader in self.readers:
            if reader.steady and not reader.owed:
                for name, due in reader.due.items():
                    left = [each for each in self.stored[name][due - 1 :] if each.pos <= self.published_pos]
                    assert not left or not reader.cursor.has_passed(left[0].pos), "said to be past an unseen event"

    # --- moves ----------------------------------------------------------------------------------------------------

    def commit(self, session: int, size: int, more: int) -> None:
        """Store one to three events, some with an update."""
        session_id = SESSIONS[session % len(SESSIONS)]
        drafts = []
        for number in range(1 + more % 3):
            text = str(number) * SIZES[(size + number) % len(SIZES)]
            update = b'"%b"' % (b"u" * SIZES[more % len(SIZES)]) if (size + more) % 4 == 0 else None
            body = msgspec.json.encode({"type": "agent_stdout", "id": "1", "sessionId": session_id, "chunk": text})
            drafts.append(Draft(session_id, body, update))
        self.log.write(Unit(self._committed, events=drafts))

    def _committed(self, stored: list[Stored]) -> None:
        self.untold.append(stored)
        for event in stored:
            self.stored[event.session_id].append(event)

    def tell(self, _: int, __: int, ___: int) -> None:
        """Publish what was committed first, if anything waits."""
        for event in self.untold.popleft() if self.untold else ():
            self.published_pos = event.pos
            self.heads[event.session_id] = event.seq
            self.published.append((event.session_id, event.body))
            self.fanout.event(event)

    async def publish(self, session: int, size: int, more: int) -> None:
        self.commit(session, size, more)
        await self.log.flush()
        while self.untold:
            self.tell(0, 0, 0)

    def state(self, kind: int, size: int, _: int) -> None:
        name, session_id = KINDS[kind % len(KINDS)]
        self.numbers += 1
        padding = "x" * SIZES[size % 2]
        message = {"type": "state", "kind": name, "number": self.numbers, "session": session_id, "padding": padding}
        payload = msgspec.json.encode(message)
        self.latest[name] = (len(self.published), self.numbers, session_id)
        self.published.append((session_id, payload))
        self.fanout.state(payload, kind=name, session_id=session_id)

    def join(self, session: int, after: int, speed: int) -> Reader:
        session_id = (None, None, *SESSIONS)[session % 5]
        reader = Reader(self, session_id, HIGH_WATER[speed % len(HIGH_WATER)], deflates=speed % 3 == 1)
        self.readers.append(reader)
        back = None if session_id is None or after > 6 else self.heads[session_id] * after // 6
        reader.join(back)
        return reader

    def resume(self, who: int, session: int, after: int) -> None:
        reader = self._some(who)
        if reader is not None and reader.cursor.replays < 4:
            session_id = reader.session_id or SESSIONS[session % len(SESSIONS)]
            self.numbers += 1
            reader.resume(session_id, self.heads[session_id] * after // 9, f"resume {self.numbers}")

    def look(self, who: int, _: int, __: int) -> None:
        reader = self._some(who)
        if reader is not None:
            reader.steady = False
            reader.cursor.look("updates")

    def drain(self, who: int, much: int, _: int) -> None:
        reader = self._some(who)
        if reader is not None:
            reader.drain(much * 10_000)

    def leave(self, who: int, _: int, __: int) -> None:
        reader = self._some(who)
        if reader is not None:
            self.readers.remove(reader)
            reader.cursor.drop()
            reader.left = True

    def lag(self, turns: int, _: int, __: int) -> None:
        self.log.turns = turns % 4

    async def turn(self, _: int, __: int, ___: int) -> None:
        await asyncio.sleep(0)

    async def settle(self, _: int, __: int, ___: int) -> None:
        """Let the event loop run until it has nothing to do for delivery."""
        calm = 0
        while calm < 2 and not self.wrong:  # what is wrong may be that it never ends
            await asyncio.sleep(0)
            calm = 0 if self.fanout._reads or self.fanout._unflushed else calm + 1

    async def retain(self, keep: int, _: int, __: int) -> None:
        await self.log.retain(keep + 1)
        for name, events in self.stored.items():
            self.first_kept[name] = max(self.first_kept[name], len(events) - keep)

    def _some(self, who: int) -> Reader | None:
        return self.readers[who % len(self.readers)] if self.readers else None


def play(moves: list[Move], make: Callable[[], World] = World) -> World:
    """Play moves in a world of their own."""

    async def playing() -> World:
        world = make()
        await world.play(moves)
        return world

    return asyncio.run(playing())
