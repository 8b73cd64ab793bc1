"""Finds a text, or an event by its number, in a session of any length; what is far off is shown as its own stretch."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Protocol

from myagent.core.messages import Event
from myagent.tui.story import Story
from myagent.tui.timeline import Timeline

PAGE = 2000  # events fetched at a time
AFTER = 200  # events shown after the one that was asked for, where that many follow

_NUMBER = re.compile(r"\s*#(\d{1,15})\s*")


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
        """Go to a text, or to `#NUMBER`; what to tell the human if that is nowhere. Raises as fetching does."""
        number = _NUMBER.fullmatch(wanted)
        if number is not None:
            return await self.event(int(number[1]))
        return await self._above(wanted) if up else self._below(wanted)

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

    async def _above(self, wanted: str) -> str:
        timeline = self._timeline
        above = timeline.lines if timeline.found is None else timeline.found
        if self._go(timeline.find(wanted, range(above - 1, -1, -1))):
            return ""
        folded, first = wanted.casefold(), timeline.story.first
        while (page := Story.of(await self._fetch(before=first, limit=PAGE))) is not None:
            first = page.first
            match = next((item for item in reversed(page.items) if folded in item.plain.casefold()), None)
            if match is not None:
                self._show(page)
                if not self._go(timeline.find(wanted, range(timeline.lines - 1, -1, -1))):
                    timeline.jump_event(match.seq)  # it is there, broken over two lines
                return ""
            self._progress(first)
        return "not found further up"

    def _below(self, wanted: str) -> str:
        start = 0 if self._timeline.found is None else self._timeline.found + 1
        found = self._timeline.find(wanted, range(start, self._timeline.lines))
        return "" if self._go(found) else "not found further down, as far as it is here"

    def _go(self, line: int | None) -> bool:
        if line is not None:
            self._timeline.found = line
            self._timeline.jump(line)
        return line is not None
