"""Calls of subagents name the call that they belong to, in the ways that agents do."""

from __future__ import annotations

from typing import Any

import pytest

from myagent.core.nesting import DEEPEST, depth_of, parent_of


def below(parent: str) -> dict[str, Any]:
    return {"_meta": {"claudeCode": {"parentToolUseId": parent}}}


@pytest.mark.parametrize(
    ("call", "parent"),
    [
        (below("a"), "a"),
        ({"_meta": {"parentToolCallId": "a"}}, "a"),
        ({"_meta": {"claudeCode": {"toolName": "Read"}}}, ""),
        ({"_meta": {"parentToolCallId": 7}}, ""),
        ({"_meta": "none"}, ""),
        ({}, ""),
    ],
)
def test_a_parent_is_known_where_it_is_told(call: dict[str, Any], parent: str) -> None:
    assert parent_of(call) == parent


def test_depth_follows_the_parents_and_ends() -> None:
    calls = {"a": {}, "b": below("a"), "c": below("b"), "round": below("round")}
    assert [depth_of(calls[name], calls) for name in ("a", "b", "c", "round")] == [0, 1, 2, DEEPEST]
    assert depth_of(below("unknown"), calls) == 1
