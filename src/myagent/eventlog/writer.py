"""The thread that writes the log: takes what is queued, commits it together, and tells the event loop.

Rules:
- Units are committed in the order of the queue. `waiting` is that queue's head; a unit leaves it by a commit, a
  refusal, or (a fact) when the log has failed.
- What happened in one commit is told in one call to the loop, after the COMMIT.
- No space: nothing of the transaction is stored; units that may be refused are, facts stay and are tried again.
- Before and after each commit, and while nothing is written twice a second, the files must be those that were opened:
  what went into a deleted file was not stored, and is not told.
- Any other failure of the storage is final. After a failed fsync nobody can say what is on the disk, and a second
  fsync that succeeds says nothing about the first, so nothing is tried again.

The wal-index (-shm) on a full disk: SQLite writes each of its pages before it maps it, so there is no SIGBUS; the
commit fails with SQLITE_IOERR_SHMSIZE, which counts as "full". That can only happen beyond the 4,062 pages of its
first block, where `CHECKPOINT_BYTES` keeps the -wal from going. If it does, and the process dies before the next
commit, the units that were refused are found stored after all: as if their refusal had been lost, not their data.
The same holds for the units of a commit whose fsync failed.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import sqlite3
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from myagent.eventlog import LogFailed, LogFull, LogGone, LogRefused, Unit, UnitRejected
from myagent.eventlog.database import BUSY_SECONDS, Identity, Index, mark_clean
from myagent.eventlog.rows import Rows

BATCH_BYTES = 4 << 20  # of one transaction: about 1,100 pages
CHECKPOINT_BYTES = 4 << 20  # written to the -wal before it is moved into the file; SQLite's own default is 4 MB, too
COMMIT_BYTES = 24 << 10  # that a commit writes beside the events: the last page of each table and index
RETRY_SECONDS = 0.25
LOOK_SECONDS = 0.5  # between two looks at the files while nothing is written
OVERWRITE_MILLISECONDS = 20  # to wait for readers before the -wal is cut off; tried again with each commit and look
WEIGH_BYTES = 256 << 10  # written before it is looked at again how large the log is
PROBE_BYTES = 256 << 10  # a probe of one page would fit into what the -wal already has, and say nothing

# What SQLite and the sqlite3 module raise for values that cannot be stored, with nothing wrong with the storage.
_CALLERS_FAULT = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    TypeError,
    ValueError,
    OverflowError,
)

Outcome = tuple[Callable[[Any], object], Any]  # a callback for the loop's thread, and its argument


@dataclass(frozen=True, slots=True)
class Told:
    """What the loop must know of one commit or refusal."""

    outcomes: list[Outcome]
    freed: int  # bytes that no longer wait
    refusing: LogRefused | None


@dataclass(frozen=True, slots=True)
class Flush:
    """Waits in the queue like a fact, and stores nothing."""

    told: Callable[[None], object]


@dataclass(frozen=True, slots=True)
class Call:
    """Something to be run in a transaction of its own, tried once; one of the two callbacks follows. `overwrites`: only
    when what is deleted by then is in neither of the log's files any more."""

    run: Callable[[sqlite3.Connection, Index], Any]
    on_done: Callable[[Any], object]
    on_refuse: Callable[[LogRefused], object]
    overwrites: bool = False


Item = tuple[Unit | Flush, int]  # with its size


