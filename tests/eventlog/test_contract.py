"""The event log's contract, held against both logs."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myagent.eventlog import (
    QUEUE_BYTES,
    Draft,
    EventLog,
    LogFailed,
    LogRefused,
    PromptKey,
    Stored,
    Unit,
    UnitRejected,
    with_seq,
)
from myagent.eventlog.memory import MemoryLog
from myagent.eventlog.sqlite import SqliteLog

ALL = 1 << 40  # bytes: more than any log here holds


class Place:
    """Where a log's content is: `log()` gives a closed log over it, as after a restart."""

    def __init__(self, kind: str, directory: Path) -> None:
        memory = MemoryLog()
        self.log: Callable[[], EventLog] = (
            (lambda: memory) if kind == "memory" else (lambda: SqliteLog(directory / "sessions.db"))
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[EventLog]:
        log = self.log()
        await log.open()
        try:
            yield log
        finally:
            await log.close()


@pytest.fixture(params=["memory", "sqlite"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, tmp_path)


def event(session: str, text: str = "x", *, update: bytes | None = None) -> Draft:
    return Draft(session, json.dumps({"type": "agent_stdout", "chunk": text}).encode(), update)


async def store(log: EventLog, *events: Draft, **parts: object) -> list[Stored]:
    """Write one unit and wait for its commit; raises what it was refused with."""
    done: asyncio.Future[list[Stored]] = asyncio.get_running_loop().create_future()
    log.write(Unit(on_commit=done.set_result, on_refuse=done.set_exception, events=events, **parts))  # type: ignore[arg-type]
    return await done


def test_seq_is_dense_in_each_session_and_pos_over_all(place: Place) -> None:
    async def script() -> None:
        async with place.open() as log:
            first = await store(log, event("a"), event("b"), event("a"))
            assert [(e.pos, e.session_id, e.seq) for e in first] == [(1, "a", 1), (2, "b", 1), (3, "a", 2)]
            second = await store(log, event("b"), event("c"))
            assert [(e.pos, e.session_id, e.seq) for e in second] == [(4, "b", 2), (5, "c", 1)]
            assert await log.read(0, max_bytes=ALL) == first + second

    asyncio.run(script())


def test_the_stored_body_is_the_draft_with_its_seq(place: Place) -> None:
    async def script() -> None:
        async with place.open() as log:
            (stored,) = await store(log, Draft("a", b'{"type":"prompt"}', b'{"k":1}'))
            assert (stored.body, stored.update) == (b'{"type":"prompt","seq":1}', b'{"k":1}')
            assert await log.read_session("a", 0, max_bytes=ALL) == [stored]

    asyncio.run(script())


def test_commits_are_told_in_order_on_the_loops_thread_and_never_within_write(place: Place) -> None:
    async def script() -> None:
        async with place.open() as log:
            told: list[tuple[int, int]] = []
            for number in range(500):
                log.write(
                    Unit(
                        on_commit=lambda _, n=number: told.append((n, threading.get_ident())),  # type: ignore[misc]
                        events=(event("a"),),
                    )
                )
                assert not told or told[-1][0] < number
            await log.flush()
            assert told == [(n, threading.get_ident()) for n in range(500)]

    asyncio.run(script())


def test_a_callback_may_write_and_one_that_raises_does_not_silence_the_others(place: Place) -> None:
    async def script() -> None:
        failures: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["exception"]))
        async with place.open() as log:
            told: list[str] = []
            broken = ZeroDivisionError()

            def chain(_: object) -> None:
                told.append("first")
                log.write(Unit(on_commit=lambda _: told.append("chained")))

            def fail(_: object) -> None:
                raise broken

            log.write(Unit(on_commit=chain, events=(event("a"),)))
            log.write(Unit(on_commit=fail, events=(event("a"),)))
            log.write(Unit(on_commit=lambda _: told.append("last"), events=(event("a"),)))
            await log.flush()
            await log.flush()
            assert told == ["first", "last", "chained"]
            assert failures == [broken]

    asyncio.run(script())


