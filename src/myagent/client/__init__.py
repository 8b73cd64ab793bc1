"""The async client: connects, watches, drives; reconnects and resumes by itself when asked.

async with connect("ws://127.0.0.1:8765", token=token, reconnect=True) as client:
    await client.prompt("read README.md")
    async for message in client:
        ...
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from myagent.client.address import Address, parse_link
from myagent.client.attachment import Attachment
from myagent.client.client import Client
from myagent.client.errors import (
    BadCa,
    BadToken,
    BadUrl,
    CannotConnect,
    ClientError,
    Disconnected,
    LogShrunk,
    MissingEvents,
    NotCarried,
    NotConnected,
    NotMyagent,
    PlainToken,
    PromptTooLarge,
    Refused,
)
from myagent.client.here import NoServerHere, find
from myagent.client.incoming import Message, Unknown, to_json
from myagent.client.options import HEARTBEAT, Options, full_jitter
from myagent.client.state import State
from myagent.client.turn import PromptRefused, TurnResult

__all__ = [
    "Attachment",
    "BadCa",
    "BadToken",
    "BadUrl",
    "CannotConnect",
    "Client",
    "ClientError",
    "Disconnected",
    "LogShrunk",
    "Message",
    "MissingEvents",
    "NoServerHere",
    "NotCarried",
    "NotConnected",
    "NotMyagent",
    "PlainToken",
    "PromptRefused",
    "PromptTooLarge",
    "Refused",
    "State",
    "TurnResult",
    "Unknown",
    "connect",
    "to_json",
]


def connect(
    url: str | Address | None = None,
    *,
    token: str | None = None,
    session: str | None = None,
    after: int | None = None,
    role: Literal["follower"] | None = None,
    label: str | None = None,
    wants: tuple[str, ...] = (),
    reconnect: bool = False,
    reconnect_for: float = float("inf"),
    tls: ssl.SSLContext | None = None,
    insecure_plain: bool = False,
    heartbeat: float = HEARTBEAT,
    backoff: Callable[[int], float] = full_jitter,
    on_state: Callable[[State], None] | None = None,
    locate: Callable[[], tuple[Address, str]] | None = None,
) -> Client:
    """Make a client; `async with` connects it.

    Args:
        url: `ws://…`, `http://…` and the like, `host:port`, or an invite's link, which has its token in it. Without
            one, the server that runs in this directory or the nearest above, whose token is found there.
        token: The owner's or an invite's; without it, the one in the link, or of the directory.
        session: Watch this session only; without it, all.
        after: Start that session's stream after this event; 0 is its beginning. Without it, live.
        role: "follower" asks not to be given the ownership, even if it is free.
        label: Shown to others; a hint, never an identity.
        wants: "updates" asks for the agent's structured updates.
        reconnect: Come back after a drop as what this client was, with nothing lost and nothing twice. The first
            connection is never retried.
        reconnect_for: Seconds of trying after a drop before giving up.
        tls: Whom to trust with `wss://`; without it, as the address says, else the system's authorities.
        insecure_plain: Send the token over `ws://` also to hosts other than this one.
        heartbeat: Seconds of silence before the server is asked for a sign of life, and again until it counts as gone.
        backoff: Seconds to wait before a reconnection attempt, which is counted from 0.
        on_state: Called when `client.state` changes.
        locate: Says anew where the server is, and the token for it, before each attempt to come back; it may block.
            Without it, and without a `url`, the directory is asked again; else the address stays what it was.

    Raises:
        BadToken, BadUrl, PlainToken, NoServerHere: at once. `async with` raises Refused, CannotConnect and NotMyagent.
    """
    if url is None and locate is None:
        here = Path.cwd()
        locate = lambda: _found(here, insecure_plain=insecure_plain)  # noqa: E731
    address, given = _meant(url)
    token = given if token is None else token
    if not token or any(not "!" <= character <= "~" for character in token):
        raise BadToken
    address.check_plain(allowed=insecure_plain)
    return Client(
        Options(
            address=address,
            token=token,
            session=session,
            after=after,
            follow=role == "follower",
            label=label,
            wants=wants,
            reconnect=reconnect,
            reconnect_for=reconnect_for,
            tls=tls or address.tls,
            heartbeat=heartbeat,
            backoff=backoff,
            on_state=on_state,
            locate=locate,
        )
    )


def _found(here: Path, *, insecure_plain: bool) -> tuple[Address, str]:
    address, token = find(here)
    address.check_plain(allowed=insecure_plain)
    return address, token


def _meant(url: str | Address | None) -> tuple[Address, str | None]:
    if url is None:
        return find(Path.cwd())
    return parse_link(url) if isinstance(url, str) else (url, None)
