"""What happens again and again fills no log, and what else happens is still told."""

from __future__ import annotations

import io
import logging

import pytest

from myagent.server.log_rate import AT_ONCE, PLACES, SECONDS, LogRate


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def heard(*, limited: bool = True) -> tuple[logging.Logger, io.StringIO, Clock]:
    clock, text = Clock(), io.StringIO()
    handler = logging.StreamHandler(text)
    if limited:
        handler.addFilter(LogRate(clock))
    log = logging.Logger("any")
    log.addHandler(handler)
    return log, text, clock


def fail(log: logging.Logger, text: str) -> None:
    try:
        raise ValueError(text)
    except ValueError:
        log.exception("failed: %s", text)


@pytest.mark.parametrize("limited", [True, False], ids=["limited", "control"])
def test_of_a_thousand_tracebacks_a_few_are_written(limited: bool) -> None:
    log, text, _ = heard(limited=limited)
    for number in range(1000):
        fail(log, f"number {number}")
    log.warning("something else")
    assert text.getvalue().count("Traceback") == (AT_ONCE if limited else 1000)
    assert "something else" in text.getvalue()


def test_how_many_were_not_written_is_told_with_the_next_one() -> None:
    log, text, clock = heard()
    for _ in range(100):
        fail(log, "again")
    clock.now += SECONDS
    fail(log, "and again")
    assert f"failed: and again (and {100 - AT_ONCE} more like it before)" in text.getvalue()


def test_it_remembers_only_so_many_places() -> None:
    rate = LogRate(Clock())
    for line in range(2 * PLACES):
        rate.filter(logging.LogRecord("any", logging.WARNING, "file.py", line, "text", (), None))
    assert len(rate._said) == PLACES
