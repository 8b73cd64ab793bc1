"""Where prompts are written: several lines, Enter submits, and what was submitted before comes back with the arrows."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import cast

from textual import events
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual.keys import Keys
from textual.message import Message
from textual.widgets import TextArea

from myagent.tui.completion import Completion

HISTORY = 500  # prompts that are remembered

# What most terminals, and tmux, send for Alt+Enter. Textual has no name for it and would make it Enter: half a prompt
# would be submitted. There is no public way to teach its parser.
cast(MutableMapping[str, object], ANSI_SEQUENCES_KEYS)["\x1b\r"] = (Keys.ControlJ,)


class PromptBox(TextArea):
    class Submitted(Message):
        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Wonders(Message):
        """Somebody pressed `?` where nothing is written."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, soft_wrap=True, show_line_numbers=False, highlight_cursor_line=False, compact=True)
        self._history: list[str] = []
        self._place = 0  # in the history; its length is the text that is being written
        self._drafts: dict[int, str] = {}  # what was written at a place of the history, and not submitted
        self.completion: Completion | None = None  # what may be meant by what is being typed
        self._of: dict[str | None, str] = {}  # drafts of sessions that are not shown

    def remember(self, prompt: str) -> None:
        """Let a prompt be found with the arrows."""
        end = len(self._history)
        recalled = self._history[self._place] if self._place < end else None
        fresh = self._drafts.pop(end, "")
        edited, self._drafts = list(self._drafts.values()), {}
        for text in (*edited, prompt):
            if text in self._history:
                self._history.remove(text)
            self._history.append(text)
        del self._history[:-HISTORY]
        self._place = len(self._history)
        if fresh and recalled in self._history:
            self._place, self._drafts = self._history.index(recalled), {self._place: fresh}

    def remember_earlier(self, prompts: list[str]) -> None:
        """The same for prompts from before those that are known."""
        earlier = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._history]
        kept = max(0, HISTORY - len(self._history))
        earlier = earlier[-kept:] if kept else []
        self._history[:0] = earlier
        self._place += len(earlier)
        self._drafts = {place + len(earlier): text for place, text in self._drafts.items()}

    def put(self, text: str) -> None:
        self.load_text(text)
        self.move_cursor(self.document.end)

    def give_back(self, text: str) -> None:
        """Let a prompt that was not accepted be edited again, before what has been written since."""
        self.put(f"{text}\n{self.text}" if self.text else text)

    def move_draft(self, session: str) -> None:
        """What is being written is meant for a session that is about to be shown."""
        self._of[session] = self.text
        self.load_text("")

    def show_session(self, before: str | None, after: str | None) -> None:
        """Put the draft of one session away, and take that of another."""
        if before != after:
            self._of[before] = self.text
            self.put(self._of.pop(after, ""))

    @property
    def drafts(self) -> list[str]:
        """All that was written and not submitted."""
        return [text for text in (*self._of.values(), *self._drafts.values(), self.text) if text.strip()]

    def on_text_area_changed(self) -> None:
        if self.completion is not None:
            self.completion.typed(self._before)

    @property
    def _before(self) -> str:
        """What stands before the cursor."""
        return self.get_text_range((0, 0), self.cursor_location)

    def _complete(self, key: str) -> bool:
        """Whether the key was for what may be meant."""
        taken = self.completion.taken(key, self._before) if self.completion is not None else None
        if taken is None:
            return False
        part, text = taken
        if text:
            row, column = self.cursor_location
            self.replace(text, (row, column - len(part)), (row, column))
        return True

    async def _on_key(self, event: events.Key) -> None:
        match event.key:
            case key if self._complete(key):
                pass
            case "enter":
                if self.text.strip():
                    text = self.text
                    self.load_text("")  # at once: what follows in the same burst is another prompt
                    self.post_message(self.Submitted(text))
            case "question_mark" if not self.text:
                self.post_message(self.Wonders())
            case "ctrl+j" | "shift+enter" | "alt+enter":
                self.insert("\n")
            case "up" if self.cursor_at_first_line and self._place > 0:
                self._recall(self._place - 1)
            case "down" if self.cursor_at_last_line and self._place < len(self._history):
                self._recall(self._place + 1)
            case _:
                await super()._on_key(event)
                return
        event.stop()
        event.prevent_default()

    def _recall(self, place: int) -> None:
        """Show what is at another place of the history; what was written at this one can be found again."""
        known = self._history[self._place] if self._place < len(self._history) else ""
        if self.text != known:
            self._drafts[self._place] = self.text
        self._place = place
        kept = self._drafts.pop(place, None)
        self.put(kept if kept is not None else self._history[place] if place < len(self._history) else "")
