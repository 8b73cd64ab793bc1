"""What a picture is, by its own bytes: PNG, JPEG, WebP, GIF, and nothing else; a name or a header is not asked."""

from __future__ import annotations

from dataclasses import dataclass

SIDE = 32_767  # pixels; what is longer is refused by some that would show it (WebP itself ends at 16,383)
PIXELS = 64 << 20  # that a viewer must hold: 256 MiB at four bytes each

_JPEG_SIZES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}  # SOFn (ITU-T T.81, B.2.2)
_JPEG_BARE = {0x01, *range(0xD0, 0xD9)}  # markers without a length


@dataclass(frozen=True, slots=True)
class Picture:
    mime_type: str
    width: int
    height: int

    @property
    def is_showable(self) -> bool:
        """Whether it has a size that can be shown without harm."""
        return 0 < self.width <= SIDE and 0 < self.height <= SIDE and self.width * self.height <= PIXELS


def picture_of(data: bytes) -> Picture | None:
    """The type and the size in pixels that the bytes say; `None` for what is no picture of the four types."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR" and len(data) >= 24:
        return Picture("image/png", int.from_bytes(data[16:20]), int.from_bytes(data[20:24]))
    if data[:6] in (b"GIF87a", b"GIF89a") and len(data) >= 10:
        return Picture("image/gif", int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little"))
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp(data)
    return None


def _jpeg(data: bytes) -> Picture | None:
    place = 2
    while place + 9 <= len(data):
        if data[place] != 0xFF:
            return None
        marker = data[place + 1]
        if marker == 0xFF:  # fill
            place += 1
        elif marker in _JPEG_BARE:
            place += 2
        elif marker in _JPEG_SIZES:
            height, width = int.from_bytes(data[place + 5 : place + 7]), int.from_bytes(data[place + 7 : place + 9])
            return Picture("image/jpeg", width, height)
        else:
            length = int.from_bytes(data[place + 2 : place + 4])
            if length < 2 or marker in (0xD9, 0xDA):  # it ends, or its data begin, before a size was told
                return None
            place += 2 + length
    return None


def _webp(data: bytes) -> Picture | None:
    kind, body = data[12:16], data[20:30]
    if len(body) < 10:
        return None
    if kind == b"VP8X":
        return Picture("image/webp", int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1)
    if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        width, height = int.from_bytes(body[6:8], "little"), int.from_bytes(body[8:10], "little")
        return Picture("image/webp", width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L" and body[:1] == b"\x2f":
        bits = int.from_bytes(body[1:5], "little")
        return Picture("image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    return None
