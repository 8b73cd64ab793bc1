"""Everything that can be done in the full-screen client, found by typing a part of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from myagent.tui.dialog import Dialog

# What each action does, the key that does it, and the action as Textual writes it.
ACTIONS = (
    ("show the sessions, or begin a new one", "F2", "sessions"),
    ("show who is here, and hand the ownership over", "F3", "people"),
    ("take the ownership, over too, or release it", "F4", "ownership"),
    ("say yes to who asked to be the owner", "F10", "give"),
    ("show the prompts that wait, and cancel one", "F5", "queue"),
    ("choose the mode, the model and what else the agent offers", "Ctrl+O", "options"),
    ("give this session a name", "", "rename"),
    ("put this session out of the way, or back", "", "archive"),
    ("delete this session for good", "", "delete"),
    ("show raw text, or Markdown and tool calls", "F6", "raw"),
    ("search in this session", "F7", "search"),
    ("copy what was said, asked, prompted, or shown", "F8", "copy"),
    ("go to the open permission request", "F9", "question"),
    ("show the rules that answer requests, and end one", "", "rules"),
    ("go to the beginning of the session", "Ctrl+Home", "to_start"),
    ("go to its end, and follow", "Ctrl+End", "to_end"),
    ("go to the prompt before", "Ctrl+Up", "prompt(-1)"),
    ("go to the prompt after", "Ctrl+Down", "prompt(1)"),
    ("stop the turn that runs here", "Ctrl+C", "stop"),
    ("show when things happened, or not", "Ctrl+T", "times"),
    ("light or dark colours", "", "theme"),
    ("help: all keys", "F1", "help"),
    ("leave; the agent goes on", "Ctrl+Q", "quit"),
)


def matching(typed: str) -> list[tuple[str, str, str]]:
    """The actions whose words hold all that was typed, in their order."""
    words = typed.lower().split()
    return [each for each in ACTIONS if all(word in f"{each[0]} {each[1]}".lower() for word in words)]


class Palette(Dialog[str | None]):
    """Gives the action that was chosen, `None` for nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+p", "leave", "Back", priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("down", "move(1)", show=False, priority=True),
    ]

    def compose(self) -> ComposeResult:
        with Vertical(id="chooser"):
            yield Input(placeholder="what to do: type a part of it", id="typed")
            yield OptionList(*_options(ACTIONS))
            yield Static(Text("Enter does it   Esc goes back", style="dim"))

    def on_mount(self) -> None:
        self.query_one(OptionList).highlighted = 0

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options(_options(matching(event.value)))
        options.highlighted = 0 if options.option_count else None

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        options = self.query_one(OptionList)
        if options.highlighted is not None:
            self.dismiss(options.get_option_at_index(options.highlighted).id)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)

    def action_move(self, by: int) -> None:
        options = self.query_one(OptionList)
        if by < 0:
            options.action_cursor_up()
        else:
            options.action_cursor_down()

    def action_leave(self) -> None:
        self.dismiss(None)


def _options(actions: Iterable[tuple[str, str, str]]) -> list[Option]:
    return [Option(Text(f"{key:10} {what}", no_wrap=True), id=action) for what, key, action in actions]
