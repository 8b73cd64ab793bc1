"""What an editor is told of us and of sessions: capabilities, modes, commands, rows of a list."""

from __future__ import annotations

from collections.abc import Iterable

from myagent.core.messages import Metadata, PermissionMode, SessionId
from myagent.editors.rpc import INVALID_PARAMS, JSON, RpcError

ACP_VERSION = 1
ATTACH_PROPOSAL = "https://github.com/agentclientprotocol/agent-client-protocol/pull/533"
SESSIONS = 50  # of one page of session/list

MODES: dict[PermissionMode, tuple[str, str]] = {
    "default": ("Ask", "whatever changes or runs something asks first"),
    "plan": ("Plan", "nothing is changed or run"),
    "bypassPermissions": ("Bypass", "nobody is asked; the server must allow it"),
}

# Ours, beside the agent's; each with what it is for, and the hint for what may follow.
COMMANDS = {
    "who": ("say who owns this session and who else is here", ""),
    "claim": ("take the free slot, or ask its owner for it; with force: take over your own", "force"),
    "release": ("let go of the slot, and watch", ""),
    "handover": ("give the slot to somebody who is here", "name or connection"),
}
PREFIX = "myagent:"  # before a command of ours where the agent has one of that name


def introduction(version: str, *, roles: list[str], sessions: Iterable[Metadata]) -> JSON:
    """The result of `initialize`. `roles`: what session/attach can give this connection. Of the hosted agent, what is
    known of it; its files, terminals and MCP servers are the host's, and no editor's."""
    last = max(sessions, key=_place, default=None)
    hosted = {} if last is None else {"agent": last.agent, **_supervision(last)}
    return {
        "protocolVersion": ACP_VERSION,
        "agentInfo": {"name": "myagent", "title": "myagent, a shared session", "version": version},
        "agentCapabilities": {
            "loadSession": True,
            "promptCapabilities": {"image": False, "audio": False, "embeddedContext": True},
            "mcpCapabilities": {"http": False, "sse": False},
            "sessionCapabilities": {
                "list": {},
                "resume": {},
                "close": {},
                "delete": {},
                "attach": {"roles": roles, "_meta": {"myagent": {"extension": ATTACH_PROPOSAL}}},
            },
            "_meta": {"myagent": {"hosted": hosted}},
        },
        "authMethods": [],
    }


def _supervision(session: Metadata) -> JSON:
    told = (session.agent_state or {}).get("supervision")
    return {"supervision": told} if isinstance(told, str) else {}


def knows_switches(params: JSON) -> bool:
    """Whether an editor says in its `initialize` that it knows options which are on or off."""
    match params.get("clientCapabilities"):
        case {"session": {"configOptions": {"boolean": dict()}}}:
            return True
    return False


def shown(params: JSON) -> frozenset[str]:
    """The kinds of questions that an editor says in its `initialize` it can show."""
    match params.get("clientCapabilities"):
        case {"elicitation": dict(kinds)}:
            return frozenset(kind for kind in ("form", "url") if kinds.get(kind) is not None)
    return frozenset()


def modes(current: str) -> JSON:
    """The permission modes; `current` is the session's, or what the editor chose."""
    known: list[PermissionMode] = ["default", "plan"]
    if current == "bypassPermissions":
        known.append("bypassPermissions")
    rows = [{"id": mode, "name": MODES[mode][0], "description": MODES[mode][1]} for mode in known]
    return {"currentModeId": current if current in known else "default", "availableModes": rows}


def mode_named(given: object) -> PermissionMode:
    """Raises `RpcError`."""
    for mode in MODES:
        if given == mode:
            return mode
    raise RpcError(INVALID_PARAMS, f"there is no such mode; there are {', '.join(MODES)}")


def commands_of(session: Metadata | None) -> JSON:
    """The agent's commands and ours, as an update."""
    rows = _agents_commands(session)
    taken = {row["name"] for row in rows}
    for name, (what, hint) in COMMANDS.items():
        row: JSON = {"name": PREFIX + name if name in taken else name, "description": what}
        rows.append(row | ({"input": {"hint": hint}} if hint else {}))
    return {"sessionUpdate": "available_commands_update", "availableCommands": rows}


def _agents_commands(session: Metadata | None) -> list[JSON]:
    told = (session.agent_state or {}).get("commands") if session is not None else None
    return [
        {"name": each["name"], "description": str(each.get("description", ""))}
        for each in (told if isinstance(told, list) else [])
        if isinstance(each, dict) and isinstance(each.get("name"), str)
    ]


def ours(line: str, session: Metadata | None) -> tuple[str, str] | None:
    """Which command of ours a prompt is, with what follows it; `None` for a prompt of another kind."""
    word, _, rest = line.removeprefix("/").partition(" ")
    name = word.removeprefix(PREFIX)
    if not line.startswith("/") or name not in COMMANDS:
        return None
    is_agents = word == name and any(row["name"] == name for row in _agents_commands(session))
    return None if is_agents else (name, rest.strip())


def page(sessions: Iterable[Metadata], cursor: object, cwd: str | None) -> JSON:
    """One page of `session/list`, the latest first. A cursor is the place of the row before, so that one whose session
    moved on meanwhile loses nothing. `cwd`: how the editor calls the directory, where it is not on this machine.
    Raises `RpcError`."""
    rows = sorted(sessions, key=_place, reverse=True)
    if cursor is not None:
        updated, separator, name = cursor.partition("|") if isinstance(cursor, str) else ("", "", "")
        if not separator:
            raise RpcError(INVALID_PARAMS, "`cursor` is none that this list gave")
        rows = [each for each in rows if _place(each) < (updated, name)]
    shown = rows[:SESSIONS]
    more = {"nextCursor": "|".join(_place(shown[-1]))} if len(rows) > SESSIONS else {}
    return {"sessions": [_row(each, cwd) for each in shown], **more}


def _place(session: Metadata) -> tuple[str, str]:
    return session.updated_at, session.session_id


def _row(session: Metadata, cwd: str | None) -> JSON:
    return {
        "sessionId": session.session_id,
        "cwd": cwd or session.cwd,
        "title": session.title or None,
        "updatedAt": session.updated_at,
        "_meta": {"myagent": {"state": session.state, "agent": session.agent}},
    }


def session_id_of(params: JSON) -> SessionId:
    """Raises `RpcError`."""
    found = params.get("sessionId")
    if not isinstance(found, str):
        raise RpcError(INVALID_PARAMS, "`sessionId` is a string")
    return SessionId(found)
