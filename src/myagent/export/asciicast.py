"""A session as a terminal recording (asciicast, version 2), and the steps that `replay` shows.

Between two events that have a time lies what lay between them, up to a longest wait. Where an older server stored no
times, the time line is made here, the same for every session: it follows what happened, not how long it took. The
recording's title says which.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from myagent.client.incoming import Message
from myagent.core.messages import (
    Activity,
    AgentStderr,
    AgentStdout,
    Event,
    Gap,
    Metadata,
    OptionSet,
    PermissionAllowed,
    PermissionRequest,
    PermissionResolved,
    Prompt,
    Question,
    QuestionResolved,
    TerminalState,
)
from myagent.export import facts
from myagent.text.carried import carried
from myagent.text.terminal import RESET, TerminalFilter, visible
from myagent.text.wording import diff_lines, diffs_beyond_display, warning

WIDTH, HEIGHT = 100, 30
OUTPUT_PAUSE = 0.25  # seconds before each piece of output
HUMAN_PAUSE = 1.5  # seconds before a prompt, a permission request and a decision
MADE_TIMES = "paced evenly: the log has no times of it"
MAX_WAIT = 3.0  # seconds between two events, unless told: nobody watches a night go by

_BOLD, _RED, _GREEN, _YELLOW, _CYAN = "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[36m"


def render(metadata: Metadata, events: Iterable[Message], *, max_wait: float = MAX_WAIT) -> Iterator[str]:
    """`max_wait` is in seconds."""
    first, events = _peek(events)
    timed = isinstance(first, Event) and first.at is not None
    header: dict[str, Any] = {"version": 2, "width": WIDTH, "height": HEIGHT}
    if (timestamp := _timestamp(metadata.created_at)) is not None:
        header["timestamp"] = timestamp
    header["title"] = f"{facts.title(metadata)} ({f'waits of at most {max_wait:g} s' if timed else MADE_TIMES})"
    header["env"] = {"TERM": "xterm-256color"}
    yield _line(header)
    time = 0.0
    for pause, text in steps(events, max_wait=max_wait):
        time = round(time + pause, 3)
        yield _line([time, "o", text.replace("\n", "\r\n")])


def steps(events: Iterable[Message], *, raw: bool = False, max_wait: float = MAX_WAIT) -> Iterator[tuple[float, str]]:
    """What a terminal is sent, each with the seconds to wait before it, `max_wait` at most. Agent text is made
    harmless, unless it is wanted `raw`; its colours stay, and what overwrites a line of its own."""
    filters: dict[tuple[str, bool], TerminalFilter] = {}
    mid_line = False
    pace = _Pace(max_wait)
    for event in events:
        pace.take(event)
        if isinstance(event, AgentStdout | AgentStderr):
            key = (event.id, isinstance(event, AgentStderr))
            clean = filters.setdefault(key, TerminalFilter(overwrites=True))
            text = event.chunk if raw else clean.feed(event.chunk)
            if text:
                mid_line = not text.removesuffix(RESET).endswith("\n")
                yield pace.wait(OUTPUT_PAUSE), text
            continue
        told = list(_told(event))
        if not told:
            continue
        ends = "".join(filters.pop(key).close() for key in list(filters)) if isinstance(event, TerminalState) else ""
        coloured = any(each.coloured for each in filters.values())
        before = ends + (RESET if coloured else "") + ("\n" if mid_line else "")
        mid_line = False
        pause = OUTPUT_PAUSE if isinstance(event, TerminalState | Gap) else HUMAN_PAUSE
        yield pace.wait(pause), before + "".join(f"{line}\n" for line in told)


class _Pace:
    """How long to wait before what is shown: what shows nothing takes its time all the same."""

    def __init__(self, max_wait: float) -> None:
        self._max_wait = max_wait
        self._shown: int | None = None  # when what was shown last happened
        self._now: int | None = None

    def take(self, event: Message) -> None:
        self._now = event.at if isinstance(event, Event) else None

    def wait(self, made: float) -> float:
        """`made` is for where there are no times. A clock that was set back is no wait."""
        shown, self._shown = self._shown, self._now
        if self._now is None:
            return min(made, self._max_wait)
        passed = made if shown is None else (self._now - shown) / 1000
        return min(max(passed, 0.0), self._max_wait)


def _peek(events: Iterable[Message]) -> tuple[Message | None, Iterable[Message]]:
    rest = iter(events)
    first = next(rest, None)
    return first, rest if first is None else itertools.chain((first,), rest)


def _told(event: Message) -> Iterator[str]:
    match event:
        case Prompt():
            yield f"{_BOLD}{_CYAN}{facts.prompt(event)}{RESET}"
            yield from (
                f"{_CYAN}> {line}{RESET}" for line in "\n".join((visible(event.prompt), *carried(event))).split("\n")
            )
        case Activity():
            yield f"{_BOLD}{_CYAN}{facts.activity(event)}{RESET}"
        case PermissionRequest():
            yield f"{_BOLD}{_YELLOW}{facts.asked(event)}{RESET}"
            yield from (f"  {name} {value}" for name, value in facts.details(event))
            yield from (f"  | {line}" for line in visible(event.request.display).split("\n"))
            for line in (line for diff in diffs_beyond_display(event.request) for line in diff_lines(diff)):
                style = {"+": _GREEN, "-": _RED}.get(line[:1])
                yield f"  {style}{line}{RESET}" if style else f"  {line}"
            yield from (f"  {_YELLOW}warning: {warning(flag)}{RESET}" for flag in event.request.flags)
        case PermissionResolved():
            yield f"{_BOLD}{facts.resolved(event)}{RESET}"
        case PermissionAllowed():
            yield f"{_BOLD}{facts.allowed(event)}{RESET}"
        case OptionSet():
            yield facts.chosen(event)
        case Question():
            yield f"{_BOLD}{_YELLOW}{facts.question(event)}{RESET}"
        case QuestionResolved():
            yield f"{_BOLD}{facts.answered(event)}{RESET}"
        case TerminalState():
            yield facts.ended(event)
        case Gap():
            yield facts.gap(event)
        case _:
            pass


def _timestamp(created_at: str) -> int | None:
    try:
        moment = datetime.fromisoformat(created_at)
    except ValueError:
        return None
    return None if moment.tzinfo is None else int(moment.timestamp())


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"
