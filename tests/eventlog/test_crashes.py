"""What was told to be stored is there after kill −9 and after power loss; a failing disk is never trusted again."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Literal

import pytest
from watched_disk import Disk, Sync, Write, watched

from myagent.eventlog import Draft, LogFailed, LogFull, LogRefused, Stored, Unit, writer
from myagent.eventlog.sqlite import SqliteLog

ALL = 1 << 40


async def contents(path: Path) -> tuple[list[Stored], dict[str, bytes]]:
    log = SqliteLog(path)
    opened = await log.open()
    events = await log.read(0, max_bytes=ALL)
    await log.close()
    return events, opened.sessions


def check_whole(events: list[Stored], states: dict[str, bytes]) -> None:
    """Dense, every unit with all of its events, and every state that of its session's last unit."""
    assert [e.pos for e in events] == list(range(1, len(events) + 1))
    for session, state in states.items():
        ours = [e for e in events if e.session_id == session]
        assert [e.seq for e in ours] == list(range(1, len(ours) + 1))
        bodies = [json.loads(e.body) for e in ours]
        for _, unit in groupby(bodies, key=lambda body: body["unit"]):
            members = list(unit)
            assert len(members) == members[0]["of"]
        assert json.loads(state) == {"last": bodies[-1]["unit"]}


def kill_and_count(path: Path, kills: int, *mode: str) -> tuple[int, int]:
    """Kill a writing process again and again, on the same log; how many units were told of, and lost."""
    told: list[tuple[str, int, int, str]] = []
    chance = random.Random(kills)
    for _ in range(kills):
        with subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("child.py")), str(path), *mode], stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(chance.randint(1, 300))]
            child.kill()
            lines += child.stdout.readlines()
        assert child.returncode == -9, "the child ended by itself"
        for line in lines:
            session, first, last, unit = line.decode().split()
            told.append((session, int(first), int(last), unit))
        events, states = asyncio.run(contents(path))
        check_whole(events, states)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    units = {(e.session_id, e.seq): json.loads(e.body)["unit"] for e in events}
    lost = [t for t in told if any(units.get((t[0], seq)) != t[3] for seq in range(t[1], t[2] + 1))]
    return len(told), len(lost)


def test_kill_9_loses_nothing_that_was_told(tmp_path: Path) -> None:
    told, lost = kill_and_count(tmp_path / "sessions.db", 8)
    assert told >= 8
    assert lost == 0


@pytest.mark.long
def test_200_times_kill_9_loses_nothing_that_was_told(tmp_path: Path) -> None:
    told, lost = kill_and_count(tmp_path / "sessions.db", 200)
    print(f"{told} units told of, {lost} lost")
    assert lost == 0


def test_telling_before_the_commit_would_be_found(tmp_path: Path) -> None:
    """Negative control."""
    _, lost = kill_and_count(tmp_path / "sessions.db", 8, "early")
    assert lost > 0


async def write_watched(path: Path, disk: Disk, synchronous: Literal["FULL", "NORMAL"]) -> list[tuple[int, int]]:
    """Write 300 units; for each, how many operations the disk had seen when it was told, and its `seq`."""
    told: list[tuple[int, int]] = []
    log = SqliteLog(path, synchronous=synchronous)
    await log.open()
    for number in range(300):
        unit = str(number)
        log.write(
            Unit(
                on_commit=lambda stored: told.append((len(disk.operations), stored[-1].seq)),
                events=[Draft("a", json.dumps({"unit": unit, "of": 2, "chunk": "x" * 2000}).encode())] * 2,
                sessions={"a": json.dumps({"last": unit}).encode()},
            )
        )
        if number % 3 == 0:
            await log.flush()
    await log.flush()
    await log.close()
    return told


