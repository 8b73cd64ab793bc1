"""A session that is deleted is gone whole, for ever, and from the bytes of the files, whatever crashes."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.eventlog.test_contract import ALL, Place, event, store

from myagent.eventlog import Draft, PromptKey, Unit, UnitRejected, database
from myagent.eventlog.database import BUSY_SECONDS
from myagent.eventlog.sqlite import SqliteLog

CHILD = Path(__file__).with_name("deleting_child.py")
SECRET = b"what-was-in-it"
EVENTS = 400


@pytest.fixture(params=["memory", "sqlite"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, tmp_path)


def test_what_is_deleted_is_gone_and_the_rest_is_as_it_was(place: Place) -> None:
    async def script() -> None:
        key = PromptKey("gone", "p1", b"d" * 32, opened=True)
        async with place.open() as log:
            await store(log, event("gone"), event("kept"), event("gone"), sessions={"gone": b"{}", "kept": b"{}"})
            await store(log, event("gone"), prompts=(key, PromptKey("gone", "p2", b"e" * 32)))
            kept = await log.read_session("kept", 0, max_bytes=ALL)
            await store(log, deletes=("gone",), audit=(b'{"kind":"deleted","time":"t"}',))
            for _ in range(2):
                assert await log.read(0, max_bytes=ALL) == kept
                assert await log.read_session("gone", 0, max_bytes=ALL) == []
                assert await log.read_back("gone", 9, limit=9, max_bytes=ALL) == []
                await log.erase()
        log = place.log()
        opened = await log.open()
        assert (opened.heads, opened.sessions, opened.pos) == ({"kept": 1}, {"kept": b"{}"}, 4)
        assert len(await log.read_audit(0, max_bytes=ALL)) == 1
        assert (await store(log, event("new")))[0].pos == 5
        assert [each.session_id for each in await log.read(0, max_bytes=ALL)] == ["kept", "new"]
        await log.close()

    asyncio.run(script())


@pytest.mark.parametrize(
    "late",
    [
        {"events": (event("gone"),)},
        {"events": (event("kept"), event("gone"))},
        {"sessions": {"gone": b"{}"}},
        {"prompts": (PromptKey("gone", "p9", b"d" * 32),)},
        {"deletes": ("gone",)},
    ],
    ids=["events", "one of its events", "its state", "a prompt", "deleting it again"],
)
@pytest.mark.parametrize("moment", ["with it", "after it", "after a restart"])
def test_what_comes_late_is_rejected_as_a_whole(place: Place, late: dict[str, Any], moment: str) -> None:
    async def script() -> None:
        log = place.log()
        await log.open()
        await store(log, event("gone"), event("kept"), sessions={"gone": b"{}"})
        refused: list[Exception] = []
        log.write(Unit(lambda _: None, deletes=("gone",)))
        if moment != "with it":
            await log.erase()
            await log.flush()
        if moment == "after a restart":
            await log.close()
            log = place.log()
            await log.open()
        log.write(Unit(lambda _: refused.clear(), refused.append, **late))
        await log.flush()
        assert [type(each) for each in refused] == [UnitRejected]
        assert "deleted" in str(refused[0])
        assert [each.session_id for each in await log.read(0, max_bytes=ALL)] == ["kept"]
        await log.close()

    asyncio.run(script())


def test_an_opening_prompt_is_known_when_it_comes_again_and_no_other_is(place: Place) -> None:
    async def script() -> None:
        async with place.open() as log:
            await store(log, event("gone"), prompts=(PromptKey("gone", "p1", b"d" * 32, opened=True),))
            await store(log, prompts=(PromptKey("gone", "p2", b"e" * 32),))
            await store(log, deletes=("gone",))
            for digest, found in ((b"d" * 32, "gone"), (b"e" * 32, None)):
                key = await log.find_opening("p1", digest)
                assert (key and key.session_id) == found
            assert await log.find_opening("p2", b"e" * 32) is None
            assert await log.find_prompt("p1", "gone") is None
            await store(log, event("new"), prompts=(PromptKey("new", "p1", b"e" * 32, opened=True),))
            key = await log.find_opening("p1", b"e" * 32)
            assert key is not None
            assert key.session_id == "new"

    asyncio.run(script())


# --- the bytes --------------------------------------------------------------------------------------------------------


def left(path: Path) -> list[str]:
    """The files in which the deleted session's bytes are still found."""
    return sorted(file.name for file in path.parent.iterdir() if SECRET in file.read_bytes())


async def fill(log: SqliteLog, *, events: int = EVENTS) -> None:
    """Two sessions in turn, of small and of large events; the state of each is written again and again."""
    for number in range(events):
        size = 90_000 if number % 50 == 0 else 10 + 37 * number % 1500
        body = Draft("gone", json.dumps({"chunk": SECRET.decode() + "x" * size}).encode(), b'"%b"' % SECRET)
        state = b'"%b %d %b"' % (SECRET, number, b"y" * (number * 20))
        log.write(Unit(lambda _: None, events=(body, event("kept", "k" * size)), sessions={"gone": state}))
        await log.room()
    await log.flush()


