"""Which tool call another one belongs to: what a subagent does is shown below the call that began it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEEPEST = 8  # levels that are shown; what is below stands with those


def parent_of(call: Mapping[str, Any]) -> str:
    """The id of the call that a call belongs to, where its agent tells it; empty where not."""
    match call.get("_meta"):
        case {"claudeCode": {"parentToolUseId": str(parent)}} | {"parentToolCallId": str(parent)}:
            return parent
    return ""


def depth_of(call: Mapping[str, Any], calls: Mapping[str, Mapping[str, Any]]) -> int:
    """How deep a call is among `calls`, by their ids; 0: it belongs to none."""
    depth, parent = 0, parent_of(call)
    while parent and depth < DEEPEST:
        depth, parent = depth + 1, parent_of(calls.get(parent, {}))
    return depth
