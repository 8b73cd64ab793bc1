"""What a server refuses, in words that an editor shows, with an error code of JSON-RPC."""

from __future__ import annotations

from myagent.core.messages import Error
from myagent.editors.people import Here
from myagent.editors.rpc import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, NOT_FOUND, RpcError

_CODES = {
    "unknown_session": NOT_FOUND,
    "internal": INTERNAL_ERROR,
    "disk_full": INTERNAL_ERROR,
    "state_gone": INTERNAL_ERROR,
    "bad_message": INVALID_PARAMS,
    "too_large": INVALID_PARAMS,
}


def in_words(error: Error, here: Here) -> RpcError:
    if error.code in ("not_owner", "stale_owner"):
        return RpcError(INVALID_REQUEST, here.read_only("do this"), error.code)
    if error.code == "unknown_type":
        return RpcError(INVALID_REQUEST, "the server is older than this program, and knows no such message", error.code)
    return RpcError(_CODES.get(error.code, INVALID_REQUEST), error.message, error.code or None)
