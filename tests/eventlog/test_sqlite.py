"""The SQLite log and its files: modes, what it refuses to open, a disk that is full, restarts and start-up."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from myagent.core.audit import GENESIS, chained, hash_of
from myagent.eventlog import Draft, LogFailed, LogFull, LogRefused, LogUnusable, PromptKey, Stored, Unit, database
from myagent.eventlog.sqlite import SqliteLog

ALL = 1 << 40


def event(text: str = "x") -> Draft:
    return Draft("a", b'{"chunk":"%b"}' % text.encode())


async def store(log: SqliteLog, *events: Draft, prompts: tuple[PromptKey, ...] = ()) -> list[Stored]:
    done: asyncio.Future[list[Stored]] = asyncio.get_running_loop().create_future()
    log.write(Unit(on_commit=done.set_result, on_refuse=done.set_exception, events=events, prompts=prompts))
    return await done


async def make(path: Path) -> None:
    log = SqliteLog(path)
    await log.open()
    await store(log, *(event("y" * 1000) for _ in range(100)))
    await log.close()


def crash(path: Path) -> None:
    """Add an event in a process that is then killed: leaves -wal and -shm."""
    script = (
        "import asyncio, os, sys; from pathlib import Path; from myagent.eventlog import *;"
        "from myagent.eventlog.sqlite import SqliteLog\n"
        "async def main():\n"
        "    log = SqliteLog(Path(sys.argv[1])); await log.open()\n"
        "    log.write(Unit(on_commit=lambda _: os.kill(os.getpid(), 9), events=[Draft('a', b'{\"last\":1}')]))\n"
        "    await log.flush()\n"
        "asyncio.run(main())"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)]).returncode == -signal.SIGKILL


def snapshot(directory: Path) -> dict[str, bytes | str | None]:
    return {
        file.name: os.readlink(file) if file.is_symlink() else file.read_bytes() if file.is_file() else None
        for file in directory.iterdir()
    }


async def refusal(path: Path) -> LogUnusable:
    """Try to open; what was said, having made sure that nothing was changed."""
    before = snapshot(path.parent)
    with pytest.raises(LogUnusable) as caught:
        await SqliteLog(path).open()
    after = snapshot(path.parent)
    if f"{path.name}-shm" in before:  # only an index of the -wal, made anew by whoever reads it
        del before[f"{path.name}-shm"], after[f"{path.name}-shm"]
    assert after == before
    return caught.value


def test_all_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    async def script() -> None:
        log = SqliteLog(tmp_path / "sessions.db")
        await log.open()
        await store(log, event())
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
        await log.close()
        assert modes == {"sessions.db": 0o600, "sessions.db-wal": 0o600, "sessions.db-shm": 0o600}

    umask = os.umask(0)
    try:
        asyncio.run(script())
    finally:
        os.umask(umask)
    assert [file.name for file in tmp_path.iterdir()] == ["sessions.db"]


def test_a_name_with_url_characters_is_a_name(tmp_path: Path) -> None:
    path = tmp_path / "100%?mode=memory#ü" / "sessions.db"
    path.parent.mkdir()
    asyncio.run(make(path))
    assert [file.name for file in path.parent.iterdir()] == ["sessions.db"]


def test_durable_settings_are_in_force(tmp_path: Path) -> None:
    with closing(database.open_for_writing(tmp_path / "sessions.db", "FULL")) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def overwrite(offset: int, data: bytes) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[offset : offset + len(data)] = data
        path.write_bytes(content)

    return change


def make_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def make_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


REFUSED = {
    "garbage": (lambda path: path.write_bytes(os.urandom(5000)), "not an SQLite database"),
    "empty": (lambda path: path.write_bytes(b""), "it is empty"),
    "short": (lambda path: path.write_bytes(path.read_bytes()[:50]), "not an SQLite database"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-4096]), "damaged"),
    "pages lost": (overwrite(4096, bytes(40_000)), "damaged"),
    "of a newer version": (overwrite(60, b"\0\0\0\2"), "a newer myagent wrote it (format 2, this one knows 1)"),
    "without a version": (overwrite(60, b"\0\0\0\0"), "damaged"),
    "of another program": (overwrite(68, b"\0\0\0\7"), "the database of another program"),
    "symbolic link": (make_link, "symbolic link"),
    "directory": (make_directory, "not a regular file"),
    "fifo": (make_fifo, "not a regular file"),
    "planted -wal": (lambda path: path.with_name("sessions.db-wal").symlink_to("/dev/null"), "symbolic link"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_a_log_is_refused_and_left_untouched(tmp_path: Path, name: str) -> None:
    path = tmp_path / "sessions.db"
    asyncio.run(make(path))
    spoil, said = REFUSED[name]
    spoil(path)
    error = asyncio.run(refusal(path))
    assert said in str(error)
    assert error.remedy


def test_a_newer_version_that_is_only_in_the_wal_is_refused_and_left_untouched(tmp_path: Path) -> None:
    live, path = tmp_path / "live" / "sessions.db", tmp_path / "copy" / "sessions.db"
    live.parent.mkdir()
    path.parent.mkdir()
    asyncio.run(make(live))
    with closing(sqlite3.connect(live)) as connection:
        connection.execute("PRAGMA user_version = 2")
        shutil.copy(live, path)
        shutil.copy(f"{live}-wal", f"{path}-wal")
    assert path.read_bytes()[60:64] == b"\0\0\0\1"
    assert "a newer myagent" in str(asyncio.run(refusal(path)))


def test_pages_damaged_in_a_crash_are_found(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    asyncio.run(make(path))
    crash(path)
    content = bytearray(path.read_bytes())
    content[-20_000:] = os.urandom(20_000)
    path.write_bytes(content)
    assert "damaged" in str(asyncio.run(refusal(path)))


def test_a_wal_without_its_log_is_refused(tmp_path: Path) -> None:
    """SQLite would move the old events into the new file."""
    path = tmp_path / "sessions.db"
    crash(path)
    path.unlink()
    assert "it is gone" in str(asyncio.run(refusal(path)))


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LogUnusable, match="cannot be written"):
        asyncio.run(SqliteLog(tmp_path / "none" / "sessions.db").open())


def test_after_a_crash_it_opens_by_itself_also_when_another_program_looked_first(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"

    async def heads() -> dict[str, int]:
        log = SqliteLog(path)
        opened = await log.open()
        await log.close()
        return opened.heads

    crash(path)
    assert path.with_name("sessions.db-wal").stat().st_size > 0
    assert asyncio.run(heads()) == {"a": 1}
    crash(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (2,)
    assert not path.with_name("sessions.db-wal").exists()
    assert asyncio.run(heads()) == {"a": 2}


def test_a_crash_while_creating_leaves_no_half_log(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    path.with_name("sessions.db.new").write_bytes(b"half of it")
    asyncio.run(make(path))
    assert [file.name for file in tmp_path.iterdir()] == ["sessions.db"]


def test_the_page_check_after_a_crash_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no time at all it is broken off, and the log opens."""
    path = tmp_path / "sessions.db"

    async def fill() -> None:
        log = SqliteLog(path)
        await log.open()
        for _ in range(60):
            await store(log, *(event("y" * 1000) for _ in range(1000)))
        await log.close()

    asyncio.run(fill())
    crash(path)
    interrupted: list[bool] = []
    connect = database._connect

    class Connection(sqlite3.Connection):
        def interrupt(self) -> None:
            interrupted.append(True)
            super().interrupt()

    def counting(path: Path, query: str) -> sqlite3.Connection:
        if "mode=ro" not in query:
            return connect(path, query)
        return sqlite3.connect(f"{path.as_uri()}?{query}", uri=True, factory=Connection, check_same_thread=False)

    monkeypatch.setattr(database, "_connect", counting)
    monkeypatch.setattr(database, "CHECK_SECONDS", 0.001)

    async def open_again() -> int:
        log = SqliteLog(path)
        opened = await log.open()
        await log.close()
        return opened.pos

    assert asyncio.run(open_again()) == 60_001
    assert interrupted


