"""The stream of a session: draws the lines that can be seen, keeps its place, and asks for what came before."""

from __future__ import annotations

from bisect import bisect_right
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from myagent.core.messages import Prompt
from myagent.tui.painting import Manner, strips
from myagent.tui.story import Item, Story, Told

DRAW_PAUSE = 0.05  # seconds in which what changes is gathered and drawn at once
KEPT_LINES = 20_000  # while the end is watched, the beginning is let go beyond this, down to half of it


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
        self.found: int | None = None  # the line that a search stopped at
        self._drawn: dict[Item, tuple[int, list[Strip]]] = {}  # its changes when it was drawn, its lines
        self._laid: list[Item] = []  # the items as of the last layout; what is drawn between two is as of then
        self._starts: list[int] = []  # line at which each of them begins
        self._lines = 0
        self.attached = True  # the story goes on as events happen: it ends where the session does
        self._following = True
        self._due = False

    # --- what is shown -------------------------------------------------------------------------------------------

    def show(self, story: Story, *, attached: bool = True, **manner: bool) -> None:
        """Show another session, or another stretch of it, from its end."""
        self.story, self.found, self.attached, self._following = story, None, attached, attached
        self.redraw(**manner)

    def redraw(self, **manner: bool) -> None:
        """Draw everything anew, in another manner."""
        self.manner = Manner(
            max(1, self.scrollable_content_region.width),
            manner.get("raw", self.manner.raw),
            manner.get("prose", self.manner.prose),
            manner.get("owner", self.manner.owner),
        )
        self._drawn.clear()
        self._layout()

    def changed(self) -> None:
        """Take note that the story grew at its end or changed: it is drawn soon."""
        if not self._due:
            self._due = True
            self.set_timer(DRAW_PAUSE, self._draw)

    def prepended(self) -> None:
        """Take note that the story grew at its beginning: what is looked at stays where it is."""
        before = self._lines
        self._layout()
        if not self._following:
            self.scroll_to(y=self.scroll_offset.y + self._lines - before, animate=False, force=True, immediate=True)
        if self.found is not None:
            self.found += self._lines - before
        self.refresh()

    @property
    def lines(self) -> int:
        return self._lines

    def line(self, y: int) -> Strip:
        place = bisect_right(self._starts, y) - 1
        return self._drawn[self._laid[place]][1][y - self._starts[place]]

    # --- moving --------------------------------------------------------------------------------------------------

    def find(self, text: str, lines: range) -> int | None:
        """The first of these lines that holds a text, whatever the case; `None` if none does."""
        wanted = text.casefold()
        return next((y for y in lines if y < self._lines and wanted in self.line(y).text.casefold()), None)

    def jump(self, y: int) -> None:
        self._following = False
        self.scroll_to(y=max(0, y - self.size.height // 3), animate=False, force=True, immediate=True)
        self._consider_later()
        self.refresh()

    def jump_event(self, seq: int) -> bool:
        """Go to what holds an event; says whether that is here."""
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
    def shown(self) -> list[str]:
        """The lines that can be seen."""
        top = int(self.scroll_offset.y)
        return [self.line(y).text for y in range(top, min(top + self.size.height, self._lines))]

    def jump_prompt(self, direction: int) -> bool:
        """Go to the prompt before or after what is at the top; says whether there is one."""
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
        strip = self.line(top + y)
        if top + y == self.found:
            strip = strip.apply_style(Style(reverse=True))
        return strip.crop_extend(0, width, self.rich_style).apply_style(self.rich_style)

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

    def _layout(self) -> None:
        following = self._following
        self._trim()
        starts, line = [], 0
        for item in self.story.items:
            starts.append(line)
            line += len(self._strips(item))
        self._laid, self._starts, self._lines = list(self.story.items), starts, line
        self.virtual_size = Size(self.scrollable_content_region.width, line)
        self._following = following
        if following:
            self._to_end()
        self.refresh()

    def _trim(self) -> None:
        if not self._following or self._lines < KEPT_LINES:
            return
        cut = bisect_right(self._starts, self._lines - KEPT_LINES // 2) - 1
        for item in self.story.items[:cut]:
            self._drawn.pop(item, None)
        self.story.forget(cut)

    def _to_end(self) -> None:
        self.scroll_to(y=self.max_scroll_y, animate=False, force=True, immediate=True)

    def _strips(self, item: Item) -> list[Strip]:
        known = self._drawn.get(item)
        if known is None or known[0] != item.changes:
            known = self._drawn[item] = (item.changes, strips(item, self.manner, self.app.console))
        return known[1]
