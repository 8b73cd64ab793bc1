"""Words of commands that people paste into a shell: what comes out is the very word, and can be seen whole."""

from __future__ import annotations

import os
import shlex

from myagent.core.display import escape

_NAMED = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", "'": "\\'"}


def quoted(word: str) -> str:
    """A word for a POSIX shell. What cannot be seen, ends the line or is no UTF-8 is written in `$'…'`, which bash,
    zsh, ksh and POSIX 2024 have; a leading `=` is quoted, which zsh would take for the path of a command."""
    if escape(word) == word and "\n" not in word:
        return f"'='{shlex.quote(word[1:]) if word[1:] else ''}" if word.startswith("=") else shlex.quote(word)
    return f"$'{''.join(map(_written, word))}'"


def _written(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    if escape(character) == character:
        return character
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(character))  # octal ends after three digits, hex may not
