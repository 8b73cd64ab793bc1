"""Delivery, whatever readers do: each gets one contiguous run of every session, or a gap, in the bytes of the log."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from contextlib import ExitStack, suppress

import msgspec
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from tests.delivery.world import SESSIONS, WINDOW, Move, Reader, World, frames_of, play

from myagent.core.messages import SessionId
from myagent.delivery.cursor import Cursor
from myagent.delivery.fanout import Fanout, Group
from myagent.delivery.window import SLICE_BYTES, Entry, View, Window
from myagent.eventlog import Draft, Stored, Unit
from myagent.eventlog.memory import MemoryLog

MOVES = {
    "publish": 8,
    "commit": 3,
    "tell": 4,
    "state": 5,
    "join": 5,
    "resume": 4,
    "look": 1,
    "drain": 6,
    "leave": 1,
    "lag": 1,
    "turn": 4,
    "settle": 2,
}
small = st.integers(0, 9)


def moves_of(weights: dict[str, int]) -> st.SearchStrategy[list[Move]]:
    names = [name for name, weight in weights.items() for _ in range(weight)]
    return st.lists(st.tuples(st.sampled_from(names), small, small, small), min_size=30, max_size=100)


keeping_all, with_retention = moves_of(MOVES), moves_of({**MOVES, "retain": 2})


def without_gaps() -> World:
    return World(announce_gaps=False)


@settings(max_examples=150)
@given(keeping_all)
def test_every_reader_gets_everything_when_all_is_kept(moves: list[Move]) -> None:
    play(moves, without_gaps)


@settings(max_examples=150)
@given(with_retention)
def test_every_reader_gets_everything_or_a_gap_where_the_log_forgets(moves: list[Move]) -> None:
    play(moves)


@pytest.mark.long
@settings(max_examples=5_000)
@given(with_retention)
def test_every_reader_gets_everything_or_a_gap_for_long(moves: list[Move]) -> None:
    play(moves)


@pytest.mark.long
@settings(max_examples=5_000)
@given(keeping_all)
def test_every_reader_gets_everything_for_long(moves: list[Move]) -> None:
    play(moves, without_gaps)


# --- single cases -------------------------------------------------------------------------------------------------


def test_who_comes_while_the_only_other_reader_fills_up_gets_what_comes_next() -> None:
    full_at_once, never_full = 0, 3
    moves: list[Move] = [("join", 0, 9, full_at_once), ("publish", 0, 0, 0), ("join", 0, 9, never_full)]
    play([*moves, ("turn", 0, 0, 0), ("publish", 0, 0, 0)])


def test_more_than_the_window_in_one_turn_of_the_event_loop_reaches_everybody_in_order() -> None:
    for kind in ([("state", 5, 0, 0)], [("commit", 0, 0, 4), ("turn", 0, 0, 0), ("tell", 0, 0, 0)]):
        world = play([("join", 0, 9, 3), *(kind * 900)])
        assert len(world.readers[0].received) >= 900


def test_what_the_log_forgot_while_the_window_had_it_is_a_gap_to_who_reads_the_log() -> None:
    fill: list[Move] = [("publish", 0, 0, 0)] * 24
    behind: list[Move] = [("join", 0, 0, 0), ("publish", 0, 0, 0), ("publish", 1, 3, 1), ("publish", 0, 1, 8)]
    play([*fill, *behind, ("publish", 1, 0, 0), ("retain", 0, 0, 0)])


def test_a_burst_is_one_write_to_each_member_of_a_group() -> None:
    async def burst() -> None:
        world = World()
        await world.log.open()
        readers = [world.join(0, 9, 3) for _ in range(10)]
        world.commit(0, 0, 0)
        await world.log.flush()
        before = world.fanout.writes
        for number in range(50):
            world.state(number, 0, 0)
        world.tell(0, 0, 0)
        world.fanout.flush()
        assert world.fanout.writes - before == 10
        assert {reader.writes for reader in readers} == {1}
        await world.finish()

    asyncio.run(burst())


def test_what_a_socket_does_not_take_goes_through_the_transport() -> None:
    rest: dict[str, bytes] = {}
    group, sent = Group("plain", None, 0, deflate=False), bytes(range(256)) * 4096  # 1 MiB, more than a socket's buffer
    ends = {name: socket.socketpair() for name in ("reads", "is full", "is gone")}
    with ExitStack() as stack:
        for name, (ours, theirs) in ends.items():
            stack.enter_context(ours)
            stack.enter_context(theirs)
            ours.setblocking(False)
            group.sockets[cursor_of(rest, name)] = ours.fileno()
        group.sockets[cursor_of(rest, "is encrypted")] = -1
        ends["is gone"][1].close()
        with suppress(BlockingIOError):
            while True:
                ends["is full"][0].send(b"earlier")
        group.write(sent)
        taken = ends["reads"][1].recv(len(sent), socket.MSG_DONTWAIT)
    assert rest["is full"] == rest["is gone"] == rest["is encrypted"] == sent
    assert 0 < len(taken) < len(sent)
    assert taken + rest["reads"] == sent


def cursor_of(rest: dict[str, bytes], name: str) -> Cursor:
    """A cursor whose transport keeps what is written to it, by name."""
    world = World()
    reader = Reader(world, None, 0)
    reader.write = lambda data: rest.__setitem__(name, data)  # type: ignore[method-assign]
    return reader.cursor


def test_a_large_burst_is_one_write_a_slice() -> None:
    async def burst() -> None:
        world = World()
        world.window.window_bytes = 8 << 20
        await world.log.open()
        readers = [world.join(0, 9, 3) for _ in range(3)]
        for _ in range(20):
            world.commit(0, 2, 3)
        await world.log.flush()
        while world.untold:
            world.tell(0, 0, 0)
        slices, index = 0, 0
        while index < world.window.next:
            _, index = world.window.slice("plain", None, index)
            slices += 1
        world.fanout.flush()
        assert slices == 10  # 20 events of 30,000 bytes
        assert {reader.writes for reader in readers} == {slices}
        await world.finish()

    asyncio.run(burst())


def test_a_reader_that_does_not_read_costs_one_slice() -> None:
    full_at_once = 0
    world_of_one: list[Move] = [("join", 0, 9, full_at_once), *[("publish", 0, 2, 0)] * 40]

    async def stalled() -> None:
        world = World()
        await world.log.open()
        for name, *numbers in world_of_one:
            done = getattr(world, name)(*numbers)
            if asyncio.iscoroutine(done):
                await done
        await world.settle(0, 0, 0)
        assert world.readers[0].unsent <= SLICE_BYTES + 100
        assert world.window.first > 0  # it fell below the window
        await world.finish()

    asyncio.run(stalled())


@pytest.mark.parametrize("keep", [None, 1], ids=["state", "gaps"])
def test_what_was_missed_of_many_sessions_comes_in_slices(keep: int | None) -> None:
    """A reader that comes back gets the state of each session, or a gap in it: with thousands, more than one write."""
    assert asyncio.run(largest_write_on_return(Cursor, keep)) <= SLICE_BYTES + HEADS


@pytest.mark.parametrize("keep", [None, 1], ids=["state", "gaps"])
def test_all_that_was_missed_in_one_write_would_be_found(keep: int | None) -> None:
    """Negative control."""
    assert asyncio.run(largest_write_on_return(EntersAtOnce, keep)) > SLICE_BYTES + HEADS


HEADS = 8 * 1024  # bytes of frames' heads in a slice of the smallest events
MANY = 2_000  # sessions


class EntersAtOnce(Cursor):
    def _enter(self, index: int, parts: list[bytes]) -> None:
        parts += self._missed(index)
        self._index = index


async def largest_write_on_return(cursor_type: type[Cursor], keep: int | None) -> int:
    log, sink = MemoryLog(), Taking()
    await log.open()
    fanout = Fanout(Window({}, 0, window_bytes=WINDOW), log, announce_gaps=keep is not None)
    stored: list[Stored] = []
    for number in range(MANY):
        session_id = SessionId(f"remote_20260101000000_{number:08x}")
        bodies = [msgspec.json.encode({"type": "agent_stdout", "sessionId": session_id, "chunk": "."})] * 2
        log.write(Unit(stored.extend, events=[Draft(session_id, body) for body in bodies]))
    await log.flush()
    cursor = cursor_type(fanout, sink, session_id=None)
    cursor.start()
    sink.paused = True
    cursor.hold()
    for event in stored:
        fanout.event(event)
        state = b'{"type":"state","of":"%b","is":"%b"}' % (event.session_id.encode(), b"x" * 200)
        fanout.state(state, kind=f"session {event.session_id}", session_id=SessionId(event.session_id))
    if keep is not None:
        await log.retain(keep)
    fanout.flush()
    assert not sink.written
    sink.paused = False
    cursor.pump()
    while not cursor.live:
        await asyncio.sleep(0)
    await fanout.close()
    await log.close()
    messages = [msgspec.json.decode(each) for data in sink.written for each in frames_of(data)]
    kinds = Counter(each["type"] for each in messages)
    told = [each["of"] for each in messages if each["type"] == "state"]
    assert set(told) == {event.session_id for event in stored}
    assert kinds["agent_stdout"] == MANY * (2 if keep is None else 1)
    assert kinds["gap"] == (0 if keep is None else MANY)
    return max(map(len, sink.written))


class Taking:
    """A connection's outgoing side that keeps what it is given."""

    socket = -1

    def __init__(self) -> None:
        self.paused = False
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def fail(self) -> None:
        raise AssertionError("a reader was failed")


