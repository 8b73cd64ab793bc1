"""Open questions of agents: put to whoever may answer, shown to all who may see them, answered once."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from myagent.core.codec import encode
from myagent.core.messages import Ack, AnswerMessage, QuestionOutcome, QuestionResolved, SessionId
from myagent.core.questions import EXPIRED, Asked, Given
from myagent.core.refusals import AlreadyAnswered, UnknownQuestion
from myagent.eventlog import Stored
from myagent.host.peer import Peer, name_of, watches
from myagent.host.session_store import SessionStore, iso
from myagent.redaction.patterns import holds


@dataclass(slots=True)
class Waiting:
    """A question that waits; `given` is what its agent awaits. `event` is how it was shown."""

    session_id: SessionId
    given: asyncio.Future[Given]
    event: Stored
    expiry: asyncio.TimerHandle

    @property
    def refused(self) -> QuestionOutcome | None:
        """What its agent was told already, which waits for space to be stored: no answer will come."""
        return self.given.result().action if self.given.done() and not self.given.cancelled() else None


class Questions:
    """All open questions of a workspace. `nobody_asked`: a reason to cancel at once, or `None`."""

    def __init__(self, store: SessionStore, timeout: float, nobody_asked: Callable[[], str | None]) -> None:
        self._store = store
        self._timeout = timeout  # seconds until an unanswered question is cancelled
        self._nobody_asked = nobody_asked
        self._open: dict[str, Waiting] = {}
        self._key = secrets.token_bytes(32)  # of what is kept to tell a repeated answer; it ends with the process
        store.question_resolved = self.resolved

    async def ask(self, session_id: SessionId, turn_id: str, asked: Asked) -> Given:
        """Put an agent's question, and wait for what becomes of it. Being cancelled takes the question back."""
        loop = asyncio.get_running_loop()
        question_id = str(uuid.uuid4())
        given: asyncio.Future[Given] = loop.create_future()

        def opened(stored: list[Stored]) -> None:
            expiry = loop.call_later(self._timeout, self._cancel_later, question_id, EXPIRED)
            self._open[question_id] = Waiting(session_id, given, stored[0], expiry)
            if (reason := self._nobody_asked()) is not None:
                self._cancel_later(question_id, reason)

        async def put() -> None:
            async with self._store.lock:
                now = datetime.now(UTC)
                step = self._store.sessions[session_id].ask_question(
                    asked,
                    question_id=question_id,
                    turn_id=turn_id,
                    asked_at=iso(now),
                    expires_at=iso(now + timedelta(seconds=self._timeout)),
                )
                if isinstance(step, Given):
                    given.set_result(step)
                else:
                    await self._store.commit(step, on_stored=opened, fact=True)

        putting = self._store.spawn(put(), "ask a question")  # not by the agent's own task, which may be cancelled
        try:
            await asyncio.shield(putting)
            return await given
        except asyncio.CancelledError:
            putting.add_done_callback(lambda _: self._cancel_later(question_id, "the agent took it back"))
            raise

    def check_shown(self, peer: Peer, message: AnswerMessage) -> None:
        """An answer counts only from a connection to which its question was sent."""
        waiting = self._open.get(message.question_id)
        if waiting is None or message.question_id in peer.shown:
            return  # one that is no longer open, or never was: the session says which
        if not (watches(peer, waiting.session_id) and peer.cursor.has_passed(waiting.event.pos)):
            raise UnknownQuestion

    async def answer(self, peer: Peer, message: AnswerMessage, actor: Mapping[str, Any]) -> None:
        """Take an answer; the store's lock is held. The agent has it once it is stored."""
        sessions = self._store.sessions.values()
        session = next((each for each in sessions if each.questions.knows(message.question_id)), None)
        if session is None or not watches(peer, session.session_id):
            raise UnknownQuestion
        waits = self._open.get(message.question_id)
        if waits is not None and waits.refused is not None and waits.refused != message.action:
            raise AlreadyAnswered(waits.refused)
        step = session.answer(message, by=name_of(peer), matches=holds, key=self._key)
        ack = encode(Ack(id=message.id, session_id=session.session_id, duplicate=step is None))

        def stored(_: list[Stored]) -> None:
            waiting = self._open.get(message.question_id)
            if waiting is not None and not waiting.given.done():
                content = message.content or {} if message.action == "accept" else None
                waiting.given.set_result(Given(message.action, content))
            peer.send(ack)

        if step is None:
            peer.send(ack)
        else:
            await self._store.commit(step, on_stored=stored, actor=actor)

    def refuse_unstored(self, peer: Peer, message: AnswerMessage, actor: Mapping[str, Any]) -> str | None:
        """Tell an agent at once that it gets no answer, with no space to store that; it follows when there is some.
        What was done, if anything: an answer is only ever given after it was stored. Raises `Refused`."""
        waiting = self._open.get(message.question_id)
        if message.action == "accept" or waiting is None or waiting.given.cancelled():
            return None
        done = f"the agent was told {message.action}"
        if waiting.refused is not None:
            return done if waiting.refused == message.action else None
        by, session_id = name_of(peer), waiting.session_id
        self._store.sessions[session_id].answer(message, by=by, matches=holds, key=self._key)

        async def store() -> None:
            async with self._store.lock:
                step = self._store.sessions[session_id].answer(message, by=by, matches=holds, key=self._key)
                if step is not None:
                    await self._store.commit(step, fact=True, actor=actor)

        waiting.given.set_result(Given(message.action))
        self._store.spawn(store(), "store a refusal")
        return done

    def cancel_all(self, reason: str) -> None:
        """Cancel whatever is open."""
        for question_id in self._open:
            self._cancel_later(question_id, reason)

    def resolved(self, event: QuestionResolved) -> None:
        """A question was closed, by whomever: its agent goes on."""
        waiting = self._open.pop(event.question_id, None)
        if waiting is not None:
            waiting.expiry.cancel()
            if not waiting.given.done():
                waiting.given.set_result(Given(event.outcome, reason=event.reason))

    def show(self, peer: Peer) -> None:
        """Send every open question that the connection may see, marked `pending`."""
        for question_id, waiting in self._open.items():
            if watches(peer, waiting.session_id):
                peer.shown.add(question_id)
                peer.send(b'%b,"pending":true}' % waiting.event.body[:-1])

    def close(self) -> None:
        for waiting in self._open.values():
            waiting.expiry.cancel()

    def _cancel_later(self, question_id: str, reason: str) -> None:
        if question_id in self._open:
            self._store.spawn(self._cancel(question_id, reason), "cancel a question")

    async def _cancel(self, question_id: str, reason: str) -> None:
        async with self._store.lock:
            waiting = self._open.get(question_id)
            if waiting is not None:
                session = self._store.sessions[waiting.session_id]
                step = session.cancel_question(question_id, by="server", reason=reason)
                if step is not None:
                    await self._store.commit(step, fact=True)
