"""Every message of the wire, as a type: what clients send, what the server sends, what the log keeps.

The contract is docs/protocol.md. Field names are snake_case here and camelCase on the wire.
A field that may be absent is `None` here and left out there; one that may be `null` there has no default here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NewType

from msgspec import Meta, Struct

PROTOCOL_VERSION: Literal[1] = 1

SessionId = NewType("SessionId", str)
ConnectionId = NewType("ConnectionId", str)

Role = Literal["owner", "follower"]
Scope = Literal["owner", "follower"]
PermissionMode = Literal["plan", "default", "bypassPermissions"]
SessionState = Literal["idle", "running", "completed", "failed"]
Outcome = Literal["allow", "deny", "cancelled", "expired"]

# A client's own name for what it asks: 1 to 128 characters, no control characters (section 3).
ClientId = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"\A[^\x00-\x1f\x7f-\x9f]+\Z")]


OptionName = Annotated[str, Meta(min_length=1, max_length=256)]
OptionValue = bool | Annotated[str, Meta(max_length=1024)]


# --- client → server -------------------------------------------------------------------------------------------


class Command(Struct, frozen=True, rename="camel", tag_field="type", kw_only=True):
    """What somebody wants; may be refused. `id` is the client's own and comes back in the answer."""

    id: ClientId


class UserMessage(Command, frozen=True, kw_only=True, tag="user_message"):
    prompt: str
    session_id: SessionId | None = None
    permission_mode: PermissionMode | None = None
    skill_names: Annotated[tuple[Annotated[str, Meta(max_length=128)], ...], Meta(max_length=64)] = ()
    options: Annotated[dict[OptionName, OptionValue], Meta(max_length=16)] | None = (
        None  # chosen for the session before
    )


class DecisionBody(Struct, frozen=True, rename="camel"):
    kind: Literal["allow", "deny"]
    reason: Annotated[str, Meta(max_length=4096)] | None = None
    option_id: Annotated[str, Meta(max_length=256)] | None = None
    digest: Annotated[str, Meta(max_length=128)] | None = None


class PermissionDecision(Command, frozen=True, kw_only=True, tag="permission_decision"):
    permission_request_id: Annotated[str, Meta(max_length=128)]
    decision: DecisionBody


class Resume(Command, frozen=True, kw_only=True, tag="resume"):
    session_id: SessionId
    after_seq: Annotated[int, Meta(ge=0, lt=2**53)] | None = None


class Ping(Command, frozen=True, kw_only=True, tag="ping"):
    pass


class ClientInfo(Struct, frozen=True):
    name: Annotated[str, Meta(max_length=128)]
    version: Annotated[str, Meta(max_length=128)] = ""


class Hello(Command, frozen=True, kw_only=True, tag="hello"):
    client: ClientInfo
    label: Annotated[str, Meta(max_length=128)] | None = None
    wants: tuple[str, ...] = ()
    reclaim_token: Annotated[str, Meta(max_length=256)] | None = None


class Cancel(Command, frozen=True, kw_only=True, tag="cancel"):
    session_id: SessionId
    turn_id: ClientId | None = None


class Claim(Command, frozen=True, kw_only=True, tag="claim"):
    pass


class Release(Command, frozen=True, kw_only=True, tag="release"):
    pass


class Handover(Command, frozen=True, kw_only=True, tag="handover"):
    to: Annotated[str, Meta(max_length=128)]


class Who(Command, frozen=True, kw_only=True, tag="who"):
    pass


class SetOption(Command, frozen=True, kw_only=True, tag="set_option"):
    """An owner's choice of what the agent offers for a session; `name` is an option's id, or its category."""

    session_id: SessionId
    name: OptionName
    value: OptionValue


ClientMessage = (
    UserMessage | PermissionDecision | Resume | Ping | Hello | Cancel | Claim | Release | Handover | Who | SetOption
)


# --- events: what the log keeps and every connection sees. `seq` is given by the log, inside the commit. --------


class Event(Struct, frozen=True, rename="camel", tag_field="type", kw_only=True, omit_defaults=True):
    """A fact of a session. `id` is that of the turn, which is the `id` of the `user_message` that began it."""

    id: str
    session_id: SessionId
    seq: int | None = None  # absent until the log gives it, inside the commit; clients get it


class Prompt(Event, frozen=True, kw_only=True, tag="prompt"):
    prompt: str
    by: str


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


class PermissionRequest(Event, frozen=True, kw_only=True, tag="permission_request"):
    permission_request_id: str
    request: RequestBody
    pending: bool = False  # a second copy, outside of the run of `seq`s: this request is open now (section 6)


