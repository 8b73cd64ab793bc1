"""The turns that an adapter is carrying out, each in a task of its own that `close` can end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from myagent.agents import TurnEnd


class Work:
    """What runs now."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[TurnEnd]] = set()

    async def run(self, turn: Coroutine[Any, Any, TurnEnd], *, name: str) -> TurnEnd:
        """Carry out one turn. Being cancelled ends it and is raised again; being closed is its end."""
        work = asyncio.create_task(turn, name=name)
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        try:
            return await work
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return TurnEnd(stop_reason="cancelled")

    async def close(self) -> None:
        """Stop what runs and wait until it has ended; idempotent."""
        for work in self._running:
            work.cancel()
        if self._running:
            await asyncio.wait(set(self._running))
