"""The full-screen client: one client, the stream of one session at a time, a box to write in, and the open question."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import ClassVar

from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Key
from textual.screen import Screen
from textual.widgets import Footer, Input, Static

from myagent.client import Client, ClientError, Message, State
from myagent.client.incoming import place
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
    PermissionRequest,
    PermissionResolved,
    Presence,
    Prompt,
    RoleMessage,
    SessionMetadata,
    TerminalState,
    Welcome,
)
from myagent.exceptions import MyagentError
from myagent.text.terminal import visible
from myagent.text.wording import OUTCOMES, name_line, one_line
from myagent.tui import lists, status
from myagent.tui.copying import copies, copy
from myagent.tui.finding import Finder, Pages
from myagent.tui.prompt_box import PromptBox
from myagent.tui.question import ALONE, QUIET, Decision, Question
from myagent.tui.story import OutOfOrder, Story
from myagent.tui.style import CSS
from myagent.tui.timeline import Timeline

PAGE = 500  # events fetched at a time
TELL_PAUSE = 0.05  # seconds in which what changes below the stream is gathered
LONG_TURN = 10.0  # seconds; the bell rings when one has ended
OVER_QUESTION = ("stop", "quit", "page")  # what keys do while a permission request is asked for, too
NO_MARKDOWN = ("command",)  # agents whose messages are files and listings


class Attach(App[int]):
    """Runs over a client that is connected; ends with the exit code."""

    CSS = CSS
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "help", "Help", priority=True),
        Binding("f2", "sessions", "Sessions", priority=True),
        Binding("f3", "people", "Who", priority=True),
        Binding("f4", "ownership", "Claim/release", priority=True),
        Binding("f5", "queue", "Queue", priority=True),
        Binding("f6", "raw", "Raw", show=False, priority=True),
        Binding("f7", "search", "Search", show=False, priority=True),
        Binding("f8", "copy", "Copy", show=False, priority=True),
        Binding("f9", "question", "Request", show=False, priority=True),
        Binding("ctrl+c", "stop", "Stop", priority=True),
        Binding("ctrl+q", "quit", "Leave", priority=True),
        Binding("pageup", "page(-1)", show=False, priority=True),
        Binding("pagedown", "page(1)", show=False, priority=True),
        Binding("ctrl+home", "to_start", show=False, priority=True),
        Binding("ctrl+end", "to_end", show=False, priority=True),
        Binding("ctrl+up", "prompt(-1)", show=False, priority=True),
        Binding("ctrl+down", "prompt(1)", show=False, priority=True),
    ]

    def __init__(
        self, client: Client, pages: Pages, *, session: str | None = None, quiet: float = QUIET, alone: float = ALONE
    ) -> None:
        super().__init__()
        self.client = client
        self.session = session
        self.loss: ClientError | None = None  # why the connection is gone for good
        self.timeline = Timeline(id="timeline")
        self.prompt_box = PromptBox(id="prompt")
        self.search_box = Input(id="search", placeholder="find; Up and Down go on, #120 goes to event 120, Escape ends")
        self._queue_line = Static(id="queue")
        self._status_line = Static(id="status")
        self._pages = pages
        self._quiet = quiet
        self._alone = alone
        self._stories: dict[str, Story] = {}
        self._finder = Finder(self.timeline, self._fetch_events, self._show_stretch, self._searched)
        self._fetching = asyncio.Lock()
        self._busy = ""  # what takes its time
        self._begins = False  # the human asked for a new session: none is shown until it is there
        self._at_start: set[str] = set()  # sessions of which nothing earlier can be fetched
        self._followers = client.welcome.followers if client.welcome else 0
        self._since = status.Since()
        self._sent: dict[str, str] = {}  # prompts that were not answered, by id
        self._answered: dict[str, str] = {}  # permission request → id of our decision
        self._aside: set[str] = set()  # permission requests that the human wants to look at later
        self._began: dict[str, float] = {}  # running turns
        self._rung: set[str] = set()  # permission requests that the bell rang for
        self._title = ""
        self._telling = False  # soon

    def compose(self) -> ComposeResult:
        yield self.timeline
        yield self._queue_line
        yield self._status_line
        yield self.search_box
        yield self.prompt_box
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self.search_box.display = False
        self._queue_line.display = False
        self.prompt_box.focus()
        if self.session is None and self.client.sessions:
            self.session = max(self.client.sessions.values(), key=lambda each: each.updated_at).session_id
        self._open(self.session)
        self.set_interval(1.0, self._tick)
        self._listen()

    @property
    def metadata(self) -> Metadata | None:
        return None if self.session is None else self.client.sessions.get(self.session)

    @property
    def _prose(self) -> bool:
        return not (self.metadata and self.metadata.agent in NO_MARKDOWN)

    # --- what comes ------------------------------------------------------------------------------------------------

    @work(exclusive=True, group="listen")
    async def _listen(self) -> None:
        try:
            async for message in self.client:
                self._take(message)
        except ClientError as error:
            self.loss = error
            self.exit(3)

    def state_changed(self, state: State) -> None:
        """The client's `on_state`: an answer may be lost with the connection; the same one again does no harm."""
        if state.name == "reconnecting":
            self._answered.clear()
            self._withdraw("the connection is lost")
        if self.is_running:
            self._tell()

    def _tick(self) -> None:
        self._consider()
        self._tell()

    def _take(self, message: Message) -> None:
        match message:
            case Welcome():
                self._followers = message.followers
            case Presence():
                self._followers = message.followers
            case SessionMetadata() if message.session.session_id == self.session:
                if (prose := self._prose) != self.timeline.manner.prose:
                    self.timeline.redraw(prose=prose)
            case RoleMessage():
                self.timeline.redraw(owner=message.role == "owner")
            case OwnerChanged():
                owner = message.owner
                name = "nobody" if owner is None else name_line(owner.label or owner.connection_id)
                self._say(f"owner: {name} ({one_line(message.why)})")
            case Ack() if message.id in self._sent:
                del self._sent[message.id]
                if self.session is None and message.session_id is not None:
                    self._stories[message.session_id] = Story(0)
                    self._at_start.add(message.session_id)
                    self._open(message.session_id)
            case Connections():
                self._choose(lists.people(message.connections, self.client.connection_id), self._hand_over)
            case Error():
                self._refused(message)
            case Event() | Gap():
                self._event(message)
            case _:
                pass
        if not isinstance(message, AgentStdout | AgentStderr):
            self._consider(message)
        self._tell_soon()

    def _event(self, event: Event | Gap) -> None:
        if self.session is None and not self._begins and not self._sent:
            if (where := place(event)) is not None:  # type: ignore[arg-type]
                self._stories.setdefault(event.session_id, Story(where[1] - 1))
            self._open(event.session_id)
        if (story := self._stories.get(event.session_id)) is not None:
            try:
                story.take(event)
            except OutOfOrder:
                shown = event.session_id == self.session
                if shown and not self.timeline.attached:
                    pass  # it is fetched when one gets there
                elif (where := place(event)) is not None:  # type: ignore[arg-type]
                    self._stories[event.session_id] = story = Story(where[1] - 1)
                    story.take(event)
                    if shown:
                        self._open(event.session_id)
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
        prompt = self._sent.pop(error.id or "", None)
        if prompt is not None and not self.prompt_box.text:
            self.prompt_box.put(prompt)
        for request_id, decision_id in list(self._answered.items()):
            if error.id == decision_id:
                del self._answered[request_id]  # it is open still, or the server tells how it ended
                self._aside.add(request_id)
        self._say(f"refused: {one_line(error.message)}", error=True)

    # --- the session that is shown -----------------------------------------------------------------------------

    def _open(self, session: str | None) -> None:
        """Show a session from its end, or (`None`) an empty place for a new one."""
        if not self.timeline.attached and self.session is not None:
            self._stories.pop(self.session, None)  # a stretch from the middle: next time, from the end again
        self.session, self._begins = session, False
        if session is None:
            self.timeline.show(Story(0))
        else:
            if session not in self._stories:
                metadata = self.client.sessions.get(session)
                seen = self.client.seen.get(session)
                self._stories[session] = Story(seen if seen is not None else metadata.head if metadata else 0)
            self.timeline.show(self._stories[session], prose=self._prose, owner=self.client.role == "owner")
            if len(self._stories[session].items) < PAGE:
                self._earlier()
        self._tell()

    def on_timeline_wants_earlier(self) -> None:
        self._earlier()

    @work(group="earlier")
    async def _earlier(self) -> None:
        if not self._fetching.locked():
            async with self._fetching:
                await self._fetch_earlier()

    async def _fetch_events(self, *, after: int | None = None, before: int | None = None, limit: int) -> list[Event]:
        if self.session is None:
            return []
        return await asyncio.to_thread(self._pages, self.session, after=after, before=before, limit=limit)

    async def _fetch_earlier(self) -> None:
        """Add a page of events before what is here."""
        session = self.session
        if session is None or session in self._at_start:
            return
        story = self._stories[session]
        if story.first <= 1:
            return
        try:
            events = await self._fetch_events(before=story.first, limit=PAGE)
        except MyagentError as error:
            self._say(f"earlier events cannot be fetched: {one_line(str(error))}", error=True)
            return
        if not events:
            self._at_start.add(session)
            return
        prompts = [event.prompt for event in events if isinstance(event, Prompt)]
        story.prepend(events)
        if self.session == session:
            self.prompt_box.remember_earlier(prompts)
            self.timeline.prepended()

    def on_timeline_wants_later(self) -> None:
        self._later()

    @work(group="later")
    async def _later(self) -> None:
        """Go on with a stretch that ends before the session does."""
        if self.timeline.attached or self._fetching.locked():
            return
        async with self._fetching:
            story = self.timeline.story
            try:
                for event in await self._fetch_events(after=story.last, limit=PAGE):
                    story.take(event)
            except (MyagentError, OutOfOrder) as error:
                self._say(f"later events cannot be fetched: {one_line(str(error))}", error=True)
                return
        if story is self.timeline.story:
            self.timeline.attached = story.last >= self._head
            self.timeline.changed()

    @property
    def _head(self) -> int:
        """The last event of the session that is shown, as far as it is known here."""
        seen = self.client.seen.get(self.session or "", 0)
        return max(seen, self.metadata.head if self.metadata else 0)

    def _show_stretch(self, story: Story) -> None:
        if self.session is not None:
            self._stories[self.session] = story
            self.timeline.show(story, attached=story.last >= self._head)

    # --- permission requests --------------------------------------------------------------------------------------

    @property
    def _question(self) -> Question | None:
        return next((each for each in self.screen_stack if isinstance(each, Question)), None)

    def _consider(self, message: Message | None = None) -> None:
        """Withdraw a question that is no longer ours or open; ask the next one that is."""
        question = self._question
        if question is not None:
            request_id = question.request.permission_request_id
            if self.client.role != "owner":
                self._withdraw("this client is not the owner any more")
            elif request_id not in self.client.requests:
                told = (
                    f"it is {OUTCOMES[message.outcome]}"
                    if isinstance(message, PermissionResolved)
                    else "its turn ended"
                )
                self._withdraw(told)
            else:
                return
        for request in self._ours():
            if request.permission_request_id not in self._aside:
                self._ask(request)
                return

    def _ours(self) -> list[PermissionRequest]:
        """What is open for us to answer: nothing from a past that may have been decided since."""
        if self.client.role != "owner" or self.client.state.name == "reconnecting":
            return []
        behind = self.client.behind
        return [
            request
            for request in self.client.requests.values()
            if request.permission_request_id not in self._answered
            and (request.pending or request.session_id not in behind)
        ]

    def _ask(self, request: PermissionRequest) -> None:
        metadata = self.client.sessions.get(request.session_id)
        where = metadata.cwd if metadata else ""
        if request.session_id != self.session:
            where += f" (session {request.session_id})"
        if request.permission_request_id not in self._rung:
            self._rung.add(request.permission_request_id)
            self.bell()

        def decided(decision: object) -> None:
            if decision == "aside":
                self._aside.add(request.permission_request_id)
                self._say("F9 comes back to the permission request")
            elif isinstance(decision, Decision):
                self._decide(request, decision)

        self.push_screen(Question(request, where=where, quiet=self._quiet, alone=self._alone), decided)

    @work(group="decide")
    async def _decide(self, request: PermissionRequest, decision: Decision) -> None:
        try:
            sent = await self.client.decide(request, decision.kind, reason=decision.reason, option=decision.option)
        except ClientError as error:
            self._say(f"the answer was not sent: {one_line(str(error))}", error=True)
        else:
            self._answered[request.permission_request_id] = sent
            self._consider()

    def _withdraw(self, why: str) -> None:
        question = self._question
        if question is not None:
            question.dismiss(None)
            self._say(f"the question is withdrawn: {why}")

    # --- what is asked for ------------------------------------------------------------------------------------------

    def on_prompt_box_submitted(self, event: PromptBox.Submitted) -> None:
        if self.client.role != "owner":
            self._say("only the owner can prompt; F4 claims the ownership if nobody has it", error=True)
            return
        self.prompt_box.load_text("")
        self._prompt(event.text)

    @work(group="send")
    async def _prompt(self, text: str) -> None:
        try:
            message_id = await self.client.prompt(text, session=self.session)
        except ClientError as error:
            self.prompt_box.put(text)
            self._say(f"not sent: {one_line(str(error))}", error=True)
        else:
            self._sent[message_id] = text
            self.timeline.action_to_end()

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
        if self.client.role == "owner":
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
            self._open(None if key == lists.NEW_SESSION else key)
            self._begins = key == lists.NEW_SESSION

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
        ours = self._ours()
        if ours:
            self._aside.clear()
            self._consider()
        elif self.client.requests:
            self._say("the owner answers this one")
        else:
            self._say("no permission request is open")

    def action_help(self) -> None:
        if len(self.screen_stack) == 1:
            self.push_screen(lists.Help())

    def _choose(self, chooser: lists.Chooser, then: Callable[[str], None]) -> None:
        if len(self.screen_stack) == 1:
            self.push_screen(chooser, lambda key: None if key is None else then(key))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Over a question, most keys are the question's: it says that they come later."""
        return action in OVER_QUESTION or self._question is None

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
        self._look("#1", up=True)

    def action_to_end(self) -> None:
        if self.timeline.attached:
            self.timeline.action_to_end()
        else:
            self._open(self.session)

    def action_prompt(self, direction: int) -> None:
        if not self.timeline.jump_prompt(direction) and direction < 0:
            self._earlier()

    def action_search(self) -> None:
        if len(self.screen_stack) > 1:
            return
        self.search_box.display = True
        self.search_box.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input is self.search_box and event.value:
            self._look(event.value, up=True)

    def on_key(self, event: Key) -> None:
        if event.key == "escape":
            self.workers.cancel_group(self, "look")
            if self.search_box.display:
                self.search_box.display = False
                self.timeline.found = None
                self.timeline.refresh()
                self.prompt_box.focus()
        elif event.key in ("up", "down") and self.search_box.has_focus and self.search_box.value:
            self._look(self.search_box.value, up=event.key == "up")

    @work(exclusive=True, group="look")
    async def _look(self, wanted: str, *, up: bool) -> None:
        try:
            said = await self._finder.find(wanted, up=up)
        except MyagentError as error:
            said = f"earlier events cannot be fetched: {one_line(str(error))}"
        finally:
            self._busy = ""
            self._tell()
        if said:
            self._say(said)

    def _searched(self, first: int) -> None:
        self._busy = f"searched back to event {first}, Escape stops"
        self._tell()

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
        place = self._busy or status.place(self.timeline.place, self._head)
        self._status_line.update(status.line(self.client, self.metadata, self._followers, self._since, place, width))
        self.prompt_box.placeholder, self.timeline.empty = status.hints(self.client)
        waiting = [one_line(each.prompt) for each in self.metadata.queue] if self.metadata else []
        self._queue_line.display = bool(waiting or self._sent)
        self._queue_line.update(status.queue_line(waiting, len(self._sent), width))
        self._set_title(status.title(self.client, self.session, next(iter(self._ours()), None)))

    def _set_title(self, title: str) -> None:
        if title != self._title and self._driver is not None and not self.is_headless:
            self._title = title
            self._driver.write(f"\x1b]0;{visible(title)}\x07")  # as `bell` does; Textual has no title of its own to set
