r"""What a human reads before deciding: text in which every character can be seen, and what was odd about it.

`escape` writes what cannot be seen, or reorders what is around it, as `\u{…}` (lower-case hexadecimal).
It is injective: a run of backslashes is doubled where `u{` follows it, be that the text's own or one that `escape`
writes. So before `u{` an odd run ends in an escape, and an even one is text; `unescape` gives the text back.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from myagent.core.look_alikes import misleads
from myagent.core.ordinary import without_ordinary

TRUNCATED = "truncated"  # the flag that whoever shortens a text adds to those of the whole text

# Default_Ignorable_Code_Point (Unicode 14.0, DerivedCoreProperties.txt) as far as `str.isprintable` does not tell:
# its letters and marks. The rest of the property is Cf or Cn, which are not printable: tags, joiners, U+FFF0-FFF8, ….
_IGNORABLE = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
# Symbols whose glyph is empty: the braille pattern without dots, the musical null notehead.
_BLANK = "\u2800\U0001d159"
_UNSEEN = re.compile(f"[{_IGNORABLE}{_BLANK}]")

# Bidi_Control (PropList.txt): the twelve characters that do nothing but reorder.
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# What steers a terminal: C0, DEL, C1. Not newline, which stays; nor tab, which is escaped but ordinary in source code.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_PLAIN = re.compile(r"[\n -\[\]-~]*+")
_RUN = re.compile(r"(\\++)(u\{|[^\n -~]++)?|([^\n -~]++)")
_ESCAPED = re.compile(r"(\\++)u\{(?:([0-9a-f]{1,6})\})?")

# Scripts with letters that pass for those of another one, by the first word of the character's name.
_LOOK_ALIKE = {"LATIN", "CYRILLIC", "GREEK", "COPTIC", "ARMENIAN", "CHEROKEE", "LISU", "DESERET"}
_LOOK_ALIKE |= {"FULLWIDTH", "MATHEMATICAL", "KELVIN", "ANGSTROM"}
# Greek letters that look like none of those: in units and formulas beside Latin ones.
_UNLIKE = frozenset(
    "\u0393\u0394\u0398\u039b\u039e\u03a0\u03a3\u03a6\u03a8\u03a9\u03b2\u03b4\u03b5\u03b6\u03b8\u03bb\u03bc\u03be\u03c0\u03c6\u03c8"
)
# In a path or a command it looks like the space that separates; an ideographic one does not.
_ODD_SPACE = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f]")
_WORD = re.compile("(?:[^\\W_]|[\u0300-\u036f])++")


def escape(text: str) -> str:
    r"""Write every character that cannot be seen or that reorders text as `\u{…}`; newline and U+0020 stay.

    Those are the categories Cc, Cf, Cs, Co, Cn, Zl, Zp and Zs, the default-ignorable ones, and two blank symbols.
    """
    return text if _PLAIN.fullmatch(text) else _RUN.sub(_escape_run, text)


def unescape(text: str) -> str:
    """The text that `escape` was given. What `escape` never writes is left as it is."""
    return _ESCAPED.sub(_unescape_run, text)


def flags(text: str, names: Iterable[str] = (), commands: Iterable[str] = ()) -> tuple[str, ...]:
    """What a human should be warned of in the raw text, in this order: `bidi`, `invisible`, `mixed_script`,
    `look_alike`, `escapes`. `names` are paths or hosts in it, `commands` what would be run: there more can mislead.

    - bidi: a control that reorders text
    - invisible: anything else that `escape` escapes, except tab, what is under `escapes`, and what is ordinary where it
      stands (see `ordinary`); in names, every space but U+0020 too
    - mixed_script: a word with letters of several scripts that look alike
    - look_alike: a host, a path or a command that passes for another one, by its letters, signs or normalization
    - escapes: a control character, such as begins a terminal's escape sequence; not newline, tab, or a return before a
      newline
    """
    names = [name for name in names if not _PLAIN.fullmatch(name)]
    commands = [line for line in commands if not _PLAIN.fullmatch(line)]
    if not names and not commands and _PLAIN.fullmatch(text):
        return ()
    rest = without_ordinary(text)
    found = {
        "bidi": _BIDI.search(rest) is not None,
        "invisible": _has_invisible(rest) or any(map(_has_odd_space, (*names, *commands))),
        "mixed_script": not text.isascii() and any(map(_mixes_scripts, set(_WORD.findall(text)))),
        "look_alike": misleads(text, names, commands),
        "escapes": _CONTROL.search(rest) is not None,
    }
    return tuple(name for name, is_found in found.items() if is_found)


def shorten(text: str, limit: int) -> str:
    """Keep the beginning and the end of a raw text of more than `limit` characters, and say how many are hidden.

    Returns `text` itself when it is short enough; else the caller adds `TRUNCATED` to the flags of the whole text.
    The result is longer than `limit` by the sentence about what is hidden.
    """
    if len(text) <= limit:
        return text
    head = limit - limit // 2
    return f"{text[:head]}\n[{len(text) - limit} characters are hidden here]\n{text[len(text) - limit // 2 :]}"


def _escape_run(match: re.Match[str]) -> str:
    backslashes: str = match[1] or ""
    rest: str = match[2] or match[3] or ""
    if rest == "u{":
        return backslashes * 2 + rest
    shown = _escape_characters(rest)
    return (backslashes * 2 if shown.startswith("\\") else backslashes) + shown


def _escape_characters(text: str) -> str:
    if text.isprintable() and not _UNSEEN.search(text):
        return text
    return "".join(c if c.isprintable() and not _UNSEEN.match(c) else f"\\u{{{ord(c):x}}}" for c in text)


def _unescape_run(match: re.Match[str]) -> str:
    count = len(match[1])
    if count % 2 == 0:
        return "\\" * (count // 2) + match[0][count:]
    if match[2] is None or int(match[2], 16) > 0x10FFFF:
        return match[0]
    return "\\" * (count // 2) + chr(int(match[2], 16))


def _has_invisible(text: str) -> bool:
    rest = _BIDI.sub("", _CONTROL.sub("", text)).replace("\n", "").replace("\t", "")
    return not rest.isprintable() or _UNSEEN.search(rest) is not None


def _has_odd_space(name: str) -> bool:
    return _ODD_SPACE.search(name) is not None


def _mixes_scripts(word: str) -> bool:
    return not word.isascii() and len({_script(c) for c in set(word) - _UNLIKE} & _LOOK_ALIKE) > 1


@lru_cache(maxsize=4096)
def _script(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0]


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters of a text."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
