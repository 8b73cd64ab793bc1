"""What a client was asked to be, and the figures it lives by."""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from myagent.client.address import Address
from myagent.client.state import State

HEARTBEAT = 5.0  # seconds of silence before a ping, and again before the server counts as gone: found within 11 s
WELCOME_WAIT = 0.25  # seconds; a v1 server sends none, and nothing but convenience depends on having it at once
STABLE = 10.0  # seconds that a connection must last for the backoff to begin anew
LATER = 5.0  # seconds to wait at least where the server asked for calm
RESUMES_AT_ONCE = 10  # our server takes 20 messages in a burst from a follower, then 5 a second
RESUME_PAUSE = 0.25  # seconds between further ones
RATE_LIMITED_PAUSE = 1.0  # seconds before sending again what came too fast, where the server does not tell how long
LONGEST_PAUSE = 60.0  # seconds: a server that asks for more is not obeyed


def full_jitter(attempt: int) -> float:
    """Seconds to wait before an attempt, counted from 0: anything up to 0.5 s, 1 s, 2 s, … 30 s."""
    return random.uniform(0, min(30.0, 0.5 * 2 ** min(attempt, 10)))  # noqa: S311 -- spreads load, guards nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The arguments of `connect`, which says what they mean."""

    address: Address
    token: str
    session: str | None
    after: int | None
    follow: bool
    label: str | None
    wants: tuple[str, ...]
    reconnect: bool
    reconnect_for: float
    tls: ssl.SSLContext | None
    heartbeat: float
    backoff: Callable[[int], float]
    on_state: Callable[[State], None] | None
    locate: Callable[[], tuple[Address, str]] | None
