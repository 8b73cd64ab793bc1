"""The operator's patterns, by an engine (RE2) whose time grows with the text and no faster, whatever meets whatever.

What an agent says is matched on the event loop, and Python's `re` can take for ever over one line of it.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from typing import Any

from myagent.exceptions import MyagentError

_BREAKS = re.compile(r"([\r\n]++)")
_IN_BYTES = "surrogatepass"


class BadPattern(MyagentError):
    """An operator's pattern that cannot be used."""

    def __init__(self, pattern: str, why: str) -> None:
        super().__init__(pattern, why)
        self.pattern, self.why = pattern, why

    def __str__(self) -> str:
        return f"--redact {self.pattern!r} cannot be used: {self.why}"


class Patterns:
    """Several patterns in one, each matching within one line. Raises `BadPattern`."""

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = list(patterns)
        for pattern in patterns:
            if _compiled(pattern).search(b"") is not None:
                raise BadPattern(pattern, "it matches nothing at all, and so everywhere")
        self._found = _compiled("|".join(f"(?:{pattern})" for pattern in patterns))

    def cover(self, text: str, mask: str) -> str:
        """The text with `mask` for each match."""
        with_mask = mask.encode()
        return "".join(
            part
            if at % 2 or self._found.search(data := part.encode(errors=_IN_BYTES)) is None
            else self._found.sub(with_mask, data).decode(errors=_IN_BYTES)
            for at, part in enumerate(_BREAKS.split(text))
        )

    def cut(self, line: str, start: int, end: int, longest: int) -> int:
        """Where an overlong line may be cut: at `end`, or before a match that reaches over it, if the rest would have
        at most `longest` characters, or behind it."""
        data = line[start:].encode(errors=_IN_BYTES)
        place = len(line[start:end].encode(errors=_IN_BYTES))
        for found in self._found.finditer(data):
            if found.start() >= place:
                break
            if found.end() > place:
                begins, ends = (start + len(data[:at].decode(errors=_IN_BYTES)) for at in (found.start(), found.end()))
                return begins if len(line) - begins <= longest else ends
        return end


def _compiled(pattern: str) -> Any:
    try:
        re2 = importlib.import_module("re2")
    except ImportError:
        raise BadPattern(pattern, "it needs the package google-re2: pip install google-re2") from None
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern.encode(), options)
    except re2.error as error:
        why = error.args[0] if error.args else b"malformed"
        raise BadPattern(pattern, why.decode(errors="replace") if isinstance(why, bytes) else str(why)) from None
    except UnicodeEncodeError:
        raise BadPattern(ascii(pattern), "it is not valid Unicode") from None


def holds(pattern: str, text: str) -> bool:
    """Whether a text holds a pattern; one that RE2 does not know, or without RE2, is for whoever gave it to check."""
    try:
        return _compiled(pattern).search(text.encode(errors=_IN_BYTES)) is not None
    except BadPattern:
        return True
