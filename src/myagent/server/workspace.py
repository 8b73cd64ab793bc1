"""What is served, as the listener knows it: a host that decides, or a copy of one that only shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from myagent.core.messages import ClientMessage, ConnectionId, Metadata, Role, SessionId
from myagent.core.session import Session
from myagent.delivery.fanout import Fanout
from myagent.eventlog import EventLog
from myagent.host.peer import Peer


class Roles(Protocol):
    """Who owns."""

    def role(self, connection_id: ConnectionId) -> Role: ...


class Listed(Protocol):
    """The sessions, as clients are told them."""

    def listed(self, *, only: SessionId | None = None) -> list[Metadata]: ...


class Readings(Protocol):
    """Who reads over HTTP."""

    def read(self, credential_id: str, device_id: str | None, session_id: str | None) -> None: ...


class Covers(Protocol):
    """What may be said to others, of what somebody wants to say."""

    def encoded(self, data: bytes, /) -> bytes: ...

    def text(self, text: str, /) -> str: ...


class Workspace(Protocol):
    """`host.Host` is one."""

    peers: dict[ConnectionId, Peer]
    fanout: Fanout

    @property
    def redactor(self) -> Covers: ...

    @property
    def log(self) -> EventLog: ...

    @property
    def sessions(self) -> Mapping[SessionId, Session]: ...

    @property
    def store(self) -> Listed: ...

    @property
    def ownership(self) -> Roles: ...

    @property
    def visits(self) -> Readings: ...

    def join(self, peer: Peer, *, as_follower: bool, after_seq: int | None, reclaim: str | None) -> None: ...

    def leave(self, peer: Peer, *, clean: bool) -> None: ...

    def receive(self, peer: Peer, message: ClientMessage) -> None:
        """Raises `Refused`."""
