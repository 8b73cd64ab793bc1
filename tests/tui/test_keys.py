"""Keys that were meant for something else, or pressed twice: they answer nothing, and break nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual._xterm_parser import XTermParser

from myagent.core.messages import Option
from myagent.tui.prompt_box import PromptBox

LONG = 0.5  # seconds in which another key spoils an answer; more than a busy machine needs for a burst


@asynccontextmanager
async def question(room: Any, **sitting: Any) -> AsyncIterator[tuple[Any, Any]]:
    async with room() as here, here.sit(**sitting) as anna:
        await anna.prompt("go")
        play = await here.puppet.begun()
        options = (Option("once", "Allow once", "allow_once"), Option("never", "Never", "reject_always"))
        answer = play.ask("make", options=options)
        await anna.asked()
        yield anna, answer
        play.end()
        await anna.until("Turn ended")


@pytest.mark.parametrize(("keys", "kind"), [("yyy", "allow"), ("nn", "deny"), ("22", "deny")])
async def test_a_key_pressed_twice_is_one_answer(room: Any, keys: str, kind: str) -> None:
    async with question(room) as (anna, answer):
        await anna.burst(*keys)
        assert (await answer).kind == kind


async def test_a_reason_submitted_twice_is_one_answer(room: Any) -> None:
    async with question(room) as (anna, answer):
        await anna.press("r")
        await anna.until("why not? Enter denies")
        await anna.burst("n", "o", "enter", "enter")
        given = await answer
        assert (given.kind, given.reason) == ("deny", "no")


async def test_a_question_left_twice_is_left_once(room: Any) -> None:
    async with question(room) as (anna, answer):
        await anna.burst("escape", "escape", "y")
        await anna.until("F9 comes back")
        assert not answer.done()
        await anna.press("f9")
        await anna.asked()
        await anna.press("n")
        await answer


async def test_a_list_takes_one_choice(room: Any) -> None:
    async with room() as here, here.sit() as anna:
        for keys in (("enter", "enter"), ("escape", "escape"), ("enter", "escape")):
            await anna.press("f2")
            await anna.until("+ a new session")
            await anna.burst(*keys)
            await anna.until(lambda: len(anna.app.screen_stack) == 1)
        await anna.press("f1")
        await anna.until("earlier prompts")
        await anna.burst("q", "enter")
        await anna.until(lambda: len(anna.app.screen_stack) == 1)


@pytest.mark.parametrize("word", ["yarn", "no", "run", "1st", "yn"])
async def test_a_word_is_no_answer(room: Any, word: str) -> None:
    async with question(room, quiet=LONG, alone=LONG) as (anna, answer):
        await anna.burst(*word)
        await anna.until("an answer is one key alone")
        await anna.asked()
        assert not answer.done()
        await anna.press("n")
        assert (await answer).kind == "deny"


async def test_an_answer_is_held_only_for_a_moment(room: Any) -> None:
    """Nothing else keeps the word out: its first letter answers when the others come late."""
    async with question(room) as (anna, answer):
        await anna.burst("y")
        assert (await answer).kind == "allow"
        await anna.burst(*"arn")
        await anna.until(lambda: anna.app.prompt_box.text == "arn")


async def test_a_key_of_the_app_says_when_it_works_and_the_next_one_is_no_answer(room: Any) -> None:
    async with question(room, quiet=LONG) as (anna, answer):
        await anna.press("f7")
        assert not anna.app.requests.question.armed
        assert "F7 works after Esc" in anna.text
        await anna.burst("y")
        await anna.until("an answer is one key alone")
        await anna.asked()
        assert not answer.done()
        await anna.press("escape", "f7", *"yarn")
        assert anna.app.search_box.value == "yarn"
        await anna.press("escape", "f9")
        await anna.asked()
        await anna.press("y")
        assert (await answer).kind == "allow"


async def test_alt_is_another_key(room: Any) -> None:
    async with question(room, quiet=LONG) as (anna, answer):
        anna.app.post_message(next(iter(XTermParser()._sequence_to_key_events("y", alt=True))))
        await anna.until("an answer is one key alone")
        await anna.asked()
        assert not answer.done()
        await anna.press("n")
        await answer


@pytest.mark.parametrize("bytes_", ["\n", "\x1b\r", "\x1b[13;2u", "\x1b[13;3u"])
async def test_a_new_line_in_the_prompt_as_terminals_send_it(room: Any, bytes_: str) -> None:
    async with room() as here, here.sit() as anna:
        await anna.press(*"one")
        for event in XTermParser().feed(bytes_):
            anna.app.post_message(event)
        await anna.until(lambda: isinstance(anna.app.focused, PromptBox) and anna.app.focused.text == "one\n")
        assert here.puppet.runs == 0
