"""The lines above the prompt that say what may be meant, and which of them a key takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.text import Text
from textual.widgets import Static

from myagent.client.attachment import Attachment
from myagent.core.messages import Files
from myagent.text.completing import Row, command_rows, file_rows, mentions, wanted


class Completion(Static):
    """`commands()` are the agent's; `ask(query)` asks the server for files, whose answer comes to `told`."""

    def __init__(self, *, commands: Callable[[], Any], ask: Callable[[str], None], owns: Callable[[], bool]) -> None:
        super().__init__(id="completion")
        self._commands, self._ask, self._owns = commands, ask, owns
        self._rows: list[Row] = []
        self._at = 0
        self._before = ""
        self._part = ""  # what was typed of it
        self._asked = False  # for files, since the last key
        self._known: set[str] = set()  # files that were offered
        self.display = False

    def typed(self, before: str) -> None:
        """`before` is what stands before the cursor now."""
        self._before = before
        meant = wanted(before)
        self._asked = False
        self._part = meant.part if meant is not None else ""
        if meant is None or not self._owns():
            self._offer([])
        elif meant.kind == "command":
            self._offer(command_rows(self._commands(), meant.part))
        else:
            self._asked = True
            self._ask(meant.part)

    def told(self, files: Files) -> None:
        """The answer for files, perhaps to what was typed before: then another one follows."""
        self._known.update(files.paths)
        if self._asked:
            self._offer(file_rows(files.paths))

    def taken(self, key: str, before: str) -> tuple[str, str] | None:
        """In place of which part a key puts in what; `None`: it is not for the completion. Two empty texts: it was, and
        puts nothing in."""
        if not self._rows:
            return None
        if before != self._before:  # keys that came in one piece
            self.typed(before)
            if not self._rows:
                return None
        row = self._rows[self._at]
        match key:
            case "up" | "down":
                self._at = (self._at + (1 if key == "down" else -1)) % len(self._rows)
                self._draw()
                return "", ""
            case "escape":
                self._offer([])
                return "", ""
            case "tab":
                pass
            case "enter" if row.text != self._part:
                pass
            case _:
                return None
        part = self._part
        self._offer([])
        return part, f"{row.text} "

    def links(self, prompt: str) -> list[Attachment]:
        """What a prompt names with `@`, of the files that were offered."""
        return [Attachment("link", path) for path in mentions(prompt, self._known)]

    def _offer(self, rows: list[Row]) -> None:
        self._rows, self._at = rows, 0
        self.display = bool(rows)
        self._draw()

    def _draw(self) -> None:
        lines = (f"{'›' if place == self._at else ' '} {row.shown}" for place, row in enumerate(self._rows))
        self.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"))
