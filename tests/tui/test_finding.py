"""Searching, jumping and copying in long sessions: what is far off is fetched, and the way back to the end is whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from myagent.tui import finding, sessions
from myagent.tui.lists import HELP
from myagent.tui.story import Said

EVENTS = 600


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that not many events are as many pages as of a long session."""
    monkeypatch.setattr(sessions, "PAGE", 50)
    monkeypatch.setattr(finding, "PAGE", 200)
    monkeypatch.setattr(finding, "AFTER", 60)


@asynccontextmanager
async def long_session(room: Any) -> AsyncIterator[tuple[Any, Any]]:
    """A turn that goes on, with so many events behind it; stdout and stderr in turn, since one of them would be joined.
    A follower sits at its end."""
    async with room() as here, here.sit(label="writer") as writer:
        await writer.prompt("count")
        play = await here.puppet.begun()
        for number in range(2, EVENTS + 2):
            await (play.io.stderr if number % 2 else play.say)(f"this is event {number}.\n")
        await writer.until(f"this is event {EVENTS + 1}.")  # now all of them are behind, for whoever comes
        async with here.sit(label="ben", role="follower") as ben:
            await ben.until(f"this is event {EVENTS + 1}.")
            assert ben.app.timeline.story.first > EVENTS - 100
            yield ben, play
        play.end()


async def find(ben: Any, text: str) -> None:
    if not ben.app.search_box.display:
        await ben.press("f7")
    ben.app.search_box.value = text
    await ben.press("enter")


async def down_until(ben: Any, there: Callable[[], bool]) -> None:
    for _ in range(EVENTS):
        if there():
            return
        await ben.press("pagedown")
    raise AssertionError(ben.text)


def numbers(ben: Any) -> list[int]:
    said = "".join(item.plain for item in ben.app.timeline.story.items if isinstance(item, Said))
    return [int(line.removeprefix("this is event ").rstrip(".")) for line in said.splitlines() if line]


async def test_jumping_to_an_event_and_back_to_the_end(room: Any) -> None:
    async with long_session(room) as (ben, play):
        await find(ben, "#100")
        await ben.until(lambda: "this is event 100." in ben.lines[0])
        await ben.until("at event 100 of ")
        await play.say("news\n")
        await ben.until(lambda: ben.app.sessions.head == EVENTS + 2)
        assert "news" not in ben.text
        assert not ben.app.timeline.attached
        await down_until(ben, lambda: ben.app.timeline.story.last > 250)  # past what was fetched at first
        seen = numbers(ben)
        assert seen == list(range(seen[0], seen[-1] + 1))
        await ben.press("ctrl+end")
        await ben.until("news")
        await play.say("more news\n")
        await ben.until("more news")
        assert "at event" not in ben.text


async def test_the_way_down_joins_what_happens_now(room: Any) -> None:
    async with long_session(room) as (ben, play):
        await find(ben, f"#{EVENTS - 200}")
        await ben.until(f"this is event {EVENTS - 200}.")
        assert not ben.app.timeline.attached
        await play.io.stderr(f"this is event {EVENTS + 2}.\n")
        await down_until(ben, lambda: ben.app.timeline.attached)
        ben.app.timeline.action_to_end()
        await ben.until(f"this is event {EVENTS + 2}.")
        await play.say(f"this is event {EVENTS + 3}.\n")
        await ben.until(f"this is event {EVENTS + 3}.")
        seen = numbers(ben)
        assert seen == list(range(seen[0], EVENTS + 4))


async def test_the_beginning_is_the_sessions(room: Any) -> None:
    async with long_session(room) as (ben, _):
        await ben.press("ctrl+home")
        await ben.until("▌ count")
        assert "this is event 2." in ben.text


async def test_searching_far_up_and_down_again(room: Any) -> None:
    async with long_session(room) as (ben, _):
        await find(ben, "event 77.")
        await ben.until("this is event 77.")
        await find(ben, "is event 8")
        await ben.until(lambda: ben.app.timeline.line(ben.app.timeline.found).text.endswith("event 8."))
        await ben.press("down")
        await ben.until(lambda: ben.app.timeline.line(ben.app.timeline.found).text.endswith("event 80."))
        await find(ben, "nowhere to be found")
        await ben.until("not found further up")


def styled(anna: Any) -> list[tuple[str, bool]]:
    """What is marked on the screen, and whether it is where the search is."""
    parts = [part for y in range(anna.app.timeline.size.height) for part in anna.app.timeline.render_line(y)]
    return [
        (part.text, bool(part.style.reverse))
        for part in parts
        if part.style and (part.style.reverse or part.style.underline)
    ]


