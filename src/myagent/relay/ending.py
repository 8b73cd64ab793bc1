"""Ends tasks that wait for the engine."""

from __future__ import annotations

import asyncio
from typing import Any

AGAIN_SECONDS = 0.2


async def end(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel tasks until they have ended: before Python 3.12 `wait_for`, which the engine's client uses, swallows a
    cancellation that comes together with its result. What they ended with is theirs to have told."""
    left = {task for task in tasks if task is not None and not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
