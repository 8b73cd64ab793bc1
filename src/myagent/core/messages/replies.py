"""What the server sends beside events, without a `seq`: state, and answers."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from myagent.core.messages.shared import ConnectionId, May, Role, SessionId, SessionState, TwoScopes
from myagent.core.rule import Rule


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
    archived: bool = False


class SessionMetadata(Reply, frozen=True, kw_only=True, tag="session_metadata"):
    session: Metadata


class SessionDeleted(Reply, frozen=True, kw_only=True, tag="session_deleted"):
    session_id: SessionId
    by: str


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
    item_bytes: int = 0  # of a picture or file that a prompt carries
    content_bytes: int = 0  # of all that a session has


class Welcome(Reply, frozen=True, kw_only=True, tag="welcome"):
    connection_id: ConnectionId
    server: ServerInfo
    scope: TwoScopes
    owner_epoch: int
    owner: OwnerInfo | None
    followers: int
    sessions: list[Metadata]
    limits: Limits
    reclaim_token: str | None = None
    may: May | None = None
    takes: tuple[str, ...] = ()  # what the agent takes beside text: image, file


class ConnectionInfo(Struct, frozen=True, rename="camel"):
    connection_id: ConnectionId
    role: Role
    scope: TwoScopes
    label: str
    since: str
    may: May | None = None


class Connections(Reply, frozen=True, kw_only=True, tag="connections"):
    id: str
    connections: list[ConnectionInfo]


class OwnerChanged(Reply, frozen=True, kw_only=True, tag="owner_changed"):
    owner_epoch: int
    owner: OwnerInfo | None
    why: str
    reclaim_token: str | None = None  # in the copy that goes to the new owner, and in no other


class ControlRequested(Reply, frozen=True, kw_only=True, tag="control_requested"):
    """A follower asks the owner, who alone is told, to hand over."""

    connection_id: ConnectionId
    label: str


class Presence(Reply, frozen=True, kw_only=True, tag="presence"):
    followers: int


class Replayed(Reply, frozen=True, kw_only=True, tag="replayed"):
    id: str
    session_id: SessionId
    head: int


class RequestSeen(Reply, frozen=True, kw_only=True, tag="request_seen"):
    """Who could answer an open permission request now, and who has seen it: as they are shown to others."""

    permission_request_id: str
    session_id: SessionId
    could_answer: list[str]
    seen_by: list[str]


class Rules(Reply, frozen=True, kw_only=True, tag="rules"):
    id: str
    rules: list[Rule]


class Files(Reply, frozen=True, kw_only=True, tag="files"):
    id: str
    paths: list[str]
    complete: bool  # there are no more that would fit


class ChangedFile(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """`file` is what `ReadChange` asks for; `path` is for people; `status` are git's two letters."""

    file: str
    path: str
    status: str
    added: int | None = None
    removed: int | None = None


class Changes(Reply, frozen=True, kw_only=True, tag="changes"):
    """What is different from what git has checked out; `unknown` says why that cannot be told."""

    id: str
    files: list[ChangedFile]
    complete: bool
    branch: str | None = None
    unknown: str | None = None


class FileChange(Reply, frozen=True, kw_only=True, tag="change"):
    """A file's unified diff, from its first hunk on; `unknown` says why there is none."""

    id: str
    file: str
    diff: str
    complete: bool
    unknown: str | None = None


class PushTold(Reply, frozen=True, kw_only=True, tag="push"):
    """Whether this device is called, and the key that its browser needs to subscribe (VAPID; RFC 8292)."""

    id: str
    on: bool
    public_key: str  # an uncompressed point of P-256, base64url


class HostLink(Reply, frozen=True, kw_only=True, tag="host_link"):
    """A relay tells whether the host that it shows is there; `since`: it is not, from then on (ISO 8601, UTC)."""

    online: bool
    since: str | None = None


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
    | SessionDeleted
    | Pong
    | Error
    | Welcome
    | Connections
    | OwnerChanged
    | ControlRequested
    | Presence
    | HostLink
    | Replayed
    | Rules
    | Files
    | Changes
    | FileChange
    | RequestSeen
    | PushTold
    | Gap
)
