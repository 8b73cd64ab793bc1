"""The stream of a session: draws the lines that can be seen, keeps its place, and asks for what came before."""

from __future__ import annotations

import re
import time
from bisect import bisect_left, bisect_right
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from myagent.core.messages import Prompt
from myagent.tui.painting import Manner, rows
from myagent.tui.rows import Hit, Row, hits, marked
from myagent.tui.story import Item, Said, Story, Told

DRAW_PAUSE = 0.05  # seconds in which what changes is gathered and drawn at once
DRAW_TIME = 0.04  # seconds of drawing at a time; what is left comes with the next time, so that keys are heard
KEPT_LINES = 20_000  # while the end is watched, the beginning is let go beyond this, down to half of it

_HIT = Style(underline=True, bold=True)
_HERE = Style(reverse=True, bold=True)


class Timeline(ScrollView, can_focus=True):
    """Shows one `Story`. It follows the end until it is scrolled away from it, and again when scrolled back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("end", "to_end", "End", show=False),
    ]

    class WantsEarlier(Message):
        """The beginning of what is here can be seen."""

    class WantsLater(Message):
        """The end of what is here can be seen, and is not the end of the session."""

    class Moved(Message):
        """Another part is shown."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.story = Story(0)
        self.manner = Manner(80)
        self.empty = ""  # what is said where there is nothing to show
        self._wanted: re.Pattern[str] | None = None  # what is searched for
        self._at: tuple[Item, int] | None = None  # where the search is: an item, and which of its hits
        self._from: int | None = None  # the row from which to look, where it is at none
        self._hits: dict[Item, tuple[list[Row], list[Hit]]] = {}  # found in these rows
        self._drawn: dict[Item, tuple[int, list[Row]]] = {}  # its changes when it was drawn, its rows
        self._laid: list[Item] = []  # the items as of the last layout; what is drawn between two is as of then
        self._starts: list[int] = []  # line at which each of them begins
        self._lines = 0
        self.attached = True  # the story goes on as events happen: it ends where the session does
        self._following = True
        self._due = False

    # --- what is shown -------------------------------------------------------------------------------------------

    def show(self, story: Story, *, attached: bool = True, **manner: bool) -> None:
        """Show another session, or another stretch of it, from its end."""
        self.story, self.attached, self._following = story, attached, attached
        self._at = self._from = None
        self._laid = []
        self.redraw(**manner)

    def redraw(self, **manner: bool) -> None:
        """Draw everything anew, in another manner."""
        self.manner = Manner(
            max(1, self.scrollable_content_region.width),
            manner.get("raw", self.manner.raw),
            manner.get("prose", self.manner.prose),
            manner.get("owner", self.manner.owner),
            manner.get("times", self.manner.times),
        )
        self._drawn.clear()
        self._hits.clear()
        self._layout()

    def changed(self) -> None:
        """Take note that the story grew at its end or changed: it is drawn soon."""
        if not self._due:
            self._due = True
            self.set_timer(DRAW_PAUSE, self._draw)

    def prepended(self) -> None:
        """Take note that the story grew at its beginning: what is looked at stays where it is."""
        self._layout()

    @property
    def lines(self) -> int:
        return self._lines

    def row(self, y: int) -> Row:
        place = bisect_right(self._starts, y) - 1
        return self._drawn[self._laid[place]][1][y - self._starts[place]]

    def line(self, y: int) -> Strip:
        return self.row(y).strip

    # --- searching -----------------------------------------------------------------------------------------------

    def search(self, wanted: str) -> None:
        """Mark every place where a text is, whatever the case; nothing, for an empty one."""
        pattern = re.compile(re.escape(wanted), re.IGNORECASE) if wanted else None
        if pattern != self._wanted:
            self._from = self.found if pattern else None
            self._wanted, self._at = pattern, None
            self._hits.clear()
            self.refresh()

    def go(self, direction: int) -> bool:
        """Go to the next hit (1) or the one before (-1), seen from the last one or else from the end; says whether
        there is one."""
        self._layout(whole=True)
        found = [(item, number) for item in self._laid for number in range(len(self._hits_of(item)))]
        place = len(found) - 1 if direction < 0 else 0
        if self._at in found:
            place = found.index(self._at) + direction
        elif self._from is not None:
            rows_of = [self._row_of(*each) for each in found]
            before = bisect_right(rows_of, self._from)
            place = before - 1 if direction < 0 else bisect_left(rows_of, self._from)
        if not 0 <= place < len(found):
            return False
        self._at = found[place]
        self.jump(self._row_of(*self._at))
        return True

    def _row_of(self, item: Item, number: int) -> int:
        return self._starts[self._laid.index(item)] + self._hits_of(item)[number].row

    @property
    def hit(self) -> tuple[int, int] | None:
        """Which of how many hits the search is at."""
        if self._wanted is None:
            return None
        before = total = 0
        for item in self._laid:
            if self._at is not None and item is self._at[0]:
                before = total + self._at[1] + 1
            total += len(self._hits_of(item))
        return before, total

    @property
    def found(self) -> int | None:
        """The row of the hit that the search is at, or was at before something else was wanted."""
        if self._at is None or self._at[0] not in self._laid or self._at[1] >= len(self._hits_of(self._at[0])):
            return self._from
        return self._row_of(*self._at)

    def _hits_of(self, item: Item) -> list[Hit]:
        if self._wanted is None:
            return []
        drawn = self._drawn[item][1]
        known = self._hits.get(item)
        if known is None or known[0] is not drawn:
            known = self._hits[item] = (drawn, hits(drawn, self._wanted))
        return known[1]

    # --- moving --------------------------------------------------------------------------------------------------

    def jump(self, y: int) -> None:
        self._following = False
        self.scroll_to(y=max(0, y - self.size.height // 3), animate=False, force=True, immediate=True)
        self._consider_later()
        self.refresh()

    def jump_event(self, seq: int) -> bool:
        """Go to what holds an event; says whether that is here."""
        self._layout(whole=True)
        place = bisect_right(self._laid, seq, key=lambda item: item.seq) - 1
        if place < 0:
            return False
        self._following = False
        self.scroll_to(y=self._starts[place], animate=False, force=True, immediate=True)
        self._consider_later()
        self.refresh()
        return True

    @property
    def place(self) -> int | None:
        """The event at the top, where the end is not being followed."""
        if self._following or not self._laid:
            return None
        return self._laid[max(0, bisect_right(self._starts, self.scroll_offset.y) - 1)].seq

    @property
    def time(self) -> int | None:
        """When the last of what is above the top, and has a time, happened."""
        place = self.place
        above = self._laid[: bisect_right(self._laid, place or 0, key=lambda item: item.seq)]
        return next((each.at for each in reversed(above) if not isinstance(each, Said) and each.at is not None), None)

    @property
    def shown(self) -> list[str]:
        """The lines that can be seen."""
        top = int(self.scroll_offset.y)
        return [self.line(y).text for y in range(top, min(top + self.size.height, self._lines))]

    def jump_prompt(self, direction: int) -> bool:
        """Go to the prompt before or after what is at the top; says whether there is one."""
        self._layout(whole=True)
        top = self.scroll_offset.y
        places = [
            start
            for start, item in zip(self._starts, self._laid, strict=True)
            if isinstance(item, Told) and isinstance(item.event, Prompt)
        ]
        wanted = [y for y in places if (y < top if direction < 0 else y > top)]
        if not wanted:
            return False
        self._following = False
        self.scroll_to(y=wanted[-1 if direction < 0 else 0], animate=False, force=True, immediate=True)
        return True

    def action_to_end(self) -> None:
        self._following = self.attached
        self._to_end()
        self._consider_later()

    def page(self, direction: int) -> None:
        self.scroll_relative(y=direction * max(1, self.size.height - 2), animate=False, force=True, immediate=True)

    # --- drawing -------------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        _, top = self.scroll_offset
        width = self.size.width
        if top + y >= self._lines:
            hint = self.empty if y == 1 and not self._lines else ""
            return Strip([Segment(hint, Style(dim=True))]).crop_extend(0, width, self.rich_style)
        strip = self._marked(top + y)
        return strip.crop_extend(0, width, self.rich_style).apply_style(self.rich_style)

    def _marked(self, y: int) -> Strip:
        place = bisect_right(self._starts, y) - 1
        item, number = self._laid[place], y - self._starts[place]
        row = self._drawn[item][1][number]
        parts = [
            (start, end, _HERE if (item, which) == self._at else _HIT)
            for which, hit in enumerate(self._hits_of(item))
            for part, start, end in hit.parts
            if part == number
        ]
        return marked(row, parts)

    def on_resize(self) -> None:
        if self.scrollable_content_region.width != self.manner.width:
            self.redraw()
        elif self._following:
            self._to_end()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if self.is_mounted and new_value != old_value:
            self._following = self.attached and new_value >= self.max_scroll_y
            self._consider_later()
            self.post_message(self.Moved())
            if new_value <= self.size.height and new_value < old_value:
                self.post_message(self.WantsEarlier())

    def _consider_later(self) -> None:
        if not self.attached and self.scroll_offset.y >= self.max_scroll_y - self.size.height:
            self.post_message(self.WantsLater())

    def _draw(self) -> None:
        self._due = False
        self._layout()

    def _layout(self, *, whole: bool = False) -> None:
        """Lay out what there is, or as much of it as can be drawn in a moment: the rest comes soon."""
        following, anchor = self._following, self._anchor()
        if following:
            self.story.keep(KEPT_LINES)
        items = self.story.items
        first, end = self._draw_some(items, anchor[0] if anchor else None, None if whole else DRAW_TIME)
        starts, line = [], 0
        for item in items[first:end]:
            starts.append(line)
            line += len(self._drawn[item][1])
        self._laid, self._starts, self._lines = items[first:end], starts, line
        for gone in self._drawn.keys() - set(items):
            del self._drawn[gone]
            self._hits.pop(gone, None)
        self.virtual_size = Size(self.scrollable_content_region.width, line)
        self._following = following
        if following:
            self._to_end()
        elif anchor and anchor[0] in self._laid:
            y = self._starts[self._laid.index(anchor[0])] + anchor[1]
            if y != self.scroll_offset.y:
                self.scroll_to(y=y, animate=False, force=True, immediate=True)
                self._following = following
        self.refresh()
        if end - first < len(items):
            self.changed()

    def _anchor(self) -> tuple[Item, int] | None:
        """What is at the top, and how many of its rows are above: it stays there."""
        if self._following or not self._laid:
            return None
        place = max(0, bisect_right(self._starts, self.scroll_offset.y) - 1)
        return self._laid[place], int(self.scroll_offset.y) - self._starts[place]

    def _draw_some(self, items: list[Item], anchor: Item | None, seconds: float | None) -> tuple[int, int]:
        """Draw from the anchor on, else from the end backwards, for some time; returns which items are drawn now."""
        until = None if seconds is None else time.monotonic() + seconds
        first = end = len(items) if anchor is None or anchor not in items else items.index(anchor)
        rows_left = self.size.height  # to be drawn in any case

        def draw(item: Item) -> bool:
            nonlocal rows_left
            if self._is_drawn(item):
                return True
            if until is not None and rows_left <= 0 and time.monotonic() > until:
                return False
            rows_left -= len(self._rows(item))
            return True

        while end < len(items) and draw(items[end]):
            end += 1
        while first > 0 and draw(items[first - 1]):
            first -= 1
        return first, end

    def _to_end(self) -> None:
        self.scroll_to(y=self.max_scroll_y, animate=False, force=True, immediate=True)

    def _is_drawn(self, item: Item) -> bool:
        known = self._drawn.get(item)
        return known is not None and known[0] == item.changes

    def _rows(self, item: Item) -> list[Row]:
        if not self._is_drawn(item):
            self._drawn[item] = (item.changes, rows(item, self.manner, self.app.console))
        return self._drawn[item][1]


class Times:
    """Of an application with a timeline: whether it tells when things happened."""

    timeline: Timeline

    def action_times(self) -> None:
        self.timeline.redraw(times=not self.timeline.manner.times)
