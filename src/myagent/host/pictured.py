"""A turn's output on the way to the log with its pictures kept beside that, before anything else looks at it."""

from __future__ import annotations

from typing import Any

from myagent.agents import Answer, ToolCall, TurnIO, UnaskedCall
from myagent.core.messages import SessionId
from myagent.core.questions import Asked, Given
from myagent.host.content import Content


class Pictured:
    """The host's side of a turn, in front of another one."""

    def __init__(self, io: TurnIO, content: Content, session_id: SessionId) -> None:
        self._io, self._content, self._session_id = io, content, session_id

    async def stdout(self, text: str, *, update: dict[str, Any] | None = None) -> None:
        await self._io.stdout(text, update=await self._kept(update))

    async def stderr(self, text: str, *, update: dict[str, Any] | None = None) -> None:
        await self._io.stderr(text, update=await self._kept(update))

    async def _kept(self, update: dict[str, Any] | None) -> dict[str, Any] | None:
        return None if update is None else await self._content.without_pictures(self._session_id, update)

    async def ask(self, call: ToolCall) -> Answer:
        return await self._io.ask(call)

    async def question(self, asked: Asked) -> Given:
        return await self._io.question(asked)

    async def unasked(self, call: UnaskedCall) -> None:
        await self._io.unasked(call)

    def tell(self, **state: Any) -> None:
        self._io.tell(**state)
