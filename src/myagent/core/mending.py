"""JSON of other programs that strict readers refuse, made whole: half characters, bytes that are no UTF-8, NaN.

A lone surrogate is half a character beyond U+FFFF, written as `\\ud83d`. Programs that cut a text by UTF-16 units, as
JavaScript does, send one half at the end of a piece and the other half with the next piece: `Halves` joins them.
"""

from __future__ import annotations

import json
import re
from typing import Any

REPLACEMENT = "\ufffd"  # also what Node.js and browsers write in the place of half a character
LARGEST = 2**64  # an integer from here on is kept as its digits

_HALF = re.compile("[\ud800-\udfff]")


def mended(line: bytes) -> Any:
    """Read JSON as far as anything can: bytes that are no UTF-8 become U+FFFD, numbers that JSON or a float does not
    have (`NaN`, `1e400`) the text that they were written as. Half characters stay: see `whole` and `Halves`.

    Raises `ValueError`, `RecursionError`.
    """
    text = line.decode("utf-8-sig", "replace")  # Windows programs begin their first line with U+FEFF
    return json.loads(text, parse_constant=str, parse_float=_float_of, parse_int=_integer_of)


def whole(value: Any) -> Any:
    """The same JSON-able data with U+FFFD for each half of a character."""
    match value:
        case str():
            return whole_text(value)
        case dict():
            return {whole_text(key): whole(item) for key, item in value.items()}
        case list():
            return [whole(item) for item in value]
        case _:
            return value


def whole_text(text: str) -> str:
    """The text with its halves of characters joined where both are there, and U+FFFD for each that is alone."""
    return text if text.isascii() else _HALF.sub(REPLACEMENT, _joined(text))


class Halves:
    """A text that comes in pieces; what ends one of them in the middle of a character waits for the next."""

    def __init__(self) -> None:
        self.held = ""  # the first half of a character, or nothing

    def feed(self, piece: str) -> str:
        """What can be shown now: whole characters."""
        if not self.held and (piece.isascii() or not piece):
            return piece
        text, self.held = self.held + piece, ""
        if "\ud800" <= text[-1] <= "\udbff":
            text, self.held = text[:-1], text[-1]
        return whole_text(text)

    def flush(self) -> str:
        """U+FFFD for a half that nothing followed."""
        held, self.held = self.held, ""
        return REPLACEMENT if held else ""


def _joined(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _float_of(digits: str) -> float | str:
    number = float(digits)
    return number if abs(number) != float("inf") else digits


def _integer_of(digits: str) -> int | str:
    if len(digits) > len(str(LARGEST)):
        return digits
    number = int(digits)
    return number if abs(number) < LARGEST else digits
