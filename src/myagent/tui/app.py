"""The full-screen client: one client, the stream of one session at a time, a box to write in, and the open question."""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widgets import Footer, Static

from myagent.client import Client, ClientError, Message, State
from myagent.core.messages import (
    Ack,
    Activity,
    AgentStderr,
    AgentStdout,
    Connections,
    ControlRequested,
    Error,
    Event,
    Files,
    Gap,
    HostLink,
    OwnerChanged,
    Presence,
    Prompt,
    RoleMessage,
    Rules,
    SessionDeleted,
    SessionMetadata,
    TerminalState,
    Welcome,
)
from myagent.text.terminal import visible
from myagent.text.wording import name_line, one_line
from myagent.tui import lists, status
from myagent.tui.actions import Actions
from myagent.tui.completion import Completion
from myagent.tui.finding import Pages
from myagent.tui.keys import KEYS
from myagent.tui.outbox import Outbox
from myagent.tui.ownership import OwnershipKeys
from myagent.tui.prompt_box import PromptBox
from myagent.tui.question import ALONE, QUIET
from myagent.tui.questions import Questions
from myagent.tui.requests import Requests
from myagent.tui.searching import Search
from myagent.tui.sessions import Sessions
from myagent.tui.side import WIDE, Side
from myagent.tui.style import CSS
from myagent.tui.timeline import Timeline, Times

TELL_PAUSE = 0.05  # seconds in which what changes below the stream is gathered
TAKE_TIME = 0.01  # seconds of taking messages at a time
LONG_TURN = 10.0  # seconds; the bell rings when one has ended


