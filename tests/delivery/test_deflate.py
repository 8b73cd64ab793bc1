"""Frames are compressed once, each by itself: a client inflates what was stored, and none becomes longer."""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.delivery.world import frames_of

from myagent.delivery.deflate import KEPT_BYTES, LEAST_BYTES, deflated
from myagent.delivery.window import frame

NOISE = random.Random(7).randbytes(1 << 20)


@given(st.binary(max_size=200), st.integers(0, 4000))
def test_what_was_stored_is_inflated(part: bytes, times: int) -> None:
    data = frame(part * times)
    packed = deflated(data)
    assert frames_of(packed, deflates=True) == [part * times]
    assert len(packed) <= len(data)


@pytest.mark.parametrize("size", [LEAST_BYTES, 70_000, KEPT_BYTES, KEPT_BYTES + 1, 1 << 20])
def test_every_length_of_a_compressed_frame_has_its_head(size: int) -> None:
    """Of what shrinks a little, so that the compressed frame is of the same order."""
    text = NOISE[: size // 2] + b"a" * (size - size // 2)
    packed = deflated(frame(text))
    assert packed[0] == 0xC1 and frames_of(packed, deflates=True) == [text]


@pytest.mark.parametrize("text", [b"", b"a" * (LEAST_BYTES - 5), NOISE[:5000], NOISE], ids=len)
def test_what_is_short_or_does_not_shrink_stays_as_it_is(text: bytes) -> None:
    assert deflated(frame(text)) == frame(text)


def test_no_frame_needs_another_one() -> None:
    """Control: with one stream for all, as RFC 7692 allows it too, the second frame cannot be read alone."""
    text = b"the same text, many times " * 100
    stream = zlib.compressobj(1, wbits=-15)
    first, second = (stream.compress(text) + stream.flush(zlib.Z_SYNC_FLUSH) for _ in range(2))
    assert zlib.decompressobj(-15).decompress(first) == text
    with pytest.raises(zlib.error):
        zlib.decompressobj(-15).decompress(second)
    one, two = (deflated(frame(text + end)) for end in (b"1", b"2"))
    assert frames_of(two + one, deflates=True) == [text + b"2", text + b"1"]
