"""Open permission requests: put to the owner, shown to whoever must see them, answered once."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from myagent.agents import Answer, ToolCall
from myagent.core.approvals import ApproveBy
from myagent.core.codec import encode
from myagent.core.messages import Ack, Outcome, PermissionDecision, PermissionResolved, Seen, SessionId
from myagent.core.permissions import EXPIRED, allowed_once, by_mode, digest_of
from myagent.core.refusals import AlreadyResolved, Refused, UnknownRequest
from myagent.eventlog import Stored
from myagent.host.peer import Peer, name_of, watches
from myagent.host.questions import Questions
from myagent.host.remembering import Remembering
from myagent.host.session_store import SessionStore, iso


@dataclass(slots=True)
class Question:
    """A request that waits; `answer` is what its agent awaits. `event` is how it was shown."""

    session_id: SessionId
    answer: asyncio.Future[Answer]
    event: Stored
    expiry: asyncio.TimerHandle
    call: ToolCall

    @property
    def denied(self) -> bool:
        """Whether its agent was told no already, which waits for space to be stored."""
        return self.answer.done() and not self.answer.cancelled()


class PermissionRequests:
    """All open requests of a workspace, and beside them its `questions`. `nobody_asked`: a reason to deny at
    once, or `None`."""

    def __init__(
        self,
        store: SessionStore,
        timeout: float,
        nobody_asked: Callable[[], str | None],
        remembering: Remembering,
        approve_by: ApproveBy,
    ) -> None:
        self._store = store
        self._remembering = remembering
        self._approve_by = approve_by
        self._ended: set[str] = set()  # credentials and devices whose allows count no more, until that is stored
        self._timeout = timeout  # seconds until an unanswered request is denied
        self._nobody_asked = nobody_asked
        self._open: dict[str, Question] = {}
        self.changed: Callable[[], None] = lambda: None  # called when a request opens, and when it closes
        self.questions = Questions(store, timeout, nobody_asked)

    async def ask(self, session_id: SessionId, turn_id: str, call: ToolCall) -> Answer:
        """Put an agent's question to the owner, and wait for the answer."""
        running = self._store.sessions[session_id].running
        given = by_mode(running.turn.mode, call) if running else None
        if given is not None and given.kind == "allow" and len(allowed_once(call.options)) > 1:
            given = None  # it is a choice, and no mode makes one
        if given is not None and running is not None:
            digest = digest_of(call, self._store.sessions[session_id].cwd)
            fields = {"session": session_id, "turn": turn_id, "tool": call.tool_name, "mode": running.turn.mode}
            self._store.record("by_mode", {**fields, "outcome": given.kind, "digest": digest})
            return given
        loop = asyncio.get_running_loop()
        request_id = str(uuid.uuid4())
        answer: asyncio.Future[Answer] = loop.create_future()

        def opened(stored: list[Stored]) -> None:
            expiry = loop.call_later(self._timeout, self._expire, request_id)
            self._open[request_id] = Question(session_id, answer, stored[0], expiry, call)
            self.changed()
            if (reason := self._nobody_asked()) is not None:
                self._store.spawn(self._settle(request_id, "deny", reason), "deny")

        async def put() -> None:
            async with self._store.lock:
                now = datetime.now(UTC)
                session = self._store.sessions[session_id]
                verdict = self._remembering.judge(call, session, now)
                people = self._approve_by.needed(call)
                rule = verdict.rule if people == 1 and self._nobody_asked() is None else None
                step = session.ask(
                    call,
                    request_id=request_id,
                    turn_id=turn_id,
                    asked_at=iso(now),
                    expires_at=iso(now + timedelta(seconds=self._timeout)),
                    remembers=verdict.offers,
                    missed=verdict.missed,
                    rule=rule,
                    people=people,
                )
                if isinstance(step, Answer):
                    answer.set_result(step)
                elif rule is not None:
                    used = self._remembering.used(rule, session, request_id, turn_id)
                    await self._store.commit(step, on_stored=opened, fact=True, audit=(used,))
                else:
                    await self._store.commit(step, on_stored=opened, fact=True)

        # Not by the agent's own task, which may be cancelled: a step is stored before the next one is decided on.
        await asyncio.shield(self._store.spawn(put(), "ask"))
        return await answer

    @property
    def open_ids(self) -> dict[str, SessionId]:
        """The open requests, each with its session."""
        return {request_id: question.session_id for request_id, question in self._open.items()}

    def session_of(self, request_id: str) -> SessionId | None:
        """Whose open request this is; `None` if it is not open."""
        question = self._open.get(request_id)
        return question.session_id if question else None

    def check_shown(self, peer: Peer, message: PermissionDecision | Seen) -> None:
        """A decision counts only from a connection to which its request was sent."""
        question = self._open.get(message.permission_request_id)
        if question is None or message.permission_request_id in peer.shown:
            return  # one that is no longer open, or never was: the session says which
        if not (watches(peer, question.session_id) and peer.cursor.has_passed(question.event.pos)):
            raise UnknownRequest

    async def decide(self, peer: Peer, message: PermissionDecision, actor: Mapping[str, Any]) -> None:
        """Take a decision; the store's lock is held."""
        request_id = message.permission_request_id
        sessions = self._store.sessions.values()
        session = next((each for each in sessions if each.knows_request(request_id)), None)
        if session is None or not watches(peer, session.session_id):
            raise UnknownRequest
        question = self._open.get(request_id)
        if question is not None and question.denied:
            raise AlreadyResolved("deny")
        voided = session.disallow(self._ended, by="server") if self._ended else None
        if voided is not None:
            await self._store.commit(voided)
            session = voided.session
        step = session.decide(message, by=name_of(peer), credential=peer.credential_id, device=peer.device_id)
        ack = encode(Ack(id=message.id, session_id=session.session_id, duplicate=step is None))
        if step is None:
            peer.send(ack)
        elif message.decision.remember is None:
            await self._store.commit(step, on_stored=lambda _: peer.send(ack), actor=actor)
        else:
            if question is None:
                raise UnknownRequest
            rule, made = self._remembering.keep(peer, message, question.call, session, datetime.now(UTC), actor)
            try:
                await self._store.commit(step, on_stored=lambda _: peer.send(ack), actor=actor, audit=(made,))
            except Refused:
                self._remembering.forget(rule)
                raise

    def credential_ended(self, ended: str) -> None:
        """What this credential or device has allowed, while others are awaited, counts no more."""
        self._ended.add(ended)

        async def void() -> None:
            async with self._store.lock:
                for session in list(self._store.sessions.values()):
                    step = session.disallow({ended}, by="server")
                    if step is not None:
                        await self._store.commit(step, fact=True)
                self._ended.discard(ended)  # the owner's id is that of the next owner token too

        self._store.spawn(void(), "count no more")

    def deny_unstored(self, peer: Peer, message: PermissionDecision, actor: Mapping[str, Any]) -> str | None:
        """Tell an agent no at once, with no space to store it; that follows when there is some. What was done, if
        anything: leave is only ever given after it was stored. Raises `Refused`."""
        question = self._open.get(message.permission_request_id)
        if message.decision.kind != "deny" or question is None or question.answer.cancelled():
            return None
        done = "the agent was told no"
        if question.denied:
            return done
        by = name_of(peer)
        self._store.sessions[question.session_id].decide(message, by=by)
        session_id, decision = question.session_id, message.decision

        async def store() -> None:
            async with self._store.lock:
                step = self._store.sessions[session_id].decide(message, by=by)
                if step is not None:
                    await self._store.commit(step, fact=True, actor=actor)

        question.answer.set_result(Answer("deny", decision.reason, decision.option_id))
        self._store.spawn(store(), "store a denial")
        return done

    def deny_all(self, reason: str) -> None:
        """Deny whatever is open; questions are cancelled."""
        for request_id in self._open:
            self._store.spawn(self._settle(request_id, "deny", reason), "deny")
        self.questions.cancel_all(reason)

    def resolved(self, event: PermissionResolved, option_id: str | None) -> None:
        """A request was closed, by whomever: its agent goes on."""
        question = self._open.pop(event.permission_request_id, None)
        self.changed()
        if question is not None:
            question.expiry.cancel()
            if not question.answer.done():
                question.answer.set_result(Answer(event.outcome, event.reason, option_id))

    def show(self, peer: Peer) -> None:
        """Send every open request and question that the connection may see, marked `pending`."""
        for request_id, question in self._open.items():
            if watches(peer, question.session_id):
                peer.shown.add(request_id)
                peer.send(b'%b,"pending":true}' % question.event.body[:-1])
                if (so_far := self._store.sessions[question.session_id].allowed_so_far(request_id)) is not None:
                    peer.send(encode(so_far))
        self.questions.show(peer)

    def close(self) -> None:
        for question in self._open.values():
            question.expiry.cancel()
        self.questions.close()

    def _expire(self, request_id: str) -> None:
        self._store.spawn(self._settle(request_id, "expired", EXPIRED), "expire")

    async def _settle(self, request_id: str, outcome: Outcome, reason: str) -> None:
        async with self._store.lock:
            question = self._open.get(request_id)
            if question is not None and not question.denied:
                session = self._store.sessions[question.session_id]
                step = session.settle(request_id, outcome, by="server", reason=reason)
                if step is not None:
                    await self._store.commit(step, fact=True)
