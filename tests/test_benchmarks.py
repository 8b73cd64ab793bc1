"""The benchmarks work, and count right: what they find is in `benchmarks/results`, and no test asserts a time."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from string import ascii_letters, digits

import pytest
from benchmarks import fanout, growth
from benchmarks.__main__ import NAMES
from benchmarks.measure import Incomplete, Spread, interleave
from benchmarks.peers.myagent_peer import CHUNK

from myagent.redaction.redactor import Redactor, Stream

ROOT = Path(__file__).parent.parent
needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None, reason="the benchmarks' client is in C: needs a compiler"
)


@needs_compiler
def test_every_benchmark_runs_and_has_its_verdicts(tmp_path: Path) -> None:
    """With the least amounts, and the peers that are there; each verdict has a value, but for peers that are not."""
    command = [sys.executable, "-m", "benchmarks", "--smoke", "--no-install", "--results", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and "is left out: " not in re.sub(
        "no plot|page is left out: .*", "", done.stdout
    )
    kept = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in NAMES if name != "page"}
    assert all(each["effort"] == "smoke" and each["verdicts"] for each in kept.values())
    for name in ("growth", "replay", "stalled", "compression", "startup"):  # need no peer
        assert all(each["met"] is not None for each in kept[name]["verdicts"]), kept[name]["verdicts"]
    assert len(kept["growth"]["verdicts"]) == 3
    [complete] = [each for each in kept["replay"]["verdicts"] if "complete" in each["figure"]]
    assert complete["measured"].startswith("1,000; ")


@pytest.mark.parametrize("first", [*ascii_letters, *digits, "-", "_"])
def test_what_the_agent_says_is_one_event_whatever_the_owner_token_is(first: str) -> None:
    """The end of what is said is held back where a secret may begin: that was an event more, one run in sixty."""
    redactor = Redactor(())
    redactor.register(first * 43)
    assert Stream(redactor).feed(CHUNK) == CHUNK


def test_a_text_that_ends_as_the_token_begins_is_found() -> None:
    """Negative control: the text that was said before."""
    redactor = Redactor(())
    redactor.register("o" * 43)
    assert Stream(redactor).feed("hello hello hello") == "hello hello hell"


def test_a_subject_that_loses_something_is_left_out_and_the_rest_goes_on() -> None:
    counts = {"good": 0, "bad": 0}

    def measured(name: str, fails_at: int) -> Callable[[], float]:
        def measure() -> float:
            counts[name] += 1
            if counts[name] == fails_at:
                raise Incomplete("5,010 of 5,000")
            return 1.0

        return measure

    spreads = interleave({"good": measured("good", 0), "bad": measured("bad", 3)}, 3)
    assert spreads == {"good": Spread((1.0, 1.0, 1.0))}


def test_a_verdict_without_its_subject_says_so() -> None:
    one = {"10 followers": Spread((1.0,))}
    assert growth._linear("", one, {}).measured == "left out"
    assert growth._flat("", one).measured == "left out"
    assert growth._flat("", {}).met is None
    assert {each.measured for each in fanout._verdicts({})} == {"left out"}


def test_too_many_are_no_more_right_than_too_few() -> None:
    class Server:
        cpu = 0.0

        def ask(self, line: str) -> None:
            self.cpu += 1.0

    class Client:
        def __init__(self, frames: int) -> None:
            self.frames = frames

        def ask(self, line: str) -> dict[str, int]:
            return {"frames": self.frames, "closed": 0}

    audience = fanout.Audience.__new__(fanout.Audience)
    audience.server, audience._preparing, audience.followers = Server(), False, 10  # type: ignore[assignment]
    for frames in (4999, 5010):
        audience.client = Client(frames)  # type: ignore[assignment]
        with pytest.raises(Incomplete, match=str(frames)):
            audience.deliveries("emit", 500, 1)
    audience.client = Client(5000)  # type: ignore[assignment]
    assert audience.deliveries("emit", 500, 1) == 5000.0
