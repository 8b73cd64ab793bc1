"""What a picture is, by its bytes: four types with their sizes, and nothing else, however it is called."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myagent.core.pictures import Picture, picture_of


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII5x", 13, b"IHDR", width, height)


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0;"


def jpeg(width: int, height: int, before: bytes = b"\xff\xe0\0\x04AB") -> bytes:
    return b"\xff\xd8" + before + b"\xff\xc2\0\x0b\x08" + struct.pack(">HH", height, width) + b"\x01\x11\0\xff\xd9"


def webp(kind: bytes, body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 12 + len(body)) + b"WEBP" + kind + struct.pack("<I", len(body)) + body


LOSSY = webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 320, 200))
LOSSLESS = webp(b"VP8L", b"\x2f" + struct.pack("<I", 319 | 199 << 14) + bytes(5))
EXTENDED = webp(b"VP8X", bytes(4) + (319).to_bytes(3, "little") + (199).to_bytes(3, "little"))


@pytest.mark.parametrize(
    ("data", "mime_type"),
    [
        (png(320, 200), "image/png"),
        (gif(320, 200), "image/gif"),
        (jpeg(320, 200), "image/jpeg"),
        (jpeg(320, 200, b"\xff\xff\xe1\0\x03A\xff\xd0"), "image/jpeg"),
        (LOSSY, "image/webp"),
        (LOSSLESS, "image/webp"),
        (EXTENDED, "image/webp"),
    ],
)
def test_the_four_types_and_their_sizes(data: bytes, mime_type: str) -> None:
    assert picture_of(data) == Picture(mime_type, 320, 200)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"<html><script>alert(1)</script></html>",
        b"%PDF-1.7",
        b"BM" + bytes(60),
        b"\x89PNG\r\n\x1a\n" + bytes(16),  # no IHDR
        b"GIF88a" + bytes(10),
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xda\0\x02",  # data before a size
        b"\xff\xd8\xff\xe0\0\x00AB",
        webp(b"VP8Q", bytes(10)),
        b"RIFF\0\0\0\0WAVE" + bytes(20),
    ],
)
def test_nothing_else_is_a_picture(data: bytes) -> None:
    assert picture_of(data) is None


@pytest.mark.parametrize(
    ("width", "height", "shown"),
    [(1, 1, True), (1, 1_000_000, False), (1_000_000, 1, False), (0, 5, False), (30_000, 30_000, False)],
)
def test_what_would_harm_its_viewer_is_not_shown(width: int, height: int, shown: bool) -> None:
    picture = picture_of(png(width, height))
    assert picture is not None and picture.is_showable is shown


@given(st.sampled_from([png(3, 4), gif(3, 4), jpeg(3, 4), LOSSY, LOSSLESS, EXTENDED]), st.integers(0, 60), st.binary())
def test_no_bytes_make_it_fail(data: bytes, cut: int, behind: bytes) -> None:
    picture_of(data[:cut] + behind)
    picture_of(behind)
