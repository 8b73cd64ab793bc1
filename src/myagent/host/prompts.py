"""Prompts: what is checked of one before it is stored, and how it becomes a turn of a session, old or new."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from myagent.agents import Agent
from myagent.core.audit import entry
from myagent.core.codec import encode
from myagent.core.messages import Ack, OpenSession, SessionId, SessionMetadata, TextItem, UserMessage
from myagent.core.refusals import BadMessage, Conflict, NotAllowed, TooLarge, UnknownSession
from myagent.core.session import Session, Step
from myagent.core.turn import prompt_digest
from myagent.eventlog import PromptKey
from myagent.host.content import Content
from myagent.host.options import Options
from myagent.host.peer import Peer, name_of
from myagent.host.session_store import METADATA, SessionStore, iso, now
from myagent.redaction.redactor import Redactor
from myagent.settings import Settings


class Prompts:
    """What becomes of the prompts of one workspace."""

    def __init__(
        self, agent: Agent, workspace: Path, store: SessionStore, redactor: Redactor, settings: Settings,
        options: Options, content: Content,
    ) -> None:  # fmt: skip
        self._agent = agent
        self._workspace = workspace
        self._store = store
        self._redactor = redactor
        self._settings = settings
        self._options = options
        self._content = content

    def check(self, peer: Peer, message: UserMessage | OpenSession) -> None:
        """What needs nothing stored. That its session exists is the caller's. Raises `Refused`."""
        if isinstance(message, UserMessage):
            words = (message.prompt, *(item.text for item in message.content if isinstance(item, TextItem)))
            if sum(len(each.encode()) for each in words) > self._settings.limits.prompt_bytes:
                raise TooLarge("the prompt", self._settings.limits.prompt_bytes)
            if not message.prompt.strip():
                raise BadMessage("the prompt is blank", message.id)
            if message.permission_mode == "bypassPermissions" and not self._settings.allow_bypass:
                raise NotAllowed("bypassPermissions needs a server that was started with --allow-bypass")
        is_new = isinstance(message, OpenSession) or message.session_id is None
        if is_new and peer.cursor.session_id is not None:
            raise NotAllowed("this connection watches one session and cannot open another")

    async def accept(self, peer: Peer, message: UserMessage | OpenSession, actor: Mapping[str, Any]) -> None:
        """Store a prompt once, whatever is sent again; the store's lock is held. Raises `Refused`."""
        if isinstance(message, OpenSession):
            await self._open(peer, message, actor)
            return
        digest = prompt_digest(message.prompt, message.content)
        message = replace(message, prompt=self._redactor.text(message.prompt))
        if message.session_id is None:
            earlier = await self._store.log.find_opening(message.id, digest)
        else:
            earlier = await self._store.log.find_prompt(message.id, message.session_id)
            if earlier is not None and earlier.digest != digest:
                raise Conflict
        if earlier is not None:
            session = self._session(SessionId(earlier.session_id))
            peer.send(encode(Ack(id=message.id, session_id=session.session_id, duplicate=True)))
            peer.send(encode(SessionMetadata(session=self._store.metadata(session))))
            return
        session = self._new_session() if message.session_id is None else self._session(message.session_id)
        mode = message.permission_mode or self._settings.permission_mode
        step = self._options.chosen_for(session, message, by=name_of(peer))
        key = PromptKey(session.session_id, message.id, digest, opened=message.session_id is None)
        fields = {**actor, "session": session.session_id, "turn": message.id, "digest": digest.hex(), "mode": mode}
        ack = encode(Ack(id=message.id, session_id=session.session_id, duplicate=False))
        async with self._content.carried(peer, session.session_id, message) as content:
            message = replace(message, content=content)
            begun = step.session.accept(message, by=name_of(peer), mode=mode, now=self._store.stamp())
            step = Step(begun.session, (*step.events, *begun.events), begun.begins)

            def stored(_: object) -> None:
                self._options.keep(step)
                peer.send(ack)

            await self._store.commit(
                step,
                (METADATA, *step.events),
                prompts=(key,),
                on_stored=stored,
                audit=(entry("prompt", now(), fields),),
            )

    async def _open(self, peer: Peer, message: OpenSession, actor: Mapping[str, Any]) -> None:
        """Store a session in which nothing runs, once, whatever is sent again; the store's lock is held. It is kept
        as if a blank prompt had opened it, which no prompt is. Raises `Refused`."""
        digest = prompt_digest("")
        earlier = await self._store.log.find_opening(message.id, digest)
        if earlier is not None:
            session = self._session(SessionId(earlier.session_id))
            peer.send(encode(Ack(id=message.id, session_id=session.session_id, duplicate=True)))
            peer.send(encode(SessionMetadata(session=self._store.metadata(session))))
            return
        session = replace(self._new_session(), updated_at=self._store.stamp())
        ack = encode(Ack(id=message.id, session_id=session.session_id, duplicate=False))
        await self._store.commit(
            Step(session),
            (METADATA,),
            prompts=(PromptKey(session.session_id, message.id, digest, opened=True),),
            on_stored=lambda _: peer.send(ack),
            audit=(entry("session", now(), {**actor, "session": session.session_id}),),
        )

    def _session(self, session_id: SessionId) -> Session:
        """Raises `UnknownSession`: it may have been deleted since."""
        session = self._store.sessions.get(session_id)
        if session is None:
            raise UnknownSession
        return session

    def _new_session(self) -> Session:
        time = datetime.now(UTC)
        return Session(
            session_id=SessionId(f"remote_{time:%Y%m%d%H%M%S}_{secrets.token_hex(4)}"),
            cwd=str(self._workspace),
            created_at=iso(time),
            updated_at=iso(time),
            agent=self._agent.info.name,
            mode=self._settings.permission_mode,
            agent_state=dict(self._agent.info.state),
        )
