"""How events are worded: times that are told, and times that are not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from myagent.text.wording import seconds_since, time_left

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("asked_at", "seconds"),
    [
        ("2026-01-01T11:58:30.500Z", 89.5),
        ("2026-01-01T12:00:05Z", 0.0),  # a server whose clock is ahead
        (None, 0.0),
        ("", 0.0),
        ("soon", 0.0),
        ("2026-01-01T11:58:30", 0.0),  # without a time zone it means nothing here
    ],
)
def test_how_long_a_request_waits(asked_at: str | None, seconds: float) -> None:
    assert seconds_since(asked_at, NOW) == seconds


@pytest.mark.parametrize(
    ("expires_at", "text"),
    [
        ("2026-01-01T12:09:58Z", "in 9 min 58 s"),
        ("2026-01-01T12:00:07Z", "in 7 s"),
        ("2026-01-01T11:00:00Z", "now"),
        ("", ""),
    ],
)
def test_how_long_it_still_waits(expires_at: str, text: str) -> None:
    assert time_left(expires_at, NOW) == text
