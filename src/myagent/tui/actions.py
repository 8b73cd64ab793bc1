"""What the keys of `attach` do: what is asked of the server, and how one looks around."""

from __future__ import annotations

from collections.abc import Callable

from textual import work
from textual.app import App
from textual.events import Key
from textual.screen import Screen
from textual.widgets import Input

from myagent.client import Client, ClientError
from myagent.core.messages import Metadata
from myagent.text.wording import one_line
from myagent.tui import lists
from myagent.tui.copying import copies, copy
from myagent.tui.keeping import DELETE, Naming, deleting
from myagent.tui.keys import OVER_QUESTION
from myagent.tui.options import OptionPicker
from myagent.tui.outbox import Outbox
from myagent.tui.ownership import OwnershipKeys
from myagent.tui.palette import Palette
from myagent.tui.prompt_box import PromptBox
from myagent.tui.question import Question
from myagent.tui.questions import Questions
from myagent.tui.requests import Requests
from myagent.tui.searching import Search
from myagent.tui.sessions import Sessions
from myagent.tui.timeline import Timeline


class Actions(OptionPicker, App[int]):
    """The half of `app.Attach` that acts; what it acts on is made there."""

    client: Client
    timeline: Timeline
    prompt_box: PromptBox
    sessions: Sessions
    requests: Requests
    questions: Questions
    outbox: Outbox
    ownership: OwnershipKeys
    search: Search
    search_box: Input

    @property
    def session(self) -> str | None:
        """The one that is shown."""
        return self.sessions.shown

    @property
    def metadata(self) -> Metadata | None:
        return self.sessions.metadata

    def _say(self, text: str, *, error: bool = False) -> None:
        if self.is_running:
            self.notify(text, severity="error" if error else "information", markup=False, timeout=4)

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
        elif not self.client.may_stop:
            self._say("only the owner can stop a turn; Ctrl+Q leaves", error=True)
        else:
            self._send(lambda: self.client.cancel(session))
            self._say("stopping the turn")

    def action_ownership(self) -> None:
        self.ownership.pressed()

    def action_give(self) -> None:
        self.ownership.give()

    def action_people(self) -> None:
        if self.client.role != "owner":
            self._say("only the owner can see who is here, and hand over", error=True)
        else:
            self._send(self.client.who)

    def action_rules(self) -> None:
        self._send(self.client.list_rules)

    def _hand_over(self, to: str) -> None:
        self._send(lambda: self.client.handover(to))

    def action_sessions(self) -> None:
        def chosen(key: str) -> None:
            self.sessions.open(None if key == lists.NEW_SESSION else key)
            self.sessions.begins = key == lists.NEW_SESSION

        self._choose(lists.sessions(self.client.sessions.values(), self.session), chosen)

    def _owned(self) -> Metadata | None:
        """The session that is shown, where it is ours to keep."""
        if self.client.role != "owner":
            self._say("only the owner can rename, put away or delete a session", error=True)
            return None
        if self.metadata is None:
            self._say("there is no session yet")
        return self.metadata

    def action_rename(self) -> None:
        if (metadata := self._owned()) is None or len(self.screen_stack) > 1:
            return

        def named(name: str | None) -> None:
            if name is not None:
                self._send(lambda: self.client.rename(metadata.session_id, name))

        self.push_screen(Naming(metadata.title), named)

    def action_archive(self) -> None:
        if (metadata := self._owned()) is not None:
            self._send(lambda: self.client.archive(metadata.session_id, archived=not metadata.archived))
            self._say("the session is back" if metadata.archived else "put away; the next prompt brings it back")

    def action_delete(self) -> None:
        if (metadata := self._owned()) is None:
            return

        def chosen(key: str) -> None:
            if key == DELETE:
                self._send(lambda: self.client.delete(metadata.session_id))

        self._choose(deleting(metadata), chosen)

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
        if not self.questions.come_back():
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
        return action in OVER_QUESTION or (self.requests.question is None and self.questions.dialog is None)

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

    def action_copy(self) -> None:
        found = list(copies(self.timeline.story, self.session, self.timeline.shown))

        def chosen(key: str) -> None:
            self._copy(found[int(key)].text)

        self._choose(lists.numbered("Copy", (each.name for each in found)), chosen)

    @work(group="copy")
    async def _copy(self, text: str) -> None:
        self._say(await copy(self, text))
