"""An index of words over what a log holds: SQLite's full-text search, in a file of its own beside the log.

Everything in it comes from the log, so it may be removed at any time and is made again; so it is after anything that is
wrong with it, and when a session is deleted. It is used by one thread at a time.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from myagent.exceptions import MyagentError

VERSION = 1  # `user_version`: another one is made anew
SNIPPET_TOKENS = 16  # of the text around what was found

# What is lost by a power cut is made again. Nothing of a discarded file is in any other: its journal is cut off.
_SETTINGS = "PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = OFF; PRAGMA trusted_schema = OFF;"
_SCHEMA = """
CREATE TABLE place (pos INTEGER NOT NULL);
INSERT INTO place VALUES (0);
CREATE TABLE sessions (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE VIRTUAL TABLE said USING fts5
    (text, session UNINDEXED, seq UNINDEXED, at UNINDEXED, tokenize = 'unicode61 remove_diacritics 2');
PRAGMA user_version = 1;
"""
_FIND = """
SELECT session, seq, at, snippet(said, 0, '', '', '…', ?) FROM said WHERE said MATCH ? ORDER BY rank LIMIT ?
"""


class Text(Struct, frozen=True):
    """What was said in one go; `seq` is the event in which it begins, `at` when, in milliseconds since 1970."""

    session_id: str
    seq: int
    at: int | None
    text: str


class NoIndex(MyagentError):
    """The index cannot be made, read or removed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the index of words: {self.reason}"


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise NoIndex(str(error)) from error


class WordIndex:
    """Not open to begin with. Methods block, and raise `NoIndex`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def open(self, sessions: Iterable[str]) -> int:
        """The position in the log up to which it is made. One with a session that is not among these is made anew."""
        with _told():
            return self._opened(set(sessions))

    def _opened(self, sessions: set[str]) -> int:
        try:
            pos = self._open()
            if not self._sessions() <= sessions:
                raise sqlite3.DatabaseError("a session is gone")
        except sqlite3.Error:
            self._discard()
            pos = self._open()
        return pos

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        os.fchmod(descriptor, 0o600)
        new = os.fstat(descriptor).st_size == 0
        os.close(descriptor)
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._connection = connection
        connection.executescript(_SETTINGS)
        if new:
            connection.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            raise sqlite3.DatabaseError("another version made it")
        (pos,) = connection.execute("SELECT pos FROM place").fetchone()
        return int(pos)

    def _sessions(self) -> set[str]:
        assert self._connection is not None
        return {name for (name,) in self._connection.execute("SELECT id FROM sessions")}

    def add(self, texts: Iterable[Text], pos: int) -> None:
        """Take in what was said up to a position in the log."""
        with _told():
            self._add(texts, pos)

    def _add(self, texts: Iterable[Text], pos: int) -> None:
        connection = self._connection
        assert connection is not None
        rows = [(each.text, each.session_id, each.seq, each.at) for each in texts]
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany("INSERT OR IGNORE INTO sessions VALUES (?)", {(row[1],) for row in rows})
            connection.executemany("INSERT INTO said (text, session, seq, at) VALUES (?, ?, ?, ?)", rows)
            connection.execute("UPDATE place SET pos = ?", (pos,))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def find(self, words: str, limit: int) -> list[Text]:
        """Where all of these words, or words that begin with them, were said; the best first, each with what is around
        it. No sign in them has a meaning."""
        assert self._connection is not None
        wanted = " ".join('"' + word.replace('"', '""') + '" *' for word in words.replace("\0", " ").split())
        if not wanted:
            return []
        with _told():
            rows = self._connection.execute(_FIND, (SNIPPET_TOKENS, wanted, limit)).fetchall()
        return [Text(session, seq, at, text) for session, seq, at, text in rows]

    def discard(self) -> None:
        """Remove its file, overwritten."""
        with _told():
            self._discard()

    def _discard(self) -> None:
        self.close()
        for path in (self._path, self._path.with_name(f"{self._path.name}-journal")):
            with suppress(FileNotFoundError):
                with path.open("r+b") as file:
                    size = os.fstat(file.fileno()).st_size
                    for _ in range(0, size, 1 << 20):
                        file.write(bytes(min(1 << 20, size - file.tell())))
                path.unlink()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
