"""One direction of a link between a relay and a host: numbered, in order, and broken where one is missing.

The engine does not store what is said here, and may lose what is on its way when it is restarted. That breaks a link,
as a lost TCP connection would: whoever was on it comes again, and the owner has the grace to do so.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from myagent.relay.ending import end
from myagent.relay.engine import EngineAway

RETRY_SECONDS = 0.1
WAITING_BYTES = 16 << 20  # that wait for an engine which is away, of one link

W = TypeVar("W")
_log = logging.getLogger(__name__)


class Sender(Generic[W]):
    """Sends in the background what is put. `encode` makes the bytes of a number and what it is given; `send` may raise
    `EngineAway`, and is tried again; `broke` is called once, when it cannot go on."""

    def __init__(
        self, encode: Callable[[int, W], bytes], send: Callable[[bytes], Awaitable[None]], broke: Callable[[], None],
        *, first: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:  # fmt: skip
        self._encode = encode
        self._send = send
        self._broke = broke
        self._first = first  # has to be true before anything is sent
        self._number = 0
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self.open = True
        self._task = asyncio.get_running_loop().create_task(self._run(), name="send over a link")

    @property
    def idle(self) -> bool:
        """Nothing waits to be sent."""
        return not self._waiting

    def put(self, what: W) -> None:
        if not self.open:
            return
        self._number += 1
        data = self._encode(self._number, what)
        self._waiting.append(data)
        self._bytes += len(data)
        if self._bytes > WAITING_BYTES:
            _log.warning("a link between a relay and a host has too much to say")
            self._end()
        self._drained.clear()
        self._wake.set()

    def _end(self) -> None:
        if self.open:
            self.open = False
            self._broke()

    async def close(self) -> None:
        """Send nothing more."""
        self.open = False
        if self._task is not asyncio.current_task():
            await end(self._task)

    async def drain(self) -> None:
        """Wait until all is sent."""
        if self.open and self._waiting:
            await self._drained.wait()

    async def _run(self) -> None:
        if self._first is not None and not await self._first():
            self._end()
            return
        while self.open:
            while self._waiting and self.open:
                try:
                    await self._send(self._waiting[0])
                except EngineAway:
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                except Exception:  # larger than the engine takes
                    _log.exception("a link between a relay and a host cannot go on")
                    self._end()
                    return
                self._bytes -= len(self._waiting.popleft())
            self._wake.clear()
            self._drained.set()
            if not self._waiting:
                await self._wake.wait()


class Received:
    """Counts what comes: each number once, none left out."""

    def __init__(self) -> None:
        self._last = 0

    def take(self, number: int) -> bool | None:
        """True for the next one, false for one that came before, `None` where one is missing."""
        if number <= self._last:
            return False
        if number > self._last + 1:
            return None
        self._last = number
        return True
