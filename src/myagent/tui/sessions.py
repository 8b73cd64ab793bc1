"""Which session is shown, and which stretch of it: what is kept of each, and what is fetched as one looks further."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from textual.app import App

from myagent.client import Client
from myagent.client.incoming import place
from myagent.core.messages import Event, Gap, Metadata, Prompt
from myagent.exceptions import MyagentError
from myagent.text.wording import one_line
from myagent.tui.finding import Pages
from myagent.tui.prompt_box import PromptBox
from myagent.tui.story import OutOfOrder, Story
from myagent.tui.timeline import Timeline

PAGE = 500  # events fetched at a time
NO_MARKDOWN = ("command",)  # agents whose messages are files and listings


class Sessions:
    """`say` tells the human something, `changed` is called when another session or stretch is shown."""

    def __init__(
        self,
        app: App[int],
        client: Client,
        pages: Pages,
        timeline: Timeline,
        box: PromptBox,
        *,
        say: Callable[..., None],
        changed: Callable[[], None],
    ) -> None:
        self.shown: str | None = None
        self.begins = False  # the human asked for a new session: none is shown until it is there
        self._app = app
        self._client = client
        self._pages = pages
        self._timeline = timeline
        self._box = box
        self._say = say
        self._changed = changed
        self._stories: dict[str, Story] = {}
        self._fetching = asyncio.Lock()
        self._at_start: set[str] = set()  # sessions of which nothing earlier can be fetched

    @property
    def metadata(self) -> Metadata | None:
        return None if self.shown is None else self._client.sessions.get(self.shown)

    @property
    def prose(self) -> bool:
        """Whether what the agent says is Markdown."""
        return not (self.metadata and self.metadata.agent in NO_MARKDOWN)

    @property
    def head(self) -> int:
        """The last event of the session that is shown, as far as it is known here."""
        seen = self._client.seen.get(self.shown or "", 0)
        return max(seen, self.metadata.head if self.metadata else 0)

    def open(self, session: str | None) -> None:
        """Show a session from its end, or (`None`) an empty place for a new one."""
        if not self._timeline.attached and self.shown is not None:
            self._stories.pop(self.shown, None)  # a stretch from the middle: next time, from the end again
        self._box.show_session(self.shown, session)
        self.shown, self.begins = session, False
        if session is None:
            self._timeline.show(Story(0))
        else:
            if session not in self._stories:
                metadata = self._client.sessions.get(session)
                seen = self._client.seen.get(session)
                self._stories[session] = Story(seen if seen is not None else metadata.head if metadata else 0)
            self._timeline.show(self._stories[session], prose=self.prose, owner=self._client.role == "owner")
            if len(self._stories[session].items) < PAGE:
                self.earlier()
        self._changed()

    def open_new(self, session: str) -> None:
        """Show one that has just begun."""
        self._stories[session] = Story(0)
        self._at_start.add(session)
        self._box.move_draft(session)
        self.open(session)

    def show_stretch(self, story: Story) -> None:
        """Show another stretch of the session."""
        if self.shown is not None:
            self._stories[self.shown] = story
            self._timeline.show(story, attached=story.last >= self.head)

    def begin_with(self, event: Event | Gap) -> None:
        """Show the session of an event, which is the first that is seen."""
        if (where := place(event)) is not None:  # type: ignore[arg-type]
            self._stories.setdefault(event.session_id, Story(where[1] - 1))
        self._box.move_draft(event.session_id)
        self.open(event.session_id)

    def take(self, event: Event | Gap) -> None:
        if (story := self._stories.get(event.session_id)) is not None:
            try:
                story.take(event)
            except OutOfOrder:
                shown = event.session_id == self.shown
                if shown and not self._timeline.attached:
                    pass  # it is fetched when one gets there
                elif (where := place(event)) is not None:  # type: ignore[arg-type]
                    self._stories[event.session_id] = story = Story(where[1] - 1)
                    story.take(event)
                    if shown:
                        self.open(event.session_id)

    # --- fetching ------------------------------------------------------------------------------------------------

    async def fetch(self, *, after: int | None = None, before: int | None = None, limit: int) -> list[Event]:
        if self.shown is None:
            return []
        return await asyncio.to_thread(self._pages, self.shown, after=after, before=before, limit=limit)

    def earlier(self) -> None:
        """Add a page of events before what is here."""
        self._app.run_worker(self._earlier(), group="earlier")

    def later(self) -> None:
        """Go on with a stretch that ends before the session does."""
        self._app.run_worker(self._later(), group="later")

    async def _earlier(self) -> None:
        if not self._fetching.locked():
            async with self._fetching:
                await self._fetch_earlier()

    async def _fetch_earlier(self) -> None:
        session = self.shown
        if session is None or session in self._at_start:
            return
        story = self._stories[session]
        if story.first <= 1:
            return
        try:
            events = await self.fetch(before=story.first, limit=PAGE)
        except MyagentError as error:
            self._say(f"earlier events cannot be fetched: {one_line(str(error))}", error=True)
            return
        if not events:
            self._at_start.add(session)
            return
        prompts = [event.prompt for event in events if isinstance(event, Prompt)]
        story.prepend(events)
        if self.shown == session:
            self._box.remember_earlier(prompts)
            self._timeline.prepended()

    async def _later(self) -> None:
        if self._timeline.attached or self._fetching.locked():
            return
        async with self._fetching:
            story = self._timeline.story
            try:
                for event in await self.fetch(after=story.last, limit=PAGE):
                    story.take(event)
            except (MyagentError, OutOfOrder) as error:
                self._say(f"later events cannot be fetched: {one_line(str(error))}", error=True)
                return
        if story is self._timeline.story:
            self._timeline.attached = story.last >= self.head
            self._timeline.changed()
