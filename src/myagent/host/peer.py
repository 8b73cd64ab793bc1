"""A connection, as the rooms behind it see one."""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime
from typing import Protocol

from myagent.core.display import escape
from myagent.core.messages import ConnectionId, Scope, SessionId
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
    credential_label: str  # that the operator gave the credential, or the device itself when it came
    label: str  # what others see, see `shown_name`
    since: datetime
    cursor: Cursor
    shown: set[str]  # permission requests and questions that were sent to it outside of the window

    def send(self, payload: bytes) -> None:
        """Send one message to this connection alone, before anything that is published later."""

    def refuse(self, message_id: str | None, refusal: Refused) -> None:
        """Answer a message with an `error`."""

    def why_inside(self) -> str:
        """Why one of the agent's own processes may be at the other end; empty if none is. Takes milliseconds."""

    def still_good(self) -> bool:
        """Whether its credential has been neither replaced, revoked nor expired since it connected."""

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake."""

    def fence(self) -> None:
        """Answer what is still on its way from the other side, then close with 4409."""


def clean_label(text: str) -> str:
    """A label as it is shown to others: no character that hides or moves, not long."""
    return escape(text.strip())[:LABEL_CHARACTERS]


def shown_name(credential_label: str, label: str, others: Container[str]) -> str:
    """What others see of a connection: what its credential is called, then what it calls itself; with a number where
    somebody else is shown so already."""
    name = f"{credential_label} ({label})" if credential_label and label not in ("", credential_label) else ""
    name = (name or credential_label or label)[:LABEL_CHARACTERS]
    number, shown = 2, name
    while name and shown in others:
        mark = f" #{number}"
        number, shown = number + 1, name[: LABEL_CHARACTERS - len(mark)] + mark
    return shown


def name_of(peer: Peer) -> str:
    """Who others are told that it was; a label is a hint, never an identity."""
    return peer.label or peer.connection_id


def watches(peer: Peer, session_id: SessionId) -> bool:
    """Whether a connection sees a session."""
    return peer.cursor.session_id in (None, session_id)
