"""What a device is told on its lock screen, and which answers it may be offered there.

| a request                                              | without details   | with details             |
|--------------------------------------------------------|-------------------|--------------------------|
| without flags, whose whole display fits, one person's  | deny, and a look  | allow, deny, and a look  |
| any other                                              | deny, and a look  | deny, and a look         |
| a question                                             | a look            | a look                   |

Nothing can be allowed that was not shown: without details a call says where something waits, and no more.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from myagent.core.display import escape
from myagent.core.messages import Outcome, RequestBody, SessionId
from myagent.core.permissions import allowed_once

# What a phone shows of a notification without its being opened: Android's expanded one has about this much room.
FITS_CHARACTERS = 120
FITS_LINES = 3
TITLE_CHARACTERS = 60

AnswerKind = Literal["allow", "deny"]


class Call(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is sent to a device; `answers` are tickets, by what each of them says."""

    title: str
    body: str
    tag: str  # a later call of the same tag takes its place
    session: str | None = None
    answers: dict[AnswerKind, str] = {}
    closed: bool = False  # what it called for is over


def offered(request: RequestBody, *, details: bool) -> tuple[AnswerKind, ...]:
    """The answers that a request may be given from where its call alone is seen."""
    whole = details and fits(request) and not request.flags and request.people == 1
    return ("deny", "allow") if whole and len(allowed_once(request.options)) < 2 else ("deny",)


def fits(request: RequestBody) -> bool:
    """Whether all that a human must read before deciding is short enough to be seen at once."""
    shown = _shown(request)
    return len(shown) <= FITS_CHARACTERS and shown.count("\n") < FITS_LINES and not request.diffs


def asks(request: RequestBody, request_id: str, session_id: SessionId, *, place: str, details: bool) -> Call:
    """The call for a permission request, without its tickets. `place`: the workspace and the machine."""
    body = place
    if details:
        body = f"{_shown(request) if fits(request) else _cut(request.title or request.tool_name)}\n{place}"
    return Call("Permission asked", body, tag_of(request_id), session_id)


def asks_something(message: str, question_id: str, session_id: SessionId, *, place: str, details: bool) -> Call:
    """The call for a question of the agent's."""
    return Call("A question waits", f"{_cut(message)}\n{place}" if details else place, tag_of(question_id), session_id)


def withdraws(asked_id: str, session_id: SessionId, outcome: Outcome | str, *, place: str) -> Call:
    """The call that takes the place of one whose request or question is over."""
    return Call(f"No longer asked: {outcome}", place, tag_of(asked_id), session_id, closed=True)


def tag_of(asked_id: str) -> str:
    """What the calls for one request, and the page's own notification of it, have in common."""
    return f"myagent {asked_id}"


def topic_of(tag: str) -> str:
    """By which a push service lets a later call take the place of one that it has not delivered (RFC 8030, 5.4)."""
    return hashlib.sha256(tag.encode()).hexdigest()[:32]


def _shown(request: RequestBody) -> str:
    return f"{request.tool_name}: {request.display}"


def _cut(text: str) -> str:
    line = " ".join(escape(text).split())
    return line if len(line) <= FITS_CHARACTERS else f"{line[: FITS_CHARACTERS - 1]}…"
