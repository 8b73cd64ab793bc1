"""The wire of `claude -p` with stream-json both ways: a conversation, and requests of either side beside it."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from myagent.agents.processes.ndjson import AgentGone, Piece, Talk
from myagent.agents.processes.piped import PipedChild
from myagent.agents.rendering import JSON
from myagent.exceptions import MyagentError

Taken = Callable[[JSON], Awaitable[bool]]
Judged = Callable[[JSON], Awaitable[JSON]]


class Refused(MyagentError):
    """It answered a request of ours with an error."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said

    def __str__(self) -> str:
        return f"claude says: {self.said}"


class ClaudeTalk(Talk):
    """One process of `claude -p`. `result` is done when the turn of the last prompt has ended, or cannot any more;
    `over` is set when the process is gone.

    The tally counts what became of every line: response, asked, withdrawn, refused, shown, passed, garbage.
    """

    dialect = "stream-json"

    def __init__(self, child: PipedChild, tally: Counter[str], *, take: Taken, may_use: Judged) -> None:
        self._told, self._may_use = take, may_use
        self.result: asyncio.Future[JSON] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()
        self._unread: str | None = None  # a prompt that it has not begun with: the turn that ends before is its own
        self._replays: set[str] = set()  # requests of its own whose answers it says again, as it does with prompts
        self._pending: dict[str, asyncio.Future[JSON]] = {}
        self._asks: dict[str, asyncio.Task[None]] = {}
        super().__init__(child, tally)

    async def control(self, request: JSON) -> JSON:
        """Ask it for something beside the conversation; its answer, or `Refused`, or `AgentGone`."""
        self._check()
        number = f"myagent-{request['subtype']}"
        answer: asyncio.Future[JSON] = asyncio.get_running_loop().create_future()
        self._pending[number] = answer
        try:
            await self._send({"type": "control_request", "request_id": number, "request": request})
            return await answer
        finally:
            del self._pending[number]
            _seen(answer)

    @property
    def has_ended(self) -> bool:
        """It said how its turn ended; one that has no such conversation says so before anything else, and exits."""
        return self.result.done() and not self.result.cancelled() and self.result.exception() is None

    async def prompt(self, text: str, carried: Sequence[JSON] = ()) -> None:
        """`carried`: blocks, as the model's own API has them, that go with the text."""
        content = [{"type": "text", "text": text}, *carried]
        message: JSON = {"type": "user", "message": {"role": "user", "content": content}, "parent_tool_use_id": None}
        if self.result.done() and not self.over.is_set():
            self.result = asyncio.get_running_loop().create_future()
            self._unread = message["uuid"] = str(uuid.uuid4())
        await self._send(message)

    async def close(self) -> None:
        await super().close()
        self.result.cancel()
        _seen(self.result)

    async def _take(self, message: Any, line: bytes) -> None:
        match message:
            case {"type": "control_response", "response": {"request_id": str(number), **rest}} if self._waits(number):
                self._tally["response"] += 1
                body = rest.get("response")
                if rest.get("subtype") == "success":
                    self._pending[number].set_result(body if isinstance(body, dict) else {})
                else:
                    self._pending[number].set_exception(Refused(str(rest.get("error"))))
            case {"type": "control_response", "response": {"request_id": str(number)}} if number in self._replays:
                self._replays.discard(number)
                self._tally["passed"] += 1
            case {"type": "control_request", "request_id": str(number), "request": dict(request)}:
                self._asks[number] = ask = self._aside(self._judge(number, request), f"claude-ask-{number}")
                ask.add_done_callback(lambda _: self._asks.pop(number, None))
            case {"type": "control_cancel_request", "request_id": str(number)}:
                self._tally["withdrawn"] += 1
                if (asked := self._asks.get(number)) is not None:
                    asked.cancel()
            case {"type": "result"}:
                self._tally["response"] += 1
                await self._tell(message)
                if not self.result.done() and self._unread is None:
                    self.result.set_result(message)
            case {"type": "user", "uuid": str(number)} if number == self._unread:  # replayed: it begins with it
                self._unread = None
                await self._tell(message)
            case {"type": str(kind)} if not kind.startswith("control_"):
                await self._tell(message)
            case _:
                self._garbage(line)

    def _piece(self, message: Any) -> Piece | None:
        """The words of an answer or a thought."""
        match message:
            case {"type": "stream_event", "event": {"delta": {"type": str(kind)} as delta}}:
                key = "thinking" if kind == "thinking_delta" else "text"
                return Piece((str(message.get("parent_tool_use_id")), key), delta, key) if key in delta else None
            case _:
                return None

    def _waits(self, number: str) -> bool:
        return number in self._pending and not self._pending[number].done()

    async def _tell(self, message: JSON) -> None:
        try:
            shown = await self._told(message)
            if message.get("type") != "result":
                self._tally["shown" if shown else "passed"] += 1
        except Exception as error:  # the host's side failed: the turn ends with it
            self._broken(error)

    async def _judge(self, number: str, request: JSON) -> None:
        known = request.get("subtype") == "can_use_tool"
        self._tally["asked" if known else "refused"] += 1
        body: JSON = {"subtype": "error", "error": f"unknown request {str(request.get('subtype'))[:100]}"}
        try:
            if known:
                body = {"subtype": "success", "response": await self._may_use(request)}
            self._replays.add(number)
            await self._send({"type": "control_response", "response": {"request_id": number, **body}})
        except AgentGone:
            pass  # nobody is left to hear the answer
        except Exception as error:  # the host's side failed: nothing is allowed, and the turn ends with it
            self._broken(error)

    def _broken(self, error: Exception) -> None:
        if not self.result.done():
            self.result.set_exception(error)

    def _lost(self, gone: AgentGone) -> None:
        self.over.set()
        for answer in (*self._pending.values(), self.result):
            if not answer.done():
                answer.set_exception(gone)


def _seen(future: asyncio.Future[JSON]) -> None:
    """Mark a future's error as known: whoever awaited it has left."""
    if future.done() and not future.cancelled():
        future.exception()
