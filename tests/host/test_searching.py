"""What of events is searched: words that output was cut in are whole, colours are no words."""

from __future__ import annotations

import json
from typing import Any

from myagent.eventlog import Stored
from myagent.host.searching import texts


def said(*events: dict[str, Any]) -> list[tuple[str, int, str]]:
    rows = [
        Stored(pos, event.pop("s", "s"), pos, json.dumps({"id": "t", "seq": pos, **event}).encode())
        for pos, event in enumerate(events, 1)
    ]
    return [(each.session_id, each.seq, each.text) for each in texts(rows)]


def out(chunk: str, **fields: str) -> dict[str, Any]:
    return {"type": "agent_stdout", "chunk": chunk, **fields}


def test_output_that_goes_on_is_one_text() -> None:
    assert said(out("see the rel"), out("x", s="other"), out("ease \x1b[1mno\x1b[0mtes")) == [
        ("s", 1, "see the release notes"),
        ("other", 2, "x"),
    ]


def test_what_is_said_between_ends_it() -> None:
    asked = {"type": "permission_request", "request": {"title": "Run make", "display": "make test"}}
    assert said({"type": "prompt", "prompt": "go"}, out("one"), asked, out("two"), out("three", id="u")) == [
        ("s", 1, "go"), ("s", 2, "one"), ("s", 3, "Run make\nmake test"), ("s", 4, "two"), ("s", 5, "three"),
    ]  # fmt: skip


def test_what_has_no_words_and_what_cannot_be_read_is_left_out() -> None:
    assert said({"type": "terminal_state"}, out(""), {"type": "prompt", "prompt": 7}) == []
