"""What an ACP agent does in a session between turns, as a turn of its own.

ACP 1 has no message that says that an agent works again: what it says and asks is the sign that it does. That it has
stopped is said by `state_update` (idle) where it knows that, and else by its being quiet with nothing asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from myagent.agents import TurnEnd, TurnIO
from myagent.agents.acp.rpc import Connection
from myagent.agents.acp.session import Running, Session
from myagent.agents.processes.ndjson import AgentGone
from myagent.agents.rendering import JSON

# Updates that tell of work. Others, such as a notification of an agent's own making, wait for the next turn.
_WORK = ("agent_message_chunk", "agent_thought_chunk", "tool_call", "tool_call_update", "plan")


def _is_work(update: JSON) -> bool:
    return update.get("sessionUpdate") in _WORK or update.get("state") == "running"


class OwnTurn:
    """One such turn. `begin` makes of the host's side what the session needs."""

    def __init__(
        self, session: Session, connection: Connection, begin: Callable[[TurnIO], Running], quiet_seconds: float
    ) -> None:
        self._session, self._connection = session, connection
        self._begin, self._quiet_seconds = begin, quiet_seconds
        self._hurried = False

    def is_due(self) -> bool:
        session = self._session
        waits = session.asking > 0 or any(_is_work(update) for update in session.late)
        return waits and session.running is None and not self._connection.ending

    def hurry(self) -> None:
        self._hurried = True
        self._session.heard.set()

    async def run(self, io: TurnIO) -> TurnEnd:
        session = self._session
        running = self._begin(io)
        over = asyncio.create_task(self._connection.over.wait(), name=f"acp-over-{session.agent_id}")
        for wakes in (over, running.failed):
            wakes.add_done_callback(lambda _: session.heard.set())
        try:
            await session.attend(running)
            await self._until_quiet(running)
            if self._connection.gone is not None:
                raise self._connection.gone
            await running.showing.finish()
            if running.failed.done():
                running.failed.result()
        except AgentGone as gone:
            await running.showing.close_calls()
            return TurnEnd("failed", gone.exit_code, str(gone), session.agent_id)
        except BaseException:  # cancelled, or the host's side failed
            await self._stop(running)
            raise
        finally:
            session.unattend(running)
            over.cancel()
            running.failed.cancel()
            for ask in running.asks:
                ask.cancel()
        return TurnEnd(agent_session_id=session.agent_id)

    async def _until_quiet(self, running: Running) -> None:
        session = self._session
        while not (self._connection.over.is_set() or running.failed.done()):
            asked = bool(running.asks) or session.asking > 0
            if not asked and (running.idle or self._hurried):
                return
            session.heard.clear()
            try:
                async with asyncio.timeout(self._quiet_seconds):
                    await session.heard.wait()
            except TimeoutError:
                if not running.asks and not session.asking:
                    return

    async def _stop(self, running: Running) -> None:
        """Tell the agent to stop, and take back what it asked. There is no answer to wait for."""
        running.stopping = True
        for ask in running.asks:
            ask.cancel()
        try:
            await self._connection.notify("session/cancel", {"sessionId": self._session.agent_id})
        except AgentGone:
            pass  # it has stopped
        await running.showing.close_calls()