def test_a_unit_is_stored_whole_or_not_at_all(place: Place) -> None:
    """One bad unit among good ones is refused alone, and leaves neither events nor state nor a hole in `seq`."""

    async def script() -> None:
        async with place.open() as log:
            await store(log, event("a", "kept"), prompts=(PromptKey("a", "p1", b"d"),))
            good = asyncio.gather(*(store(log, event("a", f"before {n}")) for n in range(5)))
            bad = asyncio.create_task(
                store(
                    log,
                    event("a", "never"),
                    event("new"),
                    sessions={"a": b"never", "new": b"never"},
                    prompts=(PromptKey("a", "p2", b"d"), PromptKey("a", "p1", b"other")),
                    audit=(b"{}",),
                )
            )
            also_good = asyncio.gather(*(store(log, event("a", f"after {n}")) for n in range(5)))
            await good
            with pytest.raises(UnitRejected):
                await bad
            await also_good
            events = await log.read(0, max_bytes=ALL)
            assert [e.seq for e in events] == list(range(1, 12))
            assert [e.pos for e in events] == list(range(1, 12))
            assert not any(b"never" in e.body for e in events)
            assert await log.find_prompt("p2", "a") is None
            assert await log.find_prompt("p1", "a") == PromptKey("a", "p1", b"d")
            assert log.refusing is None
        opened = await place.log().open()
        assert opened.sessions == {}
        assert opened.heads == {"a": 11}

    asyncio.run(script())


def test_a_bad_fact_is_dropped_and_reported(place: Place) -> None:
    async def script() -> None:
        reports: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context["message"]))
        async with place.open() as log:
            twice = (PromptKey("a", "p", b"d"), PromptKey("a", "p", b"d"))
            log.write(Unit(on_commit=lambda _: pytest.fail("stored"), events=(event("a"),), prompts=twice, fact=True))
            (stored,) = await store(log, event("a"))
            assert stored.seq == 1
        assert reports == ["a fact that cannot be stored was dropped"]

    asyncio.run(script())


def test_prompts_are_found_by_session_or_as_what_opened_one(place: Place) -> None:
    async def script() -> None:
        keys = [
            PromptKey("a", "p", b"1", opened=True),
            PromptKey("b", "p", b"2", opened=True),
            PromptKey("c", "p", b"3"),
            PromptKey("c", "q", b"4"),
        ]
        async with place.open() as log:
            for key in keys:
                await store(log, prompts=(key,))
        async with place.open() as log:
            for key in keys:
                assert await log.find_prompt(key.client_id, key.session_id) == key
            assert await log.find_opening("p", b"1") == keys[0]
            assert await log.find_opening("p", b"2") == keys[1]
            assert await log.find_opening("p", b"3") is None  # it opened nothing
            assert await log.find_opening("q", b"1") is None
            assert await log.find_prompt("q", "a") is None
            assert await log.find_prompt("p", "unknown") is None

    asyncio.run(script())


def test_a_restart_finds_the_last_state_the_heads_and_the_pos(place: Place) -> None:
    async def script() -> None:
        async with place.open() as log:
            await store(log, event("a"), sessions={"a": b"1", "empty": b"{}"})
            await store(log, event("a"), event("b"), sessions={"a": b"2"})
        log = place.log()
        opened = await log.open()
        assert opened.sessions == {"a": b"2", "empty": b"{}"}
        assert opened.heads == {"a": 2, "b": 1, "empty": 0}
        assert opened.pos == 3
        (stored,) = await store(log, event("b"))
        assert (stored.pos, stored.seq) == (4, 2)
        await log.close()

    asyncio.run(script())


def test_no_epoch_is_ever_given_twice(place: Place) -> None:
    async def script() -> None:
        given: list[int] = []
        for _ in range(3):
            async with place.open() as log:
                for count in (1, 16, 3):
                    first = await log.reserve_epochs(count)
                    given += range(first, first + count)
        assert given == sorted(set(given))
        assert given[0] >= 1

    asyncio.run(script())


def test_reads_stop_at_max_bytes_and_give_at_least_one(place: Place) -> None:
    async def script() -> None:
        async with place.open() as log:
            stored = await store(log, *(event("a", "x" * 50, update=b'"%d"' % n) for n in range(10)))
            size = len(stored[0].body) + len(stored[0].update or b"")
            assert await log.read(0, max_bytes=0) == stored[:1]
            assert await log.read(0, max_bytes=3 * size) == stored[:3]
            assert await log.read(0, max_bytes=3 * size - 1) == stored[:2]
            assert await log.read(4, max_bytes=ALL) == stored[4:]
            assert await log.read(10, max_bytes=ALL) == []
            assert await log.read_session("a", 2, max_bytes=3 * size) == stored[2:5]
            assert await log.read_session("a", 2, until_seq=4, max_bytes=ALL) == stored[2:4]
            assert await log.read_session("a", 4, until_seq=4, max_bytes=ALL) == []
            assert await log.read_session("a", 9, until_seq=99, max_bytes=0) == stored[9:]
            assert await log.read_session("unknown", 0, max_bytes=ALL) == []
            assert await log.read_back("a", 6, limit=3, max_bytes=ALL) == stored[2:5]
            assert await log.read_back("a", 6, limit=99, max_bytes=2 * size) == stored[3:5]
            assert await log.read_back("a", 6, limit=99, max_bytes=0) == stored[4:5]
            assert await log.read_back("a", 1, limit=9, max_bytes=ALL) == []
            assert await log.read_back("unknown", 9, limit=9, max_bytes=ALL) == []

    asyncio.run(script())


