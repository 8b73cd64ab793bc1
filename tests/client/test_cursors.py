"""A reconnecting client sees each session's events once, in order, whatever interleaves with its resumes."""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from myagent.client.cursors import Cursors
from myagent.client.errors import LogShrunk, MissingEvents

SESSIONS = ("a", "b", "c")

# What may happen next; the number picks a session where one is needed.
STEPS = ("append", "send", "send", "receive", "receive", "obey", "ask", "drop", "retain")
SCRIPTS = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, len(SESSIONS) - 1)), max_size=80)


class World:
    """A server with its logs, one connection at a time with frames on the way, and the client under test."""

    def __init__(self, cursors: Cursors) -> None:
        self.heads: dict[str, int] = {}
        self.first: dict[str, int] = {}  # the oldest event that is kept
        self.cursors = cursors
        self.shown: dict[str, list[int]] = {}
        self.gaps: dict[str, set[int]] = {}
        self.start: dict[str, int] = {}  # where the client came in
        self.connections = 0
        self.ids = 0
        self.connect()

    def connect(self) -> None:
        """The welcome arrives; all other frames and commands of the new connection are still to come."""
        self.position = dict(self.heads)  # the server's cursor of each session: live
        self.replays: dict[str, tuple[str, int]] = {}  # session → resume under way, and the head when it was taken up
        self.to_client: deque[tuple[Any, ...]] = deque()
        self.to_server: deque[tuple[str, str, int]] = deque()
        if not self.connections:
            self.start = dict(self.heads)
        self.cursors.disconnected()
        self.cursors.connected(self.heads, again=self.connections > 0)
        self.connections += 1

    def step(self, name: str, session: str) -> None:
        getattr(self, f"_{name}")(session)

    def _append(self, session: str) -> None:
        self.heads[session] = self.heads.get(session, 0) + 1
        self.first.setdefault(session, 1)

    def _retain(self, session: str) -> None:
        if session in self.heads:
            self.first[session] = max(self.first[session], self.heads[session])

    def _send(self, session: str) -> bool:
        """The server's one loop: the next event after its cursor, or the gap before it."""
        at = self.position.get(session, 0)
        if at >= self.heads.get(session, 0):
            return False
        if at + 1 < self.first[session]:
            self.to_client.append(("gap", session, at + 1, self.first[session] - 1))
            self.position[session] = self.first[session] - 1
        else:
            self.to_client.append(("event", session, at + 1))
            self.position[session] = at + 1
        self._tell_replayed(session)
        return True

    def _tell_replayed(self, session: str) -> None:
        if session in self.replays and self.position.get(session, 0) >= self.replays[session][1]:
            self.to_client.append(("replayed", self.replays.pop(session)[0]))

    def _obey(self, _: str) -> bool:
        if not self.to_server:
            return False
        resume, session, after = self.to_server.popleft()
        self.to_client.append(("ack", resume))
        self.position[session] = after
        self.replays[session] = (resume, self.heads[session])
        self._tell_replayed(session)
        return True

    def _ask(self, _: str) -> bool:
        missed = self.cursors.next_resume()
        if missed is None:
            return False
        self.ids += 1
        resume = f"r{self.ids}"
        self.to_server.append((resume, *missed))
        self.cursors.asked(resume, *missed)
        return True

    def _receive(self, _: str) -> bool:
        if not self.to_client:
            return False
        match self.to_client.popleft():
            case ("event", session, seq):
                if self.cursors.event(session, seq):
                    self.shown.setdefault(session, []).append(seq)
            case ("gap", session, start, end):
                if self.cursors.gap(session, start, end):
                    self.gaps.setdefault(session, set()).update(range(start, end + 1))
            case ("ack", resume):
                assert self.cursors.acked(resume)
            case ("replayed", resume):
                self.cursors.replayed(resume)
        return True

    def _drop(self, _: str) -> None:
        self.connect()

    def settle(self) -> None:
        """Let everything that is on the way arrive."""
        while any([self._ask(""), self._obey(""), *(self._send(session) for session in SESSIONS), self._receive("")]):
            pass

    def check(self) -> None:
        assert self.cursors.behind == frozenset()
        for session, head in self.heads.items():
            shown = self.shown.get(session, [])
            assert shown == sorted(set(shown)), "twice, or out of order"
            expected = set(range(self.start.get(session, 0) + 1, head + 1))
            assert set(shown) | self.gaps.get(session, set()) >= expected, "lost"
            assert set(shown) <= expected


def play(script: list[tuple[str, int]], cursors: Cursors) -> World:
    world = World(cursors)
    for name, number in script:
        world.step(name, SESSIONS[number])
    world.settle()
    world.check()
    return world


@given(SCRIPTS)
@settings(max_examples=600, deadline=None)
def test_each_event_is_shown_once_and_in_order_whatever_interleaves(script: list[tuple[str, int]]) -> None:
    play(script, Cursors())


