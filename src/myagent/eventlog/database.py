"""The log's SQLite file: its schema, and what must hold before it may be opened."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from myagent.core.audit import GENESIS, hash_of
from myagent.eventlog import LogGone, LogUnusable

APPLICATION_ID = 0x6D796167  # "myag", at offset 68 of the file
VERSION = 1  # `user_version`, at offset 60; raised when an older program could no longer read the file
HEADER_BYTES = 100  # https://www.sqlite.org/fileformat.html, section 1.3
CHECK_SECONDS = 0.5  # for `quick_check` after a crash: some 300 MB of log; of a bigger one a part is checked
BUSY_SECONDS = 5.0  # how long another program (a backup, the sqlite3 shell) may hold the file before we give up
CACHE_KIB = 16 << 10  # above the biggest batch, so that no uncommitted page has to be written early

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO meta VALUES ('clean', 1), ('epoch', 0), ('pos', 0);
CREATE TABLE sessions (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    head INTEGER NOT NULL DEFAULT 0,  -- written when events are dropped; else the head is that of the events
    state BLOB                        -- NULL until the first document
);
CREATE TABLE events (
    pos INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    body BLOB NOT NULL,
    "update" BLOB,
    UNIQUE (session, seq)
);
CREATE TABLE prompts (
    n INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    client_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    opened INTEGER NOT NULL,
    UNIQUE (session, client_id)
);
CREATE INDEX prompts_opened ON prompts (client_id) WHERE opened;
CREATE TABLE audit (n INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);
CREATE TRIGGER audit_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
"""

_DELETED = "SELECT key, value FROM meta WHERE key > 'deleted ' AND key < 'deleted!'"
_MOVE_AWAY = "move it away to start a new one, or restore a copy"


@dataclass(slots=True)
class Index:
    """What the writer knows by heart: where each session ends. Changed by the writer alone, after a COMMIT."""

    numbers: dict[str, int]  # session id → its number in the file
    names: dict[int, str]
    heads: dict[str, int]
    pos: int
    deleted: dict[str, int] = field(default_factory=dict)  # session id → its number
    erasing: set[int] = field(default_factory=set)  # of these, such as may have left bytes in the files
    audit_count: int = 0
    audit_head: str = GENESIS  # hash of the last audit record


def beside(path: Path) -> tuple[Path, Path]:
    """The files that SQLite keeps beside the log: what is committed and not yet moved into it, and its index."""
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


def open_for_writing(path: Path, synchronous: str) -> sqlite3.Connection:
    """Open the log, or create it, and mark it as in use; raises `LogUnusable` and leaves what it found untouched."""
    with _left_as_found(path):
        try:
            if _found(path):
                _check(path)
            else:
                _create(path)
            return _connect_writer(path, synchronous)
        except OSError as error:
            raise LogUnusable(str(path), (error.strerror or type(error).__name__).lower(), _remedy(error)) from error
        except sqlite3.Error as error:
            raise _unusable(path, error) from error


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that cannot write; the writer's must be open."""
    return _connect(path, "mode=ro")


def load(connection: sqlite3.Connection) -> tuple[Index, dict[str, bytes]]:
    """Where the sessions end, and their state documents. One index look-up a session, however long the log is."""
    index = Index({}, {}, {}, 0)
    states: dict[str, bytes] = {}
    rows = connection.execute(
        "SELECT n, id, state, max(head, coalesce((SELECT max(seq) FROM events WHERE session = n), 0)) FROM sessions"
    )
    # `deleted N`: 0 until the bytes of session N are gone. In `meta`, so that older programs can open the log, too.
    gone = {int(key.split()[1]): done for key, done in connection.execute(_DELETED)}
    for number, session_id, state, head in rows:
        index.numbers[session_id] = number
        if number in gone:
            index.deleted[session_id] = number
            index.names[number] = session_id
            if not gone[number]:
                index.erasing.add(number)
            continue
        index.names[number] = session_id
        index.heads[session_id] = head
        if state is not None:
            states[session_id] = state
    (index.pos,) = connection.execute(
        "SELECT max(value, coalesce((SELECT max(pos) FROM events), 0)) FROM meta WHERE key = 'pos'"
    ).fetchone()
    last = connection.execute("SELECT n, CAST(body AS BLOB) FROM audit ORDER BY n DESC LIMIT 1").fetchone()
    if last is not None:
        index.audit_count, index.audit_head = last[0], hash_of(last[1])
    return index, states