class Writer(threading.Thread):
    """Everything here but `queue` belongs to the thread."""

    def __init__(
        self, connection: sqlite3.Connection, index: Index, identity: Identity, loop: asyncio.AbstractEventLoop,
        tell: Callable[[Told], None], quota: int | None = None,
    ) -> None:  # fmt: skip
        # A daemon: a program that forgets `close` ends like one that was killed, which costs nothing that was told.
        super().__init__(name="event log writer", daemon=True)
        self.queue: SimpleQueue[Item | Call | None] = SimpleQueue()  # None: close
        self._connection = connection
        self._index = index
        self._identity = identity
        self._directory = identity.path.parent
        self._loop = loop
        self._tell_loop = tell
        self._waiting: deque[Item] = deque()
        self._refusing: LogRefused | None = None
        self._quota = quota  # bytes that the log may have before what may be refused is refused
        self._over = False  # it has more; facts are still stored, and whoever makes many of them is held back (`room`)
        self._unweighed = WEIGH_BYTES  # bytes written since that was looked at
        self._overwriting: list[tuple[Call, Any]] = []  # with their results
        self._unchecked = 0  # bytes in the -wal since the last checkpoint, roughly

    def run(self) -> None:
        closing = False
        while not closing:
            for job in self._arrived():
                if job is None:
                    closing = True
                elif isinstance(job, Call):
                    self._store()
                    self._call(job)
                else:
                    self._waiting.append(job)
            self._store()
            self._overwrite()
            if isinstance(self._refusing, LogFull) and not self._waiting:
                self._probe()
        self._tell([(call.on_refuse, LogFailed("it is closed")) for call, _ in self._overwriting], 0)
        # What found no space goes with us; nobody was shown any of it.
        self._tell(
            [outcome for unit, _ in self._waiting for outcome in _refusal(unit, LogFailed("it is closed"))],
            sum(size for _, size in self._waiting),
        )
        self._close()

    def _arrived(self) -> Iterator[Item | Call | None]:
        """Everything in the queue, after waiting for it; nothing when it is time to try or to look again."""
        seconds = {LogFull: RETRY_SECONDS, LogGone: None, LogFailed: None}
        try:
            yield self.queue.get(timeout=seconds.get(type(self._refusing), LOOK_SECONDS))
        except Empty:
            self._look()
            return
        for _ in range(self.queue.qsize()):
            yield self.queue.get_nowait()

    def _look(self) -> None:
        try:
            self._identity.check()
        except LogGone as error:
            self._refuse(error)

    def _store(self) -> None:
        """Commit what waits, in as many transactions as it takes."""
        try:
            if self._over and not isinstance(self._refusing, LogFailed):
                self._refuse(LogFull(self._quota))
            while self._waiting:
                if isinstance(self._refusing, LogFailed):
                    raise self._refusing
                self._commit(self._fitting())
        except Exception as error:
            self._refuse(self._judge(error))

    def _fitting(self) -> int:
        """How many of the waiting units go into the next transaction."""
        sizes = itertools.accumulate(size for _, size in self._waiting)
        return max(1, sum(1 for _ in itertools.takewhile(BATCH_BYTES.__ge__, sizes)))

    def _commit(self, count: int) -> None:
        try:
            outcomes = self._transaction(count)
        except _CALLERS_FAULT as error:
            self._rollback()
            if count > 1:  # find the one: it is a bug, so it may take its time
                for _ in range(count):
                    self._commit(1)
                return
            outcomes = self._rejected(error)
        freed = sum([self._waiting.popleft()[1] for _ in range(count)])
        self._unweighed += freed
        if self._unweighed >= WEIGH_BYTES:
            self._weigh()
        self._tell(outcomes, freed)
        self._checkpoint(freed)

    def _transaction(self, count: int) -> list[Outcome]:
        """Store the first `count` that wait; what is to be told when it is done."""
        rows = Rows(self._index)
        outcomes: list[Outcome] = []
        for unit, _ in itertools.islice(self._waiting, count):
            if isinstance(unit, Flush):
                outcomes.append((unit.told, None))
            else:
                outcomes.append((unit.on_commit, rows.add(unit)))
        if rows.any():
            self._identity.check()
            self._connection.execute("BEGIN IMMEDIATE")
            rows.insert(self._connection)
            self._connection.execute("COMMIT")
            self._identity.check()
            rows.publish()
            self._refusing = LogFull(self._quota) if self._over else None
        return outcomes

    def _rejected(self, error: Exception) -> list[Outcome]:
        unit = self._waiting[0][0]
        if not isinstance(unit, Flush) and unit.on_refuse is not None:
            return [(unit.on_refuse, UnitRejected(str(error)))]
        self._report("a fact that cannot be stored was dropped", error)
        return []

    def _refuse(self, error: LogRefused) -> None:
        """Refuse all that waits and may be; facts stay while there is hope."""
        self._refusing = error
        outcomes: list[Outcome] = []
        freed = 0
        kept: deque[Item] = deque()
        for unit, size in self._waiting:
            if isinstance(error, LogFull) and (isinstance(unit, Flush) or unit.fact):
                kept.append((unit, size))
                continue
            outcomes += _refusal(unit, error)
            freed += size
        self._waiting = kept
        self._tell(outcomes, freed)

    def _judge(self, error: Exception) -> LogRefused:
        """What an error means, other than one that is the caller's fault; an unknown one is the end of this log."""
        try:
            self._rollback()
        except sqlite3.Error as worse:
            error = worse
        if isinstance(error, LogRefused):
            return error
        if not isinstance(error, sqlite3.Error):
            self._report("the event log's writer has a bug", error)
            return LogFailed("internal error")
        code = getattr(error, "sqlite_errorcode", 0)
        if (
            code & 0xFF == sqlite3.SQLITE_FULL
            or code == sqlite3.SQLITE_IOERR_SHMSIZE
            or (code == sqlite3.SQLITE_IOERR_WRITE and _over_quota(self._directory))
        ):
            return LogFull()
        return failure(error)

    def _rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _checkpoint(self, written: int) -> None:
        """Move what is in the -wal into the file; after the telling, since nobody has to wait for it."""
        self._unchecked += written + COMMIT_BYTES
        if self._unchecked < CHECKPOINT_BYTES:
            return
        self._unchecked = 0
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.Error as error:
            verdict = self._judge(error)
            if isinstance(verdict, LogFailed):
                raise verdict from error
            # Full: everything stays in the -wal, where it is as safe; the next checkpoint tries again.

    def _probe(self) -> None:
        """Find out whether there is space, when there is nothing to be stored that would tell."""
        if self._over:
            self._weigh()
            return
        try:
            self._connection.execute("REPLACE INTO meta VALUES ('probe', zeroblob(?))", (PROBE_BYTES,))
            self._connection.execute("DELETE FROM meta WHERE key = 'probe'")
        except Exception as error:
            self._refusing = self._judge(error)
        else:
            self._refusing = None
        if not isinstance(self._refusing, LogFull):
            self._tell([], 0)

    def _weigh(self) -> None:
        """Look whether the log has more bytes than it may, without those that retention has freed."""
        if self._quota is None or isinstance(self._refusing, LogFailed):
            return
        self._unweighed = 0
        (pages,), (free,), (size,) = (
            self._connection.execute(f"PRAGMA {name}").fetchone()
            for name in ("page_count", "freelist_count", "page_size")
        )
        over = (pages - free) * size > self._quota
        if over != self._over:
            self._over = over
            self._refusing = LogFull(self._quota) if over else None
            self._tell([], 0)

    def _call(self, call: Call) -> None:
        try:
            if isinstance(self._refusing, LogFailed):
                raise self._refusing
            self._identity.check()
            self._connection.execute("BEGIN IMMEDIATE")
            result = call.run(self._connection, self._index)
            self._connection.execute("COMMIT")
            if self._over or self._unweighed >= WEIGH_BYTES:
                self._weigh()
        except Exception as error:
            verdict = self._judge(error)
            self._refusing = verdict
            self._tell([(call.on_refuse, verdict)], 0)
        else:
            self._unchecked += COMMIT_BYTES
            if call.overwrites:
                self._overwriting.append((call, result))
            else:
                self._tell([(call.on_done, result)], 0)

    def _overwrite(self) -> None:
        """Move the -wal into the file and cut it off, so that nothing deleted is left in it; later, if a reader or
        another program holds it."""
        if not self._overwriting:
            return
        waiting, self._overwriting = self._overwriting, []
        try:
            if isinstance(self._refusing, LogFailed):
                raise self._refusing
            self._connection.execute(f"PRAGMA busy_timeout = {OVERWRITE_MILLISECONDS}")
            (busy, _, _) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")
        except Exception as error:
            verdict = self._judge(error)
            self._refusing = verdict
            self._tell([(call.on_refuse, verdict) for call, _ in waiting], 0)
            return
        if busy:
            self._overwriting = waiting
        else:
            self._unchecked = 0
            self._tell([(call.on_done, result) for call, result in waiting], 0)

    def _close(self) -> None:
        try:
            if not isinstance(self._refusing, LogFailed):
                mark_clean(self._connection)
        except sqlite3.Error:
            pass  # what was told is durable in the -wal; the next start sees that the log was not closed
        self._connection.close()

    def _tell(self, outcomes: list[Outcome], freed: int) -> None:
        try:
            self._loop.call_soon_threadsafe(self._tell_loop, Told(outcomes, freed, self._refusing))
        except RuntimeError:
            pass  # the loop is closed: there is nobody left to tell

    def _report(self, message: str, error: Exception) -> None:
        context = {"message": message, "exception": error}
        self._tell([(self._loop.call_exception_handler, context)], 0)


def _refusal(unit: Unit | Flush, error: LogRefused) -> list[Outcome]:
    if isinstance(unit, Flush):
        return [(unit.told, None)]
    return [] if unit.on_refuse is None else [(unit.on_refuse, error)]


def failure(error: sqlite3.Error) -> LogFailed:
    """SQLite's own words for what happened; they name no file."""
    return LogFailed(f"{error} ({getattr(error, 'sqlite_errorname', type(error).__name__)})")


def _over_quota(directory: Path) -> bool:
    """Whether a failed write is for want of space: SQLite knows only ENOSPC, and sqlite3 does not tell the errno."""
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return False
