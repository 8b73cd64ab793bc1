"""The rows of one transaction: what the units that are committed together become in the database."""

from __future__ import annotations

import sqlite3

from myagent.core.audit import chained, hash_of
from myagent.eventlog import LogFailed, Stored, Unit, with_seq
from myagent.eventlog.database import Index

COLUMNS = 5  # of `events`
ROWS = 32  # inserted by one statement: a third faster than one by one; 160 parameters, of the 999 that any SQLite has
INSERT_ROW = "INSERT INTO events VALUES (?, ?, ?, ?, ?)"
INSERT_ROWS = INSERT_ROW + ", (?, ?, ?, ?, ?)" * (ROWS - 1)


class Rows:
    """The rows of one transaction. Nothing of them is in the index until `publish`."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._pos = index.pos
        self._places: dict[str, list[int]] = {}  # session id → its number, its head
        self._states: dict[int, tuple[int, str, bytes | None]] = {}
        self._heads: dict[int, int] = {}  # number → a head that no event of this transaction tells
        self._next_number = len(index.numbers) + 1
        self._events: list[int | bytes | None] = []  # the columns of all of them, one after the other
        self._prompts: list[tuple[int, str, bytes, bool]] = []
        self._audit: list[tuple[int, bytes]] = []
        self._audit_count, self._audit_head = index.audit_count, index.audit_head

    def add(self, unit: Unit) -> list[Stored]:
        stored: list[Stored] = []
        places = self._places
        pos = self._pos
        for session_id, seq in unit.skips.items():
            place = self._place(session_id)
            if seq > place[1]:
                place[1] = self._heads[place[0]] = seq
        for draft in unit.events:
            session_id = draft.session_id
            place = places.get(session_id) or self._place(session_id)
            place[1] = seq = place[1] + 1
            pos += 1
            body = with_seq(draft.body, seq)
            stored.append(Stored(pos, session_id, seq, body, draft.update))
            self._events += (pos, place[0], seq, body, draft.update)
        self._pos = pos
        for session_id, state in unit.sessions.items():
            number = self._place(session_id)[0]
            self._states[number] = (number, session_id, state)
        for key in unit.prompts:
            self._prompts.append((self._place(key.session_id)[0], key.client_id, key.digest, key.opened))
        for body in unit.audit:
            self._audit_count += 1
            record = chained(body, self._audit_count, self._audit_head)
            self._audit_head = hash_of(record)
            self._audit.append((self._audit_count, record))
        return stored

    def _place(self, session_id: str) -> list[int]:
        place = self._places.get(session_id)
        if place is None:
            number = self._index.numbers.get(session_id)
            if number is None:
                number, self._next_number = self._next_number, self._next_number + 1
                self._states[number] = (number, session_id, None)
            place = self._places[session_id] = [number, self._index.heads.get(session_id, 0)]
        return place

    def any(self) -> bool:
        return bool(self._events or self._states or self._heads or self._prompts or self._audit)

    def insert(self, connection: sqlite3.Connection) -> None:
        if self._states:
            connection.executemany(
                "INSERT INTO sessions (n, id, state) VALUES (?, ?, ?)"
                " ON CONFLICT (n) DO UPDATE SET state = excluded.state",
                self._states.values(),
            )
        if self._heads:
            heads = ((head, number) for number, head in self._heads.items())
            connection.executemany("UPDATE sessions SET head = ? WHERE n = ?", heads)
        if self._prompts:
            connection.executemany(
                "INSERT INTO prompts (session, client_id, digest, opened) VALUES (?, ?, ?, ?)", self._prompts
            )
        if self._audit:
            connection.executemany("INSERT INTO audit (n, body) VALUES (?, ?)", self._audit)
            end = f"{self._audit_count} {self._audit_head}"
            connection.execute("REPLACE INTO meta VALUES ('audit', ?)", (end,))
        if self._events:
            try:
                self._insert_events(connection)
            except sqlite3.IntegrityError as error:
                # The numbers are ours: that somebody else has used them is nothing that the next unit survives.
                if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_NOTNULL:
                    raise LogFailed("another program has written to it") from error
                raise

    def _insert_events(self, connection: sqlite3.Connection) -> None:
        columns = self._events
        whole = len(columns) - len(columns) % (ROWS * COLUMNS)
        for insert, size, start, end in (
            (INSERT_ROWS, ROWS * COLUMNS, 0, whole),
            (INSERT_ROW, COLUMNS, whole, len(columns)),
        ):
            connection.executemany(insert, (columns[at : at + size] for at in range(start, end, size)))

    def publish(self) -> None:
        index = self._index
        for session_id, (number, head) in self._places.items():
            index.numbers[session_id] = number
            index.names[number] = session_id
            index.heads[session_id] = head
        index.pos = self._pos
        index.audit_count, index.audit_head = self._audit_count, self._audit_head
