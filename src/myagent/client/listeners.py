"""Who listens on a port of this machine, as Linux tells it: a token is not shown to another user who was faster to take
a well-known port."""

from __future__ import annotations

import os
from pathlib import Path

TABLE = Path("/proc/net/tcp")
_LISTENS = "0A"
_HERE = ("0100007F", "00000000")  # 127.0.0.1 and every address, as the table writes them on a little-endian machine
_OVERFLOW = 65534  # a user of another namespace, who has no number here: a container's


def stranger_at(port: int, table: Path = TABLE) -> int | None:
    """The number of another user, not root, whose program listens on this port of 127.0.0.1; `None` where there is
    none, and where the system does not tell."""
    try:
        rows = [line.split() for line in table.read_text("ascii").splitlines()[1:]]
    except (OSError, UnicodeError):
        return None
    for row in rows:
        host, _, number = row[1].partition(":")
        if host in _HERE and int(number, 16) == port and row[3] == _LISTENS:
            user = int(row[7])
            if user not in (os.getuid(), 0, _OVERFLOW):
                return user
    return None
