"""The permission question as a modal: shows all there is to know, and takes no answer from keys meant for elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Literal

from msgspec.structs import replace
from rich.console import Group
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.timer import Timer
from textual.widgets import Input, Static

from myagent.core.messages import Option, PermissionRequest, RequestSeen
from myagent.core.permissions import allowed_once
from myagent.core.rule import Remember
from myagent.text.rules import TIMES, choice_line, choices, missed_lines, until
from myagent.text.wording import allowed_by, attention, escaped_line, option_name, request_name, time_left, whole_line
from myagent.tui import painting
from myagent.tui.dialog import Dialog

QUIET = 0.8  # seconds without any key before one may be an answer: keys that were meant for something else are lost
ALONE = 0.3  # seconds without another key after it, before an answer is given: else it was the first letter of a word

BORDERS = 4  # lines around the question, and for a second line of keys

_F_KEY = re.compile(r"f\d+")

Put = Literal["aside"]


@dataclass(frozen=True, slots=True)
class Decision:
    kind: Literal["allow", "deny"]
    reason: str | None = None
    option: str | None = None
    remember: Remember | None = None


class Question(Dialog[Decision | Put | None]):
    """Gives a `Decision`, `aside` to look at something else first, or `None` when it was withdrawn."""

    AUTO_FOCUS = ""  # keys come here, not to the field for a reason
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll(-1)", show=False),
        Binding("down", "scroll(1)", show=False),
        Binding("pageup", "scroll(-10)", show=False),
        Binding("pagedown", "scroll(10)", show=False),
    ]

    def __init__(
        self,
        request: PermissionRequest,
        *,
        where: str,
        quiet: float = QUIET,
        alone: float = ALONE,
        allowed: Callable[[], Sequence[str]] = tuple,  # who has, of several people who must
        attention: Callable[[], RequestSeen | None] = lambda: None,
        shown: Callable[[], None] = lambda: None,  # called when a human can see it
        owns: bool = True,  # an answer of somebody else's is for this one time
    ) -> None:
        super().__init__()
        self.request = request
        self.armed = False
        self._where = where
        self._allowed = allowed
        self._attention = attention
        self._shown = shown
        self._quiet = quiet
        self._alone = alone
        self._held = ""  # an answer that is given if no other key follows it
        self._read = False  # the end of what is asked was in sight
        self._accepted = False  # the warnings of a request with a choice
        self._choices: list[Remember | None] = [None, *(choices(request.request) if owns else [])]
        self._chosen = 0  # which of these an allow is remembered as
        self._time = 0  # and for which of `TIMES`
        self._stray = ""  # the last key that was no answer
        self._timer: Timer | None = None  # runs until keys are taken, or until the answer held is given
        self._keys = Static(id="question-keys")
        self._reason = Input(placeholder="why not? Enter denies, Escape goes back", id="reason")

    @property
    def flagged(self) -> bool:
        return bool(self.request.request.flags)

    def compose(self) -> ComposeResult:
        with Vertical(id="question"):
            yield Static(Text(f"Permission needed: {request_name(self.request)}", style="bold"), id="question-title")
            yield Static(self._facts(), id="question-facts")
            with VerticalScroll(id="question-body", can_focus=False):
                yield Static(painting.request(self.request))
            yield self._keys
            yield self._reason

    def on_mount(self) -> None:
        self._reason.display = False
        self.set_focus(None)
        self._show_keys()
        self.set_interval(1.0, self._tick)
        # The wait begins when this has been drawn: before that nobody can have read it.
        self.call_after_refresh(self._wait)
        self.call_after_refresh(self._shown)

    def on_resize(self) -> None:
        self.call_after_refresh(self._fit)

    def _fit(self) -> None:
        """Let what is asked take the room that the rest leaves: the keys can always be seen."""
        body = self.query_one("#question-body")
        others = sum(self.query_one(f"#question-{name}").size.height for name in ("title", "facts", "keys"))
        body.styles.max_height = max(3, self.size.height - others - BORDERS)
        self.call_after_refresh(self._look)

    def _look(self) -> None:
        """Notice whether the end of what is asked is in sight."""
        if self.app.screen is self and not self._read and self._below() <= 0:
            self._read = True
        self._show_keys()

    def _below(self) -> int:
        """How many lines of what is asked are below what can be seen."""
        body = self.query_one("#question-body")
        if not body.size.height:  # it was not drawn
            return 1
        return max(0, body.virtual_size.height - body.size.height - round(body.scroll_offset.y))

    def _wait(self, stray: str = "") -> None:
        """Take no key until none has been pressed for a while."""
        self.armed, self._held, self._stray = False, "", stray
        self._after(self._quiet, self._arm)

    def _arm(self) -> None:
        self.armed = True
        self._look()

    def _hold(self, key: str) -> None:
        self.armed, self._held = False, key
        self._after(self._alone, self._answer)

    def _after(self, seconds: float, then: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(seconds, then)
        self._show_keys()

    def on_key(self, event: events.Key) -> None:
        if self._reason.display:
            if event.key == "escape":
                event.stop()
                self._ask_reason(False)
            return
        if event.key in ("up", "down", "pageup", "pagedown"):
            return
        event.stop()
        key = event.character if event.is_printable and "+" not in event.key else None
        if event.key == "escape":
            self.dismiss("aside")
        elif self.armed and key == "m" and len(self._choices) > 1:
            self._chosen = (self._chosen + 1) % len(self._choices)
            self._wait()
        elif self.armed and key == "u" and self._choices[self._chosen] is not None:
            self._time = (self._time + 1) % len(TIMES)
            self._wait()
        elif self.armed and key in self._answers:
            self._hold(key)
        elif not self._held or key != self._held:  # a key that bounces, or is kept down, is one key
            self._wait(event.key)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(Decision("deny", reason=event.value.strip() or None))

    def action_scroll(self, lines: int) -> None:
        if self._held:
            self._wait("scroll")
        self.query_one("#question-body").scroll_relative(y=lines, animate=False)
        self.call_after_refresh(self._look)

    @property
    def _allowing(self) -> str | None:
        """The key that allows, or, where there is a choice, that accepts its warnings; `None` where numbers choose."""
        if self.flagged and not self._accepted:
            return "!"
        return None if self._choice else "!" if self.flagged else "y"

    @property
    def _choice(self) -> bool:
        return len(allowed_once(self.request.request.options)) > 1

    @property
    def _answers(self) -> list[str]:
        """The keys that answer. None of them allows before the end of what is asked was in sight."""
        numbers = [str(n) for n, option in enumerate(self._options, 1) if self._read or _denies(option)]
        allowing = [self._allowing] if self._read and self._allowing else []
        return [*allowing, "n", "r", *numbers]

    def _answer(self) -> None:
        key = self._held
        if key == self._allowing and self._choice:
            self._accepted = True
            self._wait()
        elif key == self._allowing:
            self.dismiss(Decision("allow", remember=self._remembered()))
        elif key == "n":
            self.dismiss(Decision("deny"))
        elif key == "r":
            self._ask_reason(True)
        elif key:
            option = self._options[int(key) - 1]
            self.dismiss(Decision("deny" if _denies(option) else "allow", option=option.option_id))

    @property
    def _options(self) -> list[Option]:
        """The agent's own answers; where there are warnings, none that allows: that has its own key."""
        options = self.request.request.options
        return [each for each in options if _denies(each) or not self.flagged or self._accepted][:9]

    def _ask_reason(self, on: bool) -> None:
        self._reason.display = on
        self.set_focus(self._reason if on else None)
        if not on:
            self._wait()

    def _tick(self) -> None:
        self.query_one("#question-facts", Static).update(self._facts())

    def _facts(self) -> Group:
        body = self.request.request
        rows = [f"tool     {escaped_line(body.tool_name)}", f"in       {whole_line(self._where)}"]
        if body.reason:
            rows.append(f"because  {escaped_line(body.reason)}")
        if left := time_left(body.expires_at, datetime.now(UTC)):
            rows.append(f"expires  {left}")
        if (told := self._attention()) is not None:
            rows.append(f"who      {attention(told)}")
        if body.people > 1:
            rows.append(f"people   {allowed_by(self._allowed(), body.people)}")
        rows += missed_lines(body)
        return Group(*map(Text, rows))

    def _show_keys(self) -> None:
        if self._held:
            shown = Text(f"{self._held}… unless another key follows at once", style="bold")
        elif not self.armed:
            why = "keys are taken when none was pressed for a moment"
            if self._stray:
                why = "an answer is one key alone, none before or after it"
            if _F_KEY.fullmatch(self._stray):
                why = f"{self._stray.upper()} works after Esc"
            shown = Text(f"wait… {why}   Esc look first", style="bold" if self._stray else "dim")
        else:
            keys = [*self._allowing_shown(), *self._remembering(), "n deny", "r deny with a reason", "Esc look first"]
            keys += [
                f"{n} {option_name(each)}" for n, each in enumerate(self._options, 1) if self._read or _denies(each)
            ]
            shown = Text("   ".join(keys), style="bold")
        self._keys.update(shown)

    def _remembered(self) -> Remember | None:
        chosen = self._choices[self._chosen]
        return chosen and replace(chosen, until=until([*TIMES][self._time], datetime.now(UTC)))

    def _remembering(self) -> list[str]:
        """What an allow is remembered as, where it can be."""
        if len(self._choices) < 2 or self._allowing is None:
            return []
        chosen = self._choices[self._chosen]
        if chosen is None:
            return ["m remember…"]
        return [f"m remembered: {choice_line(chosen)}", f"u {[*TIMES][self._time]}"]

    def _allowing_shown(self) -> list[str]:
        if not self._read:
            return [f"↓ {self._below()} more lines: read to the end to allow"]
        if self._allowing is None:
            return []
        if self._choice:
            return ["! accept the warnings, then choose"]
        return ["! allow in spite of the warnings" if self.flagged else "y allow"]


def _denies(option: Option) -> bool:
    return not option.kind.startswith("allow")
