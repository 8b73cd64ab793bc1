"""Whatever is cut, restarted or slow: everybody ends with the log, in order, once, byte for byte."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from tests.faults import schedules
from tests.faults.schedules import Outcome, play

from myagent.client import MissingEvents
from myagent.delivery.cursor import Cursor, Replay
from myagent.delivery.window import Window


def played(directory: Path, seeds: range, *, program: bool = False) -> list[Outcome]:
    return [asyncio.run(play(seed, directory / str(seed), program=program)) for seed in seeds]


def wrong(outcomes: list[Outcome]) -> list[Outcome]:
    return [each for each in outcomes if not each.right]


def test_random_faults_lose_double_and_reorder_nothing(tmp_path: Path) -> None:
    outcomes = played(tmp_path, range(12))
    assert wrong(outcomes) == []
    assert sum(each.verdict.events for each in outcomes) > 4000
    assert sum(each.reconnects for each in outcomes) > 10


def test_nor_do_they_with_the_real_program_killed_and_restarted(tmp_path: Path) -> None:
    outcomes = played(tmp_path, range(2), program=True)
    assert wrong(outcomes) == []
    assert sum(each.faults["restart"] for each in outcomes) >= 2


@pytest.mark.long
@pytest.mark.parametrize(("program", "count"), [(False, 900), (True, 100)], ids=["in process", "real program"])
def test_a_thousand_random_schedules(tmp_path: Path, program: bool, count: int) -> None:
    first = random.SystemRandom().randrange(10**9)
    print(f"seeds from {first}")
    assert wrong(played(tmp_path, range(first, first + count), program=program)) == []


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "PATIENCE", 3.0)


@pytest.mark.usefixtures("_impatient")
def test_subscribing_after_the_replay_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: a hand-over between replay and live."""
    read = Cursor._read_replay

    async def read_then_subscribe(self: Cursor, replay: Replay) -> None:
        await read(self, replay)
        await asyncio.sleep(0.01)
        if not self._todo:
            self._stand_at(self._fanout.window.next)

    monkeypatch.setattr(Cursor, "_read_replay", read_then_subscribe)
    assert any(outcome_is_wrong(tmp_path, seed) for seed in range(15))


def test_other_bytes_on_replay_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: an event is encoded again for those who are live."""
    show = Window.event
    monkeypatch.setattr(Window, "event", lambda self, stored: show(self, stored.__class__(
        stored.pos, stored.session_id, stored.seq, stored.body.replace(b'"seq":', b'"seq": '), stored.update
    )))  # fmt: skip
    assert any(outcome_is_wrong(tmp_path, seed) for seed in range(15))


def outcome_is_wrong(directory: Path, seed: int) -> bool:
    try:
        return not played(directory, range(seed, seed + 1))[0].right
    except MissingEvents:  # our own client refuses to go on
        return True
