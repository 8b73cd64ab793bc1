"""What an agent offers, in words: whatever it calls its options, a terminal is not moved by it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from myagent.core.messages import Metadata, OptionSet, SessionId
from myagent.text.options import lines, named, offered, told

EMPTY = Metadata(
    version=1, session_id=SessionId("s"), cwd="/", created_at="", updated_at="", state="idle", write_ids=[], title="",
    agent="a", mode="default", queue=[], head=0,
)  # fmt: skip
HOSTILE = "a\x1b[2J\n\u202eb\x07"


def test_names_and_values_move_no_terminal() -> None:
    rows = [{"id": HOSTILE, "name": HOSTILE, "value": HOSTILE, "values": [{"value": HOSTILE, "name": HOSTILE}]}]
    options = offered(replace(EMPTY, agent_state={"options": rows}))
    assert [each.option_id for each in options] == [HOSTILE]  # goes back as it came
    said = [*lines(options), told(OptionSet(id="i", session_id=SessionId("s"), option_id=HOSTILE, value=HOSTILE,
                                            by=HOSTILE, reason=HOSTILE))]  # fmt: skip
    for line in said:
        assert line.isprintable(), line


@pytest.mark.parametrize("rows", [None, 7, "x", [7], [{"id": 7}], [{"id": "x", "value": 1, "values": {}}], [{}]])
def test_rows_of_another_shape_are_passed_over(rows: Any) -> None:
    assert offered(replace(EMPTY, agent_state={"options": rows})) == []
    assert offered(None) == offered(EMPTY) == []


def test_an_option_is_found_by_its_id_first() -> None:
    rows = [{"id": "m", "category": "model", "value": "a", "values": []},
            {"id": "model", "category": "", "value": True, "values": []}]  # fmt: skip
    options = offered(replace(EMPTY, agent_state={"options": rows}))
    assert (found := named(options, "model")) is not None and found.option_id == "model"
    assert named(options[:1], "model") == options[0]
    assert named(options, "x") is None
