"""What is written is never lost, and never more than it is: refused, too long, in a burst, in another session."""

from __future__ import annotations

from typing import Any

import pytest

from myagent.tui.outbox import Outbox


async def two_in_a_burst(room: Any) -> tuple[list[str], int]:
    """The prompts that run, and in how many sessions."""
    async with room() as here, here.sit() as anna:
        await anna.burst(*"one", "enter", *"two", "enter", *"left")
        prompts, sessions = [], set()
        for _ in range(2):
            play = await here.puppet.begun()
            prompts.append(play.turn.prompt)
            sessions.add(play.turn.session_id)
            play.end()
        await anna.until(lambda: not len(anna.app.outbox))
        assert anna.app.prompt_box.text == "left"
        return prompts, len(sessions)


async def test_two_prompts_of_one_burst_are_two_in_one_session(room: Any) -> None:
    assert await two_in_a_burst(room) == (["one", "two"], 1)


async def test_it_is_the_waiting_that_makes_it_one(room: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control."""
    monkeypatch.setattr(Outbox, "submit", lambda self, text: self._start(text, self._sessions.shown))
    prompts, sessions = await two_in_a_burst(room)
    assert (sorted(prompts), sessions) == (["one", "two"], 2)


async def test_what_is_too_long_stays_in_the_box(room: Any) -> None:
    async with room() as here, here.sit(size=(120, 30)) as anna:
        long = "x" * (256 << 10) + "y"
        anna.app.prompt_box.load_text(long)
        await anna.press("enter")
        await anna.told("the prompt has 262145 bytes, and the server takes 262144 at most")
        assert anna.app.prompt_box.text == long
        assert anna.app.client.state.name == "live"
        anna.app.prompt_box.load_text("short")
        await anna.press("enter")
        play = await here.puppet.begun()
        assert play.turn.prompt == "short"
        play.end()


async def test_what_is_refused_comes_back_before_what_was_written_since(room: Any) -> None:
    async with room() as here, here.sit() as anna, here.sit(label="ben") as ben:
        await ben.until("owner: anna")
        await ben.prompt("mine")
        await ben.told("only the owner can prompt")
        assert ben.app.prompt_box.text == "mine"
        anna.app.prompt_box.put("new")
        anna.app.outbox._not_sent("old", opener=False)
        assert anna.app.prompt_box.text == "old\nnew"


async def test_each_session_keeps_its_draft(room: Any) -> None:
    async with room() as here, here.sit() as anna:
        await anna.prompt("apples")
        play = await here.puppet.begun()
        play.end()
        await anna.until("Turn ended")
        first = anna.app.session
        await anna.press(*"more", "up", *"x")
        assert anna.app.prompt_box.text == "applesx"
        await anna.press("down")
        assert anna.app.prompt_box.text == "more"
        await anna.press("up")
        assert anna.app.prompt_box.text == "applesx"
        await anna.press("down")
        anna.app.sessions.open(None)
        assert anna.app.prompt_box.text == ""
        await anna.press(*"pears")
        anna.app.sessions.open(first)
        assert anna.app.prompt_box.text == "more"
        assert sorted(anna.app.prompt_box.drafts) == ["applesx", "more", "pears"]


async def test_a_link_that_can_only_watch_promises_nothing(room: Any) -> None:
    async with room() as here:
        made = here.server.invite()
        async with here.sit(label="ben", token=made.token) as ben:
            await ben.until("you watch: your link can do no more")
            assert "F4 claims" not in ben.text
            await ben.press("f4")
            await ben.told("this link can watch, and never prompt")
        async with here.sit(label="carl", role="follower") as carl:
            await carl.until("F4 claims the ownership")  # the negative control: where it can
