"""JSON-RPC 2.0 with one agent process: newline-delimited JSON over its stdin and stdout, in a process group of its own.

- Lines come in as raw JSON. What is no JSON-RPC message is counted and passed over; too much of it ends the agent.
- What the agent sends is taken one at a time, in order: the next line is read when the handler of the last one has
  returned. That is the back-pressure. Requests of the agent are the exception: each is answered by a task of its own.
- Ids are per direction (agents start at 0, as we do): its requests and our responses never meet.
- Whatever ends the connection ends the whole process group.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from myagent.agents.piped import PipedChild
from myagent.exceptions import MyagentError

logger = logging.getLogger(__name__)

LINE_BYTES = 64 << 20  # of one message; the largest seen was 570 KB (qwen-code 0.24)
READ_BYTES = 64 << 10  # per read
GARBAGE_LINES = 200  # on stdout that are no JSON-RPC, before the agent is taken for something else
OPEN_REQUESTS = 64  # of the agent at one time
STDERR_TAIL = 4096  # bytes kept to say why an agent died
STDERR_LOGGED = 256 << 10  # bytes of one process's stderr that reach the log
LINGER_SECONDS = 0.5  # after its exit, for somebody who left its process group with our pipe
CLOSE_SECONDS = 2.0  # to exit on end of input, and again on SIGTERM

METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR, AUTH_REQUIRED = -32601, -32602, -32603, -32000

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class LineTooLong(MyagentError):
    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"it sent a line longer than {self.limit >> 20} MiB"


class RpcError(MyagentError):
    """An error answer, of the agent to us or of us to the agent."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(code, message, data)
        self.code, self.message, self.data = code, message, data

    def __str__(self) -> str:
        details = self.data.get("details") if isinstance(self.data, dict) else self.data
        return self.message + (f": {details}" if isinstance(details, str) and details else "")


class AgentGone(MyagentError):
    """The agent's process ended, or was ended by us for `reason`; `status` is what `Popen.returncode` says."""

    def __init__(self, status: int | None, stderr: str = "", reason: str = "") -> None:
        super().__init__(status, stderr, reason)
        self.status, self.stderr, self.reason = status, stderr, reason

    @property
    def exit_code(self) -> int:
        """The status as a shell gives it; an agent that left in the middle did not succeed, whatever it says."""
        if self.status is None or self.status == 0:
            return 1
        return self.status if self.status > 0 else 128 - self.status

    def __str__(self) -> str:
        if self.reason:
            return f"the agent was ended: {self.reason}"
        if self.status is not None and self.status < 0:
            how = f"was killed by {signal.Signals(-self.status).name}"
        else:
            how = f"exited with status {self.status}"
        return f"the agent {how}" + (f": {self.stderr}" if self.stderr else "")


