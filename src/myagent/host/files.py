"""Which files of the workspace somebody may mean who types a name."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from myagent.agents.tools.naming import list_files
from myagent.core.codec import encode
from myagent.core.matching import matching
from myagent.core.messages import Files as FilesReply
from myagent.core.messages import ListFiles
from myagent.core.refusals import NotAllowed, RateLimited
from myagent.host.peer import Peer
from myagent.redaction.redactor import Redactor

SHOWN = 50  # paths in one answer
WAITING = 8  # questions at most, of everybody
FRESH_SECONDS = 3.0  # for which a list is used again, as somebody types on


class Files:
    """Of one workspace; names alone are told."""

    def __init__(self, workspace: Path, redactor: Redactor) -> None:
        self._workspace, self._redactor = workspace, redactor
        self._paths: list[str] = []
        self._listed: float | None = None  # when, on the event loop's clock
        self._turn = asyncio.Lock()  # one question at a time
        self._waiting = 0

    def receive(self, peer: Peer, message: ListFiles) -> Coroutine[Any, Any, None]:
        """What answers. Raises `Refused`."""
        if peer.cursor.session_id is not None:
            raise NotAllowed("this credential sees one session, and not the whole directory")
        if self._waiting >= WAITING:
            raise RateLimited("questions about the directory")
        self._waiting += 1
        return self._answer(peer, message)

    async def _answer(self, peer: Peer, message: ListFiles) -> None:
        try:
            async with self._turn:
                known = await self._all()
                paths, complete = await asyncio.to_thread(matching, message.query, known, SHOWN)
        finally:
            self._waiting -= 1
        if peer.still_good():  # it waited while its credential was replaced or revoked
            shown = [path for path in paths if self._redactor.text(path) == path]
            peer.send(encode(FilesReply(id=message.id, paths=shown, complete=complete)))

    async def _all(self) -> list[str]:
        loop = asyncio.get_running_loop()
        if self._listed is None or loop.time() > self._listed + FRESH_SECONDS:
            self._paths = await list_files(self._workspace)
            self._listed = loop.time()
        return self._paths
