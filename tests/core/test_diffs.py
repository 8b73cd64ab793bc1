"""Diffs: right for all texts, short where that is cheap, and of bounded cost."""

from __future__ import annotations

import difflib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myagent.core.diffs import SMALL, _shortest, changes, hunks, unified_diff

lines = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n", "unique 1\n", "unique 2\n"]), max_size=40)


def applied(old: list[str], new: list[str]) -> list[str]:
    made, at = [], 0
    for a, b, c, d in changes(old, new):
        assert at <= a <= b and (a, c) != (b, d)
        made += old[at:a] + new[c:d]
        at = b
    return made + old[at:]


@given(lines, lines)
def test_the_changes_make_the_new_lines_of_the_old_ones(old: list[str], new: list[str]) -> None:
    assert applied(old, new) == new


@given(lines, lines)
def test_a_diff_is_no_longer_than_the_usual_ones(old: list[str], new: list[str]) -> None:
    ours = sum(b - a + d - c for a, b, c, d in changes(old, new))
    opcodes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    usual = sum(b - a + d - c for tag, a, b, c, d in opcodes if tag != "equal")
    if len(old) + len(new) <= SMALL:  # of longer ones, lines that occur once are kept together before all else
        assert ours <= usual


def test_line_numbers_are_those_of_the_usual_format() -> None:
    old = [f"{n}\n" for n in range(40)]
    new = [*old[:5], "x\n", *old[6:30], *old[31:], "end\n"]
    _, _, *usual = difflib.unified_diff(old, new)
    assert hunks("".join(old), "".join(new)) == [line.rstrip("\n") for line in usual]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["a\n", "b\n"] * 10_000, ["b\n", "b\n", "a\n"] * 7000),
        ([f"{n % 97}\n" for n in range(20_000)], [f"{n % 89}\n" for n in range(20_000)]),
        ([f"{n}\n" for n in range(20_000)], [f"{n}\n" for n in range(20_000, 0, -1)]),
        (["\n"] * 100_000, ["x\n"] * 100_000),
    ],
)
def test_a_diff_costs_no_more_than_its_steps(old: list[str], new: list[str]) -> None:
    """By an amount of steps, not of seconds: with one that has run out, what is left is told as replaced."""
    assert applied(old, new) == new
    before, after = [hash(line) for line in old], [hash(line) for line in new]
    box = (0, len(old), 0, len(new))
    found, left = _shortest(before, after, box, 1000)
    assert found == [box] and left > -3000


def test_what_shows_nothing_says_so() -> None:
    assert unified_diff("a", "x\n", "x\n") == "--- a\n+++ a (nothing changes)\n x\n"
    assert unified_diff("a", None, "") == "--- /dev/null\n+++ a (an empty file)\n"
    assert re.search("^-x$", unified_diff("a", "x\n", ""), re.MULTILINE)