def test_retain_keeps_the_last_events_of_every_session_and_the_gap_can_be_seen(place: Place) -> None:
    async def script() -> None:
        async with place.open() as log:
            await store(log, *(event("a") for _ in range(30)), *(event("b") for _ in range(3)))
            await log.retain(5)
            assert [e.seq for e in await log.read_session("a", 0, max_bytes=ALL)] == [26, 27, 28, 29, 30]
            assert [e.seq for e in await log.read_session("b", 0, max_bytes=ALL)] == [1, 2, 3]
            assert [e.pos for e in await log.read(0, max_bytes=ALL)] == [26, 27, 28, 29, 30, 31, 32, 33]
            assert [e.seq for e in await log.read_back("a", 28, limit=9, max_bytes=ALL)] == [26, 27]

    asyncio.run(script())


def test_numbers_are_not_reused_after_everything_was_dropped(place: Place) -> None:
    async def script() -> None:
        async with place.open() as log:
            await store(log, event("a"), event("a"), event("b"), prompts=(PromptKey("a", "p", b"d", opened=True),))
            await log.retain(0)
            assert await log.read(0, max_bytes=ALL) == []
            assert await log.find_opening("p", b"d") is not None
        log = place.log()
        opened = await log.open()
        assert opened.heads == {"a": 2, "b": 1}
        assert opened.pos == 3
        (stored,) = await store(log, event("a"))
        assert (stored.pos, stored.seq) == (4, 3)
        await log.close()

    asyncio.run(script())


