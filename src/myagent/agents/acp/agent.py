"""Be an agent of the Agent Client Protocol (version 1) on two streams: any adapter of the agent port, for any client.

The other side of `acp.py`. Reading and writing are ours (no `fs`, no `terminal` of the client is used), so what a
client sees of a tool call is its updates, and what it is asked is `session/request_permission`.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from myagent import __version__
from myagent.agents import Agent, Answer, ToolCall, Turn, TurnEnd, UnaskedCall
from myagent.agents.acp.rpc import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, RpcError
from myagent.agents.processes.ndjson import READ_BYTES, Lines
from myagent.agents.rendering import JSON
from myagent.agents.rendering.blocks import content_text
from myagent.core.messages import Option, PermissionMode
from myagent.core.permissions import policy
from myagent.exceptions import MyagentError

logger = logging.getLogger(__name__)

PARSE_ERROR, INVALID_REQUEST = -32700, -32600
ACP_VERSION = 1
BESIDE = {"myagent": {"stream": "stderr"}}  # `_meta` of a thought that is none: a command's output, a line of ours

_MODES: dict[PermissionMode, str] = {
    "default": "asks before it changes or runs anything",
    "plan": "only reads",
    "bypassPermissions": "asks nothing",
}
_OPTIONS = (Option("allow", "Allow", "allow_once"), Option("reject", "Reject", "reject_once"))


@dataclass(slots=True)
class _Session:
    """`agent_session_id` is what its last turn ended with."""

    session_id: str
    cwd: Path
    mode: PermissionMode = "default"
    agent_session_id: str | None = None
    running: asyncio.Task[TurnEnd] | None = None
    turns: itertools.count[int] = field(default_factory=lambda: itertools.count(1))


class AcpSide:
    """One client. `write` takes whole lines, one after another."""

    def __init__(self, agent: Agent, read: asyncio.StreamReader, write: Callable[[bytes], Awaitable[None]]) -> None:
        self._agent, self._read, self._write = agent, read, write
        self._sessions: dict[str, _Session] = {}
        self._ids = itertools.count()
        self._asked: dict[int, asyncio.Future[Any]] = {}  # our requests that have no answer yet
        self._answering: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve the client until it closes its side; then everything that runs is stopped. Raises `LineTooLong`."""
        lines = Lines()
        try:
            while data := await self._read.read(READ_BYTES):
                for line in lines.feed(data):
                    await self._take(line)
        finally:
            for session_id in self._sessions:
                self._cancel(session_id)
            for task in self._answering:
                task.cancel()
            await asyncio.gather(*self._answering, return_exceptions=True)

    # --- from the client ---------------------------------------------------------------------------------------

    async def _take(self, line: bytes) -> None:
        try:
            message = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            if line.strip():
                await self._refuse(None, RpcError(PARSE_ERROR, "not JSON"))
            return
        match message:
            case {"method": str(method), "id": int() | str() as number}:
                task = asyncio.create_task(self._answer(number, method, message.get("params")), name=f"acp {method}")
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)
            case {"method": "session/cancel", "params": {"sessionId": str(session_id)}}:
                # In its turn: the prompt that came just before it begins first.
                asyncio.get_running_loop().call_soon(self._cancel, session_id)
            case {"method": str()}:
                pass  # a notification that is news to us
            case {"id": int(number)} if number in self._asked:
                answer = self._asked.pop(number)
                if not answer.done():
                    answer.set_result(message.get("result"))
            case {"id": _}:
                pass  # an answer that nobody waits for
            case _:
                await self._refuse(None, RpcError(INVALID_REQUEST, "no JSON-RPC message"))

    def _cancel(self, session_id: str) -> None:
        session = self._sessions.get(session_id)
        if session is not None and session.running is not None:
            session.running.cancel()

    async def _answer(self, number: int | str, method: str, params: Any) -> None:
        try:
            result = await self._result(method, params if isinstance(params, dict) else {})
        except RpcError as error:
            await self._refuse(number, error)
        except Exception:  # a mistake of ours ends this request, and no other
            logger.exception("request %s could not be handled", method)
            await self._refuse(number, RpcError(INTERNAL_ERROR, "internal error"))
        else:
            await self._send({"id": number, "result": result})

    async def _result(self, method: str, params: JSON) -> JSON:
        match method:
            case "initialize":
                return self._introduced()
            case "session/new":
                return await self._opened(_Session(str(uuid.uuid4()), _directory(params)))
            case "session/load" if (history := _history(self._agent)) is not None:
                session_id = params.get("sessionId")
                session = _Session(str(session_id), _directory(params), agent_session_id=str(session_id))
                updates = await history(session.session_id, session.cwd)
                if updates is None or session.session_id in self._sessions:
                    raise RpcError(INVALID_PARAMS, "there is no such session to load")
                for update in updates:
                    await self.tell(session.session_id, update)
                return {key: value for key, value in (await self._opened(session)).items() if key != "sessionId"}
            case "session/set_mode":
                session, mode = self._session(params), params.get("modeId")
                session.mode = _mode(mode)
                return {}
            case "session/prompt":
                return await self._prompted(self._session(params), params.get("prompt"))
            case _:
                raise RpcError(METHOD_NOT_FOUND, f"method not found: {method[:100]}")

    def _introduced(self) -> JSON:
        info = self._agent.info
        return {
            "protocolVersion": ACP_VERSION,
            "agentCapabilities": {
                "loadSession": _history(self._agent) is not None,
                "promptCapabilities": {"embeddedContext": True},
            },
            "agentInfo": {"name": "myagent", "title": f"myagent {info.name}", "version": __version__},
            "authMethods": [],
        }

    async def _opened(self, session: _Session) -> JSON:
        self._sessions[session.session_id] = session
        modes = [{"id": mode, "name": mode, "description": what} for mode, what in _MODES.items()]
        return {
            "sessionId": session.session_id,
            "modes": {"currentModeId": session.mode, "availableModes": modes},
        }

    def _session(self, params: JSON) -> _Session:
        session = self._sessions.get(str(params.get("sessionId")))
        if session is None:
            raise RpcError(INVALID_PARAMS, "there is no such session")
        return session

    async def _prompted(self, session: _Session, blocks: Any) -> JSON:
        if session.running is not None:
            raise RpcError(INVALID_REQUEST, "a prompt of this session is being answered")
        texts = [content_text(block) for block in blocks] if isinstance(blocks, list) else []
        turn_id = f"{session.session_id}-{next(session.turns)}"
        turn = Turn(session.session_id, turn_id, "\n".join(texts), session.mode, session.cwd, session.agent_session_id)
        session.running = asyncio.create_task(self._agent.run(turn, _Side(self, turn)), name=f"turn {turn_id}")
        try:
            end = await session.running
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            end = TurnEnd("cancelled")
        except MyagentError as error:
            end = TurnEnd("failed", message=str(error))
        finally:
            session.running = None
        session.agent_session_id = end.agent_session_id or session.agent_session_id
        if end.stop_reason == "failed" or end.exit_code not in (0, None):
            raise RpcError(INTERNAL_ERROR, end.message or f"it ended with exit code {end.exit_code}")
        return {"stopReason": end.stop_reason}

    # --- to the client -----------------------------------------------------------------------------------------

    async def tell(self, session_id: str, update: JSON) -> None:
        await self._send({"method": "session/update", "params": {"sessionId": session_id, "update": update}})

    async def ask(self, method: str, params: JSON) -> Any:
        """The result of a request to the client; `None` where it answered with an error."""
        number = next(self._ids)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            await self._send({"id": number, "method": method, "params": params})
            return await answer
        finally:
            self._asked.pop(number, None)

    async def _refuse(self, number: int | str | None, error: RpcError) -> None:
        await self._send({"id": number, "error": {"code": error.code, "message": error.message}})

    async def _send(self, message: JSON) -> None:
        await self._write(msgspec.json.encode({"jsonrpc": "2.0", **message}) + b"\n")


