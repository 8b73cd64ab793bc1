r"""What a human reads before deciding: text in which every character can be seen, and what was odd about it.

`escape` writes what cannot be seen, or reorders what is around it, as `\u{…}` (lower-case hexadecimal).
It is injective: a run of backslashes is doubled where `u{` follows it, be that the text's own or one that `escape`
writes. So before `u{` an odd run ends in an escape, and an even one is text; `unescape` gives the text back.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

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
_WORD = re.compile("(?:[^\\W_]|[\u0300-\u036f])++")


def escape(text: str) -> str:
    r"""Write every character that cannot be seen or that reorders text as `\u{…}`; newline and U+0020 stay.

    Those are the categories Cc, Cf, Cs, Co, Cn, Zl, Zp and Zs, the default-ignorable ones, and two blank symbols.
    """
    return text if _PLAIN.fullmatch(text) else _RUN.sub(_escape_run, text)


def unescape(text: str) -> str:
    """The text that `escape` was given. What `escape` never writes is left as it is."""
    return _ESCAPED.sub(_unescape_run, text)


def flags(text: str) -> tuple[str, ...]:
    """What a human should be warned of in the raw text, in this order: `bidi`, `invisible`, `mixed_script`, `escapes`.

    - bidi: a control that reorders text
    - invisible: anything else that `escape` escapes, except tab and what is under `escapes`
    - mixed_script: a word with letters of several scripts that look alike
    - escapes: a control character, such as begins a terminal's escape sequence; not newline or tab
    """
    if _PLAIN.fullmatch(text):
        return ()
    found = {
        "bidi": _BIDI.search(text) is not None,
        "invisible": _has_invisible(text),
        "mixed_script": not text.isascii() and any(map(_mixes_scripts, _WORD.findall(text))),
        "escapes": _CONTROL.search(text) is not None,
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


def _mixes_scripts(word: str) -> bool:
    return not word.isascii() and len({_script(c) for c in set(word)} & _LOOK_ALIKE) > 1


@lru_cache(maxsize=4096)
def _script(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0]
