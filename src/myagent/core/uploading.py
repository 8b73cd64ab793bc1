"""What a prompt carries, cut into the messages in which it is sent before that prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from myagent.core.messages import Limits, Upload

PIECE_BYTES = 512 << 10  # at most, of what is sent at a time; as base64 a third more
_AROUND = 1024  # bytes of a message beside its data


def pieces(data: bytes, limits: Limits | None, new_id: Callable[[], str]) -> Iterator[Upload]:
    """The messages in which something is sent, in order; each fits into `limits`."""
    room = PIECE_BYTES if limits is None else min(PIECE_BYTES, (limits.message_bytes - _AROUND) // 4 * 3)
    digest = hashlib.sha256(data).hexdigest()
    for offset in range(0, len(data), room):
        part = data[offset : offset + room]
        yield Upload(id=new_id(), digest=digest, size=len(data), offset=offset, data=part)
