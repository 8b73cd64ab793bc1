"""When something happened, in words: from the milliseconds of an event's `at`, by the clock of whoever reads."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, tzinfo

NONE = "unknown time"  # of an event that an older server stored, or of a number that no calendar has

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400  # seconds


def milliseconds() -> int:
    """Now, by this machine's clock."""
    return time.time_ns() // 1_000_000


def absolute(at: int | None, zone: tzinfo | None = None) -> str:
    """`2026-09-21 14:05:09.123`, in a time zone or in this machine's."""
    moment = moment_of(at, zone)
    return NONE if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03}"


def utc(at: int) -> str:
    """`2026-09-21T14:05:09.123Z`: the same wherever it is read, for what is handed on."""
    moment = moment_of(at, UTC)
    return NONE if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def relative(at: int | None, now: int, zone: tzinfo | None = None) -> str:
    """How long ago, as far as that says more than the date. What lies ahead, by another clock, is just now."""
    moment = moment_of(at, zone)
    if at is None or moment is None:
        return NONE
    seconds = (now - at) // 1000
    if seconds < _MINUTE:
        return "just now"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min ago"
    if seconds < _DAY:
        return f"{seconds // _HOUR} h ago"
    return moment.strftime("%Y-%m-%d %H:%M")


def latest_at(clock: tuple[int, int], before: int, zone: tzinfo | None = None) -> int:
    """When a clock last showed an hour and a minute, up to the moment `before`; milliseconds, as that is."""
    moment = datetime.fromtimestamp(before / 1000, zone)
    found = moment.replace(hour=clock[0], minute=clock[1], second=0, microsecond=0)
    if found > moment:
        found -= timedelta(days=1)
    return int(found.timestamp() * 1000)


def moment_of(at: int | None, zone: tzinfo | None = None) -> datetime | None:
    try:
        return None if at is None else datetime.fromtimestamp(at / 1000, zone)
    except (ValueError, OverflowError, OSError):  # beyond the years that a calendar has
        return None
