"""Finds a text, or an event by its number, in a session of any length; what is far off is shown as its own stretch."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Protocol

from myagent.core.messages import AgentStderr, AgentStdout, Event
from myagent.text.times import latest_at
from myagent.tui.story import Story
from myagent.tui.timeline import Timeline

PAGE = 2000  # events fetched at a time
AFTER = 200  # events shown after the one that was asked for, where that many follow
LINE = 200  # events that a line may begin in and end in

_NUMBER = re.compile(r"\s*#(\d{1,15})\s*")
_CLOCK = re.compile(r"\s*@([01]?\d|2[0-3]):([0-5]\d)\s*")
_END = 2**52  # beyond the last event of any session


class Pages(Protocol):
    """Blocking: events of a session, the first after a number or the last before one, with their structured updates."""

    def __call__(
        self, session: str, *, after: int | None = None, before: int | None = None, limit: int
    ) -> list[Event]: ...


class Fetch(Protocol):
    def __call__(self, *, before: int, limit: int) -> Awaitable[list[Event]]: ...


class Finder:
    """`show` replaces what is shown of the session by another stretch; `progress` is told how far a search has come."""

    def __init__(
        self, timeline: Timeline, fetch: Fetch, show: Callable[[Story], None], progress: Callable[[int], None]
    ) -> None:
        self._timeline = timeline
        self._fetch = fetch
        self._show = show
        self._progress = progress

    async def find(self, wanted: str, *, up: bool) -> str:
        """Go to a text, to `#NUMBER` or to `@HOUR:MINUTE`; what to tell the human if that is nowhere.
        Raises as fetching does."""
        number = _NUMBER.fullmatch(wanted)
        if number is not None:
            return await self.event(int(number[1]))
        clock = _CLOCK.fullmatch(wanted)
        if clock is not None:
            return await self._then((int(clock[1]), int(clock[2])))
        if self.here(wanted, up=up):
            return ""
        return await self._above(wanted) if up else "not found further down, as far as it is here"

    def here(self, wanted: str, *, up: bool) -> bool:
        """Go to a text in the stretch that is here; says whether it is there."""
        if _NUMBER.fullmatch(wanted) or _CLOCK.fullmatch(wanted):
            return False
        self._timeline.search(wanted)
        return self._timeline.go(-1 if up else 1)

    async def event(self, seq: int) -> str:
        """Go to an event, or to what it is part of."""
        story = self._timeline.story
        if not story.first <= seq <= story.last:
            events = await self._fetch(before=seq + AFTER, limit=PAGE)
            page = Story.of(events)
            while page is not None and page.first > seq:
                if not page.prepend(await self._fetch(before=page.first, limit=PAGE)):
                    break
            if page is None or not page.first <= seq <= page.last:
                kept = f"; the first one kept is {page.first}" if page is not None and seq < page.first else ""
                return f"there is no event {seq} here{kept}"
            self._show(page)
        self._timeline.jump_event(seq)
        return ""

    async def _then(self, clock: tuple[int, int]) -> str:
        """Go to the first event since a clock here last showed that, as seen from the session's last event. A request
        halves what is left, so that of a million events twenty are asked for."""
        last = await self._numbered(_END)
        if last is None or last.at is None:
            return "the last event here has no time"
        wanted = latest_at(clock, last.at)
        before, found = 0, last.seq or 0
        while found - before > 1:
            middle = (before + found) // 2
            event = await self._numbered(middle)
            if event is None or event.at is None or event.at < wanted:
                before = middle
            else:
                found = event.seq or middle
        return await self.event(found)

    async def _numbered(self, seq: int) -> Event | None:
        """An event, or the last one kept before it."""
        events = await self._fetch(before=seq + 1, limit=1)
        return events[-1] if events else None

    async def _above(self, wanted: str) -> str:
        """Look for it in what is before the stretch that is here, page by page."""
        timeline = self._timeline
        folded, first = wanted.casefold(), timeline.story.first
        below = await self._fetch(before=first + LINE, limit=LINE) if first > 1 else []
        rest = list(_first_line(event for event in below if (event.seq or 0) >= first))
        while events := await self._fetch(before=first, limit=PAGE):
            page = Story.of([*events, *rest])
            if page is None:
                break
            first, rest = page.first, list(_first_line(events))
            if any(folded in item.plain.casefold() for item in page.items):
                self._show(page)
                if timeline.go(-1):
                    return ""
            self._progress(first)
        return "not found further up"


def _first_line(events: Iterable[Event]) -> Iterator[Event]:
    """What ends the line in which a stretch begins: it belongs to the stretch before as well."""
    for event in events:
        if not isinstance(event, AgentStdout | AgentStderr):
            return
        yield event
        if "\n" in event.chunk:
            return
