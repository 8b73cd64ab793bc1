"""The form of an invite's token, and of a device's: a scanner can tell it from chance, and a typo is seen."""

from __future__ import annotations

import re
import zlib
from typing import Literal

Kind = Literal["inv", "dev"]

_TOKEN = re.compile(r"(myagent_(inv|dev)_([a-z2-7]{8})_[a-z2-7]{32})_([0-9a-f]{8})")


def make_token(credential_id: str, secret: str, kind: Kind = "inv") -> str:
    """`myagent_inv_<id>_<secret>_<checksum>`: a scanner can tell it from chance, and a typo is seen."""
    body = f"myagent_{kind}_{credential_id}_{secret}"
    return f"{body}_{zlib.crc32(body.encode()):08x}"


def read_id(token: str, kind: Kind = "inv") -> str | None:
    """The id in a token; `None` for what is no whole and unharmed token of an invite, or of a device."""
    matched = _TOKEN.fullmatch(token)
    if matched is None or int(matched.group(4), 16) != zlib.crc32(matched.group(1).encode()):
        return None
    return matched.group(3) if matched.group(2) == kind else None
