"""Asking what a session is to be called, and whether it is to be deleted."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from myagent.core.messages import Metadata
from myagent.text.wording import one_line
from myagent.tui.dialog import Dialog
from myagent.tui.lists import Choice, Chooser

DELETE = "delete"


class Naming(Dialog[str | None]):
    """Gives the name that was typed, perhaps an empty one, `None` for nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Back", priority=True)]

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title

    def compose(self) -> ComposeResult:
        with Vertical(id="chooser"):
            yield Static(Text("What this session is called; empty: as before anybody named it", style="bold"))
            yield Input(value=self._title, max_length=200, id="typed")
            yield Static(Text("Enter takes it   Esc goes back", style="dim"))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value)

    def action_leave(self) -> None:
        self.dismiss(None)


def deleting(session: Metadata) -> Chooser:
    """Asks once more; what does nothing stands first."""
    title = one_line(session.title) or "(no prompt yet)"
    gone = f"delete it for everybody and for good: {title}, {session.head} events"
    return Chooser("Delete this session?", [Choice("", "keep it"), Choice(DELETE, gone)])