def lost_to_power(directory: Path, synchronous: Literal["FULL", "NORMAL"], cuts: int) -> int:
    """Cut the power at random moments of one and the same run; how many cuts lost something that was told."""
    original = directory / "original" / "sessions.db"
    original.parent.mkdir()
    with watched() as disk:

        async def record() -> list[tuple[int, int]]:
            log = SqliteLog(original)
            await log.open()  # put in its place and synced before SQLite sees it
            await log.close()
            disk.operations.clear()
            disk.operations += [Write(str(original), 0, original.read_bytes()), Sync(str(original))]
            return await write_watched(original, disk, synchronous)

        told = asyncio.run(record())
    last = told[-1][0]
    chance = random.Random(7)
    losses = 0
    for cut in range(cuts):
        at = chance.randint(2, last)
        place = directory / f"cut{cut}"
        place.mkdir()
        for name, content in disk.after_power_loss(at, chance).items():
            (place / Path(name).name).write_bytes(content)
        wal = place / "sessions.db-wal"
        wal.touch()  # its name is made durable when it is first synced; before that it has nothing
        events, states = asyncio.run(contents(place / "sessions.db"))
        check_whole(events, states)
        promised = max((seq for seen, seq in told if seen <= at), default=0)
        losses += len(events) < promised
        with closing(sqlite3.connect(place / "sessions.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return losses


@pytest.fixture
def often_checkpointed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "CHECKPOINT_BYTES", 400_000)


@pytest.mark.usefixtures("often_checkpointed")
def test_power_loss_loses_nothing_that_was_told(tmp_path: Path) -> None:
    assert lost_to_power(tmp_path, "FULL", 100) == 0


@pytest.mark.long
@pytest.mark.usefixtures("often_checkpointed")
def test_500_power_losses_lose_nothing_that_was_told(tmp_path: Path) -> None:
    assert lost_to_power(tmp_path, "FULL", 500) == 0


@pytest.mark.usefixtures("often_checkpointed")
def test_without_synchronous_full_power_loss_would_be_found(tmp_path: Path) -> None:
    """Negative control."""
    assert lost_to_power(tmp_path, "NORMAL", 100) > 0


@pytest.mark.parametrize(
    ("operation", "code"),
    [(Sync, sqlite3.SQLITE_IOERR_FSYNC), (Write, sqlite3.SQLITE_IOERR_WRITE)],
    ids=["fsync", "write"],
)
def test_a_failing_disk_is_never_trusted_again(tmp_path: Path, operation: type[Sync | Write], code: int) -> None:
    async def script() -> None:
        with watched() as disk:
            log = SqliteLog(tmp_path / "sessions.db")
            await log.open()
            told: list[object] = []
            log.write(Unit(on_commit=told.append, on_refuse=told.append, events=(Draft("a", b'{"n":1}'),)))
            await log.flush()
            disk.failing[operation] = code
            facts: list[object] = []
            log.write(Unit(on_commit=facts.append, events=(Draft("a", b'{"n":2}'),), fact=True))
            log.write(Unit(on_commit=told.append, on_refuse=told.append, events=(Draft("a", b'{"n":3}'),)))
            await log.flush()
            assert isinstance(log.refusing, LogFailed)
            disk.failing.clear()  # the disk says that all is well again: too late
            refused = disk.refused
            log.write(Unit(on_commit=told.append, on_refuse=told.append, events=(Draft("a", b'{"n":4}'),)))
            await log.room()
            await log.flush()
            with pytest.raises(LogFailed):
                await log.reserve_epochs(1)
            assert facts == []
            assert [type(outcome) for outcome in told] == [list, LogFailed, LogFailed]
            assert "SQLITE_IOERR" in str(told[-1]) and str(tmp_path) not in str(told[-1])
            assert [e.seq for e in await log.read(0, max_bytes=ALL)] == [1]
            assert disk.refused == refused
            await log.close()
        events, _ = await contents(tmp_path / "sessions.db")
        assert [e.seq for e in events] == list(range(1, len(events) + 1))
        assert events[0].body == b'{"n":1,"seq":1}'

    asyncio.run(script())


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE], ids=["full", "wal-index"])
def test_want_of_space_is_waited_out(tmp_path: Path, code: int) -> None:
    async def script() -> None:
        with watched() as disk:
            log = SqliteLog(tmp_path / "sessions.db")
            await log.open()
            disk.failing[Write] = code
            facts: list[list[Stored]] = []
            refused: list[LogRefused] = []
            for number in range(10):
                log.write(Unit(on_commit=facts.append, events=(Draft("a", b'{"fact":%d}' % number),), fact=True))
                log.write(
                    Unit(
                        on_commit=lambda _: pytest.fail("stored"), on_refuse=refused.append, events=(Draft("a", b"{"),)
                    )
                )
            with pytest.raises(LogFull):
                await log.reserve_epochs(1)
            while len(refused) < 10:
                await asyncio.sleep(0)
            assert {type(error) for error in refused} == {LogFull} == {type(log.refusing)}
            disk.failing.clear()
            await log.flush()
            assert log.refusing is None
            assert [e.body for stored in facts for e in stored] == [
                b'{"fact":%d,"seq":%d}' % (number, number + 1) for number in range(10)
            ]
            await log.close()

    asyncio.run(script())