class Lines:
    """Cuts a stream of bytes into lines in linear time, however a line is spread over the pieces."""

    def __init__(self, limit: int = LINE_BYTES) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self.pending = 0  # bytes of the line that has not ended yet

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that end in `data`, without their newline."""
        first, *rest = data.split(b"\n")
        self._add(first)
        if not rest:
            return []
        lines = [b"".join(self._pieces), *rest[:-1]]
        self._pieces, self.pending = [], 0
        self._add(rest[-1])
        return lines

    def _add(self, piece: bytes) -> None:
        self.pending += len(piece)
        if self.pending > self._limit:
            raise LineTooLong(self._limit)
        if piece:
            self._pieces.append(piece)


Notified = Callable[[str, dict[str, Any]], Awaitable[None]]
Requested = Callable[[str, dict[str, Any]], Awaitable[Any]]


class Connection:
    """A running agent. Open with `Connection.open`; from then on `close` must be called, also when it is `gone`."""

    def __init__(
        self,
        child: PipedChild,
        *,
        on_notification: Notified,
        on_request: Requested,
        tally: Counter[str],
    ) -> None:
        self._child = child
        self._on_notification, self._on_request, self._tally = on_notification, on_request, tally
        self._ids = itertools.count()
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._requests: dict[object, asyncio.Task[None]] = {}  # of the agent, by its id
        self._tail = bytearray()
        self._garbage_lines = 0
        self._reason = ""  # why we ended it
        self._idle = False  # waiting for the agent to say something
        self._closing = False
        self.gone: AgentGone | None = None
        self._tasks = [
            asyncio.create_task(self._receive(), name="acp-receive"),
            asyncio.create_task(self._drain_stderr(), name="acp-stderr"),
            asyncio.create_task(self._watch_exit(), name="acp-exit"),
        ]

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
        child = PipedChild(argv, cwd, env)
        connecting = asyncio.create_task(child.connect())  # a few turns of the event loop; half of it is no use
        try:
            await asyncio.shield(connecting)
        except BaseException:
            await asyncio.wait({connecting})
            child.signal(signal.SIGKILL)
            child.close_pipes()
            await child.exited.wait()
            raise
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

    def kill(self, reason: str) -> None:
        """End the process group at once; everything that waits for an answer gets `AgentGone` with the reason."""
        self._reason = self._reason or reason
        self._child.signal(signal.SIGKILL)

    async def close(self) -> None:
        """End of input, then SIGTERM, then SIGKILL; returns when nothing of the process group is left to us."""
        self._closing = True
        self._reason = self._reason or "the host closed it"
        try:
            self._child.leave_time()
            self._child.stdin.close()
            for step in (signal.SIGTERM, signal.SIGKILL):
                try:
                    await asyncio.wait_for(self._child.exited.wait(), CLOSE_SECONDS)
                    break
                except TimeoutError:
                    self._child.signal(step)
            await self._child.exited.wait()
        finally:
            self._child.signal(signal.SIGKILL)
            self._child.close_pipes()
            for task in (*self._tasks, *self._requests.values()):
                task.cancel()
            await asyncio.gather(*self._tasks, *self._requests.values(), return_exceptions=True)
            self._fail()

    @property
    def ending(self) -> bool:
        """It is gone, or was told to go."""
        return self.gone is not None or bool(self._reason) or self._child.exited.is_set()

    @property
    def pid(self) -> int:
        return self._child.pid

    # --- to the agent ------------------------------------------------------------------------------------------

    async def _send(self, message: Mapping[str, Any]) -> None:
        """The one door to the agent's stdin."""
        try:
            self._child.stdin.write(_encode(message) + b"\n")
            await self._child.stdin.drain()
        except (ConnectionError, RuntimeError):
            # It closed its stdin, or died: its exit tells why.
            await self._end("it closed its input and went on running")
            await asyncio.wait({self._tasks[0]})
            raise self._fail() from None

    def _check(self) -> None:
        if self.gone:
            raise self.gone

    # --- from the agent ----------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        lines = Lines()
        try:
            while data := await self._read():
                for line in lines.feed(data):
                    await self._take(line)
            if lines.pending:
                logger.debug("agent %d: half a line at the end, of %d bytes", self.pid, lines.pending)
        except LineTooLong as error:
            self.kill(str(error))
        except Exception:  # a mistake of ours ends this agent, and no other
            logger.exception("agent %d: a message could not be handled", self.pid)
            self.kill("internal error")
        if not self._closing:
            await self._end("it closed its output and went on running")
        self._fail()

    async def _end(self, reason: str) -> None:
        """Wait for the exit of an agent that can no longer be talked to, and see to it."""
        try:
            await asyncio.wait_for(self._child.exited.wait(), LINGER_SECONDS)
        except TimeoutError:
            self.kill(reason)
            await self._child.exited.wait()

    async def _read(self) -> bytes:
        self._idle = True
        try:
            return await self._child.stdout.read(READ_BYTES)
        finally:
            self._idle = False

    async def _take(self, line: bytes) -> None:
        try:
            message = _decode(line)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            if line.strip():
                self._garbage(line)
            return
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

    def _garbage(self, line: bytes) -> None:
        """Not JSON-RPC, or an answer that nobody waits for: counted, logged, and bounded."""
        self._tally["garbage"] += 1
        self._garbage_lines += 1
        logger.debug("agent %d: not a message: %r", self.pid, line[:200])
        if self._garbage_lines > GARBAGE_LINES:
            self.kill(f"it does not speak ACP: more than {GARBAGE_LINES} lines are no messages, such as {line[:80]!r}")

    def _open_request(self, number: int | str, method: str, params: Any) -> None:
        if number in self._requests:  # one id gets one answer: the first request's
            self._garbage(f"(a second request with the id {number})".encode())
            return
        task = asyncio.create_task(self._answer(number, method, params), name=f"acp-request-{number}")
        self._requests[number] = task
        task.add_done_callback(lambda _: self._requests.pop(number, None))

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

    # --- its stderr and its end --------------------------------------------------------------------------------

    async def _drain_stderr(self) -> None:
        logged = 0
        while data := await self._child.stderr.read(READ_BYTES):
            self._tail += data
            del self._tail[:-STDERR_TAIL]
            if logged < STDERR_LOGGED:
                logged += len(data)
                logger.debug("agent %d says on stderr: %s", self.pid, data.decode(errors="replace").rstrip())

    async def _watch_exit(self) -> None:
        await self._child.exited.wait()
        while not self._tasks[0].done():
            await asyncio.wait({self._tasks[0]}, timeout=LINGER_SECONDS)
            if self._idle:  # nothing more comes, and yet the pipe is open: somebody outside the group has it
                self._child.close_pipes()

    def _fail(self) -> AgentGone:
        """Tell everybody who waits that the agent is gone."""
        if self.gone is None:
            lines = self._tail.decode(errors="replace").strip().splitlines()
            self.gone = AgentGone(self._child.status, "\n".join(lines[-5:]), self._reason)
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(self.gone)
        return self.gone


def _rpc_error(error: Any) -> RpcError:
    if not isinstance(error, dict):
        return RpcError(INTERNAL_ERROR, "an error of an unknown shape")
    code = error.get("code")
    return RpcError(code if isinstance(code, int) else INTERNAL_ERROR, str(error.get("message")), error.get("data"))