async def test_every_hit_is_marked_and_counted(room: Any) -> None:
    async with room() as here, here.sit(size=(30, 30)) as anna:
        await anna.prompt("go")
        play = await here.puppet.begun()
        await play.say("a needle and a Needle\n\n表 needle 👩\u200d👧 needle\n")
        await play.say("x" * 27 + "needle\n\x1b[31mnee\x1b[0mdle\n")
        await play.io.stderr("needle\n")
        await anna.until("! needle")
        await find(anna, "needle")
        await anna.until("7 of 7")
        marks = styled(anna)
        assert "".join(text for text, _ in marks).lower() == "needle" * 7
        assert marks[-1] == ("needle", True)
        assert not any(here for _, here in marks[:-1])
        for number in (6, 5, 4):
            await anna.press("up")
            await anna.until(f"{number} of 7")
        assert "".join(text for text, here in styled(anna) if here) == "needle"
        await anna.press("down")
        await anna.until("5 of 7")
        assert [text for text, here in styled(anna) if here] == ["ne", "edle"]  # of two rows
        await anna.press(*["up"] * 5)
        await anna.until("not found")
        await anna.until("1 of 7")
        await anna.press("escape")
        await anna.until(lambda: not styled(anna))
        assert " of 7" not in anna.text
        play.end()


async def test_long_output_has_no_false_line_breaks(room: Any) -> None:
    """However it comes in pieces, and wherever a page of it ends."""
    lines = [f"{number} the quick brown fox jumps over the lazy dog" for number in range(1, 4001)]
    text = "".join(f"{line}\n" for line in lines)
    async with room() as here, here.sit(label="writer", size=(100, 30)) as writer:
        await writer.prompt("count")
        play = await here.puppet.begun()
        for start in range(0, len(text), 997):
            await play.say(text[start : start + 997])
        await writer.until(lines[-1])
        async with here.sit(label="ben", role="follower", size=(100, 30)) as ben:
            await ben.until(lines[-1])
            for number in (3714, 1715, 716):
                await find(ben, f"{number} the")
                await ben.until(lambda number=number: lines[number - 1] in ben.app.timeline.shown)
                shown = [line for line in ben.app.timeline.shown if "the quick" in line]
                first = int(shown[0].split()[0])
                assert shown == lines[first - 1 : first - 1 + len(shown)]
            await ben.press("escape", "ctrl+home")
            await ben.until("1 the quick")
        play.end()


async def test_keys_of_the_same_burst_go_to_the_search(room: Any) -> None:
    async with room() as _, _.sit() as anna:
        await anna.burst("f7", *"abc")
        assert (anna.app.search_box.value, anna.app.prompt_box.text) == ("abc", "")


async def test_what_is_not_there_is_said(room: Any) -> None:
    async with room() as here, here.sit() as anna:
        await anna.prompt("go")
        play = await here.puppet.begun()
        await anna.until("running")
        await find(anna, "#99")
        await anna.until("there is no event 99 here")
        play.end()


async def test_copying(room: Any, monkeypatch: Any) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    async with room() as here, here.sit() as anna:
        await anna.prompt("go now")
        play = await here.puppet.begun()
        await play.say("\x1b[31mred\x1b[0m words\n")
        answer = play.ask("make all")
        await anna.asked()
        await anna.press("escape")
        for down, wanted in ((0, "red words\n"), (1, "make all"), (2, "go now"), (4, anna.app.session)):
            await anna.press("f8")
            await anna.until("what the agent said last")
            await anna.press(*["down"] * down, "enter")
            await anna.until(lambda wanted=wanted: anna.app.clipboard == wanted)
        await anna.press("f9")
        await anna.asked()
        await anna.press("n")
        await answer
        play.end()


async def test_notices_leave_the_prompt_and_the_status_alone(room: Any) -> None:
    async with room() as here, here.sit() as anna:
        await anna.until("Nothing has been said here. Write a prompt below.")
        assert "write a prompt; F1 helps" in anna.text
        await anna.until("f5 Queue")
        before = anna.lines[-5:]
        await anna.press("f5")
        await anna.until("no prompt waits here")
        assert anna.lines[-5:] == before


def test_help_fits_a_small_terminal() -> None:
    assert max(map(len, HELP.splitlines())) <= 72
    assert len(HELP.splitlines()) <= 20