class _Side:
    """The host's side of a turn, as far as it is told in updates alone."""

    updates_only = True

    def __init__(self, client: AcpSide, turn: Turn) -> None:
        self._client, self._turn = client, turn
        self._call_id = turn.turn_id  # of the tool call that was announced last

    async def stdout(self, text: str, *, update: JSON | None = None) -> None:
        await self._say("agent_message_chunk", text, update, {})

    async def stderr(self, text: str, *, update: JSON | None = None) -> None:
        await self._say("agent_thought_chunk", text, update, {"_meta": BESIDE})

    async def _say(self, kind: str, text: str, update: JSON | None, more: JSON) -> None:
        if update is None:
            if not text:
                return
            update = {"sessionUpdate": kind, "content": {"type": "text", "text": text}, **more}
        if update.get("sessionUpdate") == "tool_call":
            self._call_id = update["toolCallId"]
        if isinstance(update.get("content"), list):
            update = {**update, "content": [self._absolute(item) for item in update["content"]]}
        await self._client.tell(self._turn.session_id, update)

    async def ask(self, call: ToolCall) -> Answer:
        given = policy(self._turn.mode)
        if given is not None:
            return given
        options = call.options or _OPTIONS
        diffs: list[JSON] = [
            {"type": "diff", "path": each.path, "oldText": each.old_text, "newText": each.new_text}
            for each in call.diffs
        ]
        reason: list[JSON] = (
            [{"type": "content", "content": {"type": "text", "text": call.reason}}] if call.reason else []
        )
        tool_call: JSON = {
            "toolCallId": self._call_id,
            "title": call.title,
            "kind": call.kind,
            "status": "pending",
            "rawInput": call.input,
            "content": [self._absolute(item) for item in (*diffs, *reason)],
            "_meta": {"myagent": {"toolName": call.tool_name}},
        }
        offered = [{"optionId": each.option_id, "name": each.name, "kind": each.kind} for each in options]
        params = {"sessionId": self._turn.session_id, "toolCall": tool_call, "options": offered}
        return _decision(await self._client.ask("session/request_permission", params), options)

    async def unasked(self, call: UnaskedCall) -> None:
        """Only of hosted agents, and this is none."""

    def tell(self, **state: Any) -> None:
        """There is no update for what is told here."""

    def _absolute(self, item: JSON) -> JSON:
        """A diff names its file from the root, as the protocol wants it."""
        return item | {"path": str(self._turn.cwd / item["path"])} if item.get("type") == "diff" else item


