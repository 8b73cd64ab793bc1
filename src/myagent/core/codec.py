"""Between bytes and messages: strict on what comes in, one encoding for what goes out."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec

from myagent.core.messages import ClientId, ClientMessage
from myagent.core.refusals import BadJson, BadMessage, UnknownType

_KINDS = {kind.__struct_config__.tag: kind for kind in get_args(ClientMessage)}

TWICE = "a key occurs twice in one object"

encode = msgspec.json.Encoder().encode


def decode(text: bytes) -> ClientMessage:
    """Read one client message, as sent in a text frame.

    Raises:
        BadJson: not one JSON object, or one that parsers disagree about (duplicate keys, NaN, lone surrogates).
        UnknownType: an object of a type that the protocol does not have.
        BadMessage: a known type with missing or wrong fields.
    """
    fields = _read_object(text)
    message_id = _id_of(fields)
    kind = _KINDS.get(fields["type"]) if isinstance(fields.get("type"), str) else None
    if kind is None:
        if isinstance(fields.get("type"), str):
            raise UnknownType(message_id)
        raise BadMessage("`type` is missing or not a string", message_id)
    try:
        message: ClientMessage = msgspec.convert(fields, type=kind)
    except (msgspec.ValidationError, RecursionError, ValueError) as error:
        raise BadMessage(_where(error), message_id) from None
    return message


def read_json(text: bytes) -> Any:
    """Read JSON that no two parsers read differently. Raises `BadJson`."""
    try:
        value = msgspec.json.decode(text)  # refuses what `json` lets pass: NaN, lone surrogates, bad UTF-8
        json.loads(text, object_pairs_hook=_no_duplicates)
    except _DuplicateKey:
        raise BadJson(TWICE) from None
    except RecursionError:
        raise BadJson("nested too deeply") from None
    except ValueError:  # msgspec.DecodeError and json.JSONDecodeError are ValueErrors, as are 5,000-digit integers
        raise BadJson("malformed") from None
    return value


def _read_object(text: bytes) -> dict[str, Any]:
    fields = read_json(text)
    if not isinstance(fields, dict):
        raise BadJson("not an object")
    return fields


class _DuplicateKey(Exception):
    pass


def _no_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise _DuplicateKey


def _id_of(fields: dict[str, Any]) -> str | None:
    try:
        return msgspec.convert(fields.get("id"), type=ClientId)
    except msgspec.ValidationError:
        return None


def _where(error: BaseException) -> str:
    """Say which field is wrong without repeating what was in it: msgspec's messages name types and paths of the
    schema, but also quote unexpected enum values."""
    text = str(error)
    path = text.rpartition(" - at `$.")[2].rstrip("`") if " - at `$." in text else ""
    if path and all(part.isidentifier() for part in path.replace("[...]", "").split(".")):
        return f"field `{path}` is not what the protocol says"
    return "a field is missing or not what the protocol says"
