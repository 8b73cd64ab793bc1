"""What a session consists of, for a reader: output joined where it belongs together, made harmless; the rest as is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from myagent.client.incoming import Message
from myagent.core.content import kept_pictures
from myagent.core.messages import (
    Activity,
    AgentStderr,
    AgentStdout,
    Gap,
    ImageItem,
    OptionSet,
    PermissionAllowed,
    PermissionRequest,
    PermissionResolved,
    Prompt,
    Question,
    QuestionResolved,
    TerminalState,
)
from myagent.text.overwriting import Overwriting
from myagent.text.terminal import TerminalFilter

JOINED = 1 << 20  # characters of output in one part, more or less: it ends where a line does

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Output:
    """What the agent said in one go, to stdout or stderr (`error`): printable text, newlines and tabs."""

    text: str
    error: bool


Told = (
    Prompt
    | Activity
    | PermissionRequest
    | PermissionAllowed
    | PermissionResolved
    | Question
    | QuestionResolved
    | OptionSet
    | TerminalState
    | Gap
)


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures that the agent sent."""

    items: tuple[ImageItem, ...]


Part = Output | Pictures | Told


@dataclass(slots=True)
class _Gathered:
    turn: str
    error: bool
    clean: TerminalFilter = field(default_factory=lambda: TerminalFilter(overwrites=True))
    over: Overwriting = field(default_factory=Overwriting)
    pieces: list[str] = field(default_factory=list)
    size: int = 0

    def add(self, chunk: str) -> None:
        self.pieces.append(self.over.feed(self.clean.feed(chunk)))
        self.size += len(self.pieces[-1])

    def lines(self) -> Output:
        """What there is so far but for the line that has not ended, which goes on in the next part."""
        text, self.pieces, self.size = "".join(self.pieces), [], 0
        return Output(uncoloured(text), self.error)

    def output(self) -> Output:
        self.pieces += self.over.feed(self.clean.close()), self.over.line
        return self.lines()


def parts(events: Iterable[Message]) -> Iterator[Part]:
    """Join what was said in one go. Messages that are no part of a session's story are left out."""
    gathered: _Gathered | None = None
    for event in events:
        if isinstance(event, AgentStdout | AgentStderr):
            pictures = kept_pictures(event.update)
            if pictures and gathered is not None:
                yield gathered.output()
                gathered = None
            if pictures:
                yield Pictures(tuple(pictures))
            if not event.chunk:  # it renders an update that has no text
                continue
            error = isinstance(event, AgentStderr)
            if gathered is not None and (gathered.turn, gathered.error) != (event.id, error):
                yield gathered.output()
                gathered = None
            if gathered is None:
                gathered = _Gathered(event.id, error)
            gathered.add(event.chunk)
            if gathered.size > JOINED:
                yield gathered.lines()
            continue
        if gathered is not None:
            yield gathered.output()
            gathered = None
        if isinstance(event, Told):
            yield event
    if gathered is not None:
        yield gathered.output()


def uncoloured(text: str) -> str:
    """Text that came out of a `TerminalFilter`, without its colours."""
    return _COLOUR.sub("", text)
