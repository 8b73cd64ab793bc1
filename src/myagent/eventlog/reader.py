"""What is read from the log, on a connection that cannot write; runs on a thread of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from myagent.eventlog import PromptKey, Stored, forgotten, within
from myagent.eventlog.database import Index, open_for_reading

Row = tuple[int, int, int, bytes, bytes | None]
RowOfOne = tuple[int, int, bytes, bytes | None]

_EVENTS = 'SELECT pos, session, seq, body, "update" FROM events'
_EVENTS_OF_ONE = 'SELECT pos, seq, body, "update" FROM events'  # each column is a tenth of a long replay's time

_FOREVER = 2**63 - 1  # the greatest integer that SQLite has


class Reader:
    """Sees what was committed when it is asked. `index` is the writer's, of which single items are read."""

    def __init__(self, path: Path, index: Index) -> None:
        self._connection = open_for_reading(path)
        self._index = index
        self._connection.execute("SELECT 1 FROM meta").fetchall()  # opens all its files, which may be deleted later

    def read(self, after_pos: int, max_bytes: int) -> list[Stored]:
        # Leaving the cursor open would keep the -wal from starting over.
        with closing(self._connection.execute(f"{_EVENTS} WHERE pos > ? ORDER BY pos", (after_pos,))) as rows:
            return self._up_to(rows, max_bytes)

    def read_session(self, session_id: str, after_seq: int, until_seq: int | None, max_bytes: int) -> list[Stored]:
        number = self._number(session_id)
        until = _FOREVER if until_seq is None else until_seq
        query = f"{_EVENTS_OF_ONE} WHERE session = ? AND seq > ? AND seq <= ? ORDER BY seq"
        with closing(self._connection.execute(query, (number, after_seq, until))) as rows:
            return _of_one(session_id, rows, max_bytes)

    def read_back(self, session_id: str, before_seq: int, limit: int, max_bytes: int) -> list[Stored]:
        number = self._number(session_id)
        query = f"{_EVENTS_OF_ONE} WHERE session = ? AND seq < ? ORDER BY seq DESC LIMIT ?"
        with closing(self._connection.execute(query, (number, before_seq, limit))) as rows:
            return _of_one(session_id, rows, max_bytes)[::-1]

    def find_prompt(self, client_id: str, session_id: str) -> PromptKey | None:
        query = "SELECT digest, opened FROM prompts WHERE client_id = ? AND session = ?"
        with closing(self._connection.execute(query, (client_id, self._index.numbers.get(session_id)))) as found:
            row = found.fetchone()
        return None if row is None else PromptKey(session_id, client_id, row[0], bool(row[1]))

    def find_opening(self, client_id: str, digest: bytes) -> PromptKey | None:
        query = (
            "SELECT session FROM prompts WHERE opened AND client_id IN (?, ?) AND digest IN (?, x'')"
            " ORDER BY n DESC LIMIT 1"
        )
        with closing(self._connection.execute(query, (client_id, forgotten(client_id, digest), digest))) as found:
            row = found.fetchone()
        return None if row is None else PromptKey(self._name(row[0]), client_id, digest, True)

    def read_audit(self, after: int, max_bytes: int) -> list[tuple[int, bytes]]:
        query = "SELECT n, CAST(body AS BLOB) FROM audit WHERE n > ? ORDER BY n"
        with closing(self._connection.execute(query, (after,))) as rows:
            return within(rows, max_bytes)

    def close(self) -> None:
        self._connection.close()

    def _up_to(self, rows: Iterable[Row], max_bytes: int) -> list[Stored]:
        """The first row, and what follows it as far as it fits."""
        names, gone = self._index.names, self._index.erasing
        found: list[Stored] = []
        size = 0
        for pos, number, seq, body, update in rows:
            if gone and number in gone:
                continue
            size += len(body) if update is None else len(body) + len(update)
            if size > max_bytes and found:
                break
            found.append(Stored(pos, names.get(number) or self._name(number), seq, body, update))
        return found

    def _number(self, session_id: str) -> int | None:
        return None if session_id in self._index.deleted else self._index.numbers.get(session_id)

    def _name(self, number: int) -> str:
        """The id of a session, also of one whose first commit is done but not yet in the index."""
        (session_id,) = self._connection.execute("SELECT id FROM sessions WHERE n = ?", (number,)).fetchone()
        return str(session_id)


def _of_one(session_id: str, rows: Iterable[RowOfOne], max_bytes: int) -> list[Stored]:
    """As `Reader._up_to`, where all rows are of one session."""
    found: list[Stored] = []
    size = 0
    for pos, seq, body, update in rows:
        size += len(body) if update is None else len(body) + len(update)
        if size > max_bytes and found:
            break
        found.append(Stored(pos, session_id, seq, body, update))
    return found


def is_damage(error: sqlite3.Error) -> bool:
    """Whether what was read says that the file is damaged, so that nothing more may be written to it."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
