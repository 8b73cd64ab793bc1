"""The search of the full-screen client: the line it is written in, what its keys do, and how far it has come."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import App
from textual.widgets import Input

from myagent.exceptions import MyagentError
from myagent.text.wording import one_line
from myagent.tui import status
from myagent.tui.finding import Fetch, Finder
from myagent.tui.story import Story
from myagent.tui.timeline import Timeline

HINT = "find; Up and Down go on, #120: event 120, @14:05: what happened then, Escape ends"


class Search:
    """`fetch` and `show` are the session's; `say` tells the human something, `changed` that `place` has changed."""

    def __init__(
        self,
        app: App[int],
        timeline: Timeline,
        *,
        fetch: Fetch,
        show: Callable[[Story], None],
        say: Callable[..., None],
        changed: Callable[[], None],
    ) -> None:
        self.box = Input(id="search", placeholder=HINT)
        self._app = app
        self._timeline = timeline
        self._finder = Finder(timeline, fetch, show, self._searched)
        self._say = say
        self._changed = changed
        self._busy = ""  # what takes its time

    @property
    def place(self) -> str:
        """How far it is, or which hit is looked at."""
        story = self._timeline.story
        return self._busy or status.hits(self._timeline.hit, whole=story.first <= 1 and self._timeline.attached)

    def begin(self) -> None:
        self.box.display = True
        self._app.screen.set_focus(self.box)  # at once: `focus` would come after keys of the same burst

    def typed(self) -> None:
        """Mark what is wanted as it is typed."""
        if self.box.display:
            self._timeline.search("" if self.box.value.startswith(("#", "@")) else self.box.value)
            self._changed()

    def end(self) -> None:
        self._app.workers.cancel_group(self._app, "look")
        if self.box.display:
            self.box.display = False
            self._timeline.search("")
            self._changed()

    def look(self, wanted: str, *, up: bool) -> None:
        """Go on, at once where it is here: no key is lost then."""
        if self._finder.here(wanted, up=up):
            self._changed()
            return
        self._app.run_worker(self._look(wanted, up=up), group="look", exclusive=True)

    async def _look(self, wanted: str, *, up: bool) -> None:
        try:
            said = await self._finder.find(wanted, up=up)
        except MyagentError as error:
            said = f"earlier events cannot be fetched: {one_line(str(error))}"
        finally:
            self._busy = ""
            self._changed()
        if said:
            self._say(said)

    def _searched(self, first: int) -> None:
        self._busy = f"searched back to event {first}, Escape stops"
        self._changed()
