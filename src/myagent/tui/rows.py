"""The rows in which text is drawn, and what of it is where: a search finds text, wherever its rows were broken."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.ansi import AnsiDecoder
from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from myagent.text.overwriting import TAB, clusters
from myagent.text.terminal import printable

_PLAIN = Style.null()


@dataclass(frozen=True, slots=True)
class Row:
    """`text` begins `indent` columns into the strip; `joint` is what was between it and the next row: a newline, or,
    where a line was too long, nothing or a space."""

    strip: Strip
    text: str
    indent: int = 0
    joint: str = "\n"


@dataclass(frozen=True, slots=True)
class Hit:
    """Where a text was found: parts of rows, each a row's place and two places in its text."""

    parts: tuple[tuple[int, int, int], ...]

    @property
    def row(self) -> int:
        return self.parts[0][0]


def output(text: str, width: int, *, style: Style = _PLAIN, mark: Segment | None = None) -> Iterator[Row]:
    """Rows of output: safe text with colours. `mark` stands before each line that is not empty."""
    decoder = AnsiDecoder()
    indent = cell_len(mark.text) if mark else 0
    room = max(1, width - indent)
    for line in text.removesuffix("\n").split("\n"):
        coloured = "\x1b" in line or bool(decoder.style)
        if coloured:
            rich = decoder.decode_line(line)
            rich.expand_tabs(TAB)
            plain = rich.plain
        else:
            plain = line.expandtabs(TAB)
        marked = mark if plain else None
        ends = [*breaks(plain, room), len(plain)]
        parts = rich.divide(ends[:-1]) if coloured else ()
        start = 0
        for place, end in enumerate(ends):
            piece = plain[start:end]
            segments = [marked if not start else Segment(" " * indent)] if marked is not None else []
            if coloured:
                segments += [
                    Segment(printable(part.text), style + (part.style or _PLAIN))
                    for part in parts[place].render(_CONSOLE)
                    if part.text and not part.control
                ]
            else:
                segments.append(Segment(piece, style))
            yield Row(Strip(segments), piece, indent if marked else 0, "" if end < len(plain) else "\n")
            start = end


_CONSOLE = Console(width=80, color_system="truecolor", force_terminal=True)  # for spans to become segments


def breaks(line: str, width: int) -> list[int]:
    """Where a line is broken, so that its rows fit: after a word where one ends in the row, else in its midst."""
    found = []
    if line.isascii():
        start = 0
        while len(line) - start > width:
            start = _end(line, start, start + width)
            found.append(start)
        return found
    start = column = place = 0
    for cluster, columns in clusters(line):
        if column + columns > width and place > start:
            cut = _end(line, start, place)
            found.append(cut)
            column = cell_len(line[cut:place]) if cut < place else 0
            start = cut
            if cut > place:  # the break is after this very space
                place += len(cluster)
                continue
        column += columns
        place += len(cluster)
    return [each for each in found if each < len(line)]


def _end(line: str, start: int, limit: int) -> int:
    """After the last space that fits, or that is the next character, unless nothing but spaces is before it."""
    space = line.rfind(" ", start, limit + 1)
    return space + 1 if space > start and line[start:space].strip(" ") else limit


def rendered(lines: Sequence[Sequence[Segment]], width: int) -> list[Row]:
    """Rows of what Rich has laid out. Where it broke a line is not known, but seen: the next word had no room."""
    strips = [Strip([Segment(printable(part.text), part.style) for part in line if not part.control]) for line in lines]
    texts = [strip.text.rstrip() for strip in strips]
    rows = []
    for place, (strip, text) in enumerate(zip(strips, texts, strict=True)):
        following = texts[place + 1] if place + 1 < len(texts) else ""
        word = following.lstrip().partition(" ")[0]
        room = width - cell_len(text)
        joint = "\n"
        if word and text.strip():
            joint = "" if room <= 0 else " " if room <= cell_len(word) else "\n"
        rows.append(Row(strip, text, 0, joint))
    return rows


def hits(rows: Sequence[Row], wanted: re.Pattern[str]) -> list[Hit]:
    """Where a pattern is found in the text that the rows show."""
    text = "".join(f"{row.text}{row.joint}" for row in rows)
    found = []
    place, start = 0, 0  # of the row that the search is in, and where it begins in the text
    for match in wanted.finditer(text):
        while start + len(rows[place].text) + len(rows[place].joint) <= match.start():
            start += len(rows[place].text) + len(rows[place].joint)
            place += 1
        parts, at, row = [], start, place
        while row < len(rows) and at < match.end():
            first, last = max(0, match.start() - at), min(len(rows[row].text), match.end() - at)
            if first < last:
                parts.append((row, first, last))
            at += len(rows[row].text) + len(rows[row].joint)
            row += 1
        if parts:
            found.append(Hit(tuple(parts)))
    return found


def marked(row: Row, parts: Sequence[tuple[int, int, Style]]) -> Strip:
    """A row with parts of its text, in their order, in another style."""
    if not parts:
        return row.strip
    cuts, styles = [], []
    for start, end, style in parts:
        cuts += [row.indent + cell_len(row.text[:start]), row.indent + cell_len(row.text[:end])]
        styles += [None, style]
    pieces = zip(row.strip.divide([*cuts, max(row.strip.cell_length, cuts[-1])]), [*styles, None], strict=False)
    return Strip.join([piece if style is None else piece.apply_style(style) for piece, style in pieces])
