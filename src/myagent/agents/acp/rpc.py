"""JSON-RPC 2.0 with one agent process.

- Requests of the agent are each answered by a task of its own; what it tells is taken in order.
- Ids are per direction (agents start at 0, as we do): its requests and our responses never meet.
- An id is a string or a number; a request with any other one is answered with an error, and an answer finds its
  request also when its number came back with a fraction (`0.0`).
- Either side may take back a request (`$/cancel_request`), which then still gets an answer.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from myagent.agents.processes.ndjson import AgentGone, Piece, Talk, connected
from myagent.agents.processes.piped import PipedChild
from myagent.agents.rendering.output import LIVE
from myagent.exceptions import MyagentError

logger = logging.getLogger(__name__)

OPEN_REQUESTS = 64  # of the agent at one time

INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32600, -32601, -32602
INTERNAL_ERROR, AUTH_REQUIRED = -32603, -32000
REQUEST_CANCELLED = -32800
CANCEL = "$/cancel_request"


class RpcError(MyagentError):
    """An error answer, of the agent to us or of us to the agent."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(code, message, data)
        self.code, self.message, self.data = code, message, data

    def __str__(self) -> str:
        details = self.data.get("details") if isinstance(self.data, dict) else self.data
        return self.message + (f": {details}" if isinstance(details, str) and details else "")


Notified = Callable[[str, dict[str, Any]], Awaitable[None]]
Requested = Callable[[str, dict[str, Any]], Awaitable[Any]]


