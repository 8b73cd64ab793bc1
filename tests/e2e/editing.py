"""A real editor's side: the Python SDK's client, which starts `myagent acp` as an editor does, and takes down all."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import acp
from acp.schema import AllowedOutcome, DeniedOutcome, Implementation, RequestPermissionResponse
from puppet import PATIENCE

COMMAND = (sys.executable, "-m", "myagent", "acp")


class Sdk(acp.Client):
    """`answers` is what it says to permission requests: the kind of an option, and nothing while it is empty."""

    def __init__(self) -> None:
        self.connection: Any = None
        self.process: Any = None
        self.updates: list[tuple[str, Any]] = []  # session, update
        self.requests: list[Any] = []
        self.answers: asyncio.Queue[str] = asyncio.Queue()
        self._news = asyncio.Event()

    async def session_update(self, session_id: str, update: Any, **kwargs: Any) -> None:
        self.updates.append((session_id, update))
        self._news.set()

    async def request_permission(
        self, session_id: str, tool_call: Any, options: Any, **kwargs: Any
    ) -> RequestPermissionResponse:
        self.requests.append(tool_call)
        self._news.set()
        kind = await self.answers.get()
        found = next((each.option_id for each in options if each.kind == kind), None)
        if found is None:
            return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))
        return RequestPermissionResponse(outcome=AllowedOutcome(outcome="selected", option_id=found))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not true():
                self._news.clear()
                await self._news.wait()

    def said(self, kind: str = "agent_message_chunk", session: str | None = None) -> str:
        """All text of one kind."""
        return "".join(
            update.content.text
            for at, update in self.updates
            if session in (None, at) and update.session_update == kind
        )

    async def open(self, cwd: Path) -> str:
        return str((await self.connection.new_session(cwd=str(cwd))).session_id)

    async def prompt(self, session: str, text: str) -> Any:
        return await asyncio.wait_for(
            self.connection.prompt(session_id=session, prompt=[acp.text_block(text)]), PATIENCE
        )


@asynccontextmanager
async def editor(cwd: Path, *arguments: str, name: str = "sdk") -> AsyncIterator[Sdk]:
    """An editor in a directory, introduced."""
    side = Sdk()
    async with acp.spawn_agent_process(side, *COMMAND, *arguments, cwd=cwd) as (connection, process):
        side.connection, side.process = connection, process
        await asyncio.wait_for(
            connection.initialize(protocol_version=1, client_info=Implementation(name=name, version="1")), PATIENCE
        )
        yield side
