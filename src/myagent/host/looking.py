"""What owners ask about the shared directory without changing it: what git tells of it. One question at a time.

Their answers are nobody's but theirs: nothing of it is stored, and secrets are covered as in what is.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from myagent.core.codec import encode
from myagent.core.display import escape
from myagent.core.messages import ChangedFile, Changes, FileChange, ListChanges, LookMessage, ReadChange
from myagent.core.refusals import NotAllowed, RateLimited
from myagent.host.peer import Peer
from myagent.host.repository import ChangedPath, NoChanges, Repository
from myagent.host.session_store import SessionStore
from myagent.redaction.redactor import Redactor

WAITING = 8  # questions at most, of everybody; a person who looks has one or two


class Looking:
    """The questions of one workspace."""

    def __init__(self, directory: Path, store: SessionStore, redactor: Redactor) -> None:
        self._repository = Repository(directory)
        self._store = store
        self._redactor = redactor
        self._turn = asyncio.Lock()
        self._waiting = 0

    def receive(self, peer: Peer, message: LookMessage) -> None:
        """Answer, later. Raises `Refused`."""
        if peer.cursor.session_id is not None:
            raise NotAllowed("this credential sees one session, and not the whole directory")
        if self._waiting >= WAITING:
            raise RateLimited("questions about the directory")
        self._waiting += 1
        self._store.spawn(self._answer(peer, message), "looking")

    async def _answer(self, peer: Peer, message: LookMessage) -> None:
        try:
            async with self._turn:
                reply = await (self._changes(message) if isinstance(message, ListChanges) else self._change(message))
        finally:
            self._waiting -= 1
        if peer.still_good():  # it waited while its credential was replaced or revoked
            peer.send(self._redactor.encoded(encode(reply)))

    async def _changes(self, message: ListChanges) -> Changes:
        try:
            status = await self._repository.status()
        except NoChanges as error:
            return Changes(id=message.id, files=[], complete=False, unknown=escape(str(error)))
        files = [_told(each) for each in status.files]
        return Changes(id=message.id, files=files, complete=status.complete, branch=escape(status.branch) or None)

    async def _change(self, message: ReadChange) -> FileChange:
        try:
            found = await self._repository.difference(message.file)
        except NoChanges as error:
            return FileChange(id=message.id, file=message.file, diff="", complete=False, unknown=escape(str(error)))
        return FileChange(id=message.id, file=message.file, diff=found.text, complete=found.complete)


def _told(path: ChangedPath) -> ChangedFile:
    shown = escape(path.name.decode("utf-8", "backslashreplace"))
    return ChangedFile(file=path.key, path=shown, status=path.status, added=path.added, removed=path.removed)