class Connection(Talk):
    """A running agent. Open with `Connection.open`; from then on `close` must be called, also when it is `gone`."""

    dialect = "ACP"

    def __init__(
        self,
        child: PipedChild,
        *,
        on_notification: Notified,
        on_request: Requested,
        tally: Counter[str],
    ) -> None:
        self._on_notification, self._on_request = on_notification, on_request
        self._ids = itertools.count()
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._given_up: set[int] = set()  # our requests whose answer nobody waits for any more
        self._requests: dict[float | str, asyncio.Task[Any]] = {}  # of the agent, that have no answer yet
        self.over = asyncio.Event()  # the agent is gone: `gone` says how
        self._taken_back: set[float | str] = set()  # those of them that the agent cancelled
        super().__init__(child, tally)

    @classmethod
    async def open(
        cls,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        on_notification: Notified,
        on_request: Requested,
        tally: Counter[str],
    ) -> Connection:
        """Start the agent; raises `OSError` when the command cannot be run."""
        child = await connected(argv, cwd=cwd, env=env)
        return cls(child, on_notification=on_notification, on_request=on_request, tally=tally)

    async def request(self, method: str, params: Mapping[str, Any]) -> Any:
        """Ask the agent; its result, or `RpcError`, or `AgentGone`. Being cancelled takes the request back."""
        self._check()
        number = next(self._ids)
        answer = self._pending[number] = asyncio.get_running_loop().create_future()
        try:
            await self._send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
            return await answer
        except asyncio.CancelledError:
            if not answer.done() or answer.cancelled():
                self._give_up(number)
            raise
        finally:
            del self._pending[number]
            if answer.done() and not answer.cancelled():
                answer.exception()  # seen, also where sending failed and nobody awaited it

    def _give_up(self, number: int) -> None:
        """Tell the agent that nobody waits for its answer, which may come all the same."""
        if self.ending:
            return
        self._given_up.add(number)
        message = {"jsonrpc": "2.0", "method": CANCEL, "params": {"requestId": number}}
        self._aside(self._tell(message), f"acp-cancel-{number}")

    async def _tell(self, message: Mapping[str, Any]) -> None:
        try:
            await self._send(message)
        except AgentGone:
            pass  # nobody is left to hear it

    async def notify(self, method: str, params: Mapping[str, Any]) -> None:
        self._check()
        await self._send({"jsonrpc": "2.0", "method": method, "params": params})

    async def _take(self, message: Any, line: bytes) -> None:
        match message:
            case {"method": str(method), "id": int() | float() | str() as number} if not isinstance(number, bool):
                self._open_request(number, method, message.get("params"))
            case {"method": str(method), "id": wrong}:
                self._tally["refused"] += 1
                error = {"code": INVALID_REQUEST, "message": f"the id of {method[:100]} is no string and no number"}
                self._aside(self._tell({"jsonrpc": "2.0", "id": wrong, "error": error}), "acp-wrong-id")
            case {"method": "$/cancel_request", "params": {"requestId": int() | float() | str() as number}}:
                self._take_back(number)
            case {"method": str(method)}:
                params = message.get("params")
                await self._on_notification(method, params if isinstance(params, dict) else {})
            case {"id": int() | float() as number, "result": result} if self._waits(number):
                self._tally["response"] += 1
                self._pending[int(number)].set_result(result)
            case {"id": int() | float() as number, "error": error} if self._waits(number):
                self._tally["response"] += 1
                self._pending[int(number)].set_exception(_rpc_error(error))
            case {"id": int() | float() as number} if self._is_late(number, message):
                self._tally["response"] += 1
                self._given_up.discard(int(number))
            case _:
                self._garbage(line)

    def _piece(self, message: Any) -> Piece | None:
        """The text of a chunk, or the output of a command that runs."""
        match message:
            case {"method": "session/update", "params": {"sessionId": str(session), "update": dict(update)}}:
                pass
            case _:
                return None
        match update:
            case {"sessionUpdate": str(kind), "content": {"text": str()} as content}:
                return Piece((session, kind), content, "text")
            case {"toolCallId": str(call), "_meta": dict(meta)}:
                for key in LIVE:
                    if isinstance(output := meta.get(key), dict) and isinstance(output.get("data"), str):
                        return Piece((session, call, key), output, "data")
        return None

    def _take_back(self, number: float | str) -> None:
        """The agent wants no answer any more to what it asked; it gets one that says so."""
        self._tally["taken back"] += 1
        if (handling := self._requests.get(number)) is not None:
            self._taken_back.add(number)
            handling.cancel()

    def _waits(self, number: float) -> bool:
        return number in self._pending and not self._pending[int(number)].done()

    def _is_late(self, number: float, message: dict[str, Any]) -> bool:
        """Whether it answers what nobody waits for any more."""
        return number in self._given_up and ("result" in message or "error" in message)

    def _open_request(self, number: float | str, method: str, params: Any) -> None:
        if number in self._requests:  # one id gets one answer: the first request's
            self._garbage(f"(a second request with the id {number})".encode())
            return
        handling = asyncio.create_task(self._handle(method, params), name=f"acp-handle-{number}")
        self._requests[number] = handling
        answering = self._aside(self._answer(number, method, handling), f"acp-request-{number}")
        answering.add_done_callback(lambda _: self._answered(number))

    def _answered(self, number: float | str) -> None:
        self._requests.pop(number).cancel()
        self._taken_back.discard(number)

    async def _handle(self, method: str, params: Any) -> Any:
        if not isinstance(params, dict):
            raise RpcError(INVALID_PARAMS, "params must be an object")
        if len(self._requests) > OPEN_REQUESTS:
            raise RpcError(INTERNAL_ERROR, f"more than {OPEN_REQUESTS} requests are open")
        return await self._on_request(method, params)

    async def _answer(self, number: float | str, method: str, handling: asyncio.Task[Any]) -> None:
        body: dict[str, Any]
        try:
            body = {"result": await handling}
        except RpcError as error:
            body = {"error": {"code": error.code, "message": error.message}}
        except asyncio.CancelledError:
            if number not in self._taken_back:
                raise  # the talk is over
            body = {"error": {"code": REQUEST_CANCELLED, "message": "request cancelled"}}
        except Exception:
            logger.exception("agent %d: request %s could not be handled", self.pid, method)
            body = {"error": {"code": INTERNAL_ERROR, "message": "internal error"}}
        self._tally["answered" if "result" in body else "refused"] += 1
        await self._tell({"jsonrpc": "2.0", "id": number, **body})

    def _lost(self, gone: AgentGone) -> None:
        self.over.set()
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(gone)


def _rpc_error(error: Any) -> RpcError:
    if not isinstance(error, dict):
        return RpcError(INTERNAL_ERROR, "an error of an unknown shape")
    code = error.get("code")
    return RpcError(code if isinstance(code, int) else INTERNAL_ERROR, str(error.get("message")), error.get("data"))
