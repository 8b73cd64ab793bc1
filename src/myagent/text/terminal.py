r"""Makes an agent's text safe for a terminal: nothing in it can do more than colour, break lines and indent.

What passes: printable text, newline, tab, and colours (SGR, `ESC [ … m`, each parameter checked). Everything else, in
its 7-bit and its 8-bit form, is written `\u{…}`. Nothing is dropped, so that an attempt can be seen.

There is no parsing of OSC, DCS and the like: with its introducer made visible, no terminal takes the rest for one.
Concealed text (8) and blinking (5, 6) are no colours here, nor is anything private (`ESC [ > 4 m` sets a key mode).
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from myagent.text.emoji import TAGGED, TAGGED_BEGUN, ZWJ, is_text

RESET = "\x1b[0m"

_PARAMETERS = "[0-9;:]{0,64}"  # sixteen parameters and more; longer ones are no colours
_TOKEN = re.compile(rf"(?:\x1b\[|\x9b)({_PARAMETERS})([mK])|{TAGGED}|[^\n\t -~]")
_UNFINISHED = re.compile(rf"(?:\x1b(?:\[{_PARAMETERS})?|\x9b{_PARAMETERS}|{ZWJ}|{TAGGED_BEGUN})\Z")
_SIMPLE = frozenset((0, 1, 2, 3, 4, 7, 9, 21, 22, 23, 24, 25, 27, 28, 29, 39, 49, 53, 55)).union(
    range(30, 38), range(40, 48), range(90, 98), range(100, 108)
)
_MOVES = ("\r", "\b")  # within the line
# Printable for `str.isprintable`, and yet not seen: fillers, joiners, variation selectors, empty symbols.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U0001d159\U000e0100-\U000e01ef]"
)


class TerminalFilter:
    r"""One stream of agent text; a sequence may be split anywhere over the chunks.

    With `overwrites`, what moves and erases within a line passes, too (`\r`, `\b`, `ESC [ K`): for a terminal on whose
    line there is nothing but agent text, or for `Overwriting`.
    """

    def __init__(self, *, overwrites: bool = False) -> None:
        self.coloured = False  # a colour is on that was not reset
        self._overwrites = overwrites
        self._held = ""  # the beginning of what may become a colour
        self._last = ""  # the two characters before the chunk

    def feed(self, chunk: str) -> str:
        text = self._held + chunk
        unfinished = _UNFINISHED.search(text)
        cut = unfinished.start() if unfinished else len(text)
        text, self._held = text[:cut], text[cut:]
        shown = _TOKEN.sub(self._token, text)
        self._last = (self._last + text[-2:])[-2:]
        return shown

    def close(self) -> str:
        """What is left at the end of the stream, and the end of its colours."""
        held, self._held = self._held, ""
        reset, self.coloured = RESET if self.coloured else "", False
        return visible(held) + reset

    def _token(self, match: re.Match[str]) -> str:
        token = match[0]
        if match[2] == "K":
            erases = self._overwrites and match[1] in ("", "0", "1", "2")
            return f"\x1b[{match[1].replace('0', '')}K" if erases else visible(token)
        if match[1] is not None:
            parameters = _colours(match[1])
            if parameters is None:
                return visible(token)
            self.coloured = parameters != [0]
            return f"\x1b[{';'.join(map(str, parameters))}m"
        if self._overwrites and token in _MOVES:
            return token
        return token if _in_emoji(match, self._last) else _shown(token)


def visible(text: str) -> str:
    r"""Write what is not printable text, newline or tab as `\u{…}`; unlike `escape`, leave `\u{` itself alone.

    For text that was escaped already, by somebody who need not be trusted to have done so.
    """
    return _TOKEN.sub(lambda match: "".join(map(_shown, match[0])), text)


def printable(text: str) -> str:
    """The same for output that was cleaned already: what is text inside an emoji stays."""
    return _TOKEN.sub(lambda match: match[0] if _in_emoji(match, "") else "".join(map(_shown, match[0])), text)


def _in_emoji(match: re.Match[str], last: str) -> bool:
    """Whether a token is part of a sequence of Unicode's emoji data; `last` is what was before its chunk."""
    token, text = match[0], match.string
    if len(token) > 1:
        return token.endswith("\U000e007f")
    before = text[max(0, match.start() - 2) : match.start()]
    return is_text(token, (last + before)[-2:], text[match.end() : match.end() + 1])


@lru_cache(maxsize=4096)
def _shown(character: str) -> str:
    # Spaces of other widths pass: they are ordinary text in French and in Chinese, and steer nothing.
    printable = character.isprintable() or unicodedata.category(character) == "Zs"
    return character if printable and not _UNSEEN.match(character) else f"\\u{{{ord(character):x}}}"


def _colours(parameters: str) -> list[int] | None:
    """The parameters of a colour sequence, with `;` alone as separator; `None` if it is anything else.

    Sub-parameters (`38:2::R:G:B`, `4:3`) are rewritten: not all terminals know them.
    """
    colours: list[int] = []
    items = parameters.split(";")
    while items:
        first, *rest = items.pop(0).split(":")
        code = _number(first)
        if code in (38, 48):
            colour = _extended(rest, items)
            if colour is None:
                return None
            colours += [code, *colour]
        elif code == 4 and len(rest) == 1 and _number(rest[0]) in range(6):
            colours.append(4 if _number(rest[0]) else 24)
        elif code in _SIMPLE and not rest:
            colours.append(code)
        else:
            return None
    return colours


def _extended(rest: list[str], items: list[str]) -> list[int] | None:
    """`5, index` or `2, red, green, blue`, from sub-parameters or, taken off them, from the parameters that follow."""
    if rest:
        kind, values = rest[0], rest[2:] if rest[0] == "2" and len(rest) == 5 else rest[1:]
    else:
        kind = items.pop(0) if items else ""
        size = {"5": 1, "2": 3}.get(kind, 0)
        values = [items.pop(0) for _ in range(min(size, len(items)))]
    numbers = [_number(value) for value in values]
    if len(numbers) != {"5": 1, "2": 3}.get(kind) or any(number > 255 for number in numbers):
        return None
    return [int(kind), *numbers]


def _number(digits: str) -> int:
    """An omitted parameter is 0; one that is no number, or absurd, is one that nobody knows."""
    if not digits:
        return 0
    return int(digits) if digits.isdigit() and len(digits) <= 3 else 999
