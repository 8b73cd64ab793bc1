"""Compresses finished frames for those who asked for it (RFC 7692): once for all of them.

Every message is compressed by itself (no context takeover), so one compressed frame is right for every connection, and
nothing secret ever shares a dictionary with what an attacker may choose.
"""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache

LEAST_BYTES = 1024  # of a frame: below, the time is worth more than the bytes
KEPT_BYTES = 64 * 1024  # of a frame of which the compressed one is kept, for others who read the same
KEPT = 128  # such frames
LEVEL = 1  # the fastest; the next ones win a tenth of the bytes for twice the time
_TAIL = b"\x00\x00\xff\xff"  # of every message, and left away (RFC 7692, section 7.2.1)


def deflated(data: bytes) -> bytes:
    """A finished text frame, compressed; the frame itself where that is not shorter."""
    if len(data) < LEAST_BYTES:
        return data
    return _kept(data) if len(data) <= KEPT_BYTES else _deflated(data)


def _deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(LEVEL, wbits=-zlib.MAX_WBITS)
    body = packer.compress(data[_payload(data) :]) + packer.flush(zlib.Z_SYNC_FLUSH)
    size = len(body) - len(_TAIL)
    if size < 126:
        head = b"\xc1%c" % size
    elif size < 1 << 16:
        head = b"\xc1\x7e" + struct.pack("!H", size)
    else:
        head = b"\xc1\x7f" + struct.pack("!Q", size)
    return head + body[:size] if len(head) + size < len(data) else data


_kept = lru_cache(KEPT)(_deflated)


def _payload(data: bytes) -> int:
    """Where the payload of a finished, unmasked frame begins."""
    return {126: 4, 127: 10}.get(data[1], 2)
