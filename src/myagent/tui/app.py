"""The full-screen client: one client, the stream of one session at a time, a box to write in, and the open question."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import ClassVar

from textual import work
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.events import Key
from textual.screen import Screen
from textual.widgets import Footer, Input, Static

from myagent.client import Client, ClientError, Message, State
from myagent.core.messages import (
    Ack,
    AgentStderr,
    AgentStdout,
    Connections,
    Error,
    Event,
    Gap,
    Metadata,
    OwnerChanged,
    Presence,
    Prompt,
    RoleMessage,
    SessionMetadata,
    TerminalState,
    Welcome,
)
from myagent.text.terminal import visible
from myagent.text.wording import name_line, one_line
from myagent.tui import lists, status
from myagent.tui.copying import copies, copy
from myagent.tui.finding import Pages
from myagent.tui.keys import KEYS, OVER_QUESTION
from myagent.tui.options import OptionPicker
from myagent.tui.outbox import Outbox
from myagent.tui.palette import Palette
from myagent.tui.prompt_box import PromptBox
from myagent.tui.question import ALONE, QUIET, Question
from myagent.tui.requests import Requests
from myagent.tui.searching import Search
from myagent.tui.sessions import Sessions
from myagent.tui.side import WIDE, Side
from myagent.tui.style import CSS
from myagent.tui.timeline import Timeline

TELL_PAUSE = 0.05  # seconds in which what changes below the stream is gathered
TAKE_TIME = 0.01  # seconds of taking messages at a time
LONG_TURN = 10.0  # seconds; the bell rings when one has ended


class Attach(OptionPicker, App[int]):
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
        self._side = Side(id="side")
        self._queue_line = Static(id="queue")
        self._status_line = Static(id="status")
        self.sessions = Sessions(self, client, pages, self.timeline, self.prompt_box, say=self._say, changed=self._tell)
        self.requests = Requests(self, client, shown=lambda: self.session, say=self._say, quiet=quiet, alone=alone)
        self.outbox = Outbox(
            self, client, self.sessions, self.prompt_box, say=self._say, sent=self.timeline.action_to_end
        )
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

    @property
    def session(self) -> str | None:
        """The one that is shown."""
        return self.sessions.shown

    @property
    def metadata(self) -> Metadata | None:
        return self.sessions.metadata

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
        if self.is_running:
            self._tell()

    def _tick(self) -> None:
        self.requests.consider()
        self._tell()

    def _take(self, message: Message) -> None:
        match message:
            case Welcome():
                self._followers = message.followers
            case Presence():
                self._followers = message.followers
            case SessionMetadata() if message.session.session_id == self.session:
                if (prose := self.sessions.prose) != self.timeline.manner.prose:
                    self.timeline.redraw(prose=prose)
            case RoleMessage():
                self.timeline.redraw(owner=message.role == "owner")
            case OwnerChanged():
                owner = message.owner
                name = "nobody" if owner is None else name_line(owner.label or owner.connection_id)
                self._say(f"owner: {name} ({one_line(message.why)})")
            case Ack():
                self.outbox.acked(message)
            case Connections():
                self._choose(lists.people(message.connections, self.client.connection_id), self._hand_over)
            case Error():
                self._refused(message)
            case Event() | Gap():
                self._event(message)
            case _:
                pass
        if not isinstance(message, AgentStdout | AgentStderr):
            self.requests.consider(message)
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
            case TerminalState():
                began = self._began.pop(event.id, None)
                if began is not None and time.monotonic() - began > LONG_TURN:
                    self.bell()
            case _:
                pass
        if event.session_id == self.session:
            self.timeline.changed()

    def _refused(self, error: Error) -> None:
        self.outbox.refused(error)
        self.requests.refused(error)
        self._say(f"refused: {one_line(error.message)}", error=True)

    # --- what is asked for ------------------------------------------------------------------------------------------

    def on_prompt_box_submitted(self, event: PromptBox.Submitted) -> None:
        self.outbox.submit(event.text)

    @work(group="send")
    async def _send(self, ask: Callable[[], object]) -> None:
        try:
            await ask()  # type: ignore[misc]
        except ClientError as error:
            self._say(f"not sent: {one_line(str(error))}", error=True)

    def action_stop(self) -> None:
        session, metadata = self.session, self.metadata
        if session is None or metadata is None or metadata.state != "running":
            self._say("nothing runs here; Ctrl+Q leaves")
        elif self.client.role != "owner":
            self._say("only the owner can stop a turn; Ctrl+Q leaves", error=True)
        else:
            self._send(lambda: self.client.cancel(session))
            self._say("stopping the turn")

    def action_ownership(self) -> None:
        if self.client.welcome is not None and self.client.welcome.scope == "follower":
            self._say(status.way_to_own(self.client), error=True)
        elif self.client.role == "owner":
            self._send(self.client.release)
        else:
            self._send(self.client.claim)

    def action_people(self) -> None:
        if self.client.role != "owner":
            self._say("only the owner can see who is here, and hand over", error=True)
        else:
            self._send(self.client.who)

    def _hand_over(self, to: str) -> None:
        self._send(lambda: self.client.handover(to))

    def action_sessions(self) -> None:
        def chosen(key: str) -> None:
            self.sessions.open(None if key == lists.NEW_SESSION else key)
            self.sessions.begins = key == lists.NEW_SESSION

        self._choose(lists.sessions(self.client.sessions.values(), self.session), chosen)

    def action_queue(self) -> None:
        metadata = self.metadata
        if metadata is None or not metadata.queue:
            self._say("no prompt waits here")
        else:
            session = metadata.session_id

            def cancel(turn: str) -> None:
                self._send(lambda: self.client.cancel(session, turn))

            self._choose(lists.queue(metadata), cancel)

    def action_question(self) -> None:
        self.requests.come_back()

    def action_help(self) -> None:
        if len(self.screen_stack) == 1:
            self.push_screen(lists.Help(), lambda typed: self.prompt_box.put(typed) if typed else None)

    def on_prompt_box_wonders(self) -> None:
        self.action_help()

    def action_palette(self) -> None:
        async def chosen(action: str | None) -> None:
            if action is not None:
                await self.run_action(action)

        if len(self.screen_stack) == 1:
            self.push_screen(Palette(), chosen)

    def action_theme(self) -> None:
        self.theme = "textual-light" if self.current_theme.dark else "textual-dark"

    def _choose(self, chooser: lists.Chooser, then: Callable[[str], None]) -> None:
        if len(self.screen_stack) == 1:
            self.push_screen(chooser, lambda key: None if key is None else then(key))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Over a question, most keys are the question's: it says that they come later."""
        return action in OVER_QUESTION or self.requests.question is None

    # --- looking ------------------------------------------------------------------------------------------------------

    def action_raw(self) -> None:
        raw = not self.timeline.manner.raw
        self.timeline.redraw(raw=raw)
        self._say("raw text" if raw else "Markdown and tool calls are rendered")

    def action_page(self, direction: int) -> None:
        top: Screen[object] = self.screen
        if isinstance(top, Question):
            top.action_scroll(10 * direction)
        else:
            self.timeline.page(direction)

    def action_to_start(self) -> None:
        self.search.look("#1", up=True)

    def action_to_end(self) -> None:
        if self.timeline.attached:
            self.timeline.action_to_end()
        else:
            self.sessions.open(self.session)

    def action_prompt(self, direction: int) -> None:
        if not self.timeline.jump_prompt(direction) and direction < 0:
            self.sessions.earlier()

    def action_search(self) -> None:
        if len(self.screen_stack) > 1:
            return
        self.search.begin()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input is self.search_box and event.value:
            self.search.look(event.value, up=True)

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input is self.search_box:
            self.search.typed()

    def on_key(self, event: Key) -> None:
        if event.key == "escape":
            if self.search_box.display:
                self.screen.set_focus(self.prompt_box)
            self.search.end()
        elif event.key in ("up", "down") and self.search_box.has_focus and self.search_box.value:
            self.search.look(self.search_box.value, up=event.key == "up")

    def on_timeline_wants_earlier(self) -> None:
        self.sessions.earlier()

    def on_timeline_wants_later(self) -> None:
        self.sessions.later()

    def on_timeline_moved(self) -> None:
        self._tell_soon()

    def action_copy(self) -> None:
        found = list(copies(self.timeline.story, self.session, self.timeline.shown))

        def chosen(key: str) -> None:
            self._copy(found[int(key)].text)

        self._choose(lists.numbered("Copy", (each.name for each in found)), chosen)

    @work(group="copy")
    async def _copy(self, text: str) -> None:
        self._say(await copy(self, text))

    # --- telling ------------------------------------------------------------------------------------------------------

    def _say(self, text: str, *, error: bool = False) -> None:
        if self.is_running:
            self.notify(text, severity="error" if error else "information", markup=False, timeout=4)

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
        place = self.search.place or status.place(self.timeline.place, self.sessions.head)
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