class ForgetsThatAResumeIsOutstanding(Cursors):
    def _superseded(self, session_id: str) -> bool:
        return False


class StepsOverHoles(Cursors):
    def event(self, session_id: str, seq: int) -> bool:
        try:
            return super().event(session_id, seq)
        except MissingEvents:
            self.last[session_id] = seq
            return True

    def next_resume(self) -> tuple[str, int] | None:
        missed = super().next_resume()
        return None if missed is None else (missed[0], self._heads.get(missed[0], missed[1]))


class ResumesTooEarly(Cursors):
    def next_resume(self) -> tuple[str, int] | None:
        missed = super().next_resume()
        return None if missed is None else (missed[0], max(0, missed[1] - 1))

    def event(self, session_id: str, seq: int) -> bool:
        return super().event(session_id, seq) or not self._superseded(session_id)


class TakesTheHeadOfNewSessions(Cursors):
    def connected(self, heads: Any, *, again: bool, only: str | None = None) -> None:
        super().connected(heads, again=again, only=only)
        for session, head in heads.items():
            if self.last.get(session) == 0:
                self.last[session] = head
                self._planned.pop(session, None)


@pytest.mark.parametrize(
    "broken", [ForgetsThatAResumeIsOutstanding, StepsOverHoles, ResumesTooEarly, TakesTheHeadOfNewSessions]
)
def test_breaking_a_rule_is_found(broken: type[Cursors]) -> None:
    """The negative controls of the test above."""

    def fails(script: list[tuple[str, int]]) -> bool:
        try:
            play(script, broken())
        except (AssertionError, MissingEvents):
            return True
        return False

    # The same search each time; the rarest fault takes it 1,200 scripts at most (six seeds tried).
    once = settings(max_examples=30_000, deadline=None, database=None, phases=[Phase.generate])
    assert find(SCRIPTS, fails, settings=once, random=Random(1))


def test_a_hole_without_a_gap_is_an_error() -> None:
    cursors = Cursors()
    cursors.connected({"a": 3}, again=False)
    assert cursors.event("a", 4)
    with pytest.raises(MissingEvents) as caught:
        cursors.event("a", 6)
    assert str(caught.value) == "events of session a are missing: 6 came after 4"
    with pytest.raises(MissingEvents):
        cursors.gap("a", 6, 8)


def test_what_was_seen_is_dropped() -> None:
    cursors = Cursors()
    cursors.connected({"a": 3}, again=False)
    assert [cursors.event("a", seq) for seq in (1, 3, 4, 4)] == [False, False, True, False]


def test_a_gap_is_a_step_over_what_is_gone() -> None:
    cursors = Cursors()
    cursors.connected({"a": 0}, again=False)
    assert cursors.gap("a", 1, 9)
    assert not cursors.gap("a", 1, 9)
    assert cursors.event("a", 10)


def test_a_session_that_stood_still_is_not_resumed() -> None:
    cursors = Cursors()
    cursors.connected({"a": 3, "b": 5}, again=False)
    cursors.disconnected()
    cursors.connected({"a": 3, "b": 6, "c": 2, "d": 0}, again=True)
    asked = []
    while (missed := cursors.next_resume()) is not None:
        asked.append(missed)
        cursors.asked(f"r{len(asked)}", *missed)
    assert sorted(asked) == [("b", 5), ("c", 0)]
    assert cursors.behind == {"b", "c"}


def test_going_back_on_request_shows_again_what_was_seen() -> None:
    cursors = Cursors()
    cursors.connected({"a": 3}, again=False)
    assert cursors.event("a", 4)
    cursors.asked("r", "a", 0, moved=True)
    assert cursors.event("a", 5)
    assert cursors.acked("r")
    assert [seq for seq in range(1, 6) if cursors.event("a", seq)] == [1, 2, 3, 4, 5]
    cursors.replayed("r")
    assert cursors.behind == frozenset()


def test_a_refused_resume_is_planned_again_or_forgotten() -> None:
    cursors = Cursors()
    cursors.connected({"a": 1}, again=False)
    cursors.disconnected()
    cursors.connected({"a": 2}, again=True)
    cursors.asked("r1", "a", 1)
    assert cursors.refused("r1", again=True)
    assert cursors.next_resume() == ("a", 1)
    cursors.asked("r2", "a", 1)
    assert cursors.refused("r2", again=False)
    assert cursors.next_resume() is None
    assert "a" not in cursors.last
    assert not cursors.refused("something else", again=True)


def test_a_log_that_ends_before_what_was_seen_is_an_error() -> None:
    cursors = Cursors()
    cursors.connected({"a": 7}, again=False)
    cursors.disconnected()
    with pytest.raises(LogShrunk):
        cursors.connected({"a": 5}, again=True)
