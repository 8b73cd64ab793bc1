"""A question of the agent's as a modal: its form, or its address. Nothing typed before it can be read answers it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Button, Input, Select, SelectionList, Static
from textual.widgets.selection_list import Selection

from myagent.core.forms import BadForm, Field, Form, read
from myagent.core.messages import Question, QuestionOutcome
from myagent.text.terminal import visible
from myagent.text.wording import escaped_line, folded, time_left, warning, whole_line
from myagent.tui.dialog import Dialog
from myagent.tui.question import QUIET

Filled = tuple[QuestionOutcome, dict[str, Any] | None]
WAIT = "wait… keys are taken when none was pressed for a moment   Esc look first"
KEYS = "Tab next field   Enter on a button   Esc look first"


class FormDialog(Dialog[Filled | Literal["aside"] | None]):
    """Gives the action with its content, `aside` to look at something else first, or `None` when it was withdrawn."""

    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "aside", show=False)]
    CSS = """
    FormDialog #question-body { height: auto; max-height: 1fr; }
    FormDialog #form-buttons { height: auto; }
    FormDialog SelectionList { height: auto; max-height: 8; }
    """

    def __init__(self, question: Question, *, quiet: float = QUIET) -> None:
        super().__init__()
        self.question = question
        self._quiet = quiet
        self._timer: Timer | None = None
        self._fault = Static(id="question-keys")
        self._why = ""  # it cannot be shown here
        try:
            self._form = read(question.schema) if question.url is None else Form()
        except BadForm as error:
            self._form, self._why = Form(), str(error)
        self._widgets = {each.name: _widget(each) for each in self._form.fields}

    def compose(self) -> ComposeResult:
        with Vertical(id="question"):
            yield Static(Text("The agent asks", style="bold"), id="question-title")
            yield Static(Text("\n".join(self._facts())), id="question-facts")
            with VerticalScroll(id="question-body", can_focus=False, disabled=True):
                for each in self._form.fields:
                    yield Static(Text(_label(each)))
                    yield self._widgets[each.name]
            with Horizontal(id="form-buttons", disabled=True):
                if not self._why:
                    yield Button(Content("Done there" if self.question.url else "Send"), id="accept")
                yield Button(Content("Decline"), id="decline")
                yield Button(Content("Cancel"), id="cancel")
            yield self._fault

    def on_mount(self) -> None:
        self._fault.update(Text((self._why and f"this client cannot ask it: {self._why}") or WAIT))
        self.call_after_refresh(self._wait)

    def _facts(self) -> list[str]:
        lines = folded(visible(self.question.message))
        if self.question.url is not None:
            lines += [f"host     {whole_line(self.question.host or '')}", f"address  {whole_line(self.question.url)}"]
        if left := time_left(self.question.expires_at, datetime.now(UTC)):
            lines.append(f"expires  {left}")
        return lines + [f"WARNING: {warning(flag)}" for flag in self.question.flags]

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(self._quiet, self._arm)

    def _arm(self) -> None:
        self.query_one("#question-body").disabled = False
        self.query_one("#form-buttons").disabled = False
        if not self._why:
            self._fault.update(Text(KEYS))
        first: Widget = next(iter(self._widgets.values()), self.query_one("#cancel"))
        first.focus()

    @property
    def armed(self) -> bool:
        return not self.query_one("#form-buttons").disabled

    def on_key(self, event: events.Key) -> None:
        if not self.armed and event.key != "escape":
            event.stop()
            event.prevent_default()
            self._wait()

    def on_paste(self, event: events.Paste) -> None:
        if not self.armed:
            event.stop()
            self._wait()

    def action_aside(self) -> None:
        self.dismiss("aside")

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        match event.button.id:
            case "accept" if self.question.url is not None:
                self.dismiss(("accept", None))
            case "accept":
                content = {name: value for name, value in map(self._value, self._form.fields) if value is not None}
                if (fault := self._form.fault(content)) is not None:
                    self._fault.update(Text(fault, style="bold red"))
                else:
                    self.dismiss(("accept", content))
            case "decline":
                self.dismiss(("decline", None))
            case _:
                self.dismiss(("cancel", None))

    def _value(self, each: Field) -> tuple[str, Any]:
        """What was filled in, `None` where nothing was; what fits in no way is left to the form's own check."""
        widget = self._widgets[each.name]
        if isinstance(widget, SelectionList):
            return each.name, list(widget.selected) or ([] if each.required else None)
        if isinstance(widget, Select):
            known = (True, False) if each.kind == "boolean" else tuple(choice.const for choice in each.choices)
            return each.name, widget.value if widget.value in known else None
        text = widget.value if isinstance(widget, Input) else ""
        if not text:
            return each.name, None
        for number in {"integer": (int,), "number": (int, float)}.get(each.kind, ()):
            try:
                return each.name, number(text)
            except ValueError:
                continue
        return each.name, text


def _label(each: Field) -> str:
    bounds = [f"{word} {bound:g}" for word, bound in (("from", each.least), ("to", each.most)) if bound is not None]
    pattern = [] if each.pattern is None else [f"matches {whole_line(each.pattern)}"]
    hints = [*([] if each.required else ["may be left out"]), *bounds, *pattern]
    told = f"{escaped_line(each.title)} ({'; '.join(hints)})" if hints else escaped_line(each.title)
    return f"{told}\n  {escaped_line(each.description)}" if each.description else told


def _widget(each: Field) -> Widget:
    if each.kind == "array":
        chosen = each.default or []
        rows = [Selection(Content(escaped_line(c.title)), c.const, c.const in chosen) for c in each.choices]
        return SelectionList[str](*rows)
    if each.kind == "boolean" or each.choices:
        options: list[tuple[Any, Any]] = [(Content("yes"), True), (Content("no"), False)]
        if each.choices:
            options = [(Content(escaped_line(choice.title)), choice.const) for choice in each.choices]
        return Select[Any](options) if each.default is None else Select[Any](options, value=each.default)
    return Input("" if each.default is None else str(each.default))
