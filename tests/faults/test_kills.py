"""After kill −9 at any point: what was acknowledged or seen is there, everything has its end, nothing runs again."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from tests.faults.kills import kill_and_check


def test_kill_9_loses_nothing_that_was_said(tmp_path: Path) -> None:
    tally = asyncio.run(kill_and_check(tmp_path, 5, seed=3))
    assert tally.right, tally
    assert tally.acked > 4 and tally.seen > 50 and tally.in_recovery > 0


@pytest.mark.long
def test_kill_9_two_hundred_times(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**9)
    tally = asyncio.run(kill_and_check(tmp_path, 200, seed=seed))
    print(f"seed {seed}: {tally}")
    assert tally.right


@pytest.mark.parametrize("promise", ["ack_before_commit", "no_recovery"])
def test_a_broken_promise_would_be_found(tmp_path: Path, promise: str) -> None:
    """Negative control."""
    tally = asyncio.run(kill_and_check(tmp_path, 3, seed=5, module=("tests.faults.broken", promise)))
    assert tally.lost if promise == "ack_before_commit" else tally.unended
