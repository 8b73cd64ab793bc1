"""A session as the full-screen client holds it: one contiguous stretch of its events, joined into items to be shown.

Pure: no terminal, no clock. It grows at its end as events happen, and at its beginning as earlier ones are fetched.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from myagent.client.incoming import place
from myagent.core.content import item_words
from myagent.core.messages import (
    Activity,
    AgentStderr,
    AgentStdout,
    Event,
    Gap,
    OptionSet,
    PermissionAllowed,
    PermissionRequest,
    PermissionResolved,
    Prompt,
    Question,
    QuestionResolved,
    TerminalState,
)
from myagent.core.nesting import DEEPEST, parent_of
from myagent.export.parts import uncoloured
from myagent.text.overwriting import Overwriting, shown
from myagent.text.terminal import TerminalFilter

# Of text in one item, more or less: it ends where a line does, for a view may cut nowhere else. What grows is drawn
# anew as a whole, so output is drawn in parts. A message is Markdown as a whole or not at all, so it may be longer.
ITEM_CHARACTERS = 4 << 10
PROSE_CHARACTERS = 32 << 10

PLAN = "\0plan"  # among the ids of tool calls, none of which has a control character

ENDED = ("completed", "failed", "not_finished")  # how a tool call stands when nothing more comes of it

Stream = Literal["prose", "stdout", "stderr"]


Piece = tuple[int, int, str]  # of an event's text: the event, where in its text this begins, and this text


@dataclass(slots=True, eq=False)
class Said:
    """What the agent said in one go; `prose` is what it says to people, which is Markdown more often than not."""

    turn: str
    stream: Stream
    pieces: list[Piece] = field(default_factory=list)  # as they came
    size: int = 0  # characters in them
    lines: int = 0  # newlines in them
    more: bool = False  # the same goes on in the item before, or after: no whole text, so no Markdown
    ended: bool = False  # nothing will be added
    handed: bool = False  # because the next item goes on with it
    changes: int = 0
    clean: TerminalFilter = field(default_factory=lambda: TerminalFilter(overwrites=True))
    over: Overwriting = field(default_factory=Overwriting)
    _text: str = ""

    @property
    def seq(self) -> int:
        return self.pieces[0][0]

    @property
    def limit(self) -> int:
        return PROSE_CHARACTERS if self.stream == "prose" else ITEM_CHARACTERS

    @property
    def text(self) -> str:
        """Safe for a terminal, as one shows it: printable, newlines, tabs, colours; nothing left to overwrite."""
        return self._text if self.ended else self._text + self.over.line

    @property
    def raw(self) -> str:
        return "".join(text for _, _, text in self.pieces)

    @property
    def plain(self) -> str:
        return uncoloured(self.text)

    def add(self, piece: Piece) -> None:
        self.pieces.append(piece)
        self.size += len(piece[2])
        self.lines += piece[2].count("\n")
        self._text += self.over.feed(self.clean.feed(piece[2]))
        self.changes += 1

    def end(self) -> None:
        if not self.ended:
            self._text += self.over.feed(self.clean.close()) + self.over.line
            self.ended = True
            self.changes += 1

    def following(self) -> Said:
        """Begin what goes on after this one, which ends here, at the end of a line."""
        self.ended = self.handed = self.more = True
        self.changes += 1
        return Said(self.turn, self.stream, more=True, clean=self.clean, over=self.over, _text=self.over.colours)

    def goes_on_with(self, turn: str, stream: Stream) -> bool:
        return not self.ended and (self.turn, self.stream) == (turn, stream)


@dataclass(slots=True, eq=False)
class Tool:
    """A tool call, or a plan, as the agent last described it."""

    seq: int
    turn: str
    call: dict[str, Any]
    text: str = ""  # what a client without structured updates is shown
    changes: int = 0
    depth: int = 0  # below the call of a subagent's that it belongs to
    at: int | None = None  # when it began, in milliseconds since 1970

    def merge(self, update: dict[str, Any], chunk: str) -> None:
        self.call.update((key, value) for key, value in update.items() if value is not None)
        self.text += uncoloured(shown(chunk))
        self.changes += 1

    @property
    def plain(self) -> str:
        return f"{self.call.get('title') or ''}\n{self.text}"


@dataclass(slots=True, eq=False)
class Told:
    """Anything else: told in words of ours."""

    seq: int
    event: (
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
    resolved: PermissionResolved | None = None  # of a permission request
    changes: int = 0

    @property
    def at(self) -> int | None:
        return None if isinstance(self.event, Gap) else self.event.at

    @property
    def plain(self) -> str:
        match self.event:
            case Prompt() as event:
                return "\n".join((event.prompt, *map(item_words, event.content)))
            case PermissionRequest() as event:
                return f"{event.request.title or ''}\n{event.request.display}"
            case Question() as event:
                return event.message
            case PermissionResolved() | QuestionResolved() as event:
                return event.reason or ""
            case TerminalState() as event:
                return event.message or ""
            case Gap() | Activity() | PermissionAllowed() | OptionSet():
                return ""


Item = Said | Tool | Told


class OutOfOrder(Exception):
    """An event does not follow the last one: what is between must be fetched."""


class Story:
    """`first` is the first event that is here, `last` the last one; it begins empty, after the event `after`."""

    def __init__(self, after: int) -> None:
        self.first = after + 1
        self.last = after
        self.items: list[Item] = []
        self._tools: dict[tuple[str, str], Tool] = {}
        self._requests: dict[str, Told] = {}
        self._partly: Piece | None = None  # what of the event before `first` is here: all but its beginning

    @classmethod
    def of(cls, events: Iterable[Event]) -> Story | None:
        """A stretch of events, `None` of none."""
        found: Story | None = None
        for event in events:
            where = place(event)  # type: ignore[arg-type]
            if where is not None:
                if found is None:
                    found = cls(where[1] - 1)
                found.take(event)
        return found

    def take(self, event: Event | Gap) -> None:
        """Add the next event. Raises `OutOfOrder`; what is here already is passed over."""
        if isinstance(event, Gap):
            if event.end > self.last:
                self._add(Told(event.start, event))
                self.last = event.end
            return
        where = place(event)  # type: ignore[arg-type]
        if where is None or where[1] <= self.last:
            return
        if where[1] != self.last + 1:
            raise OutOfOrder
        self.last = where[1]
        self._take(event, where[1])

    def prepend(self, events: Iterable[Event]) -> int:
        """Add a stretch that ends right before `first`; return how many items that makes."""
        earlier = Story.of(
            self._beginning(event)
            for event in events
            if (where := place(event)) is not None and where[1] < self.first  # type: ignore[arg-type]
        )
        if earlier is None:
            return 0
        self._partly = None
        self._join(earlier)
        for request_id, told in earlier._requests.items():
            if request_id not in self._requests:
                self._requests[request_id] = told
        for item in self.items:
            if isinstance(item, Told) and isinstance(item.event, PermissionResolved):
                self._resolve(item.event)
        self._tools = {**earlier._tools, **self._tools}
        for item in self.items:
            if isinstance(item, Told) and isinstance(item.event, TerminalState):
                self._settle(item.event.id)
        self.items[:0] = earlier.items
        self.first = earlier.first
        return len(earlier.items)

    def forget(self, count: int) -> None:
        """Drop the first items; they can be fetched again."""
        gone, self.items = set(self.items[:count]), self.items[count:]
        first = self.items[0] if self.items else None
        self.first = self.last + 1 if first is None else first.seq
        self._partly = None
        if isinstance(first, Said) and first.pieces[0][1]:
            self._partly = first.pieces[0]
            self.first += 1
        self._tools = {key: tool for key, tool in self._tools.items() if tool not in gone}
        self._requests = {key: told for key, told in self._requests.items() if told not in gone}

    def keep(self, lines: int) -> None:
        """Drop items from the beginning, as long as more lines of output than this follow."""
        count = 0
        for number, item in reversed(list(enumerate(self.items))):
            count += item.lines if isinstance(item, Said) else 1
            if count > lines:
                self.forget(min(number + 1, len(self.items) - 1))
                return

    def _beginning(self, event: Event) -> Event:
        """An event without that part of its text which is here already."""
        if self._partly is not None and isinstance(event, AgentStdout | AgentStderr) and event.seq == self._partly[0]:
            return msgspec.structs.replace(event, chunk=event.chunk[: self._partly[1]])
        return event

    def _join(self, earlier: Story) -> None:
        """Let an earlier stretch go on in this one: a line that begins there ends there."""
        before = earlier.items[-1] if earlier.items else None
        if not self.items:
            return  # what was said last goes on with what comes
        after = self.items[0]
        if not (isinstance(before, Said) and isinstance(after, Said) and before.goes_on_with(after.turn, after.stream)):
            earlier._end_said()
            return
        whole = after.stream == "prose" and before.size + after.size <= PROSE_CHARACTERS
        pieces = after.pieces
        cut = None if whole else next((n for n, piece in enumerate(pieces) if "\n" in piece[2]), None)
        rest: list[Piece] = []
        if cut is not None:
            first, last = _divided(pieces[cut], pieces[cut][2].index("\n") + 1)
            pieces, rest = [*pieces[:cut], first], [each for each in (last, *pieces[cut + 1 :]) if each[2]]
        for piece in pieces:
            before.add(piece)
        if rest:
            item = before.following()
            for piece in rest:
                item.add(piece)
            self.items[0] = item
        else:
            item = before
            self.items.pop(0)
        item.more = item.more or after.more
        if after.handed:
            item.ended = item.handed = True
            item.changes += 1
        elif after.ended:
            item.end()

    def _take(self, event: Event, seq: int) -> None:
        match event:
            case AgentStdout() | AgentStderr():
                self._said(event, seq)
            case Prompt() | Activity() | PermissionAllowed() | Question() | QuestionResolved() | OptionSet():
                self._add(Told(seq, event))
            case TerminalState():
                self._settle(event.id)
                self._add(Told(seq, event))
            case PermissionRequest():
                told = Told(seq, event)
                self._requests[event.permission_request_id] = told
                self._add(told)
            case PermissionResolved():
                self._resolve(event)
                self._add(Told(seq, event))
            case _:
                pass

    def _settle(self, turn: str) -> None:
        """Nothing goes on after a turn: a tool call whose end was not told has been broken off."""
        for (its_turn, name), tool in self._tools.items():
            if its_turn == turn and name != PLAN and tool.call.get("status") not in ENDED:
                tool.merge({"status": "not_finished"}, "")

    def _resolve(self, event: PermissionResolved) -> None:
        told = self._requests.get(event.permission_request_id)
        if told is not None and told.resolved is None:
            told.resolved = event
            told.changes += 1

    def _said(self, event: AgentStdout | AgentStderr, seq: int) -> None:
        update = event.update if isinstance(event.update, dict) else {}
        kind = update.get("sessionUpdate")
        if kind in ("tool_call", "tool_call_update") and isinstance(update.get("toolCallId"), str):
            tool = self._changing((event.id, update["toolCallId"]), seq, event.at)
            tool.merge(update, event.chunk)
            parent = self._tools.get((event.id, parent_of(tool.call)))
            tool.depth = bool(parent_of(tool.call)) + (min(parent.depth, DEEPEST) if parent is not None else 0)
            return
        if kind == "plan":  # told anew whenever it changes: a turn has one, as it is now
            self._changing((event.id, PLAN), seq, event.at).merge(update, event.chunk)
            return
        if not event.chunk:
            return
        stream: Stream = "stderr" if isinstance(event, AgentStderr) else "stdout"
        if kind == "agent_message_chunk" and stream == "stdout":
            stream = "prose"
        item = self.items[-1] if self.items else None
        if not (isinstance(item, Said) and item.goes_on_with(event.id, stream)):
            item = Said(event.id, stream)
            self._add(item)
        rest: Piece = (seq, 0, event.chunk)
        while rest[2]:
            if item.size >= item.limit and item.pieces[-1][2].endswith("\n"):
                item = item.following()
                self.items.append(item)
            end = rest[2].find("\n", max(0, item.limit - item.size - 1)) + 1
            piece, rest = _divided(rest, end) if end else (rest, (seq, 0, ""))
            item.add(piece)

    def _changing(self, key: tuple[str, str], seq: int, at: int | None) -> Tool:
        """The item of a tool call or a plan, which goes on changing where it is."""
        if key not in self._tools:
            self._tools[key] = Tool(seq, key[0], {}, at=at)
            self._add(self._tools[key])
        return self._tools[key]

    def _add(self, item: Item) -> None:
        self._end_said()
        self.items.append(item)

    def _end_said(self) -> None:
        last = self.items[-1] if self.items else None
        if isinstance(last, Said):
            last.end()


def _divided(piece: Piece, at: int) -> tuple[Piece, Piece]:
    seq, start, text = piece
    return (seq, start, text[:at]), (seq, start + at, text[at:])
