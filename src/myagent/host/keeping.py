"""Sessions as people keep them: renamed, archived, deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from myagent.core.audit import entry
from myagent.core.codec import encode
from myagent.core.messages import Ack, Archive, Delete, KeepMessage, Rename, SessionDeleted
from myagent.core.refusals import Refused, UnknownSession
from myagent.core.session import Step
from myagent.eventlog import LogRefused
from myagent.host.peer import Peer, name_of
from myagent.host.session_store import METADATA, SessionStore, as_refusal, now
from myagent.redaction.redactor import Redactor


class Keeping:
    """What becomes of whole sessions of one workspace."""

    def __init__(self, store: SessionStore, redactor: Redactor) -> None:
        self._store = store
        self._redactor = redactor

    @staticmethod
    def frees(message: KeepMessage) -> bool:
        """Whether there is more room after it."""
        return isinstance(message, Delete)

    async def carry_out(self, peer: Peer, message: KeepMessage, actor: Mapping[str, Any]) -> None:
        """The store's lock is held. Raises `Refused`."""
        session = self._store.sessions.get(message.session_id)
        if session is None:
            raise UnknownSession
        match message:
            case Rename():
                step = session.keep(name=self._redactor.text(message.title))
            case Archive():
                step = session.keep(archived=message.archived)
            case Delete():
                await self._delete(peer, message, actor)
                return
            case _:
                assert_never(message)
        await self._change(peer, message, step, actor)

    async def _change(self, peer: Peer, message: Rename | Archive, step: Step | None, actor: Mapping[str, Any]) -> None:
        ack = encode(Ack(id=message.id, session_id=message.session_id, duplicate=step is None))
        if step is None:
            peer.send(ack)
            return
        kind = "renamed" if isinstance(message, Rename) else "archived" if message.archived else "unarchived"
        record = entry(kind, now(), {**actor, "session": message.session_id})
        await self._store.commit(step, (METADATA,), on_stored=lambda _: peer.send(ack), audit=(record,))

    async def _delete(self, peer: Peer, message: Delete, actor: Mapping[str, Any]) -> None:
        """Gone for everybody when this returns; acknowledged when its bytes are gone as well."""
        session_id = message.session_id
        self._store.sessions[session_id].check_deletable()
        told = encode(SessionDeleted(session_id=session_id, by=name_of(peer)))
        await self._store.delete(session_id, told, entry("deleted", now(), {**actor, "session": session_id}))
        self._store.spawn(self._erase(peer, message), f"erase {session_id}")

    async def _erase(self, peer: Peer, message: Delete) -> None:
        try:
            await self._store.erase()
        except LogRefused as error:
            refusal: Refused = as_refusal(error)
            peer.refuse(message.id, refusal)
            raise
        peer.send(encode(Ack(id=message.id, session_id=message.session_id, duplicate=False)))
