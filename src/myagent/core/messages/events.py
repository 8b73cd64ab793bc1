"""Events: what the log keeps and every connection sees. `seq` is given by the log, inside the commit."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from myagent.core.messages.content import Item
from myagent.core.messages.shared import Outcome, QuestionOutcome, SessionId
from myagent.core.rule import Missed, Offer


class Event(Struct, frozen=True, rename="camel", tag_field="type", kw_only=True, omit_defaults=True):
    """A fact of a session. `id` is that of the turn, which is the `id` of the `user_message` that began it."""

    id: str
    session_id: SessionId
    seq: int | None = None  # absent until the log gives it, inside the commit; clients get it
    at: int | None = None  # when it was accepted, milliseconds since 1970 (UTC); from the log, as `seq`


class Prompt(Event, frozen=True, kw_only=True, tag="prompt"):
    prompt: str
    by: str
    content: tuple[Item, ...] = ()


class Activity(Event, frozen=True, kw_only=True, tag="activity"):
    """A turn that nobody prompted begins; `id` is the server's."""

    origin: Literal["agent"]


class AgentStdout(Event, frozen=True, kw_only=True, tag="agent_stdout"):
    chunk: str
    update: Any = None  # only for clients that asked for updates; stored beside the event, not in it


class AgentStderr(Event, frozen=True, kw_only=True, tag="agent_stderr"):
    chunk: str
    update: Any = None  # as above


class Diff(Struct, frozen=True, rename="camel"):
    """A file's text before (`None`: it does not exist) and after."""

    path: str
    old_text: str | None
    new_text: str


class Option(Struct, frozen=True, rename="camel"):
    """One answer that the agent offers; `kind` is ACP's: allow_once, allow_always, reject_once, reject_always."""

    option_id: str
    name: str
    kind: str


class RequestBody(Struct, frozen=True, rename="camel", kw_only=True, omit_defaults=True):
    """What a permission request asks for."""

    tool_name: str
    input: Any
    reason: str | None = None
    title: str = ""
    kind: str = "other"
    display: str
    flags: tuple[str, ...]
    diffs: tuple[Diff, ...] = ()
    options: tuple[Option, ...] = ()
    digest: str
    asked_at: str | None = None
    expires_at: str
    remembers: tuple[Offer, ...] = ()
    missed: tuple[Missed, ...] = ()
    people: int = 1  # that must allow it
    rule_id: str | None = None  # of the rule that allows it: nobody is asked, its `permission_resolved` follows at once
    tool_call_id: str | None = None


class PermissionRequest(Event, frozen=True, kw_only=True, tag="permission_request"):
    permission_request_id: str
    request: RequestBody
    pending: bool = False  # a second copy, outside of the run of `seq`s: this request is open now (section 6)


class PermissionAllowed(Event, frozen=True, kw_only=True, tag="permission_allowed"):
    """Who has allowed a request so far that several people must allow: all of them, also when one counts no more."""

    permission_request_id: str
    by: str
    allowed_by: list[str]
    people: int
    pending: bool = False  # as of a permission request, whose such copy it follows; without a `seq`


class PermissionResolved(Event, frozen=True, kw_only=True, tag="permission_resolved"):
    permission_request_id: str
    outcome: Outcome
    by: str
    reason: str | None = None
    rule_id: str | None = None  # of the rule that allowed it


class TerminalState(Event, frozen=True, kw_only=True, tag="terminal_state"):
    exit_code: int
    stop_reason: str
    agent_session_id: str | None = None
    message: str | None = None


class Question(Event, frozen=True, kw_only=True, tag="question"):
    """The agent asks something: a form (`schema`), or that an address be visited (`url`, with its `host`)."""

    question_id: str
    message: str
    schema: dict[str, Any] | None = None
    url: str | None = None
    host: str | None = None
    flags: tuple[str, ...] = ()
    asked_at: str
    expires_at: str
    pending: bool = False  # as of a permission request


class QuestionResolved(Event, frozen=True, kw_only=True, tag="question_resolved"):
    question_id: str
    outcome: QuestionOutcome
    by: str
    reason: str | None = None


class OptionSet(Event, frozen=True, kw_only=True, tag="option_set"):
    """An option of the agent's was chosen; `id` is that of the `set_option`, and no turn's."""

    option_id: str
    value: str | bool
    before: str | bool | None = None
    by: str
    reason: str | None = None  # why the server set it back
    guarded: bool = False  # the agent may act unasked by it


SessionEvent = (
    Prompt
    | Activity
    | AgentStdout
    | AgentStderr
    | PermissionRequest
    | PermissionAllowed
    | PermissionResolved
    | Question
    | QuestionResolved
    | OptionSet
    | TerminalState
)
