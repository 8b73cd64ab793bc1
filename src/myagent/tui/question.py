"""The permission question as a modal: shows all there is to know, and takes no answer from keys meant for elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Literal

from rich.console import Group
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from myagent.core.messages import Option, PermissionRequest
from myagent.tui import painting
from myagent.wording import escaped_line, name_line, request_name, time_left, whole_line

QUIET = 0.8  # seconds without any key before an answer is taken: keys that were meant for something else are lost

BORDERS = 4  # lines around the question, and for a second line of keys

Put = Literal["aside"]


@dataclass(frozen=True, slots=True)
class Decision:
    kind: Literal["allow", "deny"]
    reason: str | None = None
    option: str | None = None


class Question(ModalScreen[Decision | Put | None]):
    """Gives a `Decision`, `aside` to look at something else first, or `None` when it was withdrawn."""

    AUTO_FOCUS = ""  # keys come here, not to the field for a reason
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll(-1)", show=False),
        Binding("down", "scroll(1)", show=False),
        Binding("pageup", "scroll(-10)", show=False),
        Binding("pagedown", "scroll(10)", show=False),
    ]

    def __init__(self, request: PermissionRequest, *, where: str, quiet: float = QUIET) -> None:
        super().__init__()
        self.request = request
        self.armed = False
        self._where = where
        self._quiet = quiet
        self._pressed = False  # a key, since the last look

    @property
    def flagged(self) -> bool:
        return bool(self.request.request.flags)

    def compose(self) -> ComposeResult:
        with Vertical(id="question"):
            yield Static(Text(f"Permission needed: {request_name(self.request)}", style="bold"), id="question-title")
            yield Static(self._facts(), id="question-facts")
            with VerticalScroll(id="question-body", can_focus=False):
                yield Static(painting.request(self.request))
            yield Static(id="question-keys")
            yield Input(placeholder="why not? Enter denies, Escape goes back", id="reason")

    def on_mount(self) -> None:
        self.query_one("#reason", Input).display = False
        self.set_focus(None)
        self._show_keys()
        self.set_interval(1.0, self._tick)
        # The wait begins when this has been drawn: before that nobody can have read it.
        self.call_after_refresh(lambda: self.set_timer(self._quiet, self._arm))

    def on_resize(self) -> None:
        self.call_after_refresh(self._fit)

    def _fit(self) -> None:
        """Let what is asked take the room that the rest leaves: the keys can always be seen."""
        body = self.query_one("#question-body")
        others = sum(self.query_one(f"#question-{name}").size.height for name in ("title", "facts", "keys"))
        body.styles.max_height = max(3, self.size.height - others - BORDERS)

    def _arm(self) -> None:
        if self._pressed:
            self._pressed = False
            self.set_timer(self._quiet, self._arm)
            return
        self.armed = True
        self._show_keys()

    def on_key(self, event: events.Key) -> None:
        if self.query_one("#reason", Input).display:
            if event.key == "escape":
                event.stop()
                self._ask_reason(False)
            return
        if event.key in ("up", "down", "pageup", "pagedown"):
            return
        event.stop()
        if event.key == "escape":
            self.dismiss("aside")
        elif not self.armed:
            self._pressed = True
        else:
            self._answer(event.character or "")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(Decision("deny", reason=event.value.strip() or None))

    def action_scroll(self, lines: int) -> None:
        self.query_one("#question-body").scroll_relative(y=lines, animate=False)

    def _answer(self, key: str) -> None:
        allowing = "!" if self.flagged else "y"
        if key == allowing:
            self.dismiss(Decision("allow"))
        elif key == "n":
            self.dismiss(Decision("deny"))
        elif key == "r":
            self._ask_reason(True)
        elif key.isdigit() and 0 < int(key) <= len(self._options):
            option = self._options[int(key) - 1]
            kind: Literal["allow", "deny"] = "allow" if option.kind.startswith("allow") else "deny"
            self.dismiss(Decision(kind, option=option.option_id))

    @property
    def _options(self) -> list[Option]:
        """The agent's own answers; where there are warnings, none that allows: that has its own key."""
        options = self.request.request.options
        return [each for each in options if not (self.flagged and each.kind.startswith("allow"))][:9]

    def _ask_reason(self, on: bool) -> None:
        field = self.query_one("#reason", Input)
        field.display = on
        self.set_focus(field if on else None)

    def _tick(self) -> None:
        self.query_one("#question-facts", Static).update(self._facts())

    def _facts(self) -> Group:
        body = self.request.request
        rows = [f"tool     {escaped_line(body.tool_name)}", f"in       {whole_line(self._where)}"]
        if body.reason:
            rows.append(f"because  {escaped_line(body.reason)}")
        if left := time_left(body.expires_at, datetime.now(UTC)):
            rows.append(f"expires  {left}")
        return Group(*map(Text, rows))

    def _show_keys(self) -> None:
        if not self.armed:
            shown = Text("wait… keys are taken when none was pressed for a moment   Esc look first", style="dim")
        else:
            allow = "! allow in spite of the warnings" if self.flagged else "y allow"
            keys = [allow, "n deny", "r deny with a reason", "Esc look first"]
            keys += [f"{n} {name_line(option.name)}" for n, option in enumerate(self._options, 1)]
            shown = Text("   ".join(keys), style="bold")
        self.query_one("#question-keys", Static).update(shown)
