"""Which session is meant by what people write: its id, a part of it that no other has, or `@latest`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from myagent.client.address import Address
from myagent.client.asking import list_sessions
from myagent.client.errors import ClientError
from myagent.core.display import escape

LATEST = "@latest"
LISTED = 8  # sessions that are named where several could be meant

_WHOLE = re.compile(r"remote_\d{14}_[0-9a-f]{8}")


class NoSuchSession(ClientError):
    def __init__(self, wanted: str) -> None:
        super().__init__(wanted)
        self.wanted = wanted

    def __str__(self) -> str:
        if self.wanted == LATEST:
            return "there is no session on that server yet"
        return f"there is no session {escape(self.wanted)} on that server"


class Ambiguous(ClientError):
    """`found` are the ids and titles of the sessions that could be meant, the latest first."""

    def __init__(self, wanted: str, found: list[tuple[str, str]]) -> None:
        super().__init__(wanted, found)
        self.wanted, self.found = wanted, found

    def __str__(self) -> str:
        lines = [f"  {escape(name)}  {escape(title)}".rstrip() for name, title in self.found[:LISTED]]
        more = [f"  and {len(self.found) - LISTED} more"] if len(self.found) > LISTED else []
        what = f"{escape(self.wanted)} could be {len(self.found)} sessions; write more of the one that you mean:"
        return "\n".join([what, *lines, *more])


def named(address: Address, token: str, wanted: str) -> str:
    """The id of a session, for what somebody wrote; a whole id is not looked up. Raises as `list_sessions`,
    `NoSuchSession`, `Ambiguous`."""
    return wanted if is_whole(wanted) else resolve(wanted, list_sessions(address, token))


def is_whole(wanted: str) -> bool:
    return _WHOLE.fullmatch(wanted) is not None


def resolve(wanted: str, sessions: Iterable[Mapping[str, Any]]) -> str:
    """`sessions` are as the server lists them, the latest first. What was put into the archive is not the latest.

    A part is the beginning of an id, or of what comes after its last underscore.
    """
    listed = [(str(each["sessionId"]), str(each.get("title") or "")) for each in sessions if not each.get("archived")]
    everything = [(str(each["sessionId"]), str(each.get("title") or "")) for each in sessions]
    if wanted == LATEST:
        if not listed:
            raise NoSuchSession(wanted)
        return listed[0][0]
    if any(name == wanted for name, _ in everything):
        return wanted
    found = [each for each in everything if wanted and (each[0].startswith(wanted) or _end(each[0]).startswith(wanted))]
    if not found:
        raise NoSuchSession(wanted)
    if len(found) > 1:
        raise Ambiguous(wanted, found)
    return found[0][0]


def _end(name: str) -> str:
    return name.rpartition("_")[2]
