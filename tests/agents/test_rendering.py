"""What ACP updates read like, and that nothing an agent sends can break the reading."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myagent.agents.rendering.blocks import content_text, unified
from myagent.agents.rendering.bounds import UPDATE_BYTES, cut, fit
from myagent.agents.rendering.request import options_of, tool_call
from myagent.agents.rendering.state import config_state, state_of
from myagent.agents.rendering.turn import Rendering
from myagent.core.messages import Diff


def told(*updates: dict[str, Any]) -> dict[str, str]:
    """Both streams, after these updates."""
    rendering, streams = Rendering(), {"stdout": "", "stderr": ""}
    for update in updates:
        rendered = rendering.render(update)
        streams[rendered.channel] += rendered.gap + rendered.text
    return streams


def says(text: str, message: str | None = None, kind: str = "agent_message_chunk") -> dict[str, Any]:
    return {"sessionUpdate": kind, "content": {"type": "text", "text": text}, "messageId": message}


def tool(status: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"sessionUpdate": "tool_call_update", "toolCallId": "t", "status": status, **fields}


def test_chunks_of_one_message_run_on_and_another_message_begins_a_line() -> None:
    assert told(says("I ", "1"), says("will.", "1"), says("Done.", "2"))["stdout"] == "I will.\nDone."


def test_what_follows_a_tool_call_begins_a_line() -> None:
    assert told(says("Now: "), tool("pending", title="Write x"), says("done"))["stdout"] == "Now: \ndone"


def test_a_tool_call_is_told_when_it_begins_and_when_it_ends() -> None:
    updates = [
        tool("pending", title="write", locations=[]),
        tool("in_progress", title="write", locations=[{"path": "/w/a.txt"}]),
        tool(title="Write a.txt"),
        tool("completed", content=[{"type": "content", "content": {"type": "text", "text": "2 lines\nwritten\n"}}]),
        tool("completed"),
    ]
    assert told(*updates)["stderr"] == (
        "→ write\n→ Write a.txt (/w/a.txt)\n✓ Write a.txt (/w/a.txt): completed\n  2 lines\n  written\n"
    )


def test_thoughts_run_on_and_a_note_ends_their_line() -> None:
    thought = "agent_thought_chunk"
    streams = told(says("hm, ", kind=thought), says("yes", kind=thought), tool("failed", title="ls"))
    assert streams["stderr"] == "thinking: hm, yes\n✗ ls: failed\n"


def test_a_plan_is_a_list_with_boxes() -> None:
    entries = [{"content": "a", "status": "completed"}, {"content": "b", "status": "in_progress"}, {"content": "c"}]
    assert told({"sessionUpdate": "plan", "entries": entries})["stderr"] == "plan:\n  [x] a\n  [~] b\n  [ ] c\n"


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ({"type": "text", "text": "x"}, "x"),
        ({"type": "image", "mimeType": "image/png", "data": "AAAA"}, "[image image/png, 3 bytes]"),
        ({"type": "resource_link", "uri": "file:///a", "name": "a"}, "[a: file:///a]"),
        ({"type": "resource", "resource": {"uri": "file:///a", "text": "inside"}}, "[resource: file:///a]\ninside"),
        ({"type": "resource", "resource": {"uri": "file:///a", "blob": "AAAA"}}, "[resource: file:///a, 3 bytes]"),
        ({"type": "hologram"}, "[hologram]"),
        (None, ""),
    ],
)
def test_content_blocks_as_text(block: Any, text: str) -> None:
    assert content_text(block) == text


def test_open_tool_calls_are_closed_once() -> None:
    rendering = Rendering()
    rendering.render(tool("in_progress", title="Wait"))
    rendering.merge({"toolCallId": "asked only", "status": "pending"})
    closing = list(rendering.close_open_calls())
    update = {"sessionUpdate": "tool_call_update", "toolCallId": "t", "status": "failed"}
    assert closing == [("✗ Wait: stopped\n", update)]
    assert list(rendering.close_open_calls()) == []


def test_the_request_text_holds_command_input_and_changes() -> None:
    call = {
        "toolCallId": "t",
        "title": "Run\nit",
        "kind": "execute",
        "rawInput": {"command": "rm -rf /", "cwd": "/w", "force": True},
        "content": [
            {"type": "content", "content": {"type": "text", "text": "because"}},
            {"type": "diff", "path": "/w/a", "oldText": "1\n2\n", "newText": "1\n3"},
        ],
        "_meta": {"claudeCode": {"toolName": "Bash"}},
    }
    asked = tool_call(call, ())
    assert asked.tool_name == "Bash"
    for part in ("Run it", "command: rm -rf /", "file: /w/a", '"force": true', "because", "-2", "+3", "No newline"):
        assert part in asked.text
    assert asked.diffs == (Diff("/w/a", "1\n2\n", "1\n3"),)
    assert asked.plan["call"] is call


def test_without_raw_input_the_input_is_what_was_shown() -> None:
    content = [{"type": "diff", "path": "/w/a", "oldText": "", "newText": "x"}]
    asked = tool_call({"toolCallId": "t", "title": "Write a", "kind": "edit", "content": content}, ())
    assert asked.input == {"title": "Write a", "kind": "edit", "content": content}


def test_a_diff_of_many_lines_shows_what_changes() -> None:
    old, new = "".join(f"{n}\n" for n in range(15_000)), "".join(f"{n}\n" for n in range(1, 15_001))
    lines = unified(Diff("/a", old, new)).splitlines()
    assert [line for line in lines[2:] if line[0] in "+-"] == ["-0", "+15000"]


def test_an_empty_file_is_said_to_be_one() -> None:
    assert unified(Diff("/a", None, "")) == "--- /dev/null\n+++ /a (an empty file)\n"
    assert unified(Diff("/a", "", "")) == "--- /a\n+++ /a (nothing changes)\n"


def test_state_is_trimmed() -> None:
    commands = [{"name": "n" * 500, "description": "d" * 5000} for _ in range(500)]
    state = state_of({"sessionUpdate": "available_commands_update", "availableCommands": commands})
    assert state is not None
    assert len(json.dumps(state)) < 64 * 1024
    values = [{"value": "v" * 999, "name": "x"} for _ in range(999)]
    config = config_state([{"id": "m", "type": "select", "currentValue": "a", "options": values}] * 3)
    assert len(json.dumps(config)) < 64 * 1024
    assert cut("abcdef", 3) == "abc… (3 more characters)"


def test_options_in_groups_are_found() -> None:
    grouped = [{"group": "g", "options": [{"value": "a"}, {"value": "b"}]}, {"value": "c"}]
    assert config_state([{"id": "m", "options": grouped}])[0]["values"] == ["a", "b", "c"]


def test_an_update_that_is_too_large_is_cut_and_at_last_left_out() -> None:
    assert fit(says("x")) == says("x")
    long = fit(says("x" * UPDATE_BYTES * 2))
    assert long["content"]["text"].startswith("xxx")
    wide = fit({"sessionUpdate": "tool_call", "toolCallId": "t", "rawOutput": list(range(UPDATE_BYTES))})
    assert wide["toolCallId"] == "t"
    assert "rawOutput" not in wide
    for small in (long, wide):
        assert len(msgspec.json.encode(small)) <= UPDATE_BYTES


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    [
        "content",
        "entries",
        "toolCallId",
        "title",
        "kind",
        "status",
        "locations",
        "rawInput",
        "rawOutput",
        "terminal_output",
        "terminal_exit",
        "exit_code",
        "data",
        "plan",
        "summary",
        "state",
        "messageId",
        "options",
        "_meta",
        "availableCommands",
        "configOptions",
        "currentModeId",
        "used",
        "type",
        "path",
        "newText",
        "oldText",
        "text",
        "name",
    ]
)
SHAPES = st.recursive(
    JSON, lambda inner: st.dictionaries(FIELDS, inner, max_size=4) | st.lists(inner, max_size=3), max_leaves=8
)
KINDS = st.sampled_from(
    [
        "agent_message_chunk",
        "agent_thought_chunk",
        "plan",
        "tool_call",
        "tool_call_update",
        "available_commands_update",
        "current_mode_update",
        "config_option_update",
        "session_info_update",
        "usage_update",
        "user_message_chunk",
        "notice",
        "plan_update",
        "plan_removed",
        "compaction_update",
        "compaction_summary_chunk",
        "subagent_update",
        "session_message",
        "new",
    ]
)


@given(st.lists(st.tuples(KINDS, st.dictionaries(FIELDS, SHAPES, max_size=5)), max_size=5))
def test_no_shape_of_an_update_breaks_the_reading(updates: list[tuple[str, dict[str, Any]]]) -> None:
    rendering = Rendering()
    for kind, fields in updates:
        update = {**fields, "sessionUpdate": kind}
        json.dumps(state_of(update))
        rendered = rendering.render(update)
        assert isinstance(rendered.text, str)
        msgspec.json.encode(tool_call(dict(rendering.merge(fields)), options_of(fields)))
    list(rendering.close_open_calls())


def test_calls_of_a_subagent_read_as_being_below_the_call_that_began_it() -> None:
    def call(name: str, parent: str, status: str) -> dict[str, Any]:
        kind = "tool_call" if status == "pending" else "tool_call_update"
        meta = {"_meta": {"claudeCode": {"parentToolUseId": parent}}} if parent else {}
        return {"sessionUpdate": kind, "toolCallId": name, "title": name, "status": status, **meta}

    begun = [call("Task", "", "pending"), call("Grep", "Task", "pending"), call("Read", "Grep", "pending")]
    ended = [call("Read", "Grep", "completed"), call("Grep", "Task", "completed"), call("Task", "", "completed")]
    assert told(*begun, *ended)["stderr"].splitlines() == [
        "→ Task",
        "└ → Grep",
        "└─ → Read",
        "└─ ✓ Read: completed",
        "└ ✓ Grep: completed",
        "✓ Task: completed",
    ]
