"""The event log in memory: the same contract without durability, for tests and for sessions that may be forgotten."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Iterable

from myagent.core.audit import GENESIS, chained, hash_of
from myagent.eventlog import (
    QUEUE_BYTES,
    LogFailed,
    LogFull,
    LogRefused,
    Opened,
    PromptKey,
    Stored,
    Unit,
    UnitRejected,
    unit_size,
    with_seq,
    within,
)


class MemoryLog:
    """Commits on the next turn of the event loop. What it holds lasts as long as the object, also over `close`."""

    def __init__(self) -> None:
        self._events: list[Stored] = []
        self._by_session: defaultdict[str, list[Stored]] = defaultdict(list)
        self._states: dict[str, bytes] = {}
        self._heads: dict[str, int] = {}
        self._prompts: dict[tuple[str, str], PromptKey] = {}
        self.audit: list[bytes] = []
        self._pos = 0
        self._epoch = 0
        self._waiting: deque[Unit] = deque()
        self._queued = 0  # bytes of what waits
        self._full = False
        self._refusing: LogRefused | None = None
        self._scheduled = False
        self._told = asyncio.Event()  # pulsed after each commit
        self._closed = True

    async def open(self) -> Opened:
        self._loop = asyncio.get_running_loop()
        self._closed = False
        return Opened(dict(self._states), dict(self._heads), self._pos)

    @property
    def full(self) -> bool:
        """A switch for tests: while it is set there is no space."""
        return self._full

    @full.setter
    def full(self, full: bool) -> None:
        self._full = full
        if not full:
            self._refusing = None
            self._schedule()

    def write(self, unit: Unit) -> None:
        if self._closed:
            if unit.on_refuse is not None:
                self._loop.call_soon(unit.on_refuse, LogFailed("it is closed"))
            return
        self._waiting.append(unit)
        self._queued += unit_size(unit)
        self._schedule()

    async def room(self) -> None:
        await self._until(lambda: self._queued < QUEUE_BYTES)

    async def flush(self) -> None:
        units = list(self._waiting)  # held, so that no later unit gets the identity of one of them
        ids = set(map(id, units))
        await self._until(lambda: ids.isdisjoint(map(id, self._waiting)))

    @property
    def refusing(self) -> LogRefused | None:
        return self._refusing

    async def read(self, after_pos: int, *, max_bytes: int) -> list[Stored]:
        self._check_open()
        start = bisect_right(self._events, after_pos, key=lambda event: event.pos)
        return _up_to(self._events[start:], max_bytes)

    async def read_session(
        self, session_id: str, after_seq: int, *, until_seq: int | None = None, max_bytes: int
    ) -> list[Stored]:
        self._check_open()
        events = self._by_session.get(session_id, [])
        start = bisect_right(events, after_seq, key=lambda event: event.seq)
        end = len(events) if until_seq is None else bisect_right(events, until_seq, key=lambda event: event.seq)
        return _up_to(events[start:end], max_bytes)

    async def read_back(self, session_id: str, before_seq: int, *, limit: int, max_bytes: int) -> list[Stored]:
        self._check_open()
        events = self._by_session.get(session_id, [])
        end = bisect_right(events, before_seq - 1, key=lambda event: event.seq)
        return _up_to(reversed(events[max(0, end - limit) : end]), max_bytes)[::-1]

    async def find_prompt(self, client_id: str, session_id: str) -> PromptKey | None:
        self._check_open()
        return self._prompts.get((session_id, client_id))

    async def find_opening(self, client_id: str, digest: bytes) -> PromptKey | None:
        self._check_open()
        keys = reversed(self._prompts.values())
        return next((key for key in keys if key.opened and key.client_id == client_id and key.digest == digest), None)

    async def read_audit(self, after: int, *, max_bytes: int) -> list[tuple[int, bytes]]:
        self._check_open()
        return within(enumerate(self.audit[after:], after + 1), max_bytes)

    async def reserve_epochs(self, count: int) -> int:
        self._check_open()
        if self._full:
            self._refusing = LogFull()
            raise LogFull
        first = self._epoch + 1
        self._epoch += count
        return first

    async def retain(self, keep: int) -> None:
        self._check_open()
        kept: set[int] = set()
        for session_id, events in self._by_session.items():
            del events[: max(0, len(events) - keep)]
            kept.update(event.pos for event in self._by_session[session_id])
        self._events = [event for event in self._events if event.pos in kept]

    async def close(self) -> None:
        if self._closed:
            return
        self._commit()
        self._closed = True
        left, self._waiting, self._queued = self._waiting, deque(), 0
        for unit in left:
            _refuse(unit, LogFailed("it is closed"))
        self._pulse()

    def _check_open(self) -> None:
        if self._closed:
            raise LogFailed("it is closed")

    def _schedule(self) -> None:
        if not self._scheduled and self._waiting:
            self._scheduled = True
            self._loop.call_soon(self._commit)

    def _commit(self) -> None:
        self._scheduled = False
        units, self._waiting = self._waiting, deque()
        outcomes: list[Callable[[], None]] = []
        for unit in units:
            outcome = self._store(unit)
            if outcome is None:
                self._waiting.append(unit)
            else:
                self._queued -= unit_size(unit)
                outcomes.append(outcome)
        for outcome in outcomes:
            try:
                outcome()
            except Exception as error:  # as asyncio does: the others have to be told all the same
                self._loop.call_exception_handler({"message": "a log callback failed", "exception": error})
        self._pulse()

    def _store(self, unit: Unit) -> Callable[[], None] | None:
        """Store a unit, or not; what to tell, `None` for a fact that has to wait."""
        if self._full:
            self._refusing = refused = LogFull()
            return None if unit.fact else lambda: _refuse(unit, refused)
        keys = [(key.session_id, key.client_id) for key in unit.prompts]
        if len(set(keys)) < len(keys) or not self._prompts.keys().isdisjoint(keys):
            rejected = UnitRejected("a prompt with this id is stored already")
            if unit.on_refuse is None:
                context = {"message": "a fact that cannot be stored was dropped", "exception": rejected}
                return lambda: self._loop.call_exception_handler(context)
            return lambda: _refuse(unit, rejected)
        stored = [
            Stored(self._pos + number, draft.session_id, seq, with_seq(draft.body, seq), draft.update)
            for number, (draft, seq) in enumerate(zip(unit.events, self._seqs(unit), strict=True), 1)
        ]
        for session_id, seq in unit.skips.items():
            self._heads[session_id] = max(seq, self._heads.get(session_id, 0))
        for session_id in (*unit.sessions, *(key.session_id for key in unit.prompts)):
            self._heads.setdefault(session_id, 0)
        for event in stored:
            self._heads[event.session_id] = event.seq
            self._by_session[event.session_id].append(event)
        self._events += stored
        self._pos += len(stored)
        self._states |= unit.sessions
        self._prompts |= zip(keys, unit.prompts, strict=True)
        for body in unit.audit:
            prev = hash_of(self.audit[-1]) if self.audit else GENESIS
            self.audit.append(chained(body, len(self.audit) + 1, prev))
        self._refusing = None
        return lambda: unit.on_commit(stored)

    def _seqs(self, unit: Unit) -> Iterable[int]:
        heads = {each: max(seq, self._heads.get(each, 0)) for each, seq in unit.skips.items()}
        for draft in unit.events:
            heads[draft.session_id] = heads.get(draft.session_id, self._heads.get(draft.session_id, 0)) + 1
            yield heads[draft.session_id]

    def _pulse(self) -> None:
        self._told.set()
        self._told = asyncio.Event()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._told.wait()


def _refuse(unit: Unit, error: LogRefused) -> None:
    if unit.on_refuse is not None:
        unit.on_refuse(error)


def _up_to(events: Iterable[Stored], max_bytes: int) -> list[Stored]:
    """The first event, and what follows it as far as it fits."""
    found: list[Stored] = []
    size = 0
    for event in events:
        size += len(event.body) + len(event.update or b"")
        if size > max_bytes and found:
            break
        found.append(event)
    return found
