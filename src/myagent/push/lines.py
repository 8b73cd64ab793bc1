"""Calls wait in the line of their credential, so that one whose push service hangs keeps nobody else waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

UNDERWAY = 64  # calls of one credential that wait or are on their way; it may have 8 devices


@dataclass(slots=True)
class _Line:
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # is given in the order in which it was asked for
    length: int = 0


class Lines:
    """Of one workspace; whoever is at the head of a line is the only one of it under way."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}  # those that have somebody
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, credential: str, call: Callable[[], Awaitable[None]]) -> bool:
        """Call when those that came earlier in the line are done; false where the line is full."""
        line = self._lines.setdefault(credential, _Line())
        if line.length >= UNDERWAY:
            return False
        line.length += 1
        task = asyncio.get_running_loop().create_task(_in_turn(line, call), name="push")
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._done(credential, done))
        return True

    def _done(self, credential: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        line = self._lines[credential]
        line.length -= 1
        if not line.length:
            del self._lines[credential]

    async def finish(self, seconds: float) -> None:
        """Let calls get out, for as long; then give them up."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in list(self._tasks):
            task.cancel()


async def _in_turn(line: _Line, call: Callable[[], Awaitable[None]]) -> None:
    async with line.turn:
        await call()
