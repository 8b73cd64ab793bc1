"""A rule instead of a repeated question, and what a decision says to make one: as they travel and as they are kept."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Match = Literal["exact", "prefix", "path"]

WORDS = 32  # of a prefix


class Remember(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """What a decision asks to be remembered. Without `words` or `path` it is the narrowest that the request gives."""

    scope: Literal["session", "workspace"]
    match: Match
    words: Annotated[tuple[Annotated[str, Meta(max_length=1024)], ...], Meta(min_length=1, max_length=WORDS)] | None = (
        None
    )
    path: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    until: Annotated[str, Meta(max_length=64)] | None = None  # ISO 8601 with a zone


class Offer(Struct, frozen=True, rename="camel", omit_defaults=True):
    """One way in which a request can be remembered: its narrowest."""

    match: Match
    words: tuple[str, ...] | None = None
    path: str | None = None


class Missed(Struct, frozen=True, rename="camel"):
    """A rule that would have matched a request and did not; `why` is for a human."""

    rule_id: str
    why: str


class Rule(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """One rule; times are ISO 8601 UTC. Digests are SHA-256 in hex."""

    rule_id: str
    match: Match
    shown: str  # what it allows, escaped
    session_id: str | None = None  # the only one in which it counts
    cwd: str
    tool_name: str
    kind: str
    asked: str  # digest of what was asked for
    bound: str  # digest of the files that would run or change, as far as the agent tells them; else empty
    words: tuple[str, ...] = ()
    path: str = ""  # relative to `cwd`
    until: str | None = None
    made_at: str
    made_by: str  # as others see whoever made it
    credential: str