@contextmanager
def looking_at(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that only looks, with or without a server that writes. Raises `LogUnusable`."""
    try:
        if not _found(path):
            raise LogUnusable(str(path), "there is none", "serve the workspace first")
        pending = beside(path)[0].exists()
        with closing(_connect(path, "mode=ro" if pending else "mode=ro&immutable=1")) as connection:
            (application_id,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            _check_kind(path, application_id, version)
            yield connection
    except sqlite3.Error as error:
        raise _unusable(path, error) from error


@dataclass(frozen=True, slots=True)
class Identity:
    """Which files a log is written to; another one in their place, or none, is not the log any more."""

    path: Path
    files: tuple[tuple[str, tuple[int, int]], ...]

    @classmethod
    def of(cls, path: Path) -> Identity:
        """That of a log that is open."""
        return cls(path, tuple((name, _identity(name)) for name in map(str, (path, beside(path)[0]))))

    def check(self) -> None:
        """Some microseconds. Raises `LogGone`."""
        try:
            if all(_identity(name) == known for name, known in self.files):
                return
        except OSError:
            pass
        raise LogGone(str(self.path))


def _identity(name: str) -> tuple[int, int]:
    status = os.stat(name, follow_symlinks=False)
    return status.st_dev, status.st_ino


def mark_clean(connection: sqlite3.Connection) -> None:
    """Spare the next start the check of the pages."""
    connection.execute("UPDATE meta SET value = 1 WHERE key = 'clean'")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _connect(path: Path, query: str) -> sqlite3.Connection:
    # Each connection is used by one thread at a time, but not always by the one that made it.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{query}",
        uri=True,
        isolation_level=None,
        timeout=BUSY_SECONDS,
        check_same_thread=False,
    )


def _connect_writer(path: Path, synchronous: str) -> sqlite3.Connection:
    path.chmod(0o600)  # -wal and -shm are given the same by SQLite, whatever the umask
    connection = _connect(path, "mode=rw")
    try:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise LogUnusable(str(path), "its file system has no shared memory", "keep the workspace on a local disk")
        connection.executescript(f"""
            PRAGMA synchronous = {synchronous};
            PRAGMA fullfsync = ON;
            PRAGMA checkpoint_fullfsync = ON;
            PRAGMA wal_autocheckpoint = 0;
            PRAGMA secure_delete = ON;
            PRAGMA cache_size = -{CACHE_KIB};
            PRAGMA cache_spill = OFF;
            PRAGMA temp_store = MEMORY;
            PRAGMA trusted_schema = OFF;
        """)  # fullfsync is for macOS, where a plain fsync stops at the disk's own cache; secure_delete overwrites
        connection.execute("UPDATE meta SET value = 0 WHERE key = 'clean'")
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    except BaseException:
        connection.close()
        raise
    return connection


def _create(path: Path) -> None:
    """Make the file in memory and put it in its place whole: a crash leaves either no log or an empty one."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        image = bytearray(connection.serialize())
    image[18:20] = b"\x02\x02"  # written and read with a WAL: no journal file is ever needed
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(new, flags, 0o600), "wb") as file:
            file.write(image)
            file.flush()
            os.fchmod(file.fileno(), 0o600)
            os.fsync(file.fileno())
        new.rename(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _found(path: Path) -> bool:
    """Whether there is a log; refuses what could not be one, or could not be written."""
    wal, shm = beside(path)
    modes = {file: os.lstat(file).st_mode for file in (path, wal, shm) if os.path.lexists(file)}
    for file, mode in modes.items():
        if not stat.S_ISREG(mode):
            what = "a symbolic link" if stat.S_ISLNK(mode) else "not a regular file"
            raise LogUnusable(str(file), f"it is {what}", "put the log itself there, or move this away")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise LogUnusable(str(path), "its directory cannot be written", "make the directory writable")
    if path not in modes and wal in modes:
        # SQLite would take the old -wal for the new file's own.
        raise LogUnusable(str(path), f"it is gone, but {wal.name} is there", "put the log back, or move that away too")
    return path in modes


def _check(path: Path) -> None:
    """Look at a log without changing it: first at its header's bytes, and only if these are ours through SQLite."""
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
        size = os.fstat(file.fileno()).st_size
    if len(header) < HEADER_BYTES or not header.startswith(b"SQLite format 3\0"):
        raise LogUnusable(str(path), "it is not an SQLite database" if header else "it is empty", _MOVE_AWAY)
    _check_kind(path, int.from_bytes(header[68:72]), int.from_bytes(header[60:64]))
    pending = beside(path)[0].exists()  # SQLite removes it at the end of a clean close
    if not pending:
        page = int.from_bytes(header[16:18])
        if size != (65536 if page == 1 else page) * int.from_bytes(header[28:32]):
            raise LogUnusable(str(path), "it is damaged: its size is not what it says", _MOVE_AWAY)
    # `immutable` looks at the file alone and makes no other; after a crash what counts is in the -wal, too. A
    # connection that cannot write leaves both as they are.
    with closing(_connect(path, "mode=ro" if pending else "mode=ro&immutable=1")) as connection:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        _check_kind(path, application_id, version)
        (clean,) = connection.execute("SELECT value FROM meta WHERE key = 'clean'").fetchone()
        # Not clean and without a -wal is what another program leaves that looked at the log after a crash: SQLite
        # moved the -wal into the file when that program closed it. (A lost -wal looks the same.)
        if pending or not clean:
            _quick_check(path, connection)
        load(connection)


def _check_kind(path: Path, application_id: int, version: int) -> None:
    if application_id != APPLICATION_ID:
        raise LogUnusable(str(path), "it is the database of another program", _MOVE_AWAY)
    if version > VERSION:
        reason = f"a newer myagent wrote it (format {version}, this one knows {VERSION})"
        raise LogUnusable(str(path), reason, "upgrade myagent, or move it away to start a new one")
    if version < 1:
        raise LogUnusable(str(path), "it is damaged: it has no format version", _MOVE_AWAY)


def _quick_check(path: Path, connection: sqlite3.Connection) -> None:
    """Check the pages after a crash, for no longer than `CHECK_SECONDS`.

    A crash of this program cannot damage the file, a disk that lies about what it has written can; a check of the
    whole takes time in proportion to the log, and an honest partial one is better than a start that takes a minute.
    """
    timer = threading.Timer(CHECK_SECONDS, connection.interrupt)
    timer.start()
    try:
        (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if result != "ok":
            raise LogUnusable(str(path), f"it is damaged: {' '.join(result.split())}", _MOVE_AWAY)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
    finally:
        timer.cancel()
        timer.join()


@contextmanager
def _left_as_found(path: Path) -> Iterator[None]:
    """When the log is refused, take away what was made while looking at it."""
    missing = [file for file in beside(path) if not os.path.lexists(file)]
    try:
        yield
    except LogUnusable:
        for file in filter(os.path.lexists, missing):  # asking first, since a read-only disk refuses even for nothing
            file.unlink()
        raise


def _remedy(error: OSError) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "make space on its disk"
        case errno.ENOENT:
            return "create its directory first"
    return "see that its disk works and that this user may write there"


def _unusable(path: Path, error: sqlite3.Error) -> LogUnusable:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    match code & 0xFF:
        case sqlite3.SQLITE_NOTADB:
            return LogUnusable(str(path), "it is not an SQLite database", _MOVE_AWAY)
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_ERROR:
            return LogUnusable(str(path), f"it is damaged: {error}", _MOVE_AWAY)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return LogUnusable(str(path), "another program holds it", "end that program first")
    if code & 0xFF == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE:
        return LogUnusable(str(path), "the disk is full", "make space on its disk")
    return LogUnusable(str(path), str(error), "see that its disk works and that this user may write there")
