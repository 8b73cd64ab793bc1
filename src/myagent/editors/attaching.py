"""session/attach and session/detach of the open multi-client proposal (ACP pull request 533), an extension.

A *controller* is who may own, an *observer* watches: its prompts are refused here, and nothing is asked of it. What the
proposal has updates for that version 1 does not know is told as one that changes nothing, with the proposal's fields.

| historyPolicy | told before the answer   | `history` of the answer                                                  |
|---------------|--------------------------|--------------------------------------------------------------------------|
| full          | the whole conversation   | its prompts and permission requests, the latest `ROWS`                   |
| pending_only  | nothing                  | the permission requests that are open                                    |
| none          | nothing                  | there is none                                                            |
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from myagent.core.messages import (
    ConnectionInfo,
    Error,
    OwnerInfo,
    PermissionRequest,
    PermissionResolved,
    Prompt,
    Resume,
)
from myagent.editors import prompts
from myagent.editors.answers import session_id_of
from myagent.editors.board import Board
from myagent.editors.permits import Permits
from myagent.editors.rpc import INVALID_PARAMS, INVALID_REQUEST, JSON, RpcError, RpcId
from myagent.editors.waiting import Attach, Coming

UNKNOWN_SESSION, NOT_ALLOWED = -32001, -32002  # the proposal's own codes
ROWS = 200  # of a `history`: what is further back was told as updates
LEFT = ("lost", "left")  # why an owner is none any more who is gone


def request(board: Board, number: RpcId, params: JSON, directory: str | None) -> None:
    """Take a session/attach. `directory`: the one that is shared, if it is on this machine. Raises `RpcError`."""
    session_id = session_id_of(params)
    may = roles(board)
    role, policy = params.get("role") or may[0], params.get("historyPolicy") or "full"
    if role not in ("controller", "observer"):
        raise RpcError(INVALID_PARAMS, "`role` is controller or observer")
    if policy not in ("full", "pending_only", "none"):
        raise RpcError(INVALID_PARAMS, "`historyPolicy` is full, pending_only or none")
    if role not in may:
        raise RpcError(NOT_ALLOWED, board.here.read_only("be a controller"), "not_owner")
    cwd = prompts.directory(params) if params.get("cwd") is not None else directory or ""
    is_told = policy == "full"
    command = Resume(id=board.new_id(), session_id=session_id, after_seq=0 if is_told else None)
    was_open = session_id in board.open
    attach = Attach("controller" if role == "controller" else "observer", policy)
    board.send(command, Coming(number, session_id, cwd, is_told, was_open=was_open, attach=attach))


def detach(board: Board, params: JSON) -> JSON:
    """The answer to session/detach: whatever runs there goes on. Raises `RpcError`."""
    session_id = session_id_of(params)
    if board.open.pop(session_id, None) is None:
        raise RpcError(UNKNOWN_SESSION, "this session is not attached here")
    return {"sessionId": session_id, "status": "detached"}


def roles(board: Board) -> list[str]:
    """What this connection can be, the most first."""
    return ["controller", "observer"] if board.here.scope == "owner" else ["observer"]


def refused(error: Error, coming: Coming) -> RpcError | None:
    """A refusal with the proposal's own code, where it has one."""
    if coming.attach is not None and error.code == "unknown_session":
        return RpcError(UNKNOWN_SESSION, error.message, error.code)
    return None


def check_controller(board: Board, session_id: str, what: str) -> None:
    """Raises `RpcError` where the session is only observed here."""
    opened = board.open.get(session_id)
    if opened is not None and opened.role == "observer":
        raise RpcError(INVALID_REQUEST, f"attached as an observer: it cannot {what}", "not_owner")


def note(board: Board, event: Any) -> None:
    """Take an event for the `history` of whoever attaches with all of it."""
    for _, wait in board.loads(event.session_id):
        if wait.attach is None or not wait.begun:
            continue
        match event:
            case Prompt():
                row = {"type": "prompt", "content": event.prompt, **_time(event)}
                wait.attach.history[event.id] = row
            case PermissionRequest(seq=int()):
                wait.attach.history[event.permission_request_id] = {**_row(event), "status": "pending"}
            case PermissionResolved(permission_request_id=key) if key in wait.attach.history:
                wait.attach.history[key]["status"] = event.outcome
            case _:
                pass


def result(board: Board, permits: Permits, coming: Coming, people: Iterable[ConnectionInfo] | None) -> JSON:
    """The proposal's fields of the answer; `people`: everybody who is connected, where that may be known."""
    attach = coming.attach
    assert attach is not None
    told: JSON = {"sessionId": coming.session_id, "role": attach.role, "clientId": board.here.connection_id}
    told["historyPolicy"] = attach.policy
    if attach.policy == "full":
        told["history"] = list(attach.history.values())[-ROWS:]
    elif attach.policy == "pending_only":
        rows = permits.open_requests(coming.session_id)
        told["history"] = [{**_row(each), "status": "pending"} for each in rows]
    told["connectedClients"] = [_client(each) for each in people] if people is not None else _known(board, attach)
    return told


def resolved(board: Board, permits: Permits, event: PermissionResolved) -> None:
    """Tell whoever attached that somebody else has answered."""
    request = permits.request(event.permission_request_id)
    if request is None or permits.is_mine(event.permission_request_id):
        return
    _tell(
        board,
        event.session_id,
        {
            "type": "permission_resolved",
            "toolCallId": request.request.tool_call_id or event.permission_request_id,
            "resolvedBy": {"name": event.by, "version": ""},
        },
        permissionRequestId=event.permission_request_id,
        outcome=event.outcome,
    )


def left(board: Board, owner: OwnerInfo | None, why: str) -> None:
    """Tell whoever attached that the one who owned is gone; of others, nothing is told to us."""
    if owner is None or why not in LEFT or owner.connection_id == board.here.connection_id:
        return
    client = {"name": owner.label or owner.connection_id, "version": "", "role": "controller"}
    for session_id in board.open:
        _tell(board, session_id, {"type": "client_disconnected", "client": client}, why=why)


def _tell(board: Board, session_id: str, fields: JSON, **facts: Any) -> None:
    opened = board.open.get(session_id)
    if opened is not None and opened.role is not None and not board.loads(session_id):
        board.tell(session_id, {"sessionUpdate": "session_info_update", **fields, "_meta": {"myagent": facts}})


def _row(event: PermissionRequest) -> JSON:
    call_id = event.request.tool_call_id or event.permission_request_id
    return {"type": "permission_request", "toolCallId": call_id, **_time(event)}


def _time(event: Any) -> JSON:
    if event.at is None:
        return {}
    return {"timestamp": datetime.fromtimestamp(event.at / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"}


def _client(each: ConnectionInfo) -> JSON:
    role = "controller" if each.scope == "owner" else "observer"
    owns = {"_meta": {"myagent": {"role": each.role, "connectionId": each.connection_id}}}
    return {"name": each.label or each.connection_id, "version": "", "role": role, **owns}


def _known(board: Board, attach: Attach) -> list[JSON]:
    """Who owns, and this client: what every connection is told."""
    here = board.here
    rows: list[JSON] = []
    if here.owner is not None and here.owner.connection_id != here.connection_id:
        name = here.owner.label or here.owner.connection_id
        meta = {"myagent": {"role": "owner", "connectionId": here.owner.connection_id}}
        rows.append({"name": name, "version": "", "role": "controller", "_meta": meta})
    mine = {"myagent": {"role": here.role, "connectionId": here.connection_id}}
    return [*rows, {"name": here.connection_id, "version": "", "role": attach.role, "_meta": mine}]
