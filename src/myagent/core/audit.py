"""The audit trail: who did what, as records of which each holds the hash of the one before it.

A record is a JSON object: `kind`, `time`, what belongs to the kind, and, given by the log inside the commit, `n` (from
1) and `prev`: SHA-256, in hex, over the whole bytes of the record before. Whoever changes, drops or moves one breaks
the link after it. What a chain without a key cannot show is that all of it was made anew; for that, keep its head
elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

GENESIS = "0" * 64  # `prev` of the first record


class Link(msgspec.Struct, frozen=True):
    """What every record must have."""

    n: int
    prev: str
    kind: str
    time: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look at a whole trail found: how many records hold, the hash of the last of these, and the first fault."""

    count: int
    head: str
    fault: str | None = None


def entry(kind: str, time: str, fields: Mapping[str, Any]) -> bytes:
    """A record before its commit; what is `None` is left out."""
    given = {name: value for name, value in fields.items() if value is not None}
    return msgspec.json.encode({"kind": kind, "time": time, **given})


def chained(body: bytes, n: int, prev: str) -> bytes:
    """The record as it is stored."""
    return b'%b,"n":%d,"prev":"%b"}' % (body[:-1], n, prev.encode())


def hash_of(record: bytes) -> str:
    return hashlib.sha256(record).hexdigest()


def verify(records: Iterable[tuple[int, bytes]], *, count: int, head: str) -> Verdict:
    """Follow the chain through all records, each with its place in the log; `count` and `head` are what the log says
    of its end."""
    seen, prev = 0, GENESIS
    for place, record in records:
        try:
            link = msgspec.json.decode(record, type=Link)
        except (msgspec.DecodeError, RecursionError):
            return Verdict(seen, prev, f"record {place} is no audit record")
        if link.n != seen + 1 or place != seen + 1:
            return Verdict(seen, prev, f"record {seen + 1} is missing: {place} follows {seen}")
        if link.prev != prev:
            what = f"record {seen} was changed" if seen else "the first record is not the first"
            return Verdict(seen, prev, f"the link from record {link.n} to the one before it is broken: {what}")
        seen, prev = link.n, hash_of(record)
    if (seen, prev) != (count, head):
        what = f"record {seen} was changed" if seen == count else f"the log had {count} records, {seen} are left"
        return Verdict(seen, prev, f"the end of the chain is broken: {what}")
    return Verdict(seen, prev)
