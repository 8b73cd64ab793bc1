"""Which files of the workspace somebody may mean who types a name."""

from __future__ import annotations

import asyncio
from pathlib import Path

from myagent.agents.tools.naming import list_files
from myagent.core.codec import encode
from myagent.core.matching import matching
from myagent.core.messages import Files as FilesReply
from myagent.core.messages import ListFiles
from myagent.host.peer import Peer
from myagent.redaction.redactor import Redactor

SHOWN = 50  # paths in one answer
FRESH_SECONDS = 3.0  # for which a list is used again, as somebody types on


class Files:
    """Of one workspace; names alone are told."""

    def __init__(self, workspace: Path, redactor: Redactor) -> None:
        self._workspace, self._redactor = workspace, redactor
        self._paths: list[str] = []
        self._listed: float | None = None  # when, on the event loop's clock
        self._lock = asyncio.Lock()

    async def answer(self, peer: Peer, message: ListFiles) -> None:
        paths, complete = matching(message.query, await self._all(), SHOWN)
        shown = [path for path in paths if self._redactor.text(path) == path]
        peer.send(encode(FilesReply(id=message.id, paths=shown, complete=complete)))

    async def _all(self) -> list[str]:
        loop = asyncio.get_running_loop()
        async with self._lock:
            if self._listed is None or loop.time() > self._listed + FRESH_SECONDS:
                self._paths = await list_files(self._workspace)
                self._listed = loop.time()
            return self._paths
