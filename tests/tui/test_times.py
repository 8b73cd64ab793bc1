"""When things happened, in the full-screen client: shown when asked for, and jumped to by the clock."""

from __future__ import annotations

import itertools
import time
from typing import Any

from myagent.core.messages import AgentStderr, Prompt, SessionId
from myagent.text.times import absolute
from myagent.tui.finding import Finder
from myagent.tui.story import Story

BEGAN = int(time.mktime((2026, 9, 21, 12, 0, 0, 0, 0, -1)) * 1000)  # here, whatever the time zone
MINUTE = 60_000


async def test_times_are_shown_when_asked_for_and_a_clock_is_jumped_to(room: Any) -> None:
    async with room() as here, here.sit(label="writer") as anna:
        clock = itertools.count(BEGAN, MINUTE)
        here.server.host.log._clock = lambda: next(clock)
        await anna.prompt("count")
        play = await here.puppet.begun()
        for number in range(1, 120):
            await (play.io.stderr if number % 2 else play.say)(f"this is minute {number}.\n")
            await here.server.host.log.flush()  # what waits for a commit would be stored, and so timed, together
        await anna.until("this is minute 119.")
        await anna.press("f7")
        anna.app.search_box.value = "@12:45"
        await anna.press("enter")
        await anna.until(lambda: "this is minute 45." in anna.lines[0])
        await anna.until("at event 46 of ")
        anna.app.search_box.value = "@11:30"  # of the day before: what is there begins later
        await anna.press("enter")
        await anna.until("Prompt by writer")
        assert absolute(BEGAN) not in anna.text
        await anna.press("ctrl+t")
        await anna.until(absolute(BEGAN))
        await anna.press("ctrl+t")
        await anna.until(lambda: absolute(BEGAN) not in anna.text)
        play.end()


class Page:
    """Events as a server gives them, and a timeline that notes where it was sent."""

    def __init__(self, times: list[int | None]) -> None:
        fields: dict[str, Any] = {"id": "t", "session_id": SessionId("s")}
        self.events = [AgentStderr(**fields, chunk="x", seq=seq, at=at) for seq, at in enumerate(times, 1)]
        self.story, self.asked = Story(len(times)), 0
        self.went: int | None = None

    async def fetch(self, *, before: int, limit: int) -> list[Any]:
        self.asked += 1
        return [event for event in self.events if (event.seq or 0) < before][-limit:]

    def jump_event(self, seq: int) -> None:
        self.went = seq

    async def find(self, wanted: str) -> str:
        finder = Finder(self, self.fetch, lambda story: setattr(self, "story", story), lambda _: None)  # type: ignore[arg-type]
        return await finder.find(wanted, up=True)


async def test_a_long_session_is_not_read_to_find_a_time() -> None:
    page = Page([None] * 1000 + [BEGAN + number * 1000 for number in range(7000)])
    assert await page.find("@13:15") == ""
    assert page.went == 1001 + 75 * 60
    assert page.asked < 20
    old = Page([None] * 5)
    assert "no time" in await old.find("@13:15")
    assert old.went is None


def test_a_prompt_keeps_its_time() -> None:
    story = Story(0)
    story.take(Prompt(id="t", session_id=SessionId("s"), seq=1, at=BEGAN, prompt="p", by="b"))
    assert [item.at for item in story.items] == [BEGAN]  # type: ignore[union-attr]
