"""Rules in the full-screen client: an allow is remembered, what a rule allows is not asked, and a rule is ended."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any


async def test_an_allow_is_remembered_used_and_ended(room: Any) -> None:
    async with room() as here, here.sit() as anna:
        await anna.prompt("go")
        play = await here.puppet.begun()
        answer = play.ask("make all", kind="execute")
        await anna.asked()
        assert "m remember…" in anna.text
        for wanted in ("exactly this (this session)", "make all … (this session)", "make … (this session)"):
            await anna.press("m")
            await anna.until(f"m remembered: {wanted}")
        for wanted in ("u for an hour", "u for a day", "u until revoked", "u for an hour"):
            await anna.press("u")
            await anna.until(wanted)
        await anna.press("y")
        assert (await answer).kind == "allow"
        assert (await play.ask("make test", kind="execute")).kind == "allow"
        assert anna.app.requests.question is None
        [rule] = here.server.host.rules.live()
        left = datetime.fromisoformat(rule.until) - datetime.fromisoformat(rule.made_at)
        assert timedelta(minutes=59) < left <= timedelta(hours=1)
        await anna.until("allowed by rule")
        await anna.app.run_action("rules")
        await anna.until("Rules that answer for the owner")
        assert "prefix  make" in anna.text
        await anna.press("enter")
        await anna.until(lambda: here.server.host.rules.live() == [])
        again = play.ask("make all", kind="execute")
        await anna.asked()
        await anna.press("n")
        assert (await again).kind == "deny"
        play.end()


async def test_a_rule_that_does_not_allow_it_is_named_with_the_reason(room: Any) -> None:
    async with room() as here, here.sit() as anna:
        await anna.prompt("go")
        play = await here.puppet.begun()
        first = play.ask("make all", kind="execute")
        await anna.asked()
        await anna.press("m")
        await anna.until("exactly this (this session)")
        await anna.press("m")
        await anna.until("make all … (this session)")
        await anna.press("y")
        await first
        second = play.ask("make all; rm x", kind="execute")
        await anna.asked()
        assert "does not allow it: it has more than plain words" in anna.text
        assert "m remember…" in anna.text  # exactly this still can be
        await anna.press("n")
        await second
        play.end()


async def test_what_has_warnings_offers_nothing_to_remember(room: Any) -> None:
    async with room() as here, here.sit() as anna:
        await anna.prompt("go")
        play = await here.puppet.begun()
        answer = play.ask("make \u202eall", kind="execute")
        await anna.asked()
        assert "m remember" not in anna.text
        await anna.press("n")
        await answer
        play.end()
