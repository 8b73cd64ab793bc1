"""What hosts and relays say to each other through the engine, as JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

from myagent.core.messages import OwnerInfo, Scope, SessionId
from myagent.core.session import Session

Use = Literal["look", "read", "join"]  # whether it is still good; a request over HTTP; a WebSocket


class HostState(msgspec.Struct, frozen=True, rename="camel"):
    """The latest of a host."""

    owner_epoch: int
    owner: OwnerInfo | None
    why: str  # it changed, as in `owner_changed`
    followers: int


class SessionState(msgspec.Struct, frozen=True):
    """The latest of a session, true once all events up to `head` were seen."""

    head: int
    session: Session


class Question(msgspec.Struct, frozen=True):
    """A relay asks whether somebody may come in. The token itself does not travel."""

    digest: str  # SHA-256 of the token, in hex
    use: Use
    network: str  # where it was shown


class Verdict(msgspec.Struct, frozen=True, rename="camel"):
    """What the host says. `seconds`: until it ends by itself. `once`: it was counted, and is to be asked again."""

    good: bool
    credential_id: str = ""
    scope: Scope = "follower"
    session_id: SessionId | None = None
    device_id: str | None = None
    seconds: float | None = None
    once: bool = False


def read(data: bytes, kind: type[HostState] | type[SessionState]) -> HostState | SessionState | None:
    """What a host has published; `None` for what this version cannot read."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError):
        return None
