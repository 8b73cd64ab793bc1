"""Agents say more than anybody reads: what is kept of data that is too large."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from myagent.agents.rendering import JSON
from myagent.core.content import bare, has_pictures, is_image

UPDATE_BYTES = 256 * 1024  # of one structured update; qwen-code 0.24 sends single updates of 570 KB
STRING_CHARS = 8192  # of a string inside an update that had to be trimmed
_HEAD = ("sessionUpdate", "toolCallId", "messageId", "status", "kind")  # what stays of an update that is too large


def fit(update: JSON) -> JSON:
    """The update itself, or, when it is larger than `UPDATE_BYTES`, what is left of it when long strings are cut.
    Pictures do not count: the host takes them out."""
    if _size(update) <= UPDATE_BYTES:
        return update
    small: JSON = trimmed(update, STRING_CHARS)
    if _size(small) <= UPDATE_BYTES:
        return small
    head: JSON = {key: small[key] for key in _HEAD if key in small}
    return {**head, "_meta": {"myagent": {"omitted": "larger than the limit for one update"}}}


def _size(update: JSON) -> int:
    size = len(msgspec.json.encode(update))
    if size <= UPDATE_BYTES or not has_pictures(update):
        return size
    return len(msgspec.json.encode(bare(update)))


def trimmed(value: Any, chars: int) -> Any:
    """The same data with every string cut to `chars`, but for those that are pictures."""
    if is_image(value):
        return value
    match value:
        case str():
            return cut(value, chars)
        case Mapping():
            return {key: trimmed(item, chars) for key, item in value.items()}
        case list() | tuple():
            return [trimmed(item, chars) for item in value]
        case _:
            return value


def cut(text: str, chars: int) -> str:
    """At most `chars` characters of a text, and how many are missing."""
    return text if len(text) <= chars else f"{text[:chars]}… ({len(text) - chars} more characters)"


def dicts(value: Any) -> list[JSON]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
