"""The file in which invites are kept, and what one is."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from myagent.access.state_directory import UnsafeState, read_private, write_private
from myagent.core.messages import Scope

FILE_BYTES = 1 << 20  # what holds as many as there may be, and somewhat more


class Device(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """What an invite was exchanged for: it gives what the invite gives, for as long, and can be revoked alone."""

    digest: str  # SHA-256 of its token, in hex
    created_at: str
    last_seen: str | None = None
    label: str = ""  # what it called itself


class Invite(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """One invite, as it is stored; times are ISO 8601 UTC. `uses`: devices that it is good for, where each connection
    and each visit of a reader that shows the invite's own token counts as one."""

    id: str
    digest: str  # SHA-256 of the token, in hex
    scope: Scope = "follower"
    label: str = ""
    session_id: str | None = None  # the only session that it shows
    created_at: str
    expires_at: str
    uses: int | None = None
    used: int = 0
    last_seen: str | None = None
    devices: dict[str, Device] = {}  # by id
    enrol_by: str | None = None  # its own token is good for nothing but to be exchanged, once, until then

    @property
    def spent(self) -> bool:
        return self.uses is not None and self.used >= self.uses


class InvitesFile(msgspec.Struct, frozen=True):
    """What `invites.json` holds."""

    version: int
    invites: list[Invite]
    seal: str = ""  # that it was made here, see `seal.py`


def read_invites(path: Path) -> InvitesFile | None:
    """What a file holds; `None` if there is none. Raises `UnsafeState`."""
    data = read_private(path, FILE_BYTES)
    if data is None:
        return None
    try:
        content = msgspec.json.decode(data, type=InvitesFile)
        for each in content.invites:
            seconds_left(each, 0.0)
    except (msgspec.DecodeError, RecursionError, ValueError):
        content = None
    if content is None or content.version != 1:
        raise UnsafeState(path, "does not hold invites of version 1", "mend it, or remove it: all invites end with it")
    return content


def write_invites(path: Path, content: InvitesFile) -> None:
    """Durable when this returns. Raises `OSError`."""
    write_private(path, msgspec.json.encode(content) + b"\n")


def seconds_left(invite: Invite, wall: float, until: str | None = None) -> float:
    """What an invite still has by the wall clock (seconds since 1970), and never more than it was made for."""
    times = (invite.created_at, until or invite.expires_at)
    created, expires = (datetime.fromisoformat(each).timestamp() for each in times)
    return min(expires - wall, expires - created)
