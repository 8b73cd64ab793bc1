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
    | RequestSeen
    | PushTold
    | Gap
)
