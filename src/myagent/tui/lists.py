"""The lists to choose from: sessions, who is here, what waits in the queue; and the page of help."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from myagent.core.messages import ConnectionInfo, Metadata
from myagent.core.rule import Rule
from myagent.text.rules import rule_line
from myagent.text.wording import name_line, one_line, state_word, whole_line
from myagent.tui.dialog import Dialog

HELP = """\
Enter, Ctrl+J   submit the prompt, a new line in it (Alt+Enter, too)
Up, Down        earlier prompts
Ctrl+C          stop the turn that runs here
Ctrl+Q          leave; the agent goes on
F2              sessions, and a new one
F3, F4, F10     who is here; own, or release; give it to who asked
F5              prompts that wait; cancel one
F6, Ctrl+T      raw text, or Markdown and tool calls; times, or not
F7              find: Enter, Up, Down go on; #120, @14:05 go there
F8              copy: the agent's words, a request, a prompt, the screen
F9              the open permission request
Ctrl+O          the agent's mode, model and other options
F1, Ctrl+P      this page (? too, in an empty box); all, found by typing
PgUp, PgDn      scroll; Ctrl+Home, End, Up, Down: the ends, each prompt

A permission request takes y (allow), n (deny), r (deny with a reason),
or the number of an answer that the agent offers; m first has an allow
remembered (Ctrl+P, "rules" lists and ends these). One with warnings is
allowed with ! alone. An answer is one key with none right before or
after it, so that no typed word answers; other keys work after Esc.
"""


@dataclass(frozen=True, slots=True)
class Choice:
    """One row; `key` is what choosing it gives."""

    key: str
    text: str
    disabled: bool = False


class Chooser(Dialog[str | None]):
    """Gives the key of what was chosen, `None` for nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Back")]

    def __init__(self, title: str, choices: Iterable[Choice]) -> None:
        super().__init__()
        self._title = title
        self._choices = list(choices)

    def compose(self) -> ComposeResult:
        with Vertical(id="chooser"):
            yield Static(Text(self._title, style="bold"))
            yield OptionList(
                *(Option(Text(choice.text, no_wrap=True), id=choice.key, disabled=choice.disabled)
                  for choice in self._choices)
            )  # fmt: skip
            yield Static(Text("Enter chooses   Esc goes back", style="dim"))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)

    def action_leave(self) -> None:
        self.dismiss(None)


class Help(Dialog[str | None]):
    """Gives what is to be written into the box for prompts: `?`, which brings this page there, pressed again."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1,enter,q", "leave", "Back"),
        Binding("question_mark", "write", show=False),
    ]

    def compose(self) -> ComposeResult:
        with Vertical(id="chooser"), VerticalScroll():
            yield Static(Text(HELP))

    def action_leave(self) -> None:
        self.dismiss(None)

    def action_write(self) -> None:
        self.dismiss("?")


NEW_SESSION = "new"


def sessions(found: Iterable[Metadata], shown: str | None) -> Chooser:
    choices = [Choice(NEW_SESSION, "+ a new session")]
    for each in sorted(found, key=lambda each: each.updated_at, reverse=True):
        if each.archived and each.session_id != shown:
            continue
        mark = "*" if each.session_id == shown else " "
        choices.append(
            Choice(
                each.session_id,
                f"{mark} {state_word(each.state, each.last_exit_code):9} {each.head:>6}  {one_line(each.title)}",
            )
        )
    return Chooser("Sessions (* is shown)", choices)


def people(connections: Iterable[ConnectionInfo], me: str | None) -> Chooser:
    choices = []
    for each in connections:
        name = name_line(each.label) or each.connection_id
        own = ", this one" if each.connection_id == me else ""
        may = each.scope == "owner" and each.role == "follower"
        note = "" if may else f" (may {each.may or 'watch'})" if each.scope != "owner" else ""
        text = f"{each.role:8}  {name}{own}  since {whole_line(each.since)}{note}"
        choices.append(Choice(each.connection_id, text, disabled=not may))
    return Chooser("Hand the ownership over to", choices)


def rules(found: Iterable[Rule]) -> Chooser:
    choices = [Choice(each.rule_id, rule_line(each)) for each in found]
    return Chooser("Rules that answer for the owner; Enter ends one" if choices else "There are no rules", choices)


def numbered(title: str, names: Iterable[str]) -> Chooser:
    return Chooser(title, [Choice(str(number), name) for number, name in enumerate(names)])


def queue(metadata: Metadata) -> Chooser:
    choices = [Choice(each.id, one_line(each.prompt)) for each in metadata.queue]
    return Chooser("Prompts that wait; Enter cancels one", choices)
