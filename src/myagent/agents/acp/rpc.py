"""JSON-RPC 2.0 with one agent process.

- Requests of the agent are each answered by a task of its own; what it tells is taken in order.
- Ids are per direction (agents start at 0, as we do): its requests and our responses never meet.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from myagent.agents.processes.ndjson import AgentGone, Talk, connected
from myagent.agents.processes.piped import PipedChild
from myagent.exceptions import MyagentError

logger = logging.getLogger(__name__)

OPEN_REQUESTS = 64  # of the agent at one time

METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR, AUTH_REQUIRED = -32601, -32602, -32603, -32000


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
        self._requests: set[int | str] = set()  # of the agent, that have no answer yet
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
        """Ask the agent; its result, or `RpcError`, or `AgentGone`."""
        self._check()
        number = next(self._ids)
        answer = self._pending[number] = asyncio.get_running_loop().create_future()
        try:
            await self._send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
            return await answer
        finally:
            del self._pending[number]
            if answer.done() and not answer.cancelled():
                answer.exception()  # seen, also where sending failed and nobody awaited it

    async def notify(self, method: str, params: Mapping[str, Any]) -> None:
        self._check()
        await self._send({"jsonrpc": "2.0", "method": method, "params": params})

    async def _take(self, message: Any, line: bytes) -> None:
        match message:
            case {"method": str(method), "id": int() | str() as number}:
                self._open_request(number, method, message.get("params"))
            case {"method": str(method)} if "id" not in message:
                params = message.get("params")
                await self._on_notification(method, params if isinstance(params, dict) else {})
            case {"id": int(number), "result": result} if self._waits(number):
                self._tally["response"] += 1
                self._pending[number].set_result(result)
            case {"id": int(number), "error": error} if self._waits(number):
                self._tally["response"] += 1
                self._pending[number].set_exception(_rpc_error(error))
            case _:
                self._garbage(line)

    def _waits(self, number: int) -> bool:
        return number in self._pending and not self._pending[number].done()

    def _open_request(self, number: int | str, method: str, params: Any) -> None:
        if number in self._requests:  # one id gets one answer: the first request's
            self._garbage(f"(a second request with the id {number})".encode())
            return
        self._requests.add(number)
        answering = self._aside(self._answer(number, method, params), f"acp-request-{number}")
        answering.add_done_callback(lambda _: self._requests.discard(number))

    async def _answer(self, number: int | str, method: str, params: Any) -> None:
        body: dict[str, Any]
        try:
            if not isinstance(params, dict):
                raise RpcError(INVALID_PARAMS, "params must be an object")
            if len(self._requests) > OPEN_REQUESTS:
                raise RpcError(INTERNAL_ERROR, f"more than {OPEN_REQUESTS} requests are open")
            body = {"result": await self._on_request(method, params)}
        except RpcError as error:
            body = {"error": {"code": error.code, "message": error.message}}
        except Exception:
            logger.exception("agent %d: request %s could not be handled", self.pid, method)
            body = {"error": {"code": INTERNAL_ERROR, "message": "internal error"}}
        self._tally["answered" if "result" in body else "refused"] += 1
        try:
            await self._send({"jsonrpc": "2.0", "id": number, **body})
        except AgentGone:
            pass  # nobody is left to hear the answer

    def _lost(self, gone: AgentGone) -> None:
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(gone)


def _rpc_error(error: Any) -> RpcError:
    if not isinstance(error, dict):
        return RpcError(INTERNAL_ERROR, "an error of an unknown shape")
    code = error.get("code")
    return RpcError(code if isinstance(code, int) else INTERNAL_ERROR, str(error.get("message")), error.get("data"))