def test_readers_of_one_session_are_given_nothing_of_another() -> None:
    moves: list[Move] = [("join", 2, 9, 3), *(("publish", number, 0, 1) for number in range(9))]
    reader = play(moves).readers[0]
    assert reader.session_id == SESSIONS[0]
    assert len(reader.received) == 6


def test_a_log_that_cannot_be_read_ends_only_who_needs_it(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(World):
        async def break_log(self, _: int, __: int, ___: int) -> None:
            async def read_session(*_: object, **__: object) -> list[Stored]:
                raise OSError("gone")

            self.log.read_session = read_session  # type: ignore[method-assign]

    moves: list[Move] = [("join", 0, 9, 3), ("join", 0, 9, 3), ("publish", 0, 0, 0), ("break_log", 0, 0, 0)]
    with pytest.raises(AssertionError, match="a reader was failed"):
        play([*moves, ("resume", 0, 0, 0), ("settle", 0, 0, 0), ("turn", 0, 0, 0)], Broken)
    assert "reading the log for a connection failed" in caplog.text


# --- negative controls: what the rules must find ------------------------------------------------------------------


class OffByOne(Window):
    def index_after(self, pos: int) -> int | None:
        index = super().index_after(pos)
        return None if index is None else min(index + 1, self.next)


class ForgetsTheFirst(Window):
    def heads_at(self, index: int, session_id: str | None) -> dict[str, int]:
        return {name: head + 1 for name, head in super().heads_at(index, session_id).items()}


class DoesNotCountUpdates(Fanout):
    """As it was once: the window could drop what groups had not been given."""

    def _make_room(self, size: int) -> None:
        if not self._unflushed:
            asyncio.get_running_loop().call_soon(self.flush)
        self._unflushed += 1


class KeepsEmptyGroups(Fanout):
    """As it was once: a group whose members all fill up is gone, and the newcomer stands in it."""

    def group(self, view: View, session_id: str | None, *, deflate: bool) -> Group:
        group = self._groups.get((view, session_id, deflate))
        if group is None:
            group = Group(view, session_id, self.window.next, deflate=deflate)
            self._groups[view, session_id, deflate] = group
        else:
            self._flush_group(group)
        return group


class NeverHolds(Fanout):
    def hold(self, cursor: Cursor) -> bool:
        return True


class ForgetsState(Cursor):
    def _enter(self, index: int, parts: list[bytes]) -> None:
        latest, self._fanout.window.latest = self._fanout.window.latest, {}
        try:
            super()._enter(index, parts)
        finally:
            self._fanout.window.latest = latest


class ShowsTooEarly(Cursor):
    """Shows whatever the log has, published or not."""

    async def _read_behind(self) -> None:
        window = self._fanout.window
        rows = await self._fanout.log.read(self._pos, max_bytes=SLICE_BYTES)
        parts = self._frames(rows, self._seen, self._skip or {})
        self._pos = rows[-1].pos if rows else window.pos
        index = window.index_after(self._pos)
        if index is not None:
            self._enter(index, parts)
        self._write(b"".join(parts))


class ForgetsToSkip(Cursor):
    def _send_slice(self) -> None:
        self._skip = None
        super()._send_slice()


class ForgetsGaps(Cursor):
    def _frames(self, rows: list[Stored], seen: dict[str, int] | None, skip: dict[str, int]) -> list[bytes]:
        return [part for part in super()._frames(rows, seen, skip) if b'"type":"gap"' not in part]


class SendsEverythingAtOnce(Window):
    def _cut(self, view: View, session_id: str | None, index: int, skip: dict[str, int]) -> tuple[bytes, int]:
        parts, at = [], index
        while at < self.next:
            part, at = super()._cut(view, session_id, at, skip)
            parts.append(part)
        return b"".join(parts), at


class MixesViews(Window):
    def event(self, stored: Stored) -> None:
        super().event(stored)
        last = self._entries[-1]
        self._entries[-1] = Entry(last.pos, last.session_id, last.seq, last.updates, last.plain)


@pytest.mark.parametrize(
    "broken",
    [
        OffByOne,
        ForgetsTheFirst,
        DoesNotCountUpdates,
        KeepsEmptyGroups,
        NeverHolds,
        ForgetsState,
        ShowsTooEarly,
        ForgetsToSkip,
        ForgetsGaps,
        SendsEverythingAtOnce,
        MixesViews,
    ],
)
def test_a_broken_delivery_is_found(broken: type[Window] | type[Fanout] | type[Cursor]) -> None:
    def make() -> World:
        if issubclass(broken, Window):
            return World(window_type=broken)
        return World(fanout_type=broken) if issubclass(broken, Fanout) else World(cursor_type=broken)

    def goes_wrong(moves: list[Move]) -> bool:
        try:
            play(moves, make)
        except (AssertionError, KeyError, IndexError):
            return True
        return False

    once = settings(max_examples=3_000, derandomize=True, database=None, phases=[Phase.generate])
    assert find(with_retention, goes_wrong, settings=once)


def test_retention_that_is_not_announced_is_found() -> None:
    moves: list[Move] = [("join", 0, 9, 0), *[("publish", 0, 3, 0)] * 9, ("retain", 0, 0, 0)]
    play(moves)
    with pytest.raises(AssertionError, match="was due"):
        play(moves, without_gaps)
