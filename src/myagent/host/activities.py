"""Turns that nobody prompted: opened when an agent speaks or asks between turns, ended when it is quiet again."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable

from myagent.agents import Agent, OwnTurn, TurnEnd, TurnIO
from myagent.core.messages import SessionId
from myagent.host.session_store import METADATA, SessionStore

Run = Callable[[SessionId, str, Callable[[TurnIO], Awaitable[TurnEnd]]], None]


class Activities:
    """The host's side of what agents do by themselves (`agents.Outside`). One that cannot begin, as a turn runs in its
    session, is tried again when that has ended: by then that turn may have said it all."""

    def __init__(self, store: SessionStore, run: Run) -> None:
        self._store, self._run = store, run
        self._wanted: dict[SessionId, OwnTurn] = {}
        self._running: dict[SessionId, OwnTurn] = {}
        self._opening: set[SessionId] = set()
        self.stopped = False  # the server stops: nothing begins any more
        self.quiet_seconds = 0.0  # told by `attend`

    def attend(self, agent: Agent, quiet_seconds: float) -> None:
        """Take what an agent does between turns, if its adapter can tell; after `start` of neither."""
        self.quiet_seconds = quiet_seconds
        self._store.held_up = self._held_up
        attended = getattr(agent, "attend", None)
        if attended is not None:
            attended(self)

    def begin(self, session_id: str, own: OwnTurn) -> None:
        self._wanted[SessionId(session_id)] = own
        self._try(SessionId(session_id))

    def ended(self, session_id: SessionId) -> None:
        """A turn of the session has ended, and that is stored."""
        self._running.pop(session_id, None)
        if session_id in self._wanted:
            self._try(session_id)

    def _try(self, session_id: SessionId) -> None:
        if session_id not in self._opening:
            self._opening.add(session_id)
            self._store.spawn(self._open(session_id), "own turn")

    async def _open(self, session_id: SessionId) -> None:
        try:
            async with self._store.lock:
                self._opening.discard(session_id)  # what is wanted from here on is tried anew
                session, own = self._store.sessions.get(session_id), self._wanted.get(session_id)
                if self.stopped or own is None or session is None or not own.is_due():
                    self._wanted.pop(session_id, None)
                    return
                turn_id = f"activity-{uuid.uuid4()}"
                step = session.begin_own(turn_id, now=self._store.stamp())
                if step is None:
                    return
                del self._wanted[session_id]
                self._running[session_id] = own
                await self._store.commit(step, (*step.events, METADATA), fact=True)
                if not self.stopped:
                    self._run(session_id, turn_id, own.run)
        finally:
            self._opening.discard(session_id)

    def _held_up(self, session_id: SessionId) -> None:
        if (own := self._running.get(session_id)) is not None:
            own.hurry()
