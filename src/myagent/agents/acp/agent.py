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
from pathlib import Path
from typing import Any

import msgspec

from myagent import __version__
from myagent.agents import Agent, Turn, TurnEnd
from myagent.agents.acp.agent_session import (
    Forget,
    History,
    Session,
    directory_of,
    forget_of,
    history_of,
    now,
    title_of,
)
from myagent.agents.acp.agent_turn import Side
from myagent.agents.acp.rpc import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, REQUEST_CANCELLED, RpcError
from myagent.agents.processes.ndjson import READ_BYTES, Lines
from myagent.agents.rendering import JSON
from myagent.agents.rendering.blocks import content_text
from myagent.core.messages import PermissionMode
from myagent.exceptions import MyagentError

logger = logging.getLogger(__name__)

PARSE_ERROR, INVALID_REQUEST = -32700, -32600
ACP_VERSION = 1
SESSIONS = 50  # in one answer that lists them

_MODES: dict[PermissionMode, str] = {
    "default": "asks before it changes or runs anything",
    "plan": "only reads",
    "bypassPermissions": "asks nothing",
}


class AcpSide:
    """One client. `write` takes whole lines, one after another."""

    def __init__(self, agent: Agent, read: asyncio.StreamReader, write: Callable[[bytes], Awaitable[None]]) -> None:
        self._agent, self._read, self._write = agent, read, write
        self._sessions: dict[str, Session] = {}
        self._ids = itertools.count()
        self.elicits: frozenset[str] = frozenset()  # how the client can put a question
        self._asked: dict[int, asyncio.Future[Any]] = {}  # our requests that have no answer yet
        self._answering: set[asyncio.Task[None]] = set()
        self._prompts: dict[int | str, str] = {}  # requests that are being answered, and of which session they are
        self._requests: dict[int | str, asyncio.Task[None]] = {}  # all that are being answered
        self._taken_back: set[int | str] = set()  # those of them that the client wants no more
        self._directories: dict[Path, None] = {}  # that it named

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
                self._requests[number] = task
                task.add_done_callback(self._answering.discard)
            case {"method": "session/cancel", "params": {"sessionId": str(session_id)}}:
                # In its turn: the prompt that came just before it begins first.
                asyncio.get_running_loop().call_soon(self._cancel, session_id)
            case {"method": "$/cancel_request", "params": {"requestId": int() | str() as number}}:
                asyncio.get_running_loop().call_soon(self._take_back, number)
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

    def _take_back(self, number: int | str) -> None:
        """The client wants no answer any more: a prompt ends as cancelled, anything else as an error."""
        if number in self._prompts:
            self._cancel(self._prompts[number])
        elif (task := self._requests.get(number)) is not None:
            self._taken_back.add(number)
            task.cancel()

    async def _answer(self, number: int | str, method: str, params: Any) -> None:
        params = params if isinstance(params, dict) else {}
        if method == "session/prompt":
            self._prompts[number] = str(params.get("sessionId"))
        try:
            result = await self._result(method, params)
        except RpcError as error:
            await self._refuse(number, error)
        except asyncio.CancelledError:
            if number not in self._taken_back:
                raise  # the talk is over
            await self._refuse(number, RpcError(REQUEST_CANCELLED, "request cancelled"))
        except Exception:  # a mistake of ours ends this request, and no other
            logger.exception("request %s could not be handled", method)
            await self._refuse(number, RpcError(INTERNAL_ERROR, "internal error"))
        else:
            await self._send({"id": number, "result": result})
            if method in ("session/new", "session/load", "session/resume"):
                await self._tell_commands(str(result.get("sessionId", params.get("sessionId"))))
        finally:
            self._prompts.pop(number, None)
            self._requests.pop(number, None)
            self._taken_back.discard(number)

    async def _result(self, method: str, params: JSON) -> JSON:
        match method:
            case "initialize":
                self.elicits = _elicits(params)
                return self._introduced()
            case "session/new":
                return await self._opened(Session(str(uuid.uuid4()), directory_of(params)))
            case "session/load" | "session/resume" if history := history_of(self._agent):
                return await self._reopened(params, history, is_told=method == "session/load")
            case "session/list":
                return await self._listed(params)
            case "session/close":
                session = self._session(params)
                self._cancel(session.session_id)
                await session.ended.wait()
                self._sessions.pop(session.session_id, None)
                return {}
            case "session/delete" if forget := forget_of(self._agent):
                return await self._deleted(str(params.get("sessionId")), forget)
            case "session/set_mode":
                session, mode = self._session(params), params.get("modeId")
                session.mode = _mode(mode)
                return {}
            case "session/set_config_option":
                return await self._configured(self._session(params), params.get("configId"), params.get("value"))
            case "session/prompt":
                return await self._prompted(self._session(params), params.get("prompt"))
            case _:
                raise RpcError(METHOD_NOT_FOUND, f"method not found: {method[:100]}")

    def _introduced(self) -> JSON:
        info = self._agent.info
        return {
            "protocolVersion": ACP_VERSION,
            "agentCapabilities": {
                "loadSession": history_of(self._agent) is not None,
                "promptCapabilities": {"embeddedContext": True},
                "sessionCapabilities": {
                    "list": {},
                    "close": {},
                    **({"resume": {}} if history_of(self._agent) is not None else {}),
                    **({"delete": {}} if forget_of(self._agent) is not None else {}),
                },
            },
            "agentInfo": {"name": "myagent", "title": f"myagent {info.name}", "version": __version__},
            "authMethods": [],
        }

    async def _opened(self, session: Session) -> JSON:
        session.ended.set()
        self._sessions[session.session_id] = session
        self._directories[session.cwd] = None
        modes = [{"id": mode, "name": mode, "description": what} for mode, what in _MODES.items()]
        return {
            "sessionId": session.session_id,
            "modes": {"currentModeId": session.mode, "availableModes": modes},
            "configOptions": await self._options(session),
        }

    async def _reopened(self, params: JSON, history: History, *, is_told: bool) -> JSON:
        """A session that was kept, open again; `is_told`: what was said in it is said again."""
        session_id = str(params.get("sessionId"))
        session = Session(session_id, directory_of(params), agent_session_id=session_id)
        updates = await history(session_id, session.cwd)
        if updates is None or session_id in self._sessions:
            raise RpcError(INVALID_PARAMS, "there is no such session to load")
        prompts = (each["content"]["text"] for each in updates if each["sessionUpdate"] == "user_message_chunk")
        session.title = title_of(next(prompts, ""))
        if is_told:
            for update in updates:
                await self.tell(
                    session_id, update | {"messageId": str(uuid.uuid4())} if "content" in update else update
                )
        return {key: value for key, value in (await self._opened(session)).items() if key != "sessionId"}

    async def _deleted(self, session_id: str, forget: Forget) -> JSON:
        """A session ended and forgotten; one that does not exist is that already."""
        session = self._sessions.get(session_id)
        if session is not None:
            self._cancel(session_id)
            await session.ended.wait()
            self._sessions.pop(session_id, None)
        for directory in self._directories:
            await forget(session_id, directory)
        return {}

    async def _listed(self, params: JSON) -> JSON:
        """The sessions that are open here, and those of a directory that were kept, the latest first."""
        cwd = directory_of(params) if params.get("cwd") is not None else None
        if cwd is not None:
            self._directories[cwd] = None
        open_here = [each for each in self._sessions.values() if cwd is None or each.cwd == cwd]
        rows = [{"sessionId": each.session_id, "cwd": str(each.cwd), "title": each.title} for each in open_here]
        directories = [cwd] if cwd is not None else list(dict.fromkeys(each.cwd for each in self._sessions.values()))
        conversations = getattr(self._agent, "conversations", None)
        for directory in directories:
            if conversations is None:
                break
            known = {row["sessionId"] for row in rows}
            rows += [
                {"sessionId": name, "cwd": str(directory), "title": title_of(title), "updatedAt": updated}
                for name, title, updated in await conversations(directory)
                if name not in known
            ]
        cursor = params.get("cursor")
        start = int(cursor) if isinstance(cursor, str) and cursor.isdecimal() and len(cursor) < 9 else 0
        more = {"nextCursor": str(start + SESSIONS)} if len(rows) > start + SESSIONS else {}
        return {"sessions": rows[start : start + SESSIONS], **more}

    async def _options(self, session: Session) -> list[JSON]:
        """What can be chosen for a session: its mode, and the model, where there is one."""
        modes = [{"value": mode, "name": mode, "description": what} for mode, what in _MODES.items()]
        options: list[JSON] = [
            {"id": "mode", "name": "Mode", "category": "mode", "type": "select"}
            | {"currentValue": session.mode, "options": modes}
        ]
        if (models := getattr(self._agent, "models", None)) is not None:
            chosen, offered = await models(session.session_id)
            rows = [{"value": name, "name": name} for name in offered]
            options.append(
                {"id": "model", "name": "Model", "category": "model", "type": "select"}
                | {"currentValue": chosen, "options": rows}
            )
        return options

    async def _configured(self, session: Session, name: Any, value: Any) -> JSON:
        """Choose an option of a session."""
        option = next((each for each in await self._options(session) if each["id"] == name), None)
        if option is None or not any(row["value"] == value for row in option["options"]):
            raise RpcError(INVALID_PARAMS, "there is no such option, or no such value of it")
        if name == "mode":
            session.mode = _mode(value)
            await self.tell(session.session_id, {"sessionUpdate": "current_mode_update", "currentModeId": value})
        else:
            self._agent.choose_model(session.session_id, value)  # type: ignore[attr-defined]
        return {"configOptions": await self._options(session)}

    async def _tell_commands(self, session_id: str) -> None:
        commands = [
            {"name": name, "description": what, **({"input": {"hint": hint}} if hint else {})}
            for name, what, hint in getattr(self._agent, "commands", ())
        ]
        if commands:
            update = {"sessionUpdate": "available_commands_update", "availableCommands": commands}
            await self.tell(session_id, update)

    def _session(self, params: JSON) -> Session:
        session = self._sessions.get(str(params.get("sessionId")))
        if session is None:
            raise RpcError(INVALID_PARAMS, "there is no such session")
        return session

    async def _prompted(self, session: Session, blocks: Any) -> JSON:
        if session.running is not None:
            raise RpcError(INVALID_REQUEST, "a prompt of this session is being answered")
        texts = [content_text(block) for block in blocks] if isinstance(blocks, list) else []
        turn_id = f"{session.session_id}-{next(session.turns)}"
        prompt = "\n".join(texts)
        if not session.title and (title := title_of(prompt)):
            session.title = title
            info = {"sessionUpdate": "session_info_update", "title": title, "updatedAt": now()}
            await self.tell(session.session_id, info)
        turn = Turn(session.session_id, turn_id, prompt, session.mode, session.cwd, session.agent_session_id)
        side = Side(self, turn)
        session.ended.clear()
        session.running = asyncio.create_task(self._agent.run(turn, side), name=f"turn {turn_id}")
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
            session.ended.set()
        session.agent_session_id = end.agent_session_id or session.agent_session_id
        return await side.ended(end)

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
        except asyncio.CancelledError:
            if number in self._asked:
                await self._send({"method": "$/cancel_request", "params": {"requestId": number}})
            raise
        finally:
            self._asked.pop(number, None)

    async def _refuse(self, number: int | str | None, error: RpcError) -> None:
        await self._send({"id": number, "error": {"code": error.code, "message": error.message}})

    async def _send(self, message: JSON) -> None:
        await self._write(msgspec.json.encode({"jsonrpc": "2.0", **message}) + b"\n")


def _elicits(params: JSON) -> frozenset[str]:
    """How the client says that it can put a question: only what is present and not null is supported."""
    match params:
        case {"clientCapabilities": {"elicitation": dict(modes)}}:
            return frozenset(name for name in ("form", "url") if modes.get(name) is not None)
        case _:
            return frozenset()


def _mode(given: Any) -> PermissionMode:
    for mode in _MODES:
        if given == mode:
            return mode
    raise RpcError(INVALID_PARAMS, f"there is no such mode; there are {', '.join(_MODES)}")
