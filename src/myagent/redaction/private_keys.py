"""Private keys between `-----BEGIN … PRIVATE KEY-----` and its end, in text that comes in pieces, cut anywhere.

The first line is covered as soon as it has come, and then whatever looks like the key's lines: runs of base64 with
little between them, such as line ends (also written `\\n`), numbers of lines, quotes, marks of a diff. So nothing waits
for an end that may never come, and a text that only speaks of such a line goes on behind it.
"""

from __future__ import annotations

import re

RUN = 20  # characters of base64 that are a line of a key; the last line may be shorter
FIRST_GAP = 80  # characters before the first of them: headers of an encrypted key
GAP = 24  # between two; the line that ends a key is longer
LAST_GAP = 44  # before the line that ends it: the last, short line of the key

_REST = re.compile("[A-Za-z0-9+/=]*+")
_KIND = r"(?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_BEGIN = re.compile(f"-----BEGIN {_KIND}")
_LONGEST = 100  # characters of such a line, at least
_BEGINNING = re.compile(r"-(?:-(?:-(?:-(?:-(?:B(?:E(?:G(?:I(?:N(?: [A-Z0-9 ]{0,80}-{0,4})?)?)?)?)?)?)?)?)?)?\Z")
_END = re.compile(rf"(?s:.{{0,{LAST_GAP}}}?)-----END {_KIND}")
_ENDING = re.compile(
    rf"(?s:.{{0,{LAST_GAP}}}?)(?:-(?:-(?:-(?:-(?:-(?:E(?:N(?:D(?: [A-Z0-9 ]{{0,80}}-{{0,4}})?)?)?)?)?)?)?)?)?\Z"
)
_RUNS = {gap: re.compile(rf"(?s:.{{0,{gap}}}?)[A-Za-z0-9+/=]{{{RUN},}}") for gap in (FIRST_GAP, GAP)}
_RUNNING = {gap: re.compile(rf"(?s:.{{0,{gap}}}?)[A-Za-z0-9+/=]*\Z") for gap in (FIRST_GAP, GAP)}


def may_hold(text: str) -> bool:
    return "PRIVATE KEY" in text


class PrivateKeys:
    """A text without its private keys; `mask` stands for each."""

    def __init__(self, mask: str) -> None:
        self._mask = mask
        self._held = ""  # of what may be the first line, or what follows a line of the key
        self._gap = 0  # how much may stand before the next line of the key; 0: outside of one
        self._running = False  # a line of the key has come, and may go on

    def feed(self, piece: str) -> str:
        """What may be shown now."""
        return self._take(self._held + piece, last=False)

    def flush(self) -> str:
        """What was held back, when nothing more will come."""
        return self._take(self._held, last=True)

    def _take(self, data: str, *, last: bool) -> str:
        shown: list[str] = []
        self._held = ""
        at = 0
        while at < len(data):
            if not self._gap:
                begin = _BEGIN.search(data, at)
                if begin is None:
                    maybe = None if last else _BEGINNING.search(data, max(at, len(data) - _LONGEST))
                    hold = len(data) if maybe is None else maybe.start()
                    shown.append(data[at:hold])
                    self._held = data[hold:]
                    break
                shown += (data[at : begin.start()], self._mask)
                at = begin.end()
                self._gap = FIRST_GAP
                continue
            if self._running:
                run = _REST.match(data, at)
                at = at if run is None else run.end()
                self._running = at == len(data)
                continue
            if run := _RUNS[self._gap].match(data, at):
                at, self._gap, self._running = run.end(), GAP, True
            elif not last and _RUNNING[self._gap].match(data, at):
                self._held = data[at:]
                break
            elif end := _END.match(data, at):
                at, self._gap = end.end(), 0
            elif not last and _ENDING.match(data, at):
                self._held = data[at:]
                break
            else:
                self._gap = 0
        if last:
            self._gap, self._running = 0, False
        return "".join(shown)
