"""An agent's questions in the full-screen client: filled in, checked, sent once, and withdrawn with their agent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from myagent.core.questions import asked_form, asked_url
from myagent.tui.form import FormDialog

FORM = {
    "properties": {
        "name": {"type": "string", "title": "Your\u202e name", "description": "as on the door", "minLength": 2},
        "count": {"type": "integer", "minimum": 1, "maximum": 3, "default": 2},
        "colour": {"oneOf": [{"const": "r", "title": "Red"}, {"const": "b", "title": "Blue"}]},
        "sure": {"type": "boolean"},
        "many": {"type": "array", "items": {"enum": ["x", "y"]}},
    },
    "required": ["name"],
}
URL = "https://example.org:8443/login?a=b"


def dialog(sitting: Any) -> FormDialog | None:
    return next((each for each in sitting.app.screen_stack if isinstance(each, FormDialog)), None)


async def armed(sitting: Any) -> FormDialog:
    """Wait for a question that takes answers."""
    await sitting.until(lambda: (shown := dialog(sitting)) is not None and shown.armed)
    shown = dialog(sitting)
    assert shown is not None
    return shown


async def asking(here: Any, asked: Any) -> tuple[Any, asyncio.Task[Any]]:
    play = await here.puppet.begun()
    return play, asyncio.create_task(play.io.question(asked))


async def test_a_form_is_filled_in_with_keys_checked_and_sent(room: Any) -> None:
    async with room() as here, here.sit(size=(100, 40)) as anna:
        await anna.prompt("go")
        play, answer = await asking(here, asked_form("Who \u202eare you?", FORM))
        shown = await armed(anna)
        assert "Who \\u{202e}are you?" in anna.text and "Your\\u{202e} name" in anna.text
        assert "\u202e" not in anna.text
        assert "as on the door" in anna.text and "from 1; to 3" in anna.text
        await anna.press("A")
        await anna.pilot.click("#accept")
        await anna.until("the field name must have at least 2 characters")
        assert not answer.done() and dialog(anna) is shown
        await anna.press(*"Ann", "tab", "backspace", "9")
        await anna.pilot.click("#accept")
        await anna.until("the field count must be at most 3")
        await anna.press("3")  # the field has the focus again
        await anna.press("tab", "enter", "down", "down", "enter")  # Blue
        await anna.press("tab", "enter", "down", "enter")  # yes
        await anna.press("tab", "down", "space")  # y
        await anna.pilot.click("#accept")
        given = await answer
        assert (given.action, given.content) == (
            "accept",
            {"name": "Ann", "count": 3, "colour": "b", "sure": True, "many": ["y"]},
        )
        await anna.until(lambda: dialog(anna) is None)
        play.end()


async def test_keys_typed_before_the_form_was_there_answer_nothing(room: Any) -> None:
    async with room() as here, here.sit(quiet=2.0) as anna:
        await anna.prompt("go")
        play, answer = await asking(here, asked_form("Which?", FORM))
        await anna.until(lambda: dialog(anna) is not None)
        for _ in range(4):
            await anna.press("y", "tab", "enter", "space")
            assert not dialog(anna).armed  # type: ignore[union-attr]
            assert "wait…" in anna.text
        shown = await armed(anna)
        assert not answer.done()
        assert shown._widgets["name"].value == ""  # type: ignore[attr-defined]
        await anna.pilot.click("#decline")
        assert (await answer).action == "decline"
        play.end()


async def test_without_the_wait_they_would(room: Any) -> None:
    """Negative control: a key that was meant for the prompt is taken for an answer."""
    async with room() as here, here.sit(quiet=0.001) as anna:
        await anna.prompt("go")
        play, answer = await asking(here, asked_form("Which?", FORM))
        shown = await armed(anna)
        await anna.press("y")
        assert shown._widgets["name"].value == "y"  # type: ignore[attr-defined]
        await anna.pilot.click("#cancel")
        assert (await answer).action == "cancel"
        play.end()


@pytest.mark.parametrize(("button", "action"), [("accept", "accept"), ("decline", "decline"), ("cancel", "cancel")])
async def test_an_address_is_shown_whole_and_what_has_the_focus_does_nothing_dangerous(
    room: Any, button: str, action: str
) -> None:
    async with room() as here, here.sit() as anna:
        await anna.prompt("go")
        play, answer = await asking(here, asked_url("Sign in", URL))
        await armed(anna)
        assert "host     example.org" in anna.text and f"address  {URL}" in anna.text
        assert anna.app.focused.id == "cancel"
        await anna.pilot.click(f"#{button}")
        assert (await answer).action == action
        play.end()


@pytest.mark.parametrize("how", ["taken back", "turn over", "answered elsewhere", "handed over"])
async def test_what_is_open_no_more_is_withdrawn(room: Any, how: str) -> None:
    async with room() as here, here.sit() as anna:
        await anna.prompt("go")
        play, answer = await asking(here, asked_form("Which?", FORM))
        await armed(anna)
        match how:
            case "taken back":
                answer.cancel()
            case "turn over":
                play.end()
            case _:
                async with here.sit(label="ben") as ben:
                    if how == "answered elsewhere":
                        await ben.press("f4")
                    else:
                        await ben.until("anna")
                        await ben.press("f4")
                    await armed(ben)
                    await ben.pilot.click("#decline")
                    assert (await answer).action == "decline"
                    await ben.until(lambda: dialog(ben) is None)
        await anna.until(lambda: dialog(anna) is None)
        await anna.told("the question is withdrawn")
        if how != "turn over":
            play.end()


async def test_who_follows_is_not_asked(room: Any) -> None:
    async with room() as here, here.sit() as anna, here.sit(label="ben") as ben:
        await anna.prompt("go")
        play, answer = await asking(here, asked_form("Which?", FORM))
        shown = await armed(anna)
        await ben.until("Which?")
        assert dialog(ben) is None
        shown.query_one("#decline").press()  # type: ignore[attr-defined]
        assert (await answer).action == "decline"
        await ben.until("decline")
        play.end()
