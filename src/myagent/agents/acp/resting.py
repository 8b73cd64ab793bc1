"""Sessions that nobody uses: closed after a while, each of which may cost the agent a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from myagent.agents.acp.session import Session

IDLE_SECONDS = 600.0  # nothing said by anybody in a session; some agents go on working after the end of a turn


class Resting:
    """A timer for each session that no turn runs in. `after` is in seconds, 0 for never; `close` closes one."""

    def __init__(self, after: float, close: Callable[[Session], Awaitable[None]]) -> None:
        self._after, self._close = after, close
        self._timers: dict[str, asyncio.Task[None]] = {}
        self._closing: set[str] = set()

    def rest(self, session: Session) -> None:
        """Begin to wait; a session that the agent goes on talking in is not idle."""
        session.used()
        if self._after > 0 and session.agent_id not in self._timers:
            timer = asyncio.create_task(self._watch(session), name=f"acp-idle-{session.agent_id}")
            self._timers[session.agent_id] = timer
            timer.add_done_callback(partial(self._ended, session.agent_id))

    def _ended(self, agent_id: str, timer: asyncio.Task[None]) -> None:
        if self._timers.get(agent_id) is timer:
            del self._timers[agent_id]

    async def wake(self, session: Session) -> None:
        """It is used again; returns when nothing is being done about its rest."""
        timer = self._timers.get(session.agent_id)
        if timer is not None:
            if session.agent_id not in self._closing:
                timer.cancel()
            await asyncio.wait({timer})

    def stop(self) -> None:
        """The agent is another one, or gone."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    async def _watch(self, session: Session) -> None:
        loop = asyncio.get_running_loop()
        while (left := session.used_at + self._after - loop.time()) > 0:  # noqa: ASYNC110 -- moves with each word
            await asyncio.sleep(left)
        self._closing.add(session.agent_id)
        try:
            await self._close(session)
        finally:
            self._closing.discard(session.agent_id)
