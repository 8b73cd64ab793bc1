"""Where prompts are written: several lines, Enter submits, and what was submitted before comes back with the arrows."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import cast

from textual import events
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual.keys import Keys
from textual.message import Message
from textual.widgets import TextArea

HISTORY = 500  # prompts that are remembered

# What most terminals, and tmux, send for Alt+Enter. Textual has no name for it and would make it Enter: half a prompt
# would be submitted. There is no public way to teach its parser.
cast(MutableMapping[str, object], ANSI_SEQUENCES_KEYS)["\x1b\r"] = (Keys.ControlJ,)


class PromptBox(TextArea):
    class Submitted(Message):
        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, soft_wrap=True, show_line_numbers=False, highlight_cursor_line=False, compact=True)
        self._history: list[str] = []
        self._place = 0  # in the history; its length is the text that is being written
        self._draft = ""

    def remember(self, prompt: str) -> None:
        """Let a prompt be found with the arrows."""
        if prompt in self._history:
            self._history.remove(prompt)
        self._history.append(prompt)
        del self._history[:-HISTORY]
        self._place = len(self._history)

    def remember_earlier(self, prompts: list[str]) -> None:
        """The same for prompts from before those that are known."""
        earlier = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._history]
        kept = max(0, HISTORY - len(self._history))
        earlier = earlier[-kept:] if kept else []
        self._history[:0] = earlier
        self._place += len(earlier)

    def put(self, text: str) -> None:
        self.load_text(text)
        self.move_cursor(self.document.end)

    async def _on_key(self, event: events.Key) -> None:
        match event.key:
            case "enter":
                if self.text.strip():
                    self.post_message(self.Submitted(self.text))
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
        if self._place == len(self._history):
            self._draft = self.text
        self._place = place
        self.put(self._draft if place == len(self._history) else self._history[place])
