"""Reads what a server sends: typed where it is known, kept as it came where it is not, complete also from a v1 server.

Nothing that is merely unknown is an error: a newer server may send types and fields that this client does not know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

import msgspec

from myagent.client.errors import NotMyagent
from myagent.core.display import escape, flags
from myagent.core.messages import Event, PermissionRequest, Question, ServerMessage, SessionEvent


class Unknown(msgspec.Struct, frozen=True):
    """A message of a type, or with fields, that this client does not know."""

    type: str
    raw: dict[str, Any]


Message = ServerMessage | SessionEvent | Unknown

_KINDS: dict[str, type] = {
    kind.__struct_config__.tag: kind for kind in (*get_args(ServerMessage), *get_args(SessionEvent))
}
_EVENTS = frozenset(kind.__struct_config__.tag for kind in get_args(SessionEvent))


def read(frame: bytes, session_of: Mapping[str, str] | None = None) -> Message:
    """Read one text frame.

    `session_of` maps the ids of turns to their sessions; it is needed with a v1 server only, whose output events do
    not name their session.

    Raises:
        NotMyagent: it is not a JSON object with a type.
    """
    try:
        raw = msgspec.json.decode(frame)
    except (ValueError, RecursionError):
        raise NotMyagent("a message is not JSON") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("type"), str):
        raise NotMyagent("a message has no type")
    name = raw["type"]
    if (kind := _KINDS.get(name)) is None:
        return Unknown(name, raw)
    try:
        message: Message = msgspec.convert(_completed(name, raw, session_of or {}), kind)
    except (ValueError, RecursionError):  # msgspec.ValidationError is a ValueError
        return Unknown(name, raw)
    return message


def to_json(message: Message) -> bytes:
    """A message as JSON again, one line, as a server of today writes it; what was unknown comes out as it came."""
    return msgspec.json.encode(message.raw if isinstance(message, Unknown) else message)


def place(message: Message) -> tuple[str, int] | None:
    """Say which event of which session a message is; `None` if it is no event of a log, or stands outside its run."""
    match message:
        case Unknown(raw=raw):
            session_id, seq = raw.get("sessionId"), raw.get("seq")
            return (session_id, seq) if isinstance(session_id, str) and type(seq) is int else None
        case PermissionRequest(pending=True) | Question(pending=True):
            return None
        case Event(session_id=session_id, seq=int(seq)):
            return session_id, seq
        case _:
            return None


def _completed(name: str, raw: dict[str, Any], session_of: Mapping[str, str]) -> dict[str, Any]:
    """Fill in what a v1 server leaves out and our types require."""
    if name in _EVENTS and "sessionId" not in raw:
        raw = {"sessionId": session_of.get(raw.get("id", ""), ""), **raw}
    match name:
        case "permission_request" if isinstance(raw.get("request"), dict):
            request = raw["request"]
            text = json.dumps(request.get("input"), ensure_ascii=False, indent=2)
            shown = {} if "display" in request else {"display": escape(text), "flags": list(flags(text))}
            return {**raw, "request": {"digest": "", "expiresAt": "", "flags": [], **shown, **request}}
        case "session_metadata" if isinstance(raw.get("session"), dict):
            return {**raw, "session": {"title": "", "agent": "", "mode": "", "queue": [], "head": 0, **raw["session"]}}
        case "terminal_state":
            return {"stopReason": "", **raw}
        case "error":
            return {"code": "", **raw}
        case _:
            return raw
