"""Search over all sessions: reads the log while nobody writes to it, and keeps an index of the words that were said."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import msgspec

from myagent.eventlog import LogRefused, Stored
from myagent.eventlog.words import NoIndex, Text, WordIndex
from myagent.host.host import Host

IDLE_SECONDS = 1.0  # without an event, before the index is made further
BATCH_BYTES = 256 << 10  # of events that are read and indexed at a time
CATCH_UP_SECONDS = 5.0  # that a search takes to make the index complete, before it answers with what there is
HITS = 50  # told of one search, unless fewer are asked for
WORDS = 200  # characters of what is searched for

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Hit(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Where words were said: the event in which that begins, when, and the text around them."""

    session_id: str
    seq: int
    text: str
    at: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """`complete`: everything that was stored before was searched."""

    hits: list[Hit]
    complete: bool


class NoSearch(Exception):
    """There is no index here, and why."""


class Searching:
    """Of one host that has started; without an index (`None`) there is no search."""

    def __init__(self, host: Host, index: WordIndex | None) -> None:
        self._host = host
        self._index = index
        self._pos = 0  # in the log, up to which the index is made
        self._lock = asyncio.Lock()  # held from reading the log to having its words, so that none are those of the dead
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="word index")
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._index is None:
            return
        try:
            self._pos = await self._run(self._index.open, list(self._host.sessions))
        except NoIndex as error:
            self._give_up(error)
            return
        self._host.store.erases.append(self.forget)
        self._task = asyncio.get_running_loop().create_task(self._work(), name="index words")

    async def close(self) -> None:
        """Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._index is not None:
            await self._run(self._index.close)
            self._index = None
        self._thread.shutdown()

    async def find(self, words: str, limit: int = HITS) -> Found:
        """Raises `NoSearch`."""
        loop = asyncio.get_running_loop()
        stored, until = self._host.fanout.window.pos, loop.time() + CATCH_UP_SECONDS
        catching_up = loop.create_task(self._catch_up(lambda: loop.time() < until), name="index words")
        await asyncio.shield(catching_up)  # who asked may go; what is begun is ended
        if self._index is None:
            raise NoSearch("there is no search here")
        complete = self._pos >= stored
        async with self._lock:
            try:
                found = await self._run(self._index.find, words[:WORDS], min(limit, HITS))
            except NoIndex as error:
                self._give_up(error)
                raise NoSearch("there is no search until the server is started again") from None
        there = [each for each in found if each.session_id in self._host.sessions]
        return Found([Hit(each.session_id, each.seq, each.text, each.at) for each in there], complete)

    async def forget(self) -> None:
        """Start from nothing: a session is gone, and its words must be."""
        if self._index is None:
            return
        async with self._lock:
            try:
                await self._run(self._index.discard)
                self._pos = await self._run(self._index.open, ())
            except NoIndex as error:
                self._give_up(error)

    async def _work(self) -> None:
        seen = -1
        while self._index is not None:
            await self._catch_up(partial(self._idle_since, seen))
            seen = self._host.fanout.window.pos
            await asyncio.sleep(IDLE_SECONDS)

    def _idle_since(self, pos: int) -> bool:
        return self._host.fanout.window.pos == pos

    async def _catch_up(self, go_on: Callable[[], bool]) -> None:
        while self._index is not None and self._pos < self._host.fanout.window.pos and go_on():
            async with self._lock:
                try:
                    await self._further()
                except LogRefused:
                    return
                except NoIndex as error:
                    self._give_up(error)

    async def _further(self) -> None:
        assert self._index is not None
        published = self._host.fanout.window.pos
        rows = await self._host.log.read(self._pos, max_bytes=BATCH_BYTES)
        pos = rows[-1].pos if rows else published
        await self._run(self._index.add, list(texts(rows)), pos)
        self._pos = pos

    async def _run(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _give_up(self, error: Exception) -> None:
        _log.warning("there is no search until the server is started again: %s", error)
        self._index = None


class _Request(msgspec.Struct):
    title: str = ""
    display: str = ""


class _Event(msgspec.Struct):
    """What of any event has words in it."""

    id: str = ""
    type: str = ""
    at: int | None = None
    chunk: str = ""
    prompt: str = ""
    request: _Request | None = None


_read = msgspec.json.Decoder(_Event).decode


def texts(rows: Iterable[Stored]) -> Iterator[Text]:
    """What was said in some events of a log: output that goes on is one text, so that no word is cut."""
    going: dict[str, tuple[tuple[str, str], Text, list[str]]] = {}  # of each session: what goes on, and its pieces
    for row in rows:
        try:
            event = _read(row.body)
        except msgspec.DecodeError:
            continue
        same = (event.id, event.type)
        if row.session_id in going and (not event.chunk or going[row.session_id][0] != same):
            yield _whole(*going.pop(row.session_id))
        said = event.prompt or (f"{event.request.title}\n{event.request.display}" if event.request else "")
        if event.chunk:
            if row.session_id not in going:
                going[row.session_id] = (same, Text(row.session_id, row.seq, event.at, ""), [])
            going[row.session_id][2].append(event.chunk)
        elif said.strip():
            yield Text(row.session_id, row.seq, event.at, said)
    for each in going.values():
        yield _whole(*each)


def _whole(_: object, text: Text, pieces: list[str]) -> Text:
    return msgspec.structs.replace(text, text=_COLOUR.sub("", "".join(pieces)))
