"""Where a client's words go: the agent's stdout to stdout, its stderr and our own lines to stderr, all made safe."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

from myagent.text.overwriting import Overwriting
from myagent.text.terminal import RESET, TerminalFilter, visible
from myagent.text.times import absolute, milliseconds

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


class Screen:
    """Both streams of a client, which are one and the same terminal as often as not.

    On a terminal, what overwrites the agent's line does so; elsewhere, and with `lines`, a line is written as it is in
    the end, when it has ended. `raw` passes everything on as it comes.

    With `times`, lines are whole too, and each begins with the time at which it was: within `at`, that of an event.
    """

    def __init__(self, *, raw: bool, lines: bool = False, times: bool = False, mark: str = "[remote]") -> None:
        self._raw = raw
        self._times = times
        self._moment: Callable[[], int | None] = milliseconds
        self._mark = mark  # at the beginning of each line of our own
        self._whole = [each for each in (sys.stdout, sys.stderr) if lines or times or not each.isatty()]
        self._plain = [each for each in (sys.stdout, sys.stderr) if lines or not coloured(each)]
        self._said: dict[tuple[str, TextIO], _Said] = {}
        self._mid_line: set[TextIO] = set()
        self._asking = False  # the line on the terminal is ours: an agent's must not overwrite it
        self._shared = sys.stdout.isatty() and sys.stderr.isatty()
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")

    @contextmanager
    def at(self, moment: int | None) -> Iterator[None]:
        """What is shown meanwhile happened then; `None`: nobody knows when."""
        self._moment = lambda: moment
        try:
            yield
        finally:
            self._moment = milliseconds

    def agent(self, turn_id: str, text: str, *, error: bool = False) -> None:
        """Write what the agent said in a turn. Raises `BrokenPipeError` when nobody reads it any more."""
        stream = sys.stderr if error else sys.stdout
        if self._raw:
            self._write(stream, text)
            return
        said = self._said.setdefault((turn_id, stream), _Said())
        text = said.clean.feed(text)
        self._write_agent(stream, text if stream not in self._whole else said.ended(text))

    def end_turn(self, turn_id: str) -> None:
        """Finish what the agent left unfinished: a line, half an escape sequence, a colour."""
        for key in [key for key in self._said if key[0] == turn_id]:
            said, stream = self._said.pop(key), key[1]
            rest = said.clean.close()
            self._write_agent(stream, rest if stream not in self._whole else said.ended(rest) + said.so_far())

    def flush(self) -> None:
        """Write lines as far as they are known."""
        for (_, stream), said in self._said.items():
            if stream in self._whole:
                self._write_agent(stream, said.so_far())

    def say(self, line: str) -> None:
        """Write a line of our own. What came over the wire must have been escaped."""
        self.own(f"{self._mark} {line}\n")

    def own(self, text: str) -> None:
        """Write text of our own, on a line of its own and in no colour of the agent's."""
        self.flush()
        here = (sys.stdout, sys.stderr) if self._shared else (sys.stderr,)
        on = {stream for (_, stream), said in self._said.items() if said.clean.coloured}
        if on.difference(self._plain).intersection(here):
            text = RESET + text
        if self._mid_line.intersection(here):
            self._mid_line.difference_update(here)
            text = "\n" + text
        self._write(sys.stderr, text)
        self._asking = not text.endswith("\n")

    def end_line(self) -> None:
        """On a terminal, end the line on which it has echoed `^C`."""
        if sys.stderr.isatty():
            self._write(sys.stderr, "\n")

    def answered(self) -> None:
        """Take note that the human ended the line with Enter."""
        self._mid_line.discard(sys.stderr)
        self._asking = False

    def _write_agent(self, stream: TextIO, text: str) -> None:
        if stream in self._plain:
            text = _COLOUR.sub("", text)
        if text and self._asking and (self._shared or stream is sys.stderr):
            self._asking, text = False, f"\n{text}"
        self._write(stream, text)

    def _write(self, stream: TextIO, text: str) -> None:
        if not text:
            return
        emit(stream, self._stamped(stream, text) if self._times else text)
        if text.removesuffix(RESET).endswith("\n"):
            self._mid_line.discard(stream)
        else:
            self._mid_line.add(stream)

    def _stamped(self, stream: TextIO, text: str) -> str:
        """With the time before each line that begins in it and is not empty."""
        begun = self._mid_line.intersection((sys.stdout, sys.stderr) if self._shared else (stream,))
        moment = f"{absolute(self._moment())} "
        lines = enumerate(_LINE.findall(text))
        return "".join(line if line == "\n" or (begun and not number) else moment + line for number, line in lines)


@dataclass(slots=True)
class _Said:
    """What one turn says on one stream."""

    clean: TerminalFilter = field(default_factory=lambda: TerminalFilter(overwrites=True))
    over: Overwriting = field(default_factory=Overwriting)
    given: str = ""  # of the line that has not ended, where that was written already

    def ended(self, text: str) -> str:
        """What there is to write of a stream of which only whole lines are."""
        return self._beyond(done) if (done := self.over.feed(text)) else ""

    def so_far(self) -> str:
        line = self.over.line
        text = self._beyond(line)
        self.given = line
        return text

    def _beyond(self, text: str) -> str:
        """Without what is written; on a line of its own if that was overwritten since."""
        given, self.given = self.given, ""
        return text.removeprefix(given) if text.startswith(given) else f"\n{text}"


def coloured(stream: TextIO) -> bool:
    """Whether colours belong on a stream: not into a pipe or a file, nor where somebody wants none."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def abandon_stdout() -> None:
    """After a `BrokenPipeError`, keep the interpreter from failing again when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(line: str, *, error: bool = True) -> None:
    """A line of our own; whatever is in it, nothing drives the terminal, and what it has of more lines is indented."""
    say_on(sys.stderr if error else sys.stdout, line)


def say_on(stream: TextIO | None, line: str) -> None:
    """`say`, on a stream of the caller's."""
    emit(stream, visible("[remote] " + line.replace("\n", "\n    ") + "\n"))


def put(text: str, *, error: bool = False, keep_colours: bool = False) -> None:
    """Write text to a standard stream: nothing in it drives a terminal. Colours pass where they are ours."""
    if keep_colours:
        passing = TerminalFilter()
        text = passing.feed(text) + passing.close()
    else:
        text = visible(text)
    emit(sys.stderr if error else sys.stdout, text)


def data(text: str) -> None:
    """Write what is meant for programs, as it is; a terminal gets it as text."""
    emit(sys.stdout, visible(text) if sys.stdout is not None and sys.stdout.isatty() else text)


def emit(stream: TextIO | None, text: str) -> None:
    """The one place that writes to a terminal. What comes here went through `text/terminal`, or is for a program; a
    program that was started without the stream says it to nobody."""
    if stream is not None:
        stream.write(text)
        stream.flush()
