"""How things stand between a client, its server, the agent and the human whose answer may be awaited."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

StateName = Literal[
    "connecting",
    "live",
    "replaying",
    "reconnecting",
    "waiting_for_human",
    "owner_elsewhere",
    "agent_dead",
    "closed",
]

_SENTENCES = {
    "connecting": "connecting",
    "live": "live",
    "replaying": "catching up",
    "reconnecting": "reconnecting",
    "waiting_for_human": "waiting for a human to answer",
    "owner_elsewhere": "watching; the owner is elsewhere",
    "agent_dead": "the agent failed",
    "closed": "closed",
}


@dataclass(frozen=True, slots=True)
class State:
    """`why` is for a human: the reason, or what is awaited. `since` is the event loop's time of the drop, `attempt`
    counts from 1 (both only while reconnecting), `code` is the close code (only when closed)."""

    name: StateName
    why: str = ""
    since: float | None = None
    attempt: int = 0
    code: int | None = None

    def __str__(self) -> str:
        attempt = f", attempt {self.attempt}" if self.attempt else ""
        return f"{_SENTENCES[self.name]}{attempt}{': ' + self.why if self.why else ''}"