def _decision(result: Any, options: tuple[Option, ...]) -> Answer:
    """What was decided; everything that cannot be understood is a denial."""
    match result:
        case {"outcome": {"outcome": "cancelled"}}:
            return Answer("cancelled")
        case {"outcome": {"outcome": "selected", "optionId": str(chosen)}}:
            kind = next((option.kind for option in options if option.option_id == chosen), "")
            return Answer("allow" if kind.startswith("allow_") else "deny", option_id=chosen)
        case _:
            return Answer("deny", "the client gave no answer that can be understood")


def _history(agent: Agent) -> Callable[[str, Path], Awaitable[list[JSON] | None]] | None:
    """How to have an earlier session of the agent told again, where it remembers any."""
    return getattr(agent, "history", None)


def _directory(params: JSON) -> Path:
    cwd = params.get("cwd")
    if not isinstance(cwd, str) or "\0" in cwd or not Path(cwd).is_absolute() or not Path(cwd).is_dir():
        raise RpcError(INVALID_PARAMS, "cwd must be the absolute path of a directory")
    return Path(cwd).resolve()


def _mode(given: Any) -> PermissionMode:
    for mode in _MODES:
        if given == mode:
            return mode
    raise RpcError(INVALID_PARAMS, f"there is no such mode; there are {', '.join(_MODES)}")
