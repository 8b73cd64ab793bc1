"""What cannot be seen and is yet how people write: emoji, joiners where a script joins, the spaces of a language.

Such a character is shown escaped like any other that cannot be seen, but it is nothing to be warned of: it stands where
Unicode's data or a language's orthography have it. Everywhere else it may mislead.
"""

from __future__ import annotations

import re

# Symbols that have an emoji form, and those of its block that are not assigned yet.
_EMOJI = "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u27ff\u2900-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
_FORM = "[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]"  # text form, emoji form, tones of skin
# The only flags that are made of tags in Unicode's data: England, Scotland, Wales.
TAG_FLAGS = tuple(
    "\U0001f3f4" + "".join(chr(0xE0000 + ord(letter)) for letter in name) + "\U000e007f"
    for name in ("gbeng", "gbsct", "gbwls")
)

# Scripts whose letters change their form beside a joiner, and those that are written without spaces.
_JOINS = (
    "\u0600-\u07ff\u0840-\u08ff\u0900-\u0dff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1800-\u18af\u1a20-\u1aaf"
    "\u1b00-\u1b7f\ua980-\ua9df\uabc0-\uabff\ufb50-\ufdff\ufe70-\ufefc"
)
_UNSPACED = "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\ua980-\ua9df"
_CJK = "\u2e80-\u2fff\u3001-\u9fff\uac00-\ud7af\uf900-\ufaff\uff01-\uff60\U00020000-\U0003ffff"
_IDEOGRAPH = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"

# Beside a space that does not break, or a thin one: words and figures, quotation marks, units, signs of punctuation.
_BEFORE_SPACE = r"\w)\]»”’%.,…°§№«—–"
_AFTER_SPACE = "\\w(!?;:%»$£\u20a0-\u20bf°§№&+«—–“‰"

_ORDINARY = re.compile(
    "|".join(
        (
            *TAG_FLAGS,
            rf"{_EMOJI}{_FORM}?+(?:\u200d{_EMOJI}{_FORM}?+)*+",
            "[0-9#*]\ufe0f\u20e3",
            rf"(?<=[{_JOINS}])\u200c(?=[{_JOINS}])|(?<=[{_JOINS}])\u200d",
            rf"(?<=[{_UNSPACED}])\u200b(?=[{_UNSPACED}])",
            rf"(?<=[{_IDEOGRAPH}])[\U000e0100-\U000e011f\ufe00-\ufe02]",
            "(?<=[\u1820-\u18aa])[\u180b-\u180f]",
            f"(?<=[{_BEFORE_SPACE}])[\u00a0\u202f\u2007-\u200a](?=[{_AFTER_SPACE}])",
            rf"(?<=[{_CJK}\u3000])\u3000|(?<![^\n+ -])\u3000|\u3000(?=[{_CJK}])",
            "[\u0600-\u0605\u06dd\u08e2]",  # signs before or around Arabic figures: of category Cf, and seen
            "(?<=[\u2801-\u28ff])\u2800|\u2800(?=[\u2801-\u28ff])",
            r"\r(?=\n)",
            r"(?<![^\n+ -])\f(?=\r?\n)",  # between pages of source code
        )
    )
)
# A byte order mark: at the beginning of a text, of a string in JSON, or of a file's first line in a unified diff.
_BYTE_ORDER = re.compile('\\A\ufeff|(?<=: ")\ufeff')
_FIRST_LINES = re.compile(r"^(@@ -[01][, ][^\n]*\n)((?:[-\\][^\n]*\n)*+)([+ ]\ufeff)?", re.MULTILINE)

_SUSPECT = re.compile("[^\t\n -~]")


def without_ordinary(text: str) -> str:
    """The text without what is invisible and ordinary where it stands, and without emoji."""
    if not _SUSPECT.search(text):
        return text
    if "\ufeff" in text:
        text = _FIRST_LINES.sub(_without_mark, _BYTE_ORDER.sub("", text))
    return _ORDINARY.sub("", text)


def _without_mark(match: re.Match[str]) -> str:
    removed: str = match[2]
    if removed.startswith("-\ufeff"):
        removed = "-" + removed[2:]
    return match[1] + removed + (match[3] or "")[:1]
