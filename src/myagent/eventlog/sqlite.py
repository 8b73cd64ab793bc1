"""The event log in an SQLite file: one thread writes it, one reads it, one looks prompts up; the event loop waits for
none of them."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from myagent.eventlog import (
    QUEUE_BYTES,
    LogFailed,
    LogFull,
    LogRefused,
    Opened,
    PromptKey,
    Stored,
    Unit,
    dropping,
    unit_size,
)
from myagent.eventlog.database import Identity, Index, load, open_for_writing
from myagent.eventlog.reader import Reader, is_damage
from myagent.eventlog.writer import Call, Flush, Told, Writer, failure

T = TypeVar("T")

_log = logging.getLogger(__name__)


class SqliteLog:
    """The event log of a workspace, in the file `path`. Whoever opens it keeps others from opening it (`server.lock`).

    Once it has `quota` bytes, what may be refused is refused as on a full disk, and `room` returns when there are fewer
    again; facts are still stored, so that what runs can be ended, and what was shown is kept.

    `synchronous` is for tests and benchmarks: less than FULL breaks the promise that a commit survives power loss.
    """

    def __init__(
        self, path: Path, *, synchronous: Literal["FULL", "NORMAL", "OFF"] = "FULL", quota: int | None = None
    ) -> None:
        self._path = path
        self._quota = quota
        self._synchronous = synchronous
        self._refusing: LogRefused | None = None
        self._queued = 0  # bytes given to the writer and not yet told of
        self._roomless: list[asyncio.Future[None]] = []
        self._opened = False
        self._closing: asyncio.Task[None] | None = None
        self._erasing: asyncio.Task[None] | None = None  # what a crash broke off

    async def open(self) -> Opened:
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="event log reader")
        # Of its own, so that a prompt does not wait behind what followers read.
        self._finding = ThreadPoolExecutor(max_workers=1, thread_name_prefix="event log finder")
        try:
            found = await self._loop.run_in_executor(self._threads, self._open)
            connection, index, states, self._reader, identity = found
            self._finder = await self._loop.run_in_executor(self._finding, Reader, self._path, index)
        except BaseException:
            self._threads.shutdown(wait=False)
            self._finding.shutdown(wait=False)
            raise
        opened = Opened(states, dict(index.heads), index.pos)
        self._writer = Writer(connection, index, identity, self._loop, self._tell, self._quota)
        self._writer.start()
        self._opened = True
        if index.erasing:
            self._erasing = self._loop.create_task(self._go_on_erasing(), name="erase deleted sessions")
        return opened

    async def _go_on_erasing(self) -> None:
        try:
            await self.erase()
        except LogRefused as error:
            _log.warning("deleted sessions are not erased yet: %s", error)

    def _open(self) -> tuple[sqlite3.Connection, Index, dict[str, bytes], Reader, Identity]:
        connection = open_for_writing(self._path, self._synchronous)
        try:
            index, states = load(connection)
            return connection, index, states, Reader(self._path, index), Identity.of(self._path)
        except BaseException:
            connection.close()
            raise

    def write(self, unit: Unit) -> None:
        if self._closing is not None:
            if unit.on_refuse is not None:
                self._loop.call_soon(unit.on_refuse, LogFailed("it is closed"))
            return
        size = unit_size(unit)
        self._queued += size
        self._writer.queue.put((unit, size))

    async def room(self) -> None:
        while not self._has_room():
            waiter = self._loop.create_future()
            self._roomless.append(waiter)
            await waiter

    async def flush(self) -> None:
        if self._closing is not None:
            await asyncio.shield(self._closing)
            return
        told: asyncio.Future[None] = self._loop.create_future()
        self._writer.queue.put((Flush(partial(_settle, told)), 0))
        await told

    @property
    def refusing(self) -> LogRefused | None:
        return self._refusing

    async def read(self, after_pos: int, *, max_bytes: int) -> list[Stored]:
        return await self._read(lambda reader: reader.read(after_pos, max_bytes))

    async def read_session(
        self, session_id: str, after_seq: int, *, until_seq: int | None = None, max_bytes: int
    ) -> list[Stored]:
        return await self._read(lambda reader: reader.read_session(session_id, after_seq, until_seq, max_bytes))

    async def read_back(self, session_id: str, before_seq: int, *, limit: int, max_bytes: int) -> list[Stored]:
        return await self._read(lambda reader: reader.read_back(session_id, before_seq, limit, max_bytes))

    async def find_prompt(self, client_id: str, session_id: str) -> PromptKey | None:
        return await self._read(lambda reader: reader.find_prompt(client_id, session_id), finds=True)

    async def find_opening(self, client_id: str, digest: bytes) -> PromptKey | None:
        return await self._read(lambda reader: reader.find_opening(client_id, digest), finds=True)

    async def read_audit(self, after: int, *, max_bytes: int) -> list[tuple[int, bytes]]:
        return await self._read(lambda reader: reader.read_audit(after, max_bytes))

    async def reserve_epochs(self, count: int) -> int:
        return await self._call(partial(_reserve, count=count))

    async def retain(self, keep: int) -> None:
        while await self._call(partial(dropping.retain, keep=keep)):
            pass

    async def erase(self) -> None:
        while await self._call(dropping.erase):
            pass
        gone = await self._call(_erasing, overwrites=True)
        if gone:
            await self._call(partial(dropping.erased, numbers=gone))

    async def close(self) -> None:
        if not self._opened:
            return
        if self._closing is None:
            self._closing = self._loop.create_task(self._close(), name="close the event log")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._erasing is not None:
            self._erasing.cancel()
        # The writer's connection is the last to go: it moves the -wal into the file and removes it.
        await self._loop.run_in_executor(self._threads, self._reader.close)
        await self._loop.run_in_executor(self._finding, self._finder.close)
        self._writer.queue.put(None)
        await self._loop.run_in_executor(self._threads, self._writer.join)
        self._threads.shutdown()
        self._finding.shutdown()

    def _has_room(self) -> bool:
        over = isinstance(self._refusing, LogFull) and self._refusing.quota is not None
        return self._queued < QUEUE_BYTES and not over

    def _tell(self, told: Told) -> None:
        if isinstance(told.refusing, LogFull) and not isinstance(self._refusing, LogFull):
            _log.warning("%s", told.refusing)
        self._refusing = told.refusing
        self._queued -= told.freed
        for callback, argument in told.outcomes:
            try:
                callback(argument)
            except Exception as error:  # as asyncio does: the others have to be told all the same
                self._loop.call_exception_handler({"message": "a log callback failed", "exception": error})
        if self._has_room():
            waiters, self._roomless = self._roomless, []
            for waiter in waiters:
                _settle(waiter, None)

    async def _read(self, query: Callable[[Reader], T], *, finds: bool = False) -> T:
        if self._closing is not None:
            raise LogFailed("it is closed")
        threads, reader = (self._finding, self._finder) if finds else (self._threads, self._reader)
        try:
            return await self._loop.run_in_executor(threads, query, reader)
        except sqlite3.Error as error:
            failed = failure(error)
            if is_damage(error) and self._closing is None:
                self._writer.queue.put(Call(partial(_fail, error=failed), _ignore, _ignore))
            raise failed from error

    async def _call(self, run: Callable[[sqlite3.Connection, Index], T], *, overwrites: bool = False) -> T:
        if self._closing is not None:
            raise LogFailed("it is closed")
        done: asyncio.Future[T] = self._loop.create_future()
        self._writer.queue.put(Call(run, partial(_settle, done), partial(_break, done), overwrites))
        return await done


def _settle(future: asyncio.Future[T], result: T) -> None:
    if not future.done():  # whoever waited may have been cancelled
        future.set_result(result)


def _break(future: asyncio.Future[Any], error: LogRefused) -> None:
    if not future.done():
        future.set_exception(error)


def _ignore(_: object) -> None:
    """Nobody waits for this."""


def _fail(_connection: sqlite3.Connection, _index: Index, *, error: LogFailed) -> None:
    raise error


def _erasing(_connection: sqlite3.Connection, index: Index) -> frozenset[int]:
    return frozenset(index.erasing)


def _reserve(connection: sqlite3.Connection, _index: Index, *, count: int) -> int:
    (last,) = connection.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
    connection.execute("UPDATE meta SET value = ? WHERE key = 'epoch'", (last + count,))
    return int(last) + 1
