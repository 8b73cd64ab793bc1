"""How events leave the log: the oldest of each session, by retention, and all of a session that was deleted.

Both take them a step at a time, each in a transaction of its own, between which others are committed. SQLite overwrites
what is deleted (`secure_delete`). A session is gone with the unit that deletes it, before its first event is dropped:
a crash in between leaves a session that nobody has any more, and the next start goes on.
"""

from __future__ import annotations

import sqlite3

from myagent.eventlog.database import Index

STEP_EVENTS = 10_000  # dropped in one transaction
STEP_BYTES = 4 << 20  # of their bodies, or one event: pages that are written wait in memory for the commit


def retain(connection: sqlite3.Connection, index: Index, *, keep: int) -> bool:
    """Drop the oldest events that are too many, up to a step; whether there may be more to drop."""
    left = STEP_EVENTS
    more = False
    for session_id, head in index.heads.items():
        number = index.numbers[session_id]
        (first,) = connection.execute("SELECT min(seq) FROM events WHERE session = ?", (number,)).fetchone()
        if first is None or first > head - keep:
            continue
        # A head must be remembered once its event is gone.
        connection.execute("UPDATE sessions SET head = ? WHERE n = ?", (head, number))
        dropped, more = _drop(connection, number, head - keep, left)
        left -= dropped
        if left <= 0 or more:
            more = True
            break
    connection.execute("UPDATE meta SET value = ? WHERE key = 'pos'", (index.pos,))
    return more


def erase(connection: sqlite3.Connection, index: Index) -> bool:
    """Drop events of deleted sessions, up to a step; whether there may be more to drop."""
    connection.execute("UPDATE meta SET value = ? WHERE key = 'pos'", (index.pos,))
    left = STEP_EVENTS
    for number in sorted(index.erasing):
        dropped, more = _drop(connection, number, 2**53, left)
        left -= dropped
        if left <= 0 or more:
            return True
    return False


def erased(connection: sqlite3.Connection, index: Index, *, numbers: frozenset[int]) -> None:
    """Take note that nothing of some sessions is left, in the file and beside it."""
    connection.executemany("UPDATE meta SET value = 1 WHERE key = ?", [(f"deleted {number}",) for number in numbers])
    index.erasing -= numbers


def _drop(connection: sqlite3.Connection, number: int, last: int, limit: int) -> tuple[int, bool]:
    """Drop a session's oldest events up to and with `last`, or as many as make a step: how many that were, and whether
    there are more."""
    sizes = 'SELECT seq, length(body) + coalesce(length("update"), 0) FROM events'
    query = f"{sizes} WHERE session = ? AND seq <= ? ORDER BY seq"
    count = size = until = 0
    more = False
    for seq, length in connection.execute(query, (number, last)):
        if count >= limit or (count and size + length > STEP_BYTES):
            more = True
            break
        count, size, until = count + 1, size + length, seq
    connection.execute("DELETE FROM events WHERE session = ? AND seq <= ?", (number, until))
    return count, more
