r"""What a terminal shows of an agent's output at the end of a line: a progress bar is the line that it came to.

`\r` moves to the beginning of the line and `\b` one column to the left; what follows overwrites what is there.
`ESC [ K` erases from the cursor to the end of the line, `1K` from its beginning to the cursor, `2K` all of it. A tab
moves over what is there. A newline ends the line, wherever in it the cursor is, so that `\r\n` is a newline. Colours
take no column, wide characters take two, and what joins a character (accents, parts of an emoji) is part of it.

This is for output alone. What a human decides on is never overwritten: there every character can be seen.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from myagent.text.terminal import RESET, TerminalFilter

TAB = 8  # columns

_MOVES = re.compile(r"[\r\b]|\x1b\[[12]?K")
_TOKEN = re.compile(r"\x1b\[([0-9;]*)([mK])|[\r\b\t]")
_COLOUR = re.compile(r"\x1b\[([0-9;]*)m")
_JOINERS = "\u200d\ufe0e\ufe0f"
_OFF = {22: (1, 2), 23: (3,), 24: (4, 21), 27: (7,), 29: (9,), 39: (30,), 49: (40,), 55: (53,)}  # what each ends


class Overwriting:
    """One stream of text that came out of a `TerminalFilter` with `overwrites`; it may be cut anywhere."""

    def __init__(self) -> None:
        self._text = ""  # of the line that has not ended, while nothing in it has moved the cursor…
        self._cells: list[str] | None = None  # … and then its columns: a wide character is followed by ""
        self._styles: list[str] = []  # of each column
        self._column = 0
        self._style: dict[int, str] = {}  # the colours that are on, by kind, as parameters
        self.colours = ""  # what sets the colours that were on when the line began

    def feed(self, text: str) -> str:
        """Add to the stream; returns the lines that this ends, each with its newline, and colours as they came."""
        *ended, rest = text.split("\n")
        done = []
        for line in ended:
            if self._cells is None and not _MOVES.search(line, 0, len(line.removesuffix("\r"))):
                whole = f"{self._text}{line}".removesuffix("\r")
                self._text = ""
                self._learn(whole)
            else:
                self._add(line.removesuffix("\r"))
                whole = self.line
                self._text, self._cells, self._styles, self._column = "", None, [], 0
            self.colours = self._sgr()
            done.append(f"{whole}\n")
        self._add(rest)
        return "".join(done)

    @property
    def line(self) -> str:
        """The line that has not ended, as it is now; shown, it leaves the colours on that are on."""
        if self._cells is None:
            return self._text
        shown, last = [], self.colours
        for cell, style in zip((*self._cells, ""), (*self._styles, self._sgr()), strict=True):
            if style != last:
                shown.append(f"{RESET}{style}")
                last = style
            shown.append(cell)
        return "".join(shown)

    def _add(self, text: str) -> None:
        if self._cells is None:
            if not _MOVES.search(text):
                self._text += text
                return
            before, self._text, self._cells = self._text, "", []
            self._move(before)
        self._move(text)

    def _learn(self, text: str) -> None:
        """Take note of the colours in a line that is shown as it came."""
        if "\x1b" in text:
            for match in _COLOUR.finditer(text):
                self._colour(match[1])

    def _colour(self, parameters: str) -> None:
        codes = [int(code or 0) for code in parameters.split(";")]
        while codes:
            code = codes.pop(0)
            if code == 0:
                self._style.clear()
            elif code in _OFF:
                for kind in _OFF[code]:
                    self._style.pop(kind, None)
            elif code in (38, 48):
                more = [codes.pop(0) for _ in range(min(len(codes), 2 if codes[:1] == [5] else 4))]
                self._style[code - 8] = ";".join(map(str, (code, *more)))
            else:
                kind = 30 if 30 <= code < 40 or 90 <= code < 100 else 40 if 40 <= code < 50 or code >= 100 else code
                self._style[kind] = str(code)

    def _sgr(self) -> str:
        return f"\x1b[{';'.join(self._style.values())}m" if self._style else ""

    # --- the line whose columns are known ------------------------------------------------------------------------

    def _move(self, text: str) -> None:
        at = 0
        for match in _TOKEN.finditer(text):
            self._put(text[at : match.start()])
            at = match.end()
            match match[0]:
                case "\r":
                    self._column = 0
                case "\b":
                    self._column = max(0, self._column - 1)
                case "\t":
                    self._tab()
                case _ if match[2] == "m":
                    self._colour(match[1])
                case _:
                    self._erase(match[1])
        self._put(text[at:])

    def _put(self, text: str) -> None:
        assert self._cells is not None
        if not text:
            return
        cells: list[str] = []
        if text.isascii():
            cells.extend(text)
        else:
            text = self._join(text)
            for cluster, width in clusters(text):
                cells += (cluster, "")[:width]
        start, end = self._column, self._column + len(cells)
        self._clear(start, end)
        self._cells[start:end] = cells
        self._styles[start:end] = [self._sgr()] * len(cells)
        self._column = end

    def _join(self, text: str) -> str:
        """Give what joins the character before the cursor to that one; returns the rest."""
        assert self._cells is not None
        at = self._start(self._column - 1) if self._column else 0
        while text and self._column and joins_to(self._cells[at], text[0]):
            self._cells[at] += text[0]
            text = text[1:]
        return text

    def _start(self, column: int) -> int:
        """Where the character begins that covers a column."""
        assert self._cells is not None
        while column and not self._cells[column]:
            column -= 1
        return column

    def _clear(self, start: int, end: int) -> None:
        """Blank columns, as far as there are any; of a character that is there in part only, blanks remain."""
        cells = self._cells
        assert cells is not None
        first = self._start(start) if start < len(cells) else start
        while end < len(cells) and not cells[end]:
            end += 1
        for column in range(first, min(end, len(cells))):
            cells[column], self._styles[column] = " ", ""

    def _tab(self) -> None:
        """Move; where nothing is, the tab is text."""
        assert self._cells is not None
        stop = (self._column // TAB + 1) * TAB
        missing = stop - max(self._column, len(self._cells))
        if missing > 0:
            self._cells += ["\t", *[""] * (missing - 1)]
            self._styles += [self._sgr()] * missing
        self._column = stop

    def _erase(self, which: str) -> None:
        assert self._cells is not None
        kept = len(self._cells)
        if which == "1":
            self._clear(0, min(self._column + 1, kept))
            return
        self._clear(0 if which == "2" else self._column, kept)
        del self._cells[self._column :], self._styles[self._column :]


def joins_to(before: str, character: str) -> bool:
    """Whether a character takes no column of its own and is part of what is `before` it."""
    return (
        character in _JOINERS
        or before.endswith("\u200d")
        or unicodedata.category(character) in ("Mn", "Me")
        or "\U000e0020" <= character <= "\U000e007f"
        or ("\U0001f3fb" <= character <= "\U0001f3ff" and bool(before) and columns(before[0]) == 2)
        or (_is_region(character) and len(before) == 1 and _is_region(before))
    )


def clusters(text: str) -> Iterator[tuple[str, int]]:
    """The characters of a text as people see them, each with the columns that it takes: 1 or 2."""
    cluster = ""
    for character in text:
        if cluster and joins_to(cluster, character):
            cluster += character
            continue
        if cluster:
            yield cluster, columns(cluster)
        cluster = character
    if cluster:
        yield cluster, columns(cluster)


def columns(cluster: str) -> int:
    wide = unicodedata.east_asian_width(cluster[0]) in "WF" or "\ufe0f" in cluster or _is_region(cluster[0])
    return 2 if wide else 1


def _is_region(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def overwritten(text: str) -> str:
    """A finished text that came out of a `TerminalFilter` with `overwrites`, as a terminal would show it."""
    over = Overwriting()
    return over.feed(text) + over.line


def shown(text: str) -> str:
    """A finished output as a terminal would show it, safe for one, with its colours."""
    clean = TerminalFilter(overwrites=True)
    return overwritten(clean.feed(text) + clean.close())
