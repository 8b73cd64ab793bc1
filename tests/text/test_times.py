"""When something happened, in words; a clock that differs, and numbers that no calendar has, are no error."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from myagent.text.times import NONE, absolute, latest_at, relative, utc

AT = 1_790_000_000_123  # 2026-09-21 14:13:20.123 UTC
EAST = timezone(timedelta(hours=2))


def test_a_time_is_told_in_the_zone_of_whoever_reads_or_in_utc() -> None:
    assert absolute(AT, UTC) == "2026-09-21 14:13:20.123"
    assert absolute(AT, EAST) == "2026-09-21 16:13:20.123"
    assert utc(AT) == "2026-09-21T14:13:20.123Z"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-5, "just now"), (0, "just now"), (59, "just now"), (60, "1 min ago"), (3599, "59 min ago"), (3600, "1 h ago"),
     (86_399, "23 h ago"), (86_400, "2026-09-21 14:13")],
)  # fmt: skip
def test_how_long_ago(seconds: int, told: str) -> None:
    assert relative(AT, AT + 1000 * seconds, UTC) == told


@pytest.mark.parametrize("at", [None, 10**18, -(10**18), 2**63])
def test_what_is_no_time_is_said_to_be_none(at: int | None) -> None:
    assert absolute(at, UTC) == relative(at, AT, UTC) == NONE
    assert at is None or utc(at) == NONE


def test_a_clock_shows_a_time_once_a_day_and_the_latest_is_meant() -> None:
    def at(hour: int, minute: int) -> datetime:
        return datetime.fromtimestamp(latest_at((hour, minute), AT, UTC) / 1000, UTC)

    assert at(14, 13) == datetime(2026, 9, 21, 14, 13, tzinfo=UTC)
    assert at(14, 14) == datetime(2026, 9, 20, 14, 14, tzinfo=UTC)