def test_damage_found_while_reading_ends_all_writing(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"

    async def script() -> None:
        await make(path)
        content = bytearray(path.read_bytes())
        middle = len(content) // 8192 * 4096
        content[middle : middle + 12_288] = b"\xff" * 12_288  # a clean close: the start does not check every page
        path.write_bytes(content)
        log = SqliteLog(path)
        await log.open()
        with pytest.raises(LogFailed, match="malformed"):
            await log.read(0, max_bytes=ALL)
        await log.flush()
        assert isinstance(log.refusing, LogFailed)
        with pytest.raises(LogFailed):
            await store(log, event())
        await log.close()

    asyncio.run(script())


def test_the_audit_trail_cannot_be_changed(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"

    async def script() -> None:
        log = SqliteLog(path)
        await log.open()
        log.write(Unit(on_commit=lambda _: None, audit=(b'{"a":1}', b'{"a":2}')))
        await log.close()

    asyncio.run(script())
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT n, body FROM audit").fetchall() == [
            (1, first := chained(b'{"a":1}', 1, GENESIS)),
            (2, chained(b'{"a":2}', 2, hash_of(first))),
        ]
        for statement in ("DELETE FROM audit", "UPDATE audit SET body = ''"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)


def test_the_wal_stays_small_while_somebody_reads_all_the_time(tmp_path: Path) -> None:
    async def script() -> None:
        log = SqliteLog(tmp_path / "sessions.db")
        await log.open()
        done = False

        async def follow() -> int:
            pos = 0
            while not done:
                for stored in await log.read(pos, max_bytes=1 << 18):
                    assert stored.pos == pos + 1
                    pos = stored.pos
            return pos

        follower = asyncio.create_task(follow())
        for _ in range(100):
            await store(log, *(event("y" * 1000) for _ in range(500)))
        size = (tmp_path / "sessions.db-wal").stat().st_size
        done = True
        await follower
        await log.close()
        assert size < 32 << 20  # of 50 MB written

    asyncio.run(script())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    mount = shutil.which("mount")
    place = tmp_path / "small"
    place.mkdir()
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root can make a small file system to fill")
    made = subprocess.run([mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"no small file system can be made here: {made.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> Path:
    """Take all the space that is left."""
    ballast = place / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (65536, 4096, 1):
            written = size
            while written:
                try:
                    written = file.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    written = 0
    return ballast


async def until_refused(log: SqliteLog) -> list[Stored]:
    """Write until the space that the -wal had left is used up; what was still stored."""
    stored: list[Stored] = []
    try:
        while True:
            stored += await store(log, event("z" * 20_000))
    except LogFull:
        return stored


def test_a_full_disk_refuses_commands_keeps_facts_and_heals(small_disk: Path) -> None:
    async def script() -> None:
        log = SqliteLog(small_disk / "sessions.db")
        await log.open()
        before = await store(log, event("before"), prompts=(PromptKey("a", "p", b"d"),))
        ballast = fill(small_disk)
        before += await until_refused(log)
        assert isinstance(log.refusing, LogFull)

        facts: list[Stored] = []
        refused: list[LogRefused] = []
        for number in range(20):
            log.write(Unit(on_commit=facts.extend, events=(event(f"fact {number} {'f' * 20_000}"),), fact=True))
            log.write(
                Unit(on_commit=lambda _: pytest.fail("stored"), on_refuse=refused.append, events=(event("z" * 20_000),))
            )
        with pytest.raises(LogFull):
            await store(log, event("z" * 20_000))
        assert facts == []
        assert [type(error) for error in refused] == [LogFull] * 20
        assert await log.read(0, max_bytes=ALL) == before
        assert await log.find_prompt("p", "a") is not None

        ballast.unlink()
        await log.flush()
        assert log.refusing is None
        assert [e.seq for e in facts] == list(range(len(before) + 1, len(before) + 21))
        assert [b"fact %d " % n in e.body for n, e in enumerate(facts)] == [True] * 20
        after = await store(log, event("after"))
        await log.close()

        log = SqliteLog(small_disk / "sessions.db")
        await log.open()
        assert await log.read(0, max_bytes=ALL) == before + facts + after
        await log.close()

    asyncio.run(script())


def test_the_log_finds_out_by_itself_that_there_is_space(small_disk: Path) -> None:
    async def script() -> None:
        log = SqliteLog(small_disk / "sessions.db")
        await log.open()
        ballast = fill(small_disk)
        await until_refused(log)
        ballast.unlink()
        async with asyncio.timeout(30):
            while log.refusing is not None:
                await asyncio.sleep(0.01)
        await store(log, event("z" * 20_000))
        await log.close()

    asyncio.run(script())


def test_it_closes_on_a_full_disk_and_opens_again_when_there_is_space(small_disk: Path) -> None:
    async def script() -> None:
        path = small_disk / "sessions.db"
        log = SqliteLog(path)
        await log.open()
        ballast = fill(small_disk)
        stored = await until_refused(log)
        lost: list[LogRefused] = []
        log.write(
            Unit(
                on_commit=lambda _: pytest.fail("stored"),
                on_refuse=lost.append,
                events=(event("z" * 2_000_000),),
                fact=True,
            )
        )
        flushed = asyncio.create_task(log.flush())
        await asyncio.sleep(0)
        await log.close()
        await flushed
        assert [type(error) for error in lost] == [LogFailed]
        ballast.unlink()
        log = SqliteLog(path)
        await log.open()
        assert await log.read(0, max_bytes=ALL) == stored
        await log.close()

    asyncio.run(script())


def test_no_log_is_made_on_a_full_disk_and_nothing_is_left_there(small_disk: Path) -> None:
    fill(small_disk)
    error = asyncio.run(refusal(small_disk / "sessions.db"))
    assert "no space" in str(error) and "make space" in str(error)
    assert [file.name for file in small_disk.iterdir()] == ["ballast"]


def test_a_log_on_a_full_disk_is_refused_until_there_is_space(small_disk: Path) -> None:
    path = small_disk / "sessions.db"
    asyncio.run(make(path))
    ballast = fill(small_disk)
    assert "the disk is full" in str(asyncio.run(refusal(path)))
    ballast.unlink()
    asyncio.run(make(path))


def test_a_read_only_directory_is_refused(small_disk: Path) -> None:
    path = small_disk / "sessions.db"
    asyncio.run(make(path))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    error = asyncio.run(refusal(path))
    assert "its directory cannot be written" in str(error)
