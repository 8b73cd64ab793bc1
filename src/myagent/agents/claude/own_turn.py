"""What claude does between turns, as a turn of its own: it ends with its `result`, or when it has been quiet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from myagent.agents import TurnEnd, TurnIO
from myagent.agents.claude.conversation import Conversation, Running
from myagent.agents.claude.stream import end_of
from myagent.agents.processes.ndjson import AgentGone
from myagent.agents.work import Work


class OwnTurn:
    """One such turn. `begin` makes of the host's side what a turn needs; `stop` ends the process."""

    def __init__(
        self,
        conversation: Conversation,
        begin: Callable[[TurnIO], Running],
        stop: Callable[[Conversation], Awaitable[None]],
        quiet_seconds: float,
        work: Work,
    ) -> None:
        self._conversation, self._begin, self._stop = conversation, begin, stop
        self._quiet_seconds, self._work = quiet_seconds, work
        self._hurried = False

    def is_due(self) -> bool:
        return self._conversation.is_heard and not self._conversation.talk.over.is_set()

    def hurry(self) -> None:
        self._hurried = True
        self._conversation.heard.set()

    async def run(self, io: TurnIO) -> TurnEnd:
        return await self._work.run(self._run(io), name=f"claude own turn in {self._conversation.turn.session_id}")

    async def _run(self, io: TurnIO) -> TurnEnd:
        conversation, talk = self._conversation, self._conversation.talk
        running = self._begin(io)
        running.own = True
        conversation.result = {}
        over = asyncio.create_task(talk.over.wait(), name="claude-over")
        for wakes in (over, running.failed):
            wakes.add_done_callback(lambda _: conversation.heard.set())
        try:
            await conversation.attend(running)
            await self._until_quiet(running)
            if talk.gone is not None:
                raise talk.gone
            await running.showing.finish()
            if running.failed.done():
                running.failed.result()
        except AgentGone as gone:
            await running.showing.close_calls()
            return TurnEnd("failed", gone.exit_code, str(gone), conversation.session_id)
        except BaseException:  # cancelled, or the host's side failed
            running.stopping = True
            await self._stop(conversation)
            await running.showing.close_calls()
            raise
        finally:
            over.cancel()
            conversation.unattend(running)
        return end_of(conversation.result) if conversation.result else TurnEnd(agent_session_id=conversation.session_id)

    async def _until_quiet(self, running: Running) -> None:
        conversation = self._conversation
        while not (conversation.talk.over.is_set() or running.failed.done()):
            asked = running.asks > 0 or conversation.asking > 0
            if not asked and not conversation.busy and (conversation.result or self._hurried):
                return
            conversation.heard.clear()
            try:
                async with asyncio.timeout(None if asked or conversation.busy else self._quiet_seconds):
                    await conversation.heard.wait()
            except TimeoutError:
                return
