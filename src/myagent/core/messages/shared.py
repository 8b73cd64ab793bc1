"""What messages of both directions have in common: ids, and the words of the wire."""

from __future__ import annotations

from typing import Annotated, Literal, NewType

from msgspec import Meta

PROTOCOL_VERSION: Literal[1] = 1

SessionId = NewType("SessionId", str)
ConnectionId = NewType("ConnectionId", str)

Role = Literal["owner", "follower"]
# What a credential may do, each all that those before it may: watch, stop, approve, drive (see `ownership`).
Scope = Literal["follower", "stop", "approve", "owner"]
May = Literal["watch", "stop", "approve", "drive"]  # the same, in the words that people use
TwoScopes = Literal["owner", "follower"]  # what was told before there were more: whether it may own
PermissionMode = Literal["plan", "default", "bypassPermissions"]
SessionState = Literal["idle", "running", "completed", "failed"]
Outcome = Literal["allow", "deny", "cancelled", "expired"]
QuestionOutcome = Literal["accept", "decline", "cancel"]

# A client's own name for what it asks: 1 to 128 characters, no control characters (section 3).
ClientId = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"\A[^\x00-\x1f\x7f-\x9f]+\Z")]
