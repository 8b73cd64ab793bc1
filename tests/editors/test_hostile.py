"""Hostile JSON-RPC breaks nothing: each row gets what JSON-RPC has for it, and the next message is served as ever."""

from __future__ import annotations

import json

import pytest
from tests.editors.desk import Desk
from tests.editors.hostile import ROWS
from tests.editors.judge import fits


def test_there_are_many() -> None:
    assert len(ROWS) >= 200
    assert len({row for row, _ in ROWS}) == len(ROWS)


@pytest.mark.parametrize(("frame", "code"), ROWS, ids=lambda each: repr(each)[:60] if isinstance(each, bytes) else "")
def test_it_is_answered_as_json_rpc_says_and_nothing_else_happens(frame: bytes, code: int | None) -> None:
    desk = Desk()
    desk.open()
    desk.editor.from_editor(frame)
    told = [json.loads(each) for each in desk.editor.frames()]
    for each in told:
        fits("Error", each["error"])
    assert [each["error"]["code"] for each in told] == ([] if code is None else [code])
    assert desk.editor.commands() == []
    assert desk.ask("session/set_mode", sessionId="s", modeId="plan")[0]["result"] == {}


def test_two_requests_of_one_id_are_not_answered_as_one() -> None:
    desk = Desk()
    desk.open()
    prompt = {"sessionId": "s", "prompt": [{"type": "text", "text": "x"}]}
    frame = json.dumps({"jsonrpc": "2.0", "id": "twice", "method": "session/prompt", "params": prompt}).encode()
    desk.editor.from_editor(frame)
    desk.editor.from_editor(frame)
    [told] = [json.loads(each) for each in desk.editor.frames()]
    assert told["id"] is None
    assert len(desk.editor.commands()) == 1
