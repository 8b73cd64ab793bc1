"""Output on the screen: overwritten lines, wide characters, floods of it, and what it is in raw view."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from myagent.core.messages import AgentStdout, SessionId
from myagent.tui import timeline as drawing
from myagent.tui.rows import breaks, output
from myagent.tui.story import Story

FAMILY = "👩\u200d👩\u200d👧\u200d👦"


async def test_a_progress_bar_is_one_line_and_raw_shows_all_of_it(room: Any) -> None:
    async with room() as here, here.sit() as anna:
        await anna.prompt("go")
        play = await here.puppet.begun()
        await play.say("begin\nprogress 10%\r")
        await anna.until("progress 10%")
        await play.say("progress 55%\r")
        await anna.until("progress 55%")
        assert "10%" not in anna.text
        await play.say("done\x1b[K\nab\b\bxy\n")
        await anna.until(lambda: anna.app.timeline.shown[-3:] == ["begin", "done", "xy"])
        await anna.press("f6")
        await anna.until(r"progress 10%\u{d}progress 55%\u{d}done\u{1b}[K")
        await anna.press("f6")
        answer = play.ask("rm x\rls")
        await anna.asked()
        assert r"rm x\u{d}ls" in anna.text
        await anna.press("n")
        await answer
        play.end()


async def test_an_empty_line_of_stderr_has_no_mark(room: Any) -> None:
    async with room() as here, here.sit() as anna:
        await anna.prompt("go")
        play = await here.puppet.begun()
        await play.io.stderr("one\n\ntwo\n")
        await anna.until("! two")
        assert [line.rstrip() for line in anna.app.timeline.shown[-3:]] == ["! one", "", "! two"]
        play.end()


@pytest.mark.parametrize(
    ("line", "rows"),
    [
        ("one two three", ["one two ", "three"]),
        ("12345678 next", ["12345678 ", "next"]),
        ("123456789012", ["12345678", "9012"]),
        ("表示表示表", ["表示表示", "表"]),
        ("a表示表示表", ["a表示表", "示表"]),
        (f"{FAMILY}{FAMILY}🇩🇪❤\ufe0fx", [f"{FAMILY}{FAMILY}🇩🇪❤\ufe0f", "x"]),
        ("        indented", ["        ", "indented"]),
        ("", [""]),
    ],
)  # fmt: skip
def test_rows_fit_and_are_the_line(line: str, rows: list[str]) -> None:
    ends = [0, *breaks(line, 8), len(line)]
    assert [line[start:end] for start, end in itertools.pairwise(ends)] == rows
    assert [row.text for row in output(line, 8)] == rows
    coloured = list(output(f"\x1b[31m{line}\x1b[0m", 8))
    assert "".join(row.text for row in coloured) == line
    assert all(row.strip.text == row.text for row in coloured)


async def test_a_flood_is_drawn_in_turns(room: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn at a time is bounded; what is let go is not drawn at all."""
    monkeypatch.setattr(drawing, "DRAW_TIME", 0.0)
    flood = "".join(f"line {number}\n" for number in range(100_000))
    story = Story(0)
    story.take(AgentStdout(id="t", session_id=SessionId("s"), seq=1, chunk=flood))
    async with room() as here, here.sit() as anna:
        shown = anna.app.timeline
        shown.show(story)
        assert shown.shown[-1] == "line 99999"
        assert shown.lines < 1000
        assert sum(item.lines for item in story.items) <= drawing.KEPT_LINES
        await anna.until(lambda: shown.lines == sum(item.lines for item in story.items))
        assert shown.shown[-1] == "line 99999"
        del here


async def test_without_that_all_is_drawn_at_once(room: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control."""
    monkeypatch.setattr(drawing, "DRAW_TIME", 1e9)
    story = Story(0)
    flood = "".join(f"line {number}\n" for number in range(15_000))
    story.take(AgentStdout(id="t", session_id=SessionId("s"), seq=1, chunk=flood))
    async with room() as _, _.sit() as anna:
        anna.app.timeline.show(story)
        assert anna.app.timeline.lines == 15_000
