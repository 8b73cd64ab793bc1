"""Keeps the program's own log readable and small: of what one place says again and again, a few records and a count."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

AT_ONCE = 5  # records of one place in the code
SECONDS = 60.0  # in which so many are written; what else that place said is counted, and told with its next one
PLACES = 1024  # remembered; the one that spoke longest ago is forgotten first


class LogRate(logging.Filter):
    """For a handler: lets a record through, or counts it. Places are told apart by their file and line, so that what
    others send, which may be in the text, makes no new ones."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[str, int], tuple[float, int]] = {}  # since when, and how many

    def filter(self, record: logging.LogRecord) -> bool:
        place = (record.pathname, record.lineno)
        now = self._clock()
        since, count = self._said.pop(place, (now, 0))
        dropped = 0
        if now - since >= SECONDS:
            dropped = max(0, count - AT_ONCE)
            since, count = now, 0
        self._said[place] = (since, count + 1)
        if len(self._said) > PLACES:
            del self._said[next(iter(self._said))]
        if count >= AT_ONCE:
            return False
        if dropped:
            record.msg, record.args = f"{record.getMessage()} (and {dropped} more like it before)", ()
        return True
