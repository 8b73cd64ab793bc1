"""An editor that speaks version 2 of ACP, a draft: the same core, whose version 1 is read and told as version 2.

| version 2                              | is, in version 1                                                            |
|----------------------------------------|-----------------------------------------------------------------------------|
| session/resume, `replayFrom` its start | session/load; what an agent said comes as whole messages                    |
| session/prompt, answered at once       | a prompt whose answer comes with its turn's end (`Board.echoes`)            |
| `user_message`                         | `user_message_chunk`, of one's own prompts as well, when they begin         |
| `state_update`                         | what `_meta.myagent` tells of turns, and what is asked and not answered     |
| config option `myagent:mode`           | session/set_mode                                                            |

Until an `initialize` of version 2 has come, everything passes as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from myagent.core.messages import Command, Metadata, Welcome
from myagent.editors import rpc
from myagent.editors import second_forms as forms
from myagent.editors.editor import Editor
from myagent.editors.rpc import INVALID_PARAMS, JSON, METHOD_NOT_FOUND, RpcError, RpcId
from myagent.editors.waiting import SessionsWanted

GONE = ("session/load", "session/set_mode", "authenticate")  # what version 2 has no more
OPENING = ("session/new", "session/load", "session/resume", "session/attach")


@dataclass(slots=True)
class _Session:
    """What version 2 wants remembered of a session."""

    cwd: str = ""
    modes: JSON | None = None
    options: list[JSON] = field(default_factory=list)  # version 1's
    running: bool = False
    asked: set[Any] = field(default_factory=set)  # ids of requests that wait for the editor
    kind: str = ""  # of the message that was told last; empty where the next one is new
    message_id: str = ""
    held: list[JSON] = field(default_factory=list)  # content of a message that is told as a whole
    replaying: bool = False


class Second:
    """In the place of an `Editor`, which it drives."""

    def __init__(self, editor: Editor) -> None:
        self._first = editor
        self._speaks = False
        self._early: list[bytes] = []  # answers that the core has nothing to do with
        self._asked: dict[RpcId, tuple[str, JSON]] = {}  # the editor's requests, by id → version 1's method, params
        self._sessions: dict[str, _Session] = {}
        self._messages = 0

    # --- as an Editor -------------------------------------------------------------------------------------------------

    @property
    def initialized(self) -> bool:
        return self._first.initialized

    def commands(self) -> list[Command | SessionsWanted]:
        return self._first.commands()

    def failures(self) -> int:
        return self._first.failures()

    def goes_by(self, label: str) -> None:
        self._first.goes_by(label)

    def knows(self, welcome: Welcome) -> None:
        self._first.knows(welcome)

    def from_server(self, message: Any) -> None:
        self._first.from_server(message)

    def listed(self, wanted: SessionsWanted, sessions: Iterable[Metadata] | str) -> None:
        self._first.listed(wanted, sessions)

    def refuse(self, frame: bytes, why: str) -> None:
        self._first.refuse(frame, why)

    def lost(self, why: str) -> None:
        self._first.lost(why)
        for session_id, session in self._sessions.items():
            if session.running:
                self._early.append(_update(session_id, forms.idle({"stopReason": "lost", "message": why})))

    def frames(self) -> list[bytes]:
        first = self._first.frames()
        early, self._early = self._early, []
        if not self._speaks:
            return [*early, *first]
        told = [msgspec.json.decode(frame) for frame in first]
        found = list(early)
        for at, message in enumerate(told):
            if self._is_line(message, told[at + 1 : at + 2]):
                continue  # is told with its answer
            before = told[at - 1] if at and self._is_line(told[at - 1], [message]) else None
            found += [msgspec.json.encode(each) for each in self._said(message, before)]
        return found

    def from_editor(self, frame: bytes) -> None:
        match rpc.read(frame):
            case rpc.Request(method="initialize", params={"protocolVersion": int(version)}) if version >= 2:
                self._speaks = True
                self._first.echo()
        match rpc.read(frame):
            case rpc.Request() as request if self._speaks:
                self._request(request)
            case rpc.Response(id=number) if self._speaks:
                self._first.from_editor(frame)
                self._resolved(number)
            case _:
                self._first.from_editor(frame)

    # --- what the editor asks -----------------------------------------------------------------------------------------

    def _request(self, request: rpc.Request) -> None:
        try:
            method, params = self._meant(request.method, request.params)
        except RpcError as error:
            self._early.append(rpc.error(request.id, error))
            return
        if request.id not in self._asked:  # else the core refuses it
            self._asked[request.id] = (method, params)
        whole = {"jsonrpc": "2.0", "id": request.id, "method": method, "params": params}
        self._first.from_editor(msgspec.json.encode(whole))

    def _meant(self, method: str, params: JSON) -> tuple[str, JSON]:
        """Version 1's method and params. Raises `RpcError`."""
        match method:
            case "initialize":
                return method, _introduced(params)
            case "session/resume":
                match params.get("replayFrom"):
                    case None:
                        return method, params
                    case {"type": "start"}:
                        return "session/load", params
                raise RpcError(INVALID_PARAMS, "`replayFrom` is the start, or nothing")
            case "session/set_config_option" if params.get("configId") == forms.MODE:
                return "session/set_mode", {"sessionId": params.get("sessionId"), "modeId": params.get("value")}
            case _ if method in GONE:
                raise RpcError(METHOD_NOT_FOUND, f"version 2 has no method {method!r}")
        return method, params

    def _resolved(self, number: RpcId) -> None:
        """A question of ours stands no more."""
        for session_id, session in self._sessions.items():
            if number in session.asked:
                session.asked.discard(number)
                if session.running and not session.asked:
                    self._early.append(_update(session_id, forms.state("running")))

    # --- what is said to it -------------------------------------------------------------------------------------------

    def _said(self, message: JSON, line: JSON | None) -> list[JSON]:
        """One message of version 1 as what version 2 has for it; `line`: the update that its answer belongs to."""
        match message:
            case {"method": "session/update", "params": {"sessionId": session_id, "update": update}}:
                return [_notice(session_id, each) for each in self._updates(session_id, update)]
            case {"method": "$/cancel_request", "params": {"requestId": number}}:
                self._resolved(number)
                running, self._early = self._early, []
                return [message, *(msgspec.json.decode(each) for each in running)]
            case {"method": "session/request_permission", "params": params}:
                session_id = params["sessionId"]
                return self._asks(
                    session_id, {**message, "params": forms.permission(params, self._session(session_id).cwd)}
                )
            case {"method": "elicitation/create", "params": {"sessionId": session_id}}:
                return self._asks(session_id, message)
            case {"id": number, "result": result} if number in self._asked:
                method, params = self._asked.pop(number)
                return self._answer(message, method, params, result, line)
            case {"id": number, "error": _} if number in self._asked:
                method, params = self._asked.pop(number)
                before = self._ends_replay(params.get("sessionId")) if method in OPENING else []
                return [*before, message]
        return [message]

    def _answer(self, message: JSON, method: str, params: JSON, result: JSON, line: JSON | None) -> list[JSON]:
        if method == "initialize":
            return [{**message, "result": forms.introduction(result)}]
        if method in OPENING:
            return self._opened(message, method, params, result)
        if method == "session/prompt" and "stopReason" in result:
            return self._line(message, params, line)
        if method in ("session/close", "session/detach", "session/delete"):
            self._sessions.pop(str(params.get("sessionId")), None)
        if method not in ("session/set_mode", "session/set_config_option"):
            return [message]
        session = self._session(params.get("sessionId"))
        if method == "session/set_mode":
            session.modes = {**(session.modes or {"availableModes": []}), "currentModeId": params["modeId"]}
        else:
            session.options = result["configOptions"]
        return [{**message, "result": {"configOptions": forms.config_options(session.options, session.modes)}}]

    def _opened(self, message: JSON, method: str, params: JSON, result: JSON) -> list[JSON]:
        session_id = result.get("sessionId") or params["sessionId"]
        before = self._ends_replay(session_id)
        session = self._session(session_id)
        session.cwd, session.modes = params.get("cwd") or session.cwd, result["modes"]
        session.options, session.running = (
            result.get("configOptions", []),
            forms.facts_of(result).get("state") == "running",
        )
        kept = {key: value for key, value in result.items() if key not in ("modes", "configOptions")}
        kept["configOptions"] = forms.config_options(session.options, session.modes)
        now = forms.state("running" if session.running else "idle")
        return [*before, {**message, "result": kept}, _notice(session_id, now)]

    def _line(self, message: JSON, params: JSON, line: JSON | None) -> list[JSON]:
        """A line of ours, typed as a prompt: it is taken, stands in the conversation, and is answered."""
        session_id = params["sessionId"]
        self._messages += 1
        mine = f"line-{self._messages}"
        said = {"sessionUpdate": "user_message", "messageId": mine, "content": params["prompt"]}
        told: list[JSON] = []
        if line is not None:  # else the session was closed meanwhile
            state = [] if self._session(session_id).running else [forms.idle({"stopReason": "end_turn"})]
            told = [said, *self._updates(session_id, line["params"]["update"]), *state]
        return [{**message, "result": {"messageId": mine}}, *(_notice(session_id, each) for each in told)]

    def _is_line(self, message: JSON, following: list[JSON]) -> bool:
        """Whether an update is what a line of ours is answered with, by what follows it."""
        match message, following:
            case {"method": "session/update"}, [{"id": number, "result": {"stopReason": _}}]:
                return number in self._asked and self._asked[number][0] == "session/prompt"
        return False

    def _asks(self, session_id: str, message: JSON) -> list[JSON]:
        self._session(session_id).asked.add(message["id"])
        return [message, _notice(session_id, forms.state("requires_action"))]

    def _updates(self, session_id: str, update: JSON) -> list[JSON]:
        session, kind = self._session(session_id), update["sessionUpdate"]
        if kind in forms.WHOLE:
            return self._chunk(session, update)
        before = self._whole(session)
        session.kind = ""
        match kind:
            case "user_message_chunk":
                whole = {key: value for key, value in update.items() if key not in ("content", "sessionUpdate")}
                message_id = update.get("messageId") or self._new_message()
                whole |= {"sessionUpdate": "user_message", "messageId": message_id, "content": [update["content"]]}
                return [*before, whole, *self._runs(session)]
            case "tool_call" | "tool_call_update":
                return [*before, {"sessionUpdate": "tool_call_update", **forms.tool_call(update, session.cwd)}]
            case "plan":
                return [*before, forms.plan(update)]
            case "available_commands_update":
                return [*before, {**update, "availableCommands": forms.commands(update["availableCommands"])}]
            case "config_option_update":
                session.options = update["configOptions"]
                return [*before, {**update, "configOptions": forms.config_options(session.options, session.modes)}]
            case "session_info_update":
                facts = forms.facts_of(update)
                if "replay" in facts:
                    session.replaying = True
                    return before
                if "stopReason" in facts:
                    session.running = False
                    session.asked.clear()
                    return [*before, forms.idle(facts)]
                return [*before, update, *(self._runs(session) if "origin" in facts else [])]
        return [*before, update]

    def _runs(self, session: _Session) -> list[JSON]:
        if session.replaying:
            return []
        session.running = True
        return [forms.state("running")]

    def _chunk(self, session: _Session, update: JSON) -> list[JSON]:
        """A piece of what the agent says, with the id of its message; of an older one, what is whole with it."""
        kind, given = update["sessionUpdate"], update.get("messageId")
        before: list[JSON] = []
        if session.kind != kind or (given is not None and given != session.message_id):
            before = self._whole(session)
            session.kind, session.message_id = kind, given or self._new_message()
        if session.replaying:
            session.held.append(update["content"])
            return before
        return [*before, {**update, "messageId": session.message_id}]

    def _whole(self, session: _Session) -> list[JSON]:
        held, session.held = session.held, []
        if not held:
            return []
        kind = forms.WHOLE[session.kind]
        return [{"sessionUpdate": kind, "messageId": session.message_id, "content": forms.joined(held)}]

    def _ends_replay(self, session_id: Any) -> list[JSON]:
        session = self._session(session_id)
        told = [_notice(str(session_id), each) for each in self._whole(session)]
        session.replaying, session.kind = False, ""
        return told

    def _new_message(self) -> str:
        self._messages += 1
        return f"message-{self._messages}"

    def _session(self, session_id: Any) -> _Session:
        return self._sessions.setdefault(str(session_id), _Session())


def _introduced(params: JSON) -> JSON:
    """Version 1's `initialize`. Raises `RpcError`."""
    match params:
        case {"info": {"name": str(), "version": str()} as info}:
            pass
        case _:
            raise RpcError(INVALID_PARAMS, "`info` has a name and a version")
    capabilities: JSON = {"session": {"configOptions": {"boolean": {}}}}
    match params.get("capabilities"):
        case {"elicitation": dict(kinds)}:
            capabilities["elicitation"] = kinds
    return {"protocolVersion": 1, "clientInfo": info, "clientCapabilities": capabilities}


def _notice(session_id: str, update: JSON) -> JSON:
    return {"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": session_id, "update": update}}


def _update(session_id: str, update: JSON) -> bytes:
    return msgspec.json.encode(_notice(session_id, update))
