"""The check that every connection of these tests is held to fails where it must."""

from __future__ import annotations

import json

import pytest
from wire import Run


def take(run: Run, seq: int, *, text: str = "x", **more: object) -> None:
    message = {"type": "agent_stdout", "id": "m1", "sessionId": "s1", "seq": seq, "chunk": text, **more}
    run.take(json.dumps(message), message)


def test_a_run_without_a_hole_passes() -> None:
    run = Run()
    for seq in (3, 4, 5):
        take(run, seq)
    run.take("", {"type": "gap", "sessionId": "s1", "from": 6, "to": 8})
    take(run, 9)
    run.will_move("r1", 3)
    run.take("", {"type": "ack", "id": "r1", "sessionId": "s1"})
    take(run, 4)
    run.take("", {"type": "replayed", "id": "r1", "sessionId": "s1", "head": 4})


@pytest.mark.parametrize(("seqs", "wrong"), [((1,), 3), ((1,), 1), ((2,), 1), ((1, 2), 4), ((5, 6), 5)])
def test_a_hole_a_double_and_a_step_back_are_found(seqs: tuple[int, ...], wrong: int) -> None:
    run = Run()
    for seq in seqs:
        take(run, seq)
    with pytest.raises(AssertionError):
        take(run, wrong)


def test_a_start_that_skips_what_was_asked_for_is_found() -> None:
    run = Run()
    run.start("s1", 2)
    with pytest.raises(AssertionError):
        take(run, 4)


def test_two_versions_of_one_event_are_found() -> None:
    known: dict[tuple[str, int], str] = {}
    take(Run(known), 1)
    take(Run(known), 1)
    with pytest.raises(AssertionError):
        take(Run(known), 1, text="y")


def test_a_replay_that_ends_too_early_is_found() -> None:
    run = Run()
    run.will_move("r1", 0)
    run.take("", {"type": "ack", "id": "r1", "sessionId": "s1"})
    take(run, 1)
    with pytest.raises(AssertionError):
        run.take("", {"type": "replayed", "id": "r1", "sessionId": "s1", "head": 2})
