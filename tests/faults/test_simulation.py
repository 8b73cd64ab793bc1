"""Cursors hand over one contiguous run, or say what is gone; a seed replays exactly."""

from __future__ import annotations

import asyncio

import pytest
from tests.faults.simulation import count_wrong, simulate

from myagent.delivery import cursor, window
from myagent.delivery.cursor import Cursor, Replay

SHORT, LONG = 100, 10_000
KEPT = (None, 10, 1)


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (cursor, window):
        monkeypatch.setattr(module, "SLICE_BYTES", 1500)


@pytest.mark.parametrize("keep", KEPT)
@pytest.mark.parametrize("seeds", [SHORT, pytest.param(LONG, marks=pytest.mark.long)])
def test_every_reader_gets_one_run(seeds: int, keep: int | None) -> None:
    found, bad = count_wrong(range(seeds), keep=keep)
    print(f"{seeds} histories, {found.delivered} events handed over, {found.gaps} told to be gone, wrong in {bad}")
    assert found.wrong == []
    assert found.delivered > 100 * seeds
    assert (found.gaps > 0) == (keep is not None)


def test_a_seed_replays_exactly() -> None:
    assert asyncio.run(simulate(7, keep=5)) == asyncio.run(simulate(7, keep=5))


def test_subscribing_after_the_replay_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: what is published while a replay is read is passed over."""
    read = Cursor._read_replay

    async def read_then_subscribe(self: Cursor, replay: Replay) -> None:
        await read(self, replay)
        if not self._todo:
            self._stand_at(self._fanout.window.next)

    monkeypatch.setattr(Cursor, "_read_replay", read_then_subscribe)
    assert count_wrong(range(20))[1]


def test_not_leaving_out_what_was_replayed_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: an event comes from the log, and from the window again."""
    monkeypatch.setattr(
        window.Window,
        "slice_without",
        lambda self, view, session, index, skip, deflate: self.slice(view, session, index, deflate=deflate),
    )
    assert count_wrong(range(20))[1]


def test_passing_over_what_is_gone_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: retention drops events, and nobody is told."""
    monkeypatch.setattr(cursor, "_gap", lambda *_: b"")
    assert count_wrong(range(20), keep=5)[1]
