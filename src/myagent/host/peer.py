"""A connection, as the rooms behind it see one."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from myagent.core.display import escape
from myagent.core.messages import ConnectionId, Scope
from myagent.core.refusals import Refused
from myagent.delivery.cursor import Cursor
from myagent.delivery.fanout import Sink

LABEL_CHARACTERS = 128


class Peer(Sink, Protocol):
    """One client. `label` may change; `scope` may shrink, when a process of the agent is found behind it."""

    connection_id: ConnectionId
    credential_id: str
    device_id: str | None  # of the devices that this credential was exchanged for
    scope: Scope
    label: str
    since: datetime
    cursor: Cursor
    shown: set[str]  # permission requests that were sent to it outside of the window

    def send(self, payload: bytes) -> None:
        """Send one message to this connection alone, before anything that is published later."""

    def refuse(self, message_id: str | None, refusal: Refused) -> None:
        """Answer a message with an `error`."""

    def why_inside(self) -> str:
        """Why one of the agent's own processes may be at the other end; empty if none is. Takes milliseconds."""

    def still_good(self) -> bool:
        """Whether its credential has been neither replaced, revoked nor expired since it connected."""

    def come_back(self) -> None:
        """Close, so that it comes back and resumes."""

    def fence(self) -> None:
        """Answer what is still on its way from the other side, then close with 4409."""


def clean_label(text: str) -> str:
    """A label as it is shown to others: no character that hides or moves, not long."""
    return escape(text.strip())[:LABEL_CHARACTERS]


def name_of(peer: Peer) -> str:
    """Who others are told that it was; a label is a hint, never an identity."""
    return peer.label or peer.connection_id