def test_room_holds_a_producer_back_until_enough_is_committed(place: Place) -> None:
    async def script() -> None:
        async with place.open() as log:
            await log.room()
            told: list[int] = []
            for number in range(4):
                log.write(
                    Unit(
                        on_commit=lambda _, n=number: told.append(n),  # type: ignore[misc]
                        events=(event("a", "x" * (QUEUE_BYTES // 2)),),
                    )
                )
            assert told == []
            await log.room()
            assert told[:3] == [0, 1, 2]  # of 2 MiB less than 1 waits: at least three are gone

    asyncio.run(script())


def test_flush_returns_after_everything_before_it_was_told(place: Place) -> None:
    async def script() -> None:
        async with place.open() as log:
            await log.flush()
            told: list[int] = []
            for number in range(100):
                log.write(
                    Unit(on_commit=lambda _, n=number: told.append(n), events=(event("a"),))  # type: ignore[misc]
                )
            await asyncio.gather(log.flush(), log.flush())
            assert told == list(range(100))

    asyncio.run(script())


def test_close_commits_what_is_queued_and_may_be_called_again(place: Place) -> None:
    async def script() -> None:
        log = place.log()
        await log.open()
        told: list[list[Stored]] = []
        log.write(Unit(on_commit=told.append, events=(event("a"),)))
        await asyncio.gather(log.close(), log.close())
        await log.close()
        assert [e.seq for stored in told for e in stored] == [1]
        with pytest.raises(LogFailed, match="closed"):
            await store(log, event("a"))
        with pytest.raises(LogFailed, match="closed"):
            await log.read(0, max_bytes=ALL)
        await log.flush()
        async with place.open() as again:
            assert [e.seq for e in await again.read(0, max_bytes=ALL)] == [1]

    asyncio.run(script())


def test_big_events_come_back_as_they_were(place: Place) -> None:
    async def script() -> None:
        async with place.open() as log:
            for size in (64 << 10, 1 << 20, 2 << 20):
                (stored,) = await store(log, event("a", "y" * size, update=b'"' + b"u" * size + b'"'))
                assert await log.read(stored.pos - 1, max_bytes=1) == [stored]
                assert json.loads(stored.body)["chunk"] == "y" * size

    asyncio.run(script())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)
drafts = st.builds(
    lambda session, body, update, ascii: Draft(
        session,
        json.dumps(body, ensure_ascii=ascii).encode("utf-8", "surrogatepass"),
        None if update is None else json.dumps(update).encode(),
    ),
    st.sampled_from(["a", "b", "ü'\"%"]),
    st.dictionaries(st.text().filter("seq".__ne__), json_values, min_size=1, max_size=3),
    st.none() | json_values,
    st.booleans(),
)
steps = st.lists(
    st.lists(st.lists(drafts, max_size=4), max_size=4) | st.just("restart") | st.integers(0, 3), min_size=1, max_size=6
)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@settings(deadline=None, max_examples=40)
@given(steps=steps)
def test_a_log_is_the_list_of_what_was_given_to_it(kind: str, steps: list[object]) -> None:
    """Any units, restarts and retentions: what is read is what a plain list would hold."""

    async def script(place: Place) -> None:
        log = place.log()
        await log.open()
        model: list[Stored] = []
        heads: dict[str, int] = {}
        pos = 0
        for step in steps:
            if step == "restart":
                await log.close()
                log = place.log()
                opened = await log.open()
                assert (opened.heads, opened.pos) == (heads, pos)
            elif isinstance(step, int):
                await log.retain(step)
                model = [e for e in model if e.seq > heads[e.session_id] - step]
            else:
                assert isinstance(step, list)
                told: list[Stored] = []
                expected: list[Stored] = []
                for unit in step:
                    for draft in unit:
                        seq = heads[draft.session_id] = heads.get(draft.session_id, 0) + 1
                        pos += 1
                        body = with_seq(draft.body, seq)
                        expected.append(Stored(pos, draft.session_id, seq, body, draft.update))
                    log.write(Unit(on_commit=told.extend, events=unit))
                await log.flush()
                assert told == expected
                model += expected
            assert await log.read(0, max_bytes=ALL) == model
            for session_id in heads:
                ours = [e for e in model if e.session_id == session_id]
                assert await log.read_session(session_id, 0, max_bytes=ALL) == ours
                assert await log.read_back(session_id, 2**53, limit=2, max_bytes=ALL) == ours[-2:]
        for stored in model:
            try:
                decoded = json.loads(stored.body)
            except UnicodeDecodeError:
                continue  # a lone surrogate, kept as the bytes that it came as
            assert decoded["seq"] == stored.seq
        await log.close()

    with TemporaryDirectory() as directory:
        asyncio.run(script(Place(kind, Path(directory))))


def test_refused_units_say_so_and_facts_wait_for_space_in_order() -> None:
    """With the switch of the memory log; `test_sqlite.py` does it with a disk that is full."""

    async def script() -> None:
        log = MemoryLog()
        await log.open()
        log.full = True
        told: list[object] = []
        refused: list[LogRefused] = []
        for number in range(6):
            log.write(
                Unit(
                    on_commit=lambda stored, n=number: told.append((n, stored[0].seq)),  # type: ignore[misc]
                    on_refuse=refused.append,
                    events=(event("a"),),
                    fact=number % 2 == 0,
                )
            )
        with pytest.raises(LogRefused):
            await store(log, event("a"))
        with pytest.raises(LogRefused):
            await log.reserve_epochs(1)
        assert told == [] and len(refused) == 3 and log.refusing is not None
        assert await log.read(0, max_bytes=ALL) == []
        log.full = False
        await log.flush()
        assert told == [(0, 1), (2, 2), (4, 3)] and log.refusing is None
        log.full = True
        log.write(Unit(told.append, refused.append, events=(event("a"),), fact=True))
        await log.close()
        assert len(told) == 3 and isinstance(refused[-1], LogFailed)

    asyncio.run(script())


def test_closing_a_log_that_was_never_opened_does_nothing(place: Place) -> None:
    async def script() -> None:
        log = place.log()
        await log.close()
        await log.close()

    asyncio.run(script())


def test_a_copy_skips_what_it_could_not_get_and_its_readers_see_that(place: Place) -> None:
    async def script() -> None:
        async with place.open() as log:
            await store(log, event("a"))
            done = asyncio.get_running_loop().create_future()
            unit = Unit(done.set_result, events=(event("a"), event("b"), event("a")), skips={"a": 40, "b": 7})
            log.write(unit)
            assert [(each.session_id, each.seq) for each in await done] == [("a", 41), ("b", 8), ("a", 42)]
            log.write(Unit(lambda _: None, skips={"c": 3, "a": 5}))  # what is behind the head skips nothing
            await log.flush()
            assert [each.seq for each in await log.read_session("a", 0, max_bytes=ALL)] == [1, 41, 42]
        async with place.open() as log:
            assert [each.seq for each in await store(log, event("a"))] == [43]
            assert [each.seq for each in await store(log, event("c"))] == [4]

    asyncio.run(script())
