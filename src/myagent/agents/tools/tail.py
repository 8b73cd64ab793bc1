"""Text that comes in pieces, of which the end is kept."""

from __future__ import annotations


class Tail:
    def __init__(self, characters: int) -> None:
        self._characters, self._kept, self._lost = characters, "", 0

    def add(self, text: str) -> None:
        self._kept += text
        if len(self._kept) > 2 * self._characters:
            self._cut()

    @property
    def text(self) -> str:
        """The end, with how much is left out before it."""
        self._cut()
        return f"({self._lost:,} characters before this are left out)\n{self._kept}" if self._lost else self._kept

    def _cut(self) -> None:
        self._lost += max(0, len(self._kept) - self._characters)
        self._kept = self._kept[-self._characters :]
