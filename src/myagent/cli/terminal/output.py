"""Where a client's words go: the agent's stdout to stdout, its stderr and our own lines to stderr, all made safe."""

from __future__ import annotations

import os
import re
import sys
from typing import TextIO

from myagent.text.terminal import RESET, TerminalFilter, visible

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Screen:
    """Both streams of a client, which are one and the same terminal as often as not."""

    def __init__(self, *, raw: bool, colour: bool = True, mark: str = "[remote]") -> None:
        self._raw = raw
        self._mark = mark  # at the beginning of each line of our own
        self._colour = colour
        self._filters: dict[tuple[str, TextIO], TerminalFilter] = {}
        self._mid_line: set[TextIO] = set()
        self._shared = sys.stdout.isatty() and sys.stderr.isatty()
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")

    def agent(self, turn_id: str, text: str, *, error: bool = False) -> None:
        """Write what the agent said in a turn. Raises `BrokenPipeError` when nobody reads it any more."""
        stream = sys.stderr if error else sys.stdout
        if not self._raw:
            text = self._filters.setdefault((turn_id, stream), TerminalFilter()).feed(text)
        if not self._colour:
            text = _COLOUR.sub("", text)
        self._write(stream, text)

    def end_turn(self, turn_id: str) -> None:
        """Finish what the agent left unfinished: half an escape sequence, a colour."""
        for key in [key for key in self._filters if key[0] == turn_id]:
            rest = self._filters.pop(key).close()
            self._write(key[1], rest if self._colour else _COLOUR.sub("", rest))

    def say(self, line: str) -> None:
        """Write a line of our own. What came over the wire must have been escaped."""
        self.own(f"{self._mark} {line}\n")

    def own(self, text: str) -> None:
        """Write text of our own, on a line of its own and in no colour of the agent's."""
        here = (sys.stdout, sys.stderr) if self._shared else (sys.stderr,)
        if self._colour and any(found.coloured for (_, stream), found in self._filters.items() if stream in here):
            text = RESET + text
        if self._mid_line.intersection(here):
            self._mid_line.difference_update(here)
            text = "\n" + text
        self._write(sys.stderr, text)

    def end_line(self) -> None:
        """On a terminal, end the line on which it has echoed `^C`."""
        if sys.stderr.isatty():
            self._write(sys.stderr, "\n")

    def answered(self) -> None:
        """Take note that the human ended the line with Enter."""
        self._mid_line.discard(sys.stderr)

    def _write(self, stream: TextIO, text: str) -> None:
        if not text:
            return
        emit(stream, text)
        if text.removesuffix(RESET).endswith("\n"):
            self._mid_line.discard(stream)
        else:
            self._mid_line.add(stream)


def abandon_stdout() -> None:
    """After a `BrokenPipeError`, keep the interpreter from failing again when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(line: str, *, error: bool = True) -> None:
    """A line of our own; whatever is in it, nothing drives the terminal, and what it has of more lines is indented."""
    put("[remote] " + line.replace("\n", "\n    ") + "\n", error=error)


def put(text: str, *, error: bool = False, coloured: bool = False) -> None:
    """Write text to a standard stream: nothing in it drives a terminal. Colours pass where they are ours."""
    if coloured:
        passing = TerminalFilter()
        text = passing.feed(text) + passing.close()
    else:
        text = visible(text)
    emit(sys.stderr if error else sys.stdout, text)


def data(text: str) -> None:
    """Write what is meant for programs, as it is; a terminal gets it as text."""
    emit(sys.stdout, visible(text) if sys.stdout.isatty() else text)


def emit(stream: TextIO, text: str) -> None:
    """The one place that writes to a terminal. What comes here went through `text/terminal`, or is for a program."""
    stream.write(text)
    stream.flush()
