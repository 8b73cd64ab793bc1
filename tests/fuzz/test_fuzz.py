"""A short run of what `make fuzz` does at length, on the same seeds each time; and that a planted bug is found."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.fuzz import growth, targets
from tests.fuzz.mutator import Mutator
from tests.fuzz.storm import storm

from myagent.core.codec import decode

SEED = 20260101
DECODED, SHAKEN, FRAMES = 20_000, 4000, 2000


@contextmanager
def shaking() -> Iterator[targets.Handshake]:
    target = targets.Handshake()
    try:
        yield target
    finally:
        target.close()


def _try(target: Callable[[bytes], None], mutator: Mutator, inputs: int) -> None:
    for number in range(inputs):
        target(mutator.input(number))


def test_a_seed_gives_the_same_inputs_for_ever() -> None:
    one, other, third = (Mutator(seed, targets.MESSAGES, targets.JSON_WORDS) for seed in (1, 1, 2))
    inputs = [one.input(number) for number in range(200)]
    assert inputs == [other.input(number) for number in range(200)]
    assert inputs != [third.input(number) for number in range(200)]
    assert len(set(inputs)) > 150 and any(each in targets.MESSAGES for each in inputs)
    assert one.draw(random.Random("1:7")) == inputs[7]


def test_no_bytes_break_the_decoder() -> None:
    mutator = Mutator(SEED, targets.MESSAGES, targets.JSON_WORDS)
    _try(targets.decoder, mutator, DECODED)
    for message in targets.MESSAGES:
        decode(message)  # else the run above would try little


def test_a_bug_in_the_decoder_is_found() -> None:
    mutator = Mutator(SEED, targets.MESSAGES, targets.JSON_WORDS)
    mend = targets.plant_in_decoder()
    try:
        with pytest.raises(KeyError):
            _try(targets.decoder, mutator, DECODED)
    finally:
        mend()


def test_no_bytes_break_the_handshake() -> None:
    mutator = Mutator(SEED, targets.REQUESTS, targets.HTTP_WORDS)
    with shaking() as target:
        _try(target, mutator, SHAKEN)


def test_every_good_request_is_answered() -> None:
    """Else the run above would try nothing."""
    with shaking() as target:
        said = [target._loop.run_until_complete(target._converse(good)) for good in targets.REQUESTS]
    statuses = [int(each.split()[1]) for each in said]
    assert statuses == [101, 101, 401, 401, 200, 200, 200, 200, 404, 200, 200, 405]


def test_the_answer_comes_also_where_the_end_is_right_behind_the_request() -> None:
    good = [each[:-4] + b"\r\nX: x\r\n\r\n" + b"\1" for each in targets.REQUESTS]  # what is behind it is dropped
    with shaking() as target:
        said = [target._loop.run_until_complete(target._converse(each)) for each in good]
    statuses = [int(each.split()[1]) for each in said]
    assert statuses == [101, 101, 401, 401, 200, 200, 200, 200, 404, 200, 200, 405]


def test_a_bug_in_the_handshake_is_found() -> None:
    mutator = Mutator(SEED, targets.REQUESTS, targets.HTTP_WORDS)
    mend = targets.plant_in_handshake()
    try:
        with shaking() as target, pytest.raises(UnicodeEncodeError):
            _try(target, mutator, SHAKEN)
    finally:
        mend()


async def test_no_frames_break_the_server_or_disturb_a_follower(tmp_path: Path) -> None:
    done = await storm(tmp_path, SEED, FRAMES)
    assert done.wrong == []
    assert done.watched and done.codes.total() > FRAMES // 10


async def test_a_bug_behind_a_frame_is_found(tmp_path: Path) -> None:
    done = await storm(tmp_path, SEED, FRAMES, module=("tests.fuzz.planted",))
    assert done.wrong


@pytest.mark.parametrize("name", growth.TARGETS)
def test_nothing_grows_faster_than_its_input(name: str) -> None:
    found = growth.search(20260101, 2, {name: growth.TARGETS[name]})
    assert found.inputs == 2 and not found.wrong


@pytest.mark.parametrize("name", growth.PLANTED)
def test_what_grows_faster_is_found(name: str) -> None:
    planted = {name: growth.PLANTED[name]}
    assert growth.search(20260101, 4, planted, until_found=True, words=("a", "x", "=======\n")).wrong
