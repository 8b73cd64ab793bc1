"""What is told about a session, a permission request, a decision and an end, in the same words in every format."""

from __future__ import annotations

from collections.abc import Iterator

from myagent.core.messages import (
    Activity,
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
from myagent.text.options import told
from myagent.text.times import utc
from myagent.text.wording import (
    ANSWERED,
    OUTCOMES,
    allowed_by,
    escaped_line,
    name_line,
    one_line,
    request_name,
    whole_line,
)


def title(metadata: Metadata) -> str:
    return one_line(metadata.title) or metadata.session_id


def about(metadata: Metadata) -> Iterator[tuple[str, str]]:
    yield "session", whole_line(metadata.session_id)
    yield "directory", whole_line(metadata.cwd)
    yield "agent", whole_line(metadata.agent)
    yield "created", whole_line(metadata.created_at)
    yield "state", metadata.state
    yield "events", str(metadata.head)


def prompt(event: Prompt) -> str:
    return f"Prompt by {name_line(event.by)}"


def activity(_: Activity) -> str:
    return "The agent goes on by itself"


def asked(event: PermissionRequest) -> str:
    return f"Permission asked: {request_name(event)}"


def details(event: PermissionRequest) -> Iterator[tuple[str, str]]:
    yield "tool", escaped_line(event.request.tool_name)
    if event.request.reason:
        yield "because", escaped_line(event.request.reason)
    if event.request.asked_at:
        yield "asked at", whole_line(event.request.asked_at)


def resolved(event: PermissionResolved) -> str:
    reason = f": {one_line(event.reason)}" if event.reason else ""
    return f"Permission {OUTCOMES[event.outcome]} by {name_line(event.by)}{reason}"


def allowed(event: PermissionAllowed) -> str:
    return f"Permission allowed so far by {allowed_by(event.allowed_by, event.people)}"


def chosen(event: OptionSet) -> str:
    return f"Option {told(event)}"


def question(event: Question) -> str:
    where = f" ({whole_line(event.url)})" if event.url else ""
    return f"Question asked: {escaped_line(event.message)}{where}"


def answered(event: QuestionResolved) -> str:
    reason = f": {one_line(event.reason)}" if event.reason else ""
    return f"Question {ANSWERED[event.outcome]} by {name_line(event.by)}{reason}"


def ended(event: TerminalState) -> str:
    why = one_line(event.message or event.stop_reason)
    return f"Turn ended: exit {event.exit_code}{f' ({why})' if why else ''}"


def gap(event: Gap) -> str:
    return f"Events {event.start} to {event.end} are gone: the server keeps the latest only"


def when(event: object) -> str:
    """The time of an event, after what is told of it; nothing where it has none."""
    return f" · {utc(event.at)}" if isinstance(event, Event) and event.at is not None else ""
