"""The running turns of a workspace: how they begin, are stopped, and end in the log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from myagent.agents import Agent, Turn, TurnEnd, TurnIO
from myagent.core.audit import entry
from myagent.core.codec import encode
from myagent.core.messages import Ack, Cancel, Error, SessionEvent, SessionId, TerminalState
from myagent.core.refusals import Internal
from myagent.core.session import Session, Step
from myagent.core.turn import QueuedTurn
from myagent.host.activities import Activities
from myagent.host.content import Content
from myagent.host.peer import Peer, name_of
from myagent.host.permission_requests import PermissionRequests
from myagent.host.running_turn import RunningTurn, sendable
from myagent.host.session_store import METADATA, SessionStore, Tell, now
from myagent.redaction.redactor import Redactor


class Turns:
    """The running turns of a workspace, at most one in each session."""

    def __init__(
        self,
        agent: Agent,
        workspace: Path,
        store: SessionStore,
        requests: PermissionRequests,
        chunk_bytes: int,
        redactor: Redactor,
    ) -> None:
        self._redactor = redactor
        self._agent = agent
        self._workspace = workspace
        self._store = store
        self._requests = requests
        self._chunk_bytes = chunk_bytes
        self._running: dict[SessionId, RunningTurn] = {}
        self._stopping = False
        self.activities = Activities(store, self._run)
        self.on_unasked: Callable[[str, str], None] | None = None  # set before the first turn
        self.credential_places: tuple[str, ...] = ()  # as above
        self.allow_bypass = False  # as above
        self.content: Content | None = None  # as above

    def begin(self, session: Session, turn: QueuedTurn) -> None:
        """Run a turn whose `prompt` has just been shown; when the server stops, `close_open` ends it instead."""
        if self._stopping:
            return
        asked = Turn(
            session.session_id,
            turn.id,
            turn.prompt,
            turn.mode,
            self._workspace,
            session.agent_session_id,
            turn.skill_names,
            self.credential_places,
            session.choices,
            self.allow_bypass,
            () if self.content is None else self.content.attached(session.session_id, turn.content),
        )
        self._run(session.session_id, turn.id, lambda io: self._agent.run(asked, io))

    def _run(self, session_id: SessionId, turn_id: str, work: Callable[[TurnIO], Awaitable[TurnEnd]]) -> None:
        running = RunningTurn(
            session_id, turn_id, self._store, self._requests, self._chunk_bytes, self._redactor, self.on_unasked,
            self.content,
        )  # fmt: skip
        self._running[session_id] = running
        running.start(work)
        self._store.spawn(self._finish(running), f"finish {turn_id}")

    async def cancel(
        self, session_id: SessionId, turn_id: str | None, *, by: str, answer: Callable[[bool], None] | None = None,
        actor: Mapping[str, Any] | None = None, fact: bool = False,
    ) -> None:  # fmt: skip
        """Cancel a turn that runs or waits; `answer` is told, when that is stored, whether there was one. The store's
        lock is held. A `fact` waits for space."""
        session = self._store.sessions.get(session_id)  # it may have been deleted since
        step = None if session is None else session.cancel(turn_id, by=by, now=self._store.stamp())
        if step is None:
            if answer is not None:
                answer(False)
            return
        waited = any(isinstance(event, TerminalState) for event in step.events)
        await self._store.commit(
            step,
            (*step.events, METADATA) if waited else step.events,
            on_stored=None if answer is None else lambda _: answer(True),
            fact=fact,
            actor=actor,
            audit=(entry("cancel", now(), {**(actor or {"by": by}), "session": session_id, "turn": turn_id}),),
        )
        running = self._running.get(session_id)
        if not waited and running is not None:
            running.cancel()

    async def cancel_for(self, peer: Peer, message: Cancel, actor: Mapping[str, Any], *, running_only: bool) -> None:
        """What somebody asked for; `running_only`: what waits is the owner's."""

        def answer(found: bool) -> None:
            peer.send(encode(Ack(id=message.id, session_id=message.session_id, duplicate=not found)))

        session = self._store.sessions.get(message.session_id)  # it may have been deleted since
        running = None if session is None else session.running
        if running_only and (running is None or message.turn_id not in (None, running.turn.id)):
            answer(False)
            return
        await self.cancel(message.session_id, message.turn_id, by=name_of(peer), answer=answer, actor=actor)

    def halt(self, session_id: SessionId, turn_id: str | None, actor: Mapping[str, Any]) -> str | None:
        """Stop a turn that runs, with no space to store first that somebody asked for it: only its end is stored, when
        there is some. What was done, if anything."""
        running = self._running.get(session_id)
        if running is None or turn_id not in (None, running.turn_id) or running.end.done():
            return None
        if not running.cancelling:
            self._store.record("cancel", {**actor, "session": session_id, "turn": turn_id})
            running.cancel()
        return "the agent was told to stop"

    def abort(self) -> list[str]:
        """Stop everything that runs, with nothing to store how it ended; the ids of those turns."""
        for turn in self._running.values():
            turn.cancel()
        return [turn.turn_id for turn in self._running.values()]

    async def interrupt_all(self) -> None:
        """Cancel everything that runs or waits: the owner has left."""
        running = dict(self._running)
        if self._store.log.refusing is not None:
            for turn in running.values():
                turn.cancel()
        for session_id in running:
            async with self._store.lock:
                for turn_id in (*(turn.id for turn in self._store.sessions[session_id].queue), None):
                    await self.cancel(session_id, turn_id, by="server", fact=True)

    async def stop(self, seconds: float) -> None:
        """Stop the agent's work; how the turns ended is told by `close_open`."""
        self._stopping = self.activities.stopped = True
        running = list(self._running.values())
        for turn in running:
            turn.cancel()
        if running:
            await asyncio.wait([turn.end for turn in running], timeout=seconds)

    async def close_open(self, *, survivors: int = 0) -> None:
        """Tell of every turn that a stopped server leaves behind, and how many processes had outlived it; none is run
        again."""
        for running in list(self._running.values()):
            await running.settle()
        async with self._store.lock:
            for session in list(self._store.sessions.values()):
                step = session.recover(now=self._store.stamp(), survivors=survivors)
                if step is not None:
                    await self._store.commit(step, (*step.events, METADATA), fact=True)

    async def _finish(self, running: RunningTurn) -> None:
        end = await running.end
        await running.settle()
        async with self._store.lock:
            if self._stopping:
                return  # `close_open` tells of it
            del self._running[running.session_id]
            message = None if end.message is None else sendable(end.message)
            step = self._store.sessions[running.session_id].finish(
                stop_reason=end.stop_reason,
                exit_code=end.exit_code,
                message=message,
                agent_session_id=end.agent_session_id,
                now=self._store.stamp(),
            )
            failure = None
            if end.stop_reason == "failed":
                failure = Error(id=running.turn_id, message=message or str(Internal()), code=Internal.code)
            await self._store.commit(step, _with_state(step, failure), fact=True)
        self.activities.ended(running.session_id)


def _with_state(step: Step, failure: Error | None) -> list[SessionEvent | Tell]:
    """The end of a turn as it is told: why it could not run just before, the session's metadata just after."""
    parts: list[SessionEvent | Tell] = []
    for event in step.events:
        if not isinstance(event, TerminalState):
            parts.append(event)
        elif failure is None:
            parts += (event, METADATA)
        else:
            parts += (Tell(failure), event, METADATA)
    return parts
