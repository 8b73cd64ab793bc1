"""A `TurnIO` that keeps what it is told, and answers permission requests as the test says."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from myagent.agents import Answer, ToolCall


class Told:
    """The host's side of one turn, for a test.

    `asked` is set when something was asked for; the answer is the one given with `answer`, before or after that.
    """

    def __init__(self) -> None:
        self.out = ""
        self.err = ""
        self.updates: list[dict[str, Any]] = []
        self.calls: list[ToolCall] = []
        self.state: dict[str, Any] = {}
        self.asked = asyncio.Event()
        self.said = asyncio.Event()
        self._answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def answer(self, kind: Literal["allow", "deny", "cancelled", "expired"], option_id: str | None = None) -> None:
        self._answer.set_result(Answer(kind, option_id=option_id))

    async def stdout(self, text: str, *, update: dict[str, Any] | None = None) -> None:
        self.out += text
        self._keep(update)

    async def stderr(self, text: str, *, update: dict[str, Any] | None = None) -> None:
        self.err += text
        self._keep(update)

    async def ask(self, call: ToolCall) -> Answer:
        self.calls.append(call)
        self.asked.set()
        return await asyncio.shield(self._answer)

    def tell(self, **state: Any) -> None:
        self.state |= state

    def _keep(self, update: dict[str, Any] | None) -> None:
        if update is not None:
            self.updates.append(update)
        self.said.set()

    def open_calls(self) -> set[str]:
        """The tool calls that a client which follows the updates still sees running."""
        status: dict[str, str] = {}
        for update in self.updates:
            if update["sessionUpdate"] in ("tool_call", "tool_call_update"):
                status.setdefault(update["toolCallId"], "pending")
                status[update["toolCallId"]] = update.get("status") or status[update["toolCallId"]]
        return {call for call, its in status.items() if its in ("pending", "in_progress")}