async def deleted(path: Path) -> list[str]:
    """Fill a log, delete, and look before it is closed, which would take the -wal away."""
    log = SqliteLog(path)
    await log.open()
    await fill(log)
    await log.close()  # which moves all of it into the file
    assert left(path) == ["sessions.db"]
    log = SqliteLog(path)
    await log.open()
    await store(log, Draft("gone", b'{"chunk":"%b"}' % SECRET))
    assert left(path) == ["sessions.db", "sessions.db-wal"]
    log.write(Unit(lambda _: None, deletes=("gone",)))
    await log.erase()
    found = left(path)
    assert len(await log.read_session("kept", 0, max_bytes=ALL)) == EVENTS
    await log.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return found


def test_its_bytes_are_in_no_file(tmp_path: Path) -> None:
    assert asyncio.run(deleted(tmp_path / "sessions.db")) == []


def test_what_is_not_overwritten_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    connect = database._connect_writer

    def lazy(path: Path, synchronous: str) -> sqlite3.Connection:
        connection = connect(path, synchronous)
        connection.execute("PRAGMA secure_delete = OFF")
        return connection

    monkeypatch.setattr(database, "_connect_writer", lazy)
    assert asyncio.run(deleted(tmp_path / "sessions.db")) == ["sessions.db"]


def test_what_is_left_beside_the_file_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    call = SqliteLog._call

    async def hasty(self: SqliteLog, run: Any, *, overwrites: bool = False) -> Any:
        return await call(self, run)

    monkeypatch.setattr(SqliteLog, "_call", hasty)
    assert "sessions.db-wal" in asyncio.run(deleted(tmp_path / "sessions.db"))


def test_retention_overwrites_as_well(tmp_path: Path) -> None:
    async def script() -> None:
        path = tmp_path / "sessions.db"
        log = SqliteLog(path)
        await log.open()
        await store(log, Draft("a", json.dumps({"chunk": SECRET.decode()}).encode()), event("a"))
        await log.retain(1)
        await log.close()  # which moves the -wal into the file
        assert left(path) == []

    asyncio.run(script())


def test_whoever_reads_the_file_is_waited_for(tmp_path: Path) -> None:
    async def script() -> None:
        path = tmp_path / "sessions.db"
        log = SqliteLog(path)
        await log.open()
        await fill(log, events=20)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT * FROM events").fetchone()
            log.write(Unit(lambda _: None, deletes=("gone",)))
            erasing = asyncio.create_task(log.erase())
            for _ in range(5):
                await store(log, event("kept"))  # meanwhile nobody else waits
            assert not erasing.done()
            assert left(path)
            other.execute("COMMIT")
        await asyncio.wait_for(erasing, BUSY_SECONDS)
        assert left(path) == []
        await log.close()

    asyncio.run(script())


# --- crashes ----------------------------------------------------------------------------------------------------------


async def look(path: Path, *, erased: bool) -> tuple[int, bool]:
    """How many events of the session there are after a crash, and whether it is there; its bytes go if it is not."""
    log = SqliteLog(path)
    opened = await log.open()
    events = await log.read_session("gone", 0, max_bytes=ALL)
    assert len(await log.read_session("kept", 0, max_bytes=ALL)) == EVENTS
    if erased:
        assert left(path) == []
    if "gone" not in opened.heads:
        await log.erase()
        assert left(path) == []
    await log.close()
    return len(events), "gone" in opened.heads


def killed(path: Path, line: str, number: int, *mode: str) -> tuple[int, bool]:
    """Fill a log, have a session deleted there, kill who does it once it has said a line so many times."""

    async def prepare() -> None:
        log = SqliteLog(path)
        await log.open()
        await fill(log)
        await log.close()

    asyncio.run(prepare())
    with subprocess.Popen([sys.executable, str(CHILD), str(path), *mode], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        while number:
            said = child.stdout.readline().decode().strip()
            assert said, f"it ended before it said {line}"
            number -= said == line
        child.kill()
    assert child.returncode == -9
    return asyncio.run(look(path, erased=line == "erased"))


@pytest.mark.parametrize(
    ("line", "number"), [("deleting", 1), ("gone", 1), ("step", 1), ("step", 5), ("step", 10), ("erased", 1)]
)
def test_after_kill_9_it_is_whole_or_gone(tmp_path: Path, line: str, number: int) -> None:
    assert killed(tmp_path / "sessions.db", line, number) in ([(0, False), (EVENTS, True)][: 1 + (line == "deleting")])


def test_events_that_go_before_the_session_would_be_found(tmp_path: Path) -> None:
    """Negative control."""
    events, there = killed(tmp_path / "sessions.db", "step", 3, "halves")
    assert there
    assert 0 < events < EVENTS
