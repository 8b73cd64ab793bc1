"""Choosing what the agent offers in the full-screen client: two lists, the choice sent, what came of it shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from myagent.agents.choosing import NeedsBypass
from myagent.core.choices import Choice, Value

ROWS = [
    {"id": "mode", "name": "Mode", "category": "mode", "type": "select", "value": "ask",
     "values": [{"value": "ask", "name": "Ask"}, {"value": "auto", "name": "Auto", "guarded": True}]},
    {"id": "fast", "name": "Fast\u202emode", "category": "", "type": "boolean", "value": False,
     "values": [{"value": True, "name": ""}, {"value": False, "name": ""}]},
]  # fmt: skip


def offering(puppet: Any) -> list[tuple[str, Value]]:
    """Give the puppet something to choose; what is set then."""
    was_set: list[tuple[str, Value]] = []

    def choose(_: str, name: str, value: Value, __: Sequence[Choice], *, allow_bypass: bool) -> Choice:
        if value == "auto":
            raise NeedsBypass(name, value)
        return Choice(name, value, False)

    async def apply(_: str, choice: Choice) -> None:
        was_set.append((choice.option_id, choice.value))

    puppet.choose, puppet.apply = choose, apply
    return was_set


async def test_an_option_is_chosen_from_lists(room: Any) -> None:
    async with room() as here, here.sit() as anna:
        was_set = offering(here.puppet)
        await anna.press("ctrl+o")
        await anna.told("offers nothing to choose here")
        await anna.prompt("go")
        play = await here.puppet.begun()
        play.io.tell(options=ROWS)
        play.end()
        await anna.until("Turn ended: exit 0")
        await anna.press("ctrl+o")
        await anna.until("mode=ask (Mode)")
        assert "fast=false (Fast·mode)" in anna.text or "\u202e" not in anna.text
        await anna.press("down", "enter")
        await anna.until("* false")
        await anna.press("enter")
        await anna.until("Option fast=true chosen by anna")
        assert was_set == [("fast", True)]
        await anna.press("ctrl+o")
        await anna.until("fast=true (Fast")


async def test_what_needs_more_than_an_owner_is_marked_and_refused(room: Any) -> None:
    async with room() as here, here.sit() as anna:
        was_set = offering(here.puppet)
        await anna.prompt("go")
        play = await here.puppet.begun()
        play.io.tell(options=ROWS)
        play.end()
        await anna.until("Turn ended: exit 0")
        await anna.press("ctrl+o", "enter")
        await anna.until("auto: may act unasked")
        await anna.press("down", "enter")
        await anna.told("needs a server that was started with --allow-bypass")
        assert was_set == []
