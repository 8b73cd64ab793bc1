r"""The words in which events are told to a human, the same in every client: each line is safe for a terminal.

What came over the wire is escaped here; within a line of ours a newline is shown too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from myagent.core.diffs import hunks
from myagent.core.display import escape
from myagent.core.messages import Diff, Option, PermissionRequest, RequestBody, RequestSeen
from myagent.core.turn import EXIT_CODES
from myagent.text.terminal import visible

PROMPT_SHOWN = 200  # characters of somebody's text within a line of ours

OUTCOMES = {"allow": "allowed", "deny": "denied", "cancelled": "cancelled", "expired": "expired unanswered"}

ANSWERED = {"accept": "answered", "decline": "declined", "cancel": "cancelled"}  # of questions

WARNINGS = {
    "bidi": "it holds characters that reorder text: what you read may not be what runs",
    "invisible": "it holds characters that cannot be seen, written as \\u{…} above",
    "mixed_script": "it mixes look-alike letters of different scripts in one word",
    "look_alike": "it names a host, a path or a command that passes for another one",
    "escapes": "it holds terminal control characters, written as \\u{…} above",
    "truncated": "a text in it was cut short: part of it is hidden",
    "contradicts": "the agent said different things about it: all of them are shown",
    "unspecified": "the agent does not say what it would run or change",
    "credentials": "it reads or changes a place that holds credentials",
    "misnamed_option": "an answer's name says the opposite of what choosing it does",
    "deletes_state": "it may delete .myagent, where this server keeps its sessions",
}


ANSWERS = {
    "allow_once": "allow",
    "allow_always": "always allow",
    "reject_once": "deny",
    "reject_always": "always deny",
}

BLANK_LINES = 4  # empty lines after one another that are folded: they push what follows out of sight
BLANKS = 60  # spaces after one another that are folded
_BLANKS = re.compile(f" {{{BLANKS},}}")


def state_word(state: str, exit_code: int | None) -> str:
    """The state of a session in a word; that its last turn was stopped is no failure."""
    return "stopped" if state == "failed" and exit_code == EXIT_CODES["cancelled"] else state


def one_line(text: str) -> str:
    """Text from the wire, shortened, within one line of ours."""
    return _shortened(escape(text.strip()).replace("\n", " ⏎ "))


def whole_line(text: str) -> str:
    """The same, with nothing left out: what must be read before it is decided on."""
    return escape(text).replace("\n", "\\u{a}")


def name_line(text: str) -> str:
    """A name or title, shortened, that the server has escaped: it is not escaped twice, nor is the server trusted."""
    return _shortened(escaped_line(text.strip()))


def escaped_line(text: str) -> str:
    """The same, with nothing left out."""
    return visible(text).replace("\n", "\\u{a}").replace("\t", "\\u{9}")


def allowed_by(names: Sequence[str], people: int) -> str:
    """Who has allowed what several people must allow: `1 of 2 people: Ada`."""
    return f"{len(names)} of {people} people{': ' if names else ''}{', '.join(map(name_line, names))}"


def attention(told: RequestSeen) -> str:
    """Who could answer and who has seen it: `could answer: Ada, Ben; seen by: Ada`."""
    could, seen = (", ".join(map(name_line, names)) or "nobody" for names in (told.could_answer, told.seen_by))
    return f"could answer: {could}; seen by: {seen}"


def request_name(request: PermissionRequest) -> str:
    return name_line(request.request.title or request.request.tool_name)


def option_name(option: Option) -> str:
    """What choosing an answer does, by its kind, and what its agent calls it: the name alone could say the opposite."""
    does = ANSWERS.get(option.kind, name_line(option.kind))
    name = name_line(option.name)
    return does if name.casefold() in ("", does, f"{does} once") else f"{does} ({name})"


def folded(text: str) -> list[str]:
    """The lines of a text that must be read before deciding, with stretches that show nothing replaced by how long
    they are."""
    lines: list[str] = []
    blank = 0
    for line in [*text.split("\n"), None]:
        if line is not None and not line.strip():
            blank += 1
            continue
        if blank:
            lines += [f"[{blank} empty lines]"] if blank >= BLANK_LINES else [""] * blank
        blank = 0
        if line is not None:
            lines.append(_BLANKS.sub(lambda run: f"[{len(run[0])} spaces]", line))
    return lines


def _shortened(shown: str) -> str:
    return shown if len(shown) <= PROMPT_SHOWN else f"{shown[:PROMPT_SHOWN]}… ({len(shown) - PROMPT_SHOWN} more)"


def warning(flag: str) -> str:
    return WARNINGS[flag] if flag in WARNINGS else whole_line(flag)


def diff_lines(diff: Diff) -> Iterator[str]:
    """A unified diff, escaped; the first character of a line says what it is."""
    changes = hunks(diff.old_text or "", diff.new_text)
    path = whole_line(diff.path)
    if changes or diff.old_text is None:
        yield "--- /dev/null" if diff.old_text is None else f"--- a/{path}"
        yield f"+++ b/{path}"
    for line in changes:
        yield line[:1] + escape(line[1:])


def diff_in_display(diff: Diff, display: list[str]) -> range | None:
    """Which lines of a request's display are this very diff, if it is there: it need not be shown twice."""
    changes = list(diff_lines(diff))[2:]
    lines = "\n".join(("", *display, ""))
    at = lines.find("\n".join(("", *changes, ""))) if changes else -1  # str.find is linear, whatever repeats
    start = lines.count("\n", 0, max(at, 0))
    return range(start, start + len(changes)) if at >= 0 else None


def diffs_beyond_display(body: RequestBody) -> Iterator[Diff]:
    """The diffs that the display does not show already."""
    display = visible(body.display).split("\n")
    yield from (diff for diff in body.diffs if diff_in_display(diff, display) is None)


def seconds_since(asked_at: str | None, now: datetime) -> float:
    """How long a request waits; 0 where it is not told, or by a clock that is ahead of ours."""
    try:
        return max(0.0, (now - datetime.fromisoformat(asked_at or "")).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def time_left(expires_at: str, now: datetime) -> str:
    """`in 9 min 58 s`, `now`, or nothing where it is not told."""
    try:
        seconds = int((datetime.fromisoformat(expires_at) - now).total_seconds())
    except (ValueError, TypeError):  # absent with a v1 server; without a time zone it means nothing here
        return ""
    if seconds <= 0:
        return "now"
    return f"in {seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"in {seconds} s"
