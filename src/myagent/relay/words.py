"""What hosts and relays say to each other through the engine, as JSON."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from myagent.core.messages import ConnectionId, OwnerInfo, Scope, SessionId
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


# --- what is said of the connections that a relay vouches for -------------------------------------------------------


class Open(msgspec.Struct, frozen=True):
    """A relay asks for a link to the host: a chain of numbered `Carried`, each way, until it breaks. What one of a
    broken link says counts no more, whenever it comes. `link` and `relay` are random, and the latter is a subject.
    Whoever knows `link` speaks for those who came over it: it is said to the host alone, where no relay listens."""

    link: str
    relay: str


class Opened(msgspec.Struct, frozen=True):
    ok: bool


class Join(msgspec.Struct, frozen=True, rename="camel", tag="join"):
    """Somebody has come. What they may do the host finds by the `digest` of the token that they showed, as in
    `Question`; the rest is as in the request for a WebSocket."""

    connection: ConnectionId
    digest: str
    label: str
    session_id: SessionId | None
    as_follower: bool
    reclaim: str | None = None
    said_hello: bool = False


class Said(msgspec.Struct, frozen=True, tag="said"):
    """A message of theirs. `shown`: the request that it answers, if it does, was shown to them by the relay."""

    connection: ConnectionId
    message: msgspec.Raw
    shown: bool = False


class Left(msgspec.Struct, frozen=True, tag="left"):
    connection: ConnectionId
    clean: bool


class Beat(msgspec.Struct, frozen=True, tag="beat"):
    """Those who have not left are there still: said by the relay all the time, and answered with the same."""


class Told(msgspec.Struct, frozen=True, tag="told"):
    """The host's message to one of them."""

    connection: ConnectionId
    message: msgspec.Raw


class Fence(msgspec.Struct, frozen=True, tag="fence"):
    """What they sent before they could know that they own no more is to be answered, then they are to be closed."""

    connection: ConnectionId


class Close(msgspec.Struct, frozen=True, tag="close"):
    connection: ConnectionId
    code: int
    reason: str


class Unseated(msgspec.Struct, frozen=True, tag="unseated"):
    """They have no place at the host, and can watch at the relay."""

    connection: ConnectionId


class Broken(msgspec.Struct, frozen=True, tag="broken"):
    """The link has ended, or was never there; said without a number."""


ToHost = Join | Said | Left | Beat
ToRelay = Told | Fence | Close | Unseated | Beat


class Carried(msgspec.Struct, frozen=True):
    """From a relay to the host. Numbers count from 1: one that is missing breaks the link."""

    link: str
    relay: str
    number: int
    what: ToHost | Broken


class Returned(msgspec.Struct, frozen=True):
    """From the host to a relay, likewise. All relays can hear it: of `link` it has `digest_of`."""

    link: str
    number: int
    what: ToRelay | Broken


def digest_of(link: str) -> str:
    """What names a link to its relay, and lets nobody speak over it."""
    return hashlib.sha256(link.encode()).hexdigest()


def read(data: bytes, kind: type[HostState] | type[SessionState]) -> HostState | SessionState | None:
    """What a host has published; `None` for what this version cannot read."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError):
        return None
