"""What is offered to complete what is typed is what it looks like, and drives no terminal."""

from __future__ import annotations

import pytest

from myagent.agents.rendering.state import commands_state
from myagent.text.completing import command_rows, file_rows

HOSTILE = ["go\x1b]52;c;AAAA\x1b\\", "a\x9b31m\x9b2J", "inv\u202egnp.sh", "a\u200bb", "a\nb", "a\x7f"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_with_what_is_not_seen_is_not_offered(name: str) -> None:
    rows = file_rows([name, "plain.py"])
    assert [each.text for each in rows] == ["plain.py"]
    rows = command_rows([{"name": name}, {"name": "go"}], "")
    assert [each.text for each in rows] == ["go"]


def test_an_ordinary_one_is_in_any_language() -> None:
    assert [each.text for each in file_rows(["ü/漢字.txt", "a b"])] == ["ü/漢字.txt", "a b"]
    assert [each.text for each in command_rows([{"name": "проверь"}], "про")] == ["проверь"]


def test_the_host_tells_of_no_command_that_nobody_can_type() -> None:
    told = commands_state([{"name": name} for name in [*HOSTILE, "go"]])
    assert [each["name"] for each in told] == ["a\nb", "go"]  # a line break is seen: `escape` leaves it
