"""The host's side of a turn, for tests: it keeps all that an agent says and asks, and answers as it was told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from myagent.agents import Answer, Asked, Given, ToolCall, UnaskedCall

WAIT_SECONDS = 30.0  # for what must happen; a bound, not a measure

ALLOW, DENY = Answer("allow"), Answer("deny", reason="not today")


class Recorder:
    """A `TurnIO`. `while_asking` is what happens between a question and its answer."""

    def __init__(self, answer: Answer = ALLOW, while_asking: Callable[[], Awaitable[None]] | None = None) -> None:
        self.said: list[tuple[str, str, dict[str, Any] | None]] = []  # stream, text, update
        self.asked: list[ToolCall] = []
        self.questions: list[Asked] = []
        self.given = Given("decline")  # the answer to them
        self.unasked_calls: list[UnaskedCall] = []
        self.state: dict[str, Any] = {}
        self._answer, self._while_asking = answer, while_asking
        self._news = asyncio.Event()

    @property
    def out(self) -> str:
        return "".join(text for stream, text, _ in self.said if stream == "stdout")

    @property
    def err(self) -> str:
        return "".join(text for stream, text, _ in self.said if stream == "stderr")

    @property
    def updates(self) -> list[dict[str, Any]]:
        return [update for _, _, update in self.said if update is not None]

    async def stdout(self, text: str, *, update: dict[str, Any] | None = None) -> None:
        self._say("stdout", text, update)

    async def stderr(self, text: str, *, update: dict[str, Any] | None = None) -> None:
        self._say("stderr", text, update)

    async def ask(self, call: ToolCall) -> Answer:
        self.asked.append(call)
        self._news.set()
        if self._while_asking is not None:
            await self._while_asking()
        return self._answer

    async def question(self, asked: Asked) -> Given:
        self.questions.append(asked)
        self._news.set()
        if self._while_asking is not None:
            await self._while_asking()
        return self.given

    async def unasked(self, call: UnaskedCall) -> None:
        self.unasked_calls.append(call)
        self._news.set()

    def tell(self, **state: Any) -> None:
        self.state |= state

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something said or asked makes it so."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not is_so():
                self._news.clear()
                await self._news.wait()

    def _say(self, stream: str, text: str, update: dict[str, Any] | None) -> None:
        self.said.append((stream, text, None if update is None else json.loads(json.dumps(update))))
        self._news.set()