class Attach(Times, Actions):
    """Runs over a client that is connected; ends with the exit code."""

    CSS = CSS
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    def __init__(
        self, client: Client, pages: Pages, *, session: str | None = None, quiet: float = QUIET, alone: float = ALONE
    ) -> None:
        super().__init__()
        self.client = client
        self.loss: ClientError | None = None  # why the connection is gone for good
        self.timeline = Timeline(id="timeline")
        self.prompt_box = PromptBox(id="prompt")
        self.prompt_box.completion = self._completion = Completion(
            commands=lambda: (self.metadata.agent_state or {}).get("commands") if self.metadata else None,
            ask=lambda query: (self._send(lambda: self.client.list_files(query)), None)[1],
            owns=lambda: self.client.role == "owner",
        )
        self._side = Side(id="side")
        self._queue_line = Static(id="queue")
        self._status_line = Static(id="status")
        self.sessions = Sessions(self, client, pages, self.timeline, self.prompt_box, say=self._say, changed=self._tell)
        self.requests = Requests(self, client, shown=lambda: self.session, say=self._say, quiet=quiet, alone=alone)
        self.questions = Questions(self, client, say=self._say, quiet=quiet)
        self.outbox = Outbox(
            self,
            client,
            self.sessions,
            self.prompt_box,
            say=self._say,
            sent=self.timeline.action_to_end,
            carries=self._completion.links,
        )
        self.ownership = OwnershipKeys(client, send=self._send, say=self._say)
        self.search = Search(
            self,
            self.timeline,
            fetch=self.sessions.fetch,
            show=self.sessions.show_stretch,
            say=self._say,
            changed=self._tell,
        )
        self.search_box = self.search.box
        self._first = session
        self._followers = client.welcome.followers if client.welcome else 0
        self._host_away = False  # a relay said so
        self._since = status.Since()
        self._began: dict[str, float] = {}  # running turns
        self._title = ""
        self._telling = False  # soon

    def compose(self) -> ComposeResult:
        with Horizontal(id="main"):
            yield self.timeline
            yield self._side
        yield self._queue_line
        yield self._status_line
        yield self.search_box
        yield self._completion
        yield self.prompt_box
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self.search_box.display = False
        self._queue_line.display = False
        self.prompt_box.focus()
        first = self._first
        if first is None and self.client.sessions:
            first = max(self.client.sessions.values(), key=lambda each: each.updated_at).session_id
        self.sessions.open(first)
        self.set_interval(1.0, self._tick)
        self._listen()

    # --- what comes ------------------------------------------------------------------------------------------------

    @work(exclusive=True, group="listen")
    async def _listen(self) -> None:
        try:
            until = 0.0
            async for message in self.client:
                self._take(message)
                if time.monotonic() > until:  # what was received already comes without a pause: keys must be heard
                    await asyncio.sleep(0)
                    until = time.monotonic() + TAKE_TIME
        except ClientError as error:
            self.loss = error
            self.exit(3)

    def state_changed(self, state: State) -> None:
        """The client's `on_state`."""
        if state.name == "reconnecting":
            self.requests.connection_lost()
            self.questions.connection_lost()
        if self.is_running:
            self._tell()

    def _tick(self) -> None:
        self.requests.consider()
        self.questions.consider()
        self._tell()

    def _take(self, message: Message) -> None:
        match message:
            case Welcome() | Presence():
                self._followers = message.followers
            case SessionMetadata() if message.session.session_id == self.session:
                if (prose := self.sessions.prose) != self.timeline.manner.prose:
                    self.timeline.redraw(prose=prose)
            case RoleMessage():
                self.timeline.redraw(owner=message.role == "owner")
            case ControlRequested():
                self.ownership.asked(message)
            case OwnerChanged():
                self.ownership.changed(message)
                owner = message.owner
                name = "nobody" if owner is None else name_line(owner.label or owner.connection_id)
                taken = message.why == "taken_over"
                self._say(f"taken over by {name}" if taken else f"owner: {name} ({one_line(message.why)})")
            case HostLink() if message.online == self._host_away:
                self._host_away = not message.online
                self._say("host is back" if message.online else f"host offline since {one_line(message.since or '')}")
            case SessionDeleted():
                self._deleted(message)
            case Ack():
                self.outbox.acked(message)
            case Connections():
                self._choose(lists.people(message.connections, self.client.connection_id), self._hand_over)
            case Files():
                self._completion.told(message)
            case Rules():
                self.requests.show_rules(message)
            case Error():
                self._refused(message)
            case Event() | Gap():
                self._event(message)
        if not isinstance(message, AgentStdout | AgentStderr):
            self.requests.consider(message)
            self.questions.consider()
        self._tell_soon()

    def _event(self, event: Event | Gap) -> None:
        if self.session is None and not self.sessions.begins and not self.outbox:
            self.sessions.begin_with(event)
        self.sessions.take(event)
        match event:
            case Prompt():
                self._began[event.id] = time.monotonic()
                if event.session_id == self.session:
                    self.prompt_box.remember(event.prompt)
            case Activity():
                self._began[event.id] = time.monotonic()
            case TerminalState():
                began = self._began.pop(event.id, None)
                if began is not None and time.monotonic() - began > LONG_TURN:
                    self.bell()
            case _:
                pass
        if event.session_id == self.session:
            self.timeline.changed()

    def _deleted(self, message: SessionDeleted) -> None:
        """What is shown is gone: the latest of the others is shown instead."""
        if message.session_id == self.session:
            self._say(f"this session was deleted by {name_line(message.by)}")
            left = max(self.client.sessions.values(), key=lambda each: each.updated_at, default=None)
            self.sessions.open(None if left is None else left.session_id)

    def _refused(self, error: Error) -> None:
        self.outbox.refused(error)
        self.requests.refused(error)
        self.questions.refused(error)
        if not self.ownership.refused(error):
            self._say(f"refused: {one_line(error.message)}", error=True)

    def on_timeline_moved(self) -> None:
        self._tell_soon()

    # --- telling ------------------------------------------------------------------------------------------------------

    def _tell_soon(self) -> None:
        """The same, once for all that comes within a moment."""
        if not self._telling:
            self._telling = True
            self.set_timer(TELL_PAUSE, self._tell)

    def _tell(self) -> None:
        """Bring the lines below the stream, and the terminal's title, up to date."""
        self._telling = False
        self._since.look(self.client)
        width = max(10, self.size.width)
        place = self.search.place or status.place(self.timeline.place, self.sessions.head, self.timeline.time)
        self._status_line.update(status.line(self.client, self.metadata, self._followers, self._since, place, width))
        self.prompt_box.placeholder, self.timeline.empty = status.hints(self.client)
        waiting = [one_line(each.prompt) for each in self.metadata.queue] if self.metadata else []
        self._queue_line.display = bool(waiting or self.outbox)
        self._queue_line.update(status.queue_line(waiting, len(self.outbox), width))
        self._side.display = self.size.width >= WIDE
        if self._side.display:
            self._side.tell(self.client, self.metadata, self.timeline.story, self._followers)
        self._set_title(status.title(self.client, self.session, next(iter(self.requests.ours()), None)))

    def _set_title(self, title: str) -> None:
        if title != self._title and self._driver is not None and not self.is_headless:
            self._title = title
            self._driver.write(f"\x1b]0;{visible(title)}\x07")  # as `bell` does; Textual has no title of its own to set
