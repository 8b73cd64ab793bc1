"""What a subagent does stands in an export below the call that began it, as deep as it is."""

from __future__ import annotations

import html
import json
from typing import Any

import msgspec
import pytest
from tests.export.test_export import METADATA, SESSION

from myagent.agents.rendering.turn import Rendering
from myagent.core.messages import AgentStderr, Prompt
from myagent.export import Format, render

TREE = ["→ Task", "└ → Grep", "└─ → Read", "└─ ✓ Read: completed", "└ ✓ Grep: completed", "✓ Task: completed"]


def updates(*, nested: bool) -> list[dict[str, Any]]:
    rows = [("Task", ""), ("Grep", "Task"), ("Read", "Grep")]
    metas = [{"_meta": {"claudeCode": {"parentToolUseId": parent}}} if parent and nested else {} for _, parent in rows]
    calls = [{"toolCallId": name, "title": name, **meta} for (name, _), meta in zip(rows, metas, strict=True)]
    begun = [{"sessionUpdate": "tool_call", "status": "pending", **call} for call in calls]
    return [*begun, *({"sessionUpdate": "tool_call_update", "status": "completed", **call} for call in calls[::-1])]


def exported(form: Format, *, nested: bool = True) -> str:
    rendering = Rendering()
    lines = [msgspec.json.encode(Prompt(id="t", session_id=SESSION, seq=1, prompt="look", by="me"))]
    for seq, update in enumerate(updates(nested=nested), 2):
        rendered = rendering.render(update)
        text = rendered.gap + rendered.text
        lines.append(msgspec.json.encode(AgentStderr(id="t", session_id=SESSION, seq=seq, chunk=text, update=update)))
    return "".join(render(form, METADATA, lines))


def tree(form: Format, text: str) -> list[str]:
    """The lines of the calls, as a reader of that form sees them."""
    if form == "asciicast":
        text = "".join(json.loads(line)[2] for line in text.splitlines()[1:])
    if form == "jsonl":
        text = "".join(json.loads(line).get("chunk", "") for line in text.splitlines())
    return [line for line in html.unescape(text).replace("\r", "").splitlines() if line in TREE]


@pytest.mark.parametrize("form", ["jsonl", "md", "html", "asciicast"])
def test_nested_calls_are_a_tree(form: Format) -> None:
    assert tree(form, exported(form)) == TREE


@pytest.mark.parametrize("form", ["jsonl", "md", "html", "asciicast"])
def test_calls_without_a_parent_are_none(form: Format) -> None:
    """The negative control: what says nothing of a parent stands beside the others."""
    assert tree(form, exported(form, nested=False)) == [TREE[0], TREE[-1]]
