"""A turn as its session keeps it, while it waits and while it runs."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from myagent.core.content import content_digest
from myagent.core.messages import Item, PermissionMode

# What a stop reason means as an exit code where the agent has none of its own (protocol.md, section 4).
EXIT_CODES = {"end_turn": 0, "cancelled": 130}


class QueuedTurn(msgspec.Struct, frozen=True):
    """An accepted prompt: waiting, or running."""

    id: str
    prompt: str
    by: str
    mode: PermissionMode
    skill_names: tuple[str, ...] = ()
    origin: Literal["person", "agent"] = "person"
    content: tuple[Item, ...] = ()


class Running(msgspec.Struct, frozen=True):
    turn: QueuedTurn
    cancelling: bool = False


def prompt_digest(prompt: str, content: tuple[Item, ...] = ()) -> bytes:
    """What makes two prompts the same: SHA-256 of the text, and of what it carries beside it, if anything."""
    digest = hashlib.sha256(prompt.encode()).digest()
    return content_digest(digest, content) if content else digest
