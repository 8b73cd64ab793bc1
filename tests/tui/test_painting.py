"""How items are drawn: what a tool call brought is seen without asking for the raw view."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from myagent.tui.painting import TOOL_LINES, Manner, strips
from myagent.tui.story import Tool


def drawn(*updates: tuple[dict[str, Any], str]) -> list[str]:
    tool = Tool(1, "t", {})
    for update, chunk in updates:
        tool.merge(update, chunk)
    return [strip.text.rstrip() for strip in strips(tool, Manner(width=80), Console(width=80))]


def test_output_that_came_in_pieces_is_seen() -> None:
    begun = {"title": "ls", "status": "in_progress", "content": [{"type": "terminal", "terminalId": "c"}]}
    pieces = [({}, "  a\n  b"), ({}, "c\n")]
    assert drawn((begun, "→ ls\n"), *pieces) == ["~ ls (in progress)", "  a", "  bc"]
    ended = ({"status": "failed"}, "✗ ls: failed\n  exit status 3\n")
    assert drawn((begun, "→ ls\n"), *pieces, ended)[-1] == "  exit status 3"


def test_the_end_of_much_output_is_seen_and_the_rest_counted() -> None:
    lines = drawn(({"title": "ls", "status": "completed"}, "".join(f"  {n}\n" for n in range(100))))
    assert lines[1] == f"  … {100 - TOOL_LINES} lines before (F6 shows all)"
    assert lines[-1] == "  99"
    assert len(lines) == 2 + TOOL_LINES


def test_what_the_content_holds_is_drawn_once() -> None:
    content = [{"type": "content", "content": {"type": "text", "text": "out"}}]
    told = ({"title": "ls", "status": "completed", "content": content}, "✓ ls: completed\n  out\n")
    assert drawn(told)[1:] == ["  out"]


def test_a_result_beside_a_change_is_drawn_and_the_path_is_not_repeated() -> None:
    content = [{"type": "diff", "path": "a.txt", "oldText": None, "newText": "x\n"}]
    told = ({"title": "w", "status": "completed", "content": content}, "✓ w: completed\n  a.txt\n  Written\n")
    lines = drawn(told)
    assert lines[-1] == "  Written"
    assert not any(line.strip() == "a.txt" for line in lines)