class PermissionResolved(Event, frozen=True, kw_only=True, tag="permission_resolved"):
    permission_request_id: str
    outcome: Outcome
    by: str
    reason: str | None = None


class TerminalState(Event, frozen=True, kw_only=True, tag="terminal_state"):
    exit_code: int
    stop_reason: str
    agent_session_id: str | None = None
    message: str | None = None


class OptionSet(Event, frozen=True, kw_only=True, tag="option_set"):
    """An option of the agent's was chosen; `id` is that of the `set_option`, and no turn's."""

    option_id: str
    value: str | bool
    before: str | bool | None = None
    by: str
    reason: str | None = None  # why the server set it back
    guarded: bool = False  # the agent may act unasked by it


SessionEvent = Prompt | AgentStdout | AgentStderr | PermissionRequest | PermissionResolved | TerminalState | OptionSet


# --- server → client, state and answers: no `seq` ---------------------------------------------------------------


class Reply(Struct, frozen=True, rename="camel", tag_field="type", kw_only=True, omit_defaults=True):
    """A message that is not an event."""


class Ready(Struct, frozen=True, rename="camel", tag_field="type", tag="ready"):
    protocol_version: Literal[1]


class RoleMessage(Reply, frozen=True, kw_only=True, tag="role"):
    role: Role


class Ack(Reply, frozen=True, kw_only=True, tag="ack"):
    id: str
    session_id: SessionId | None = None  # absent where no session is meant: hello, claim, release, handover
    duplicate: bool


class QueuedPrompt(Struct, frozen=True):
    id: str
    prompt: str


class Metadata(Struct, frozen=True, rename="camel", kw_only=True, omit_defaults=True):
    """A session as `session_metadata` tells it; times are ISO 8601 UTC."""

    version: Literal[1]
    session_id: SessionId
    cwd: str
    created_at: str
    updated_at: str
    state: SessionState
    write_ids: list[str]
    agent_session_id: str | None = None
    last_request_id: str | None = None
    last_exit_code: int | None = None
    last_error: str | None = None
    title: str
    agent: str
    mode: str
    queue: list[QueuedPrompt]
    head: int
    agent_state: dict[str, Any] | None = None


class SessionMetadata(Reply, frozen=True, kw_only=True, tag="session_metadata"):
    session: Metadata


class Pong(Reply, frozen=True, kw_only=True, tag="pong"):
    id: str


class Error(Reply, frozen=True, kw_only=True, tag="error"):
    id: str | None = None
    message: str
    code: str
    retry_after: float | None = None  # seconds, with `rate_limited`: sent again then, it is taken


class ServerInfo(Struct, frozen=True):
    name: str
    version: str


class OwnerInfo(Struct, frozen=True, rename="camel"):
    connection_id: ConnectionId
    label: str


class Limits(Struct, frozen=True, rename="camel", kw_only=True):
    """What a connection may do; bytes, counts, and messages per second (section 7)."""

    message_bytes: int
    prompt_bytes: int
    chunk_frame_bytes: int
    fragments: int
    owner_messages_per_second: int
    follower_messages_per_second: int
    errors: int
    queue: int


class Welcome(Reply, frozen=True, kw_only=True, tag="welcome"):
    connection_id: ConnectionId
    server: ServerInfo
    scope: Scope
    owner_epoch: int
    owner: OwnerInfo | None
    followers: int
    sessions: list[Metadata]
    limits: Limits
    reclaim_token: str | None = None


class ConnectionInfo(Struct, frozen=True, rename="camel"):
    connection_id: ConnectionId
    role: Role
    scope: Scope
    label: str
    since: str


class Connections(Reply, frozen=True, kw_only=True, tag="connections"):
    id: str
    connections: list[ConnectionInfo]


class OwnerChanged(Reply, frozen=True, kw_only=True, tag="owner_changed"):
    owner_epoch: int
    owner: OwnerInfo | None
    why: str
    reclaim_token: str | None = None  # in the copy that goes to the new owner, and in no other


class Presence(Reply, frozen=True, kw_only=True, tag="presence"):
    followers: int


class Replayed(Reply, frozen=True, kw_only=True, tag="replayed"):
    id: str
    session_id: SessionId
    head: int


_GAP_NAMES = {"session_id": "sessionId", "start": "from", "end": "to"}


class Gap(Struct, frozen=True, rename=_GAP_NAMES, tag_field="type", tag="gap"):
    """These events are gone for good: `start` to `end`, both included."""

    session_id: SessionId
    start: int
    end: int


ServerMessage = (
    Ready
    | RoleMessage
    | Ack
    | SessionMetadata
    | Pong
    | Error
    | Welcome
    | Connections
    | OwnerChanged
    | Presence
    | Replayed
    | Gap
)
