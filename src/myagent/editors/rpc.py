"""JSON-RPC 2.0 frames as editors send them, and the ones that we send: read strictly, refused as JSON-RPC says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from myagent.core.codec import TWICE, read_json
from myagent.core.refusals import BadJson
from myagent.exceptions import MyagentError

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
INTERNAL_ERROR, REQUEST_CANCELLED, NOT_FOUND = -32603, -32800, -32002

JSON = dict[str, Any]
RpcId = int | str | None

_WHOLE = range(-(1 << 63), 1 << 63)  # ids of the protocol are of 64 bits


class RpcError(MyagentError):
    """An error answer to an editor, in words that it shows; `kind` is our own code, for programs."""

    def __init__(self, code: int, message: str, kind: str | None = None) -> None:
        super().__init__(code, message, kind)
        self.code, self.message, self.kind = code, message, kind

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class Request:
    id: RpcId
    method: str
    params: JSON


@dataclass(frozen=True, slots=True)
class Notification:
    method: str
    params: JSON


@dataclass(frozen=True, slots=True)
class Response:
    """An answer to what we asked; without a `result` it is an error."""

    id: RpcId
    result: Any


@dataclass(frozen=True, slots=True)
class Fault:
    """What is no message, and whom the error answer is for; `None` as the answer: nobody gets one."""

    id: RpcId
    error: RpcError


def read(frame: bytes) -> Request | Notification | Response | Fault:
    """Read one message, whatever it is."""
    try:
        message = read_json(frame)
    except BadJson as bad:
        code = INVALID_REQUEST if bad.why == TWICE else PARSE_ERROR  # the one is JSON, of which two may read two things
        return Fault(None, RpcError(code, bad.why if bad.why == TWICE else "this is not JSON"))
    if isinstance(message, list):
        return Fault(None, RpcError(INVALID_REQUEST, "batches are no part of this protocol: send one message each"))
    if not isinstance(message, dict):
        return Fault(None, RpcError(INVALID_REQUEST, "a JSON-RPC message is an object"))
    number, method = message.get("id"), message.get("method")
    has_id = "id" in message
    if has_id and not is_id(number):
        return Fault(None, RpcError(INVALID_REQUEST, "`id` is a string or a whole number of 64 bits"))
    if message.get("jsonrpc") != "2.0":
        return Fault(number, RpcError(INVALID_REQUEST, '`jsonrpc` is "2.0" in every message'))
    if "method" not in message:
        if has_id and ("result" in message) != ("error" in message):
            return Response(number, message.get("result") if "error" not in message else None)
        return Fault(number, RpcError(INVALID_REQUEST, "neither a request, a notification nor a response"))
    if not isinstance(method, str):
        return Fault(number, RpcError(INVALID_REQUEST, "`method` is a string"))
    params = message.get("params")
    if params is None:
        params = {}
    if not isinstance(params, dict):
        if has_id:
            return Fault(number, RpcError(INVALID_PARAMS, "`params` is an object in this protocol"))
        params = {}
    return Request(number, method, params) if has_id else Notification(method, params)


def is_id(value: object) -> bool:
    return value is None or isinstance(value, str) or (type(value) is int and value in _WHOLE)


def result(number: RpcId, body: Any) -> bytes:
    return _frame({"id": number, "result": body})


def error(number: RpcId, why: RpcError) -> bytes:
    """`details` are the words once more: there are editors that show those alone (Toad)."""
    data = {"details": why.message} if why.kind is None else {"code": why.kind, "details": why.message}
    return _frame({"id": number, "error": {"code": why.code, "message": why.message, "data": data}})


def request(number: int, method: str, params: JSON) -> bytes:
    return _frame({"id": number, "method": method, "params": params})


def notification(method: str, params: JSON) -> bytes:
    return _frame({"method": method, "params": params})


def _frame(body: JSON) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", **body})
