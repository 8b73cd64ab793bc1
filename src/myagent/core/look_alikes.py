"""Names that pass for other names: letters that look like ASCII ones, signs that look like a slash, a dot or a colon.

Only in names does it matter: hosts, paths, commands. A Russian word may consist of letters that all look Latin, a
recipe has its fractions, and Turkish its dotless i.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

# A letter of ASCII, then those that look like it (after UTS #39; of the scripts that are met).
_LETTERS = (
    "a\u0251\u03b1\u0430", "b\u0184\u042c", "c\u03f2\u0441\u1d04\u2ca5", "d\u0501", "e\u0435\u04bd",
    "f\u017f\u0584", "g\u0261\u0581", "h\u04bb\u0570", "i\u0131\u0269\u026a\u03b9\u0456\u04cf",
    "j\u0237\u03f3\u0458", "k\u03ba\u043a", "l\u0406\u04c0\u0399\u01c0", "m\u043c", "n\u03b7\u0578\u057c",
    "o\u03bf\u03c3\u043e\u0585\u1d0f\u2c9f", "p\u03c1\u0440\u2ca3", "q\u051b\u0563\u0566", "r\u0433\u1d26",
    "s\u0455\ua731", "t\u03c4\u0442", "u\u03c5\u057d\u1d1c", "v\u03bd\u0475\u1d20",
    "w\u03c9\u0461\u051d\u0561\u1d21", "x\u0445\u03c7", "y\u0443\u04af\u03b3", "z\u1d22", "A\u0391\u0410\u13aa",
    "B\u0392\u0412\u13f4", "C\u03f9\u0421\u13df", "E\u0395\u0415\u13ac", "F\u03dc", "G\u050c\u13c0",
    "H\u0397\u041d\u13bb", "J\u037f\u0408\u13ab", "K\u039a\u041a\u13e6", "L\u13de", "M\u039c\u041c\u13b7",
    "N\u039d", "O\u039f\u041e\u0555", "P\u03a1\u0420\u13e2", "R\u13a1", "S\u0405\u054f\u13da",
    "T\u03a4\u0422\u13a2", "U\u054d", "V\u0474\u13d9", "W\u051c\u13b3", "X\u03a7\u0425", "Y\u03a5\u0423\u04ae",
    "Z\u0396\u13c3",
)  # fmt: skip
_ASCII = {ord(other): row[0] for row in _LETTERS for other in row[1:]}
_TURKISH = "\u0131"  # ordinary in a file's name, unless it would be one of these; not in a host's
_WELL_KNOWN = {
    "bin",
    "sbin",
    "lib",
    "git",
    "github",
    "gitlab",
    "init",
    "config",
    "pip",
    "ci",
    "scripts",
    "main",
    "index",
}
_KANA = "\u3093\u30ce\u3033\u4e3f"  # read as a slash where all around them is ASCII: hosts are made of them
_SLASHES = f"\u1735\u2044\u2215\u2571\u27cb\u29f8\u2cc6\uff0f{_KANA}"
_BACKSLASHES = "\u2216\u29f5\u29f9\uff3c"
_DOTS = "\u06d4\u2024\u2025\u3002\ua4f8\uff0e\uff61"
_COLONS = "\u02d0\u02f8\u0589\u05c3\u2236\ua789\uff1a"
_SIGNS = {
    ord(c): sign
    for sign, others in {"/": _SLASHES, "\\": _BACKSLASHES, ".": _DOTS, ":": _COLONS}.items()
    for c in others
}
_EAST_ASIAN = f"\u3002\uff0e\uff0f\uff1a\uff61{_KANA}"  # ordinary also beside Latin words
_FRACTIONS = re.compile("[\u00bc-\u00be\u2100\u2101\u2105\u2106\u2150-\u215f\u2189]")  # with a slash within
_PASSING = re.compile(f"[{_SLASHES}{_BACKSLASHES}{_DOTS}{_COLONS}]")
# Marks that could have been a part of the letter before: what is typed has them so, and finds no such name.
_LOOSE = re.compile("[A-Za-z\u0370-\u04ff][\u0300-\u036f]")

_TOKEN = re.compile(r"[^\s\"'`<>()\[\]{}|,;=\u00ab\u00bb\u201c-\u201f\u3001\uff08-\uff0c\u300c-\u300f]++")
_COMMAND = re.compile(
    r"(?:\A|[\n;&|(`])[ \t]{0,8}+(?:(?:command|env|exec|nice|nohup|sudo|time|xargs)[ \t]{1,8}+){0,4}+"
    r"([^\s;&|()`<>]{1,256})"
)
# What a shell takes for letters, where a human reads the sign that begins an option, a comment or a quotation, or ends
# a command: `ls ＃ x; rm y` has no comment, and `‐n` is a file.
_DASH = re.compile("(?<![^\\s=])-?[\u02d7\u2010-\u2015\u2212\ufe58\ufe63\uff0d][\\w\u2010-\u2015-]")
_SHELL = re.compile(
    "(?:(?<=[\0-~])|\\A)[\u01c0\u02b9\u02bc\u02bd\u02ca\u02cb\u2018-\u201f\u2032-\u2037\uff02-\uff04\uff06\uff07"
    "\uff1b\uff1c\uff1e\uff3c\uff40\uff5c](?=[\0-~]|\\Z)"
)
# Where something ends so, it is a host; not where a language's files do (.sh, .py, .rs, .md).
_TOP = r"(?:com|org|net|io|dev|ai|app|edu|gov|mil|co|me|uk|de|fr|ru|cn|jp|eu|us|info|cloud|tech|xyz|onion)"
_HOST = re.compile(rf"://|@|\.{_TOP}(?=[:/?#.]|\Z)", re.IGNORECASE)
_PATH = re.compile(r"[/\\~]|[^.]\.[A-Za-z0-9]{1,8}\Z")
_FIGURES = re.compile(r"[A-Za-z][^\W0-9A-Za-z_]*[^\D0-9]|[^\D0-9][^\W0-9A-Za-z_]*[A-Za-z]")  # of a script, beside ASCII
_HYPHEN = re.compile("(?<=[A-Za-z0-9])[\u02d7\u2010-\u2013\u2212\ufe63\uff0d](?=[A-Za-z0-9])")
_LABELS = re.compile(r"[./:@\\?#&~-]+")


def misleads(text: str, names: Iterable[str] = (), commands: Iterable[str] = ()) -> bool:
    """Whether a host, a path or a command in a text passes for another one. `names` and `commands` are such through and
    through."""
    lines = [line for line in commands if not line.isascii()]
    names = [*(name for name in names if not name.isascii()), *lines]
    if text.isascii() and not names:
        return False
    tokens = {token for token in _TOKEN.findall(text) if not token.isascii()}
    within = {token for name in names for token in _TOKEN.findall(name) if not token.isascii()}
    programs = {word for line in lines for word in _COMMAND.findall(line) if not word.isascii()}
    return (
        any(_misleads(token, named=False) for token in tokens - within)
        or any(_misleads(token, named=True) for token in within)
        or any(_is_other(word) for word in programs)
        or any(_DASH.search(line) or _SHELL.search(line) for line in lines)
    )


@lru_cache(maxsize=1024)
def _misleads(token: str, *, named: bool) -> bool:
    signs = token.translate(_SIGNS)
    host = _HOST.search(signs) is not None
    path = host or named or _PATH.search(token.rstrip(".!?:")) is not None
    if not path:
        return False
    if _sign_passes(token, signs, strictly=host or named):
        return True
    if (host or named) and _FRACTIONS.search(token) and token.isprintable() and _PATH.search(signs):
        return True
    if any(unicodedata.normalize("NFC", pair) != pair for pair in _LOOSE.findall(token)):
        return True
    labels = [label for label in _LABELS.split(signs) if not label.isascii()]
    if host:
        if _HYPHEN.search(token.partition("://")[2].partition("/")[0] or token.partition("/")[0]):
            return True
        return any(_is_other(each) or _FIGURES.search(each) for each in labels)
    # Of a path all of it: between words that cannot be taken for ASCII, such a word is one of their language.
    is_path = _PATH.search(signs) is not None or (named and "." in signs)  # also with an ending that is none of ASCII
    return is_path and bool(labels) and all(_is_other(each, turkish=False) for each in labels)


def _sign_passes(token: str, signs: str, *, strictly: bool) -> bool:
    """Whether one of its signs is none of ASCII, and stands between what is: as a path or a host would have it."""
    for found in _PASSING.finditer(token):
        at = found.start()
        before, after = signs[at - 1 : at], signs[at + 1 : at + 2]
        if before.isdigit() and after.isdigit():  # a fraction, a time
            continue
        within = before.isascii() and after != "" and after.isascii() and (after.isalnum() or after in "./~@:?#")
        if within and (strictly or token[at] not in _EAST_ASIAN):
            return True
    return False


def _is_other(label: str, *, turkish: bool = True) -> bool:
    """Whether the whole of a word that is not ASCII could be read as if it were."""
    read = skeleton(label)
    if not read.isascii() or read == label:
        return False
    return turkish or label.replace(_TURKISH, "i") != read or read.lower() in _WELL_KNOWN


def skeleton(text: str) -> str:
    """The text with a letter of ASCII for each one that looks like it."""
    return unicodedata.normalize("NFKC", text.translate(_ASCII)).translate(_ASCII)
