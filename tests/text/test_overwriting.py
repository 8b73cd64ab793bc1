"""What overwrites a line does so as on a terminal, whatever it is cut into, and nothing else gets through with it."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myagent.text.overwriting import Overwriting, clusters, shown
from myagent.text.terminal import TerminalFilter, visible

CASES = json.loads((Path(__file__).parent / "overwrites.json").read_text())  # the page's tests read it, too
SGR = re.compile(r"\x1b\[[0-9;]*m")


def over(*chunks: str) -> str:
    clean, lines = TerminalFilter(overwrites=True), Overwriting()
    text = "".join([lines.feed(clean.feed(chunk)) for chunk in chunks])
    return text + lines.feed(clean.close()) + lines.line


def plain(*chunks: str) -> str:
    return SGR.sub("", over(*chunks))


@pytest.mark.parametrize(("chunks", "lines"), CASES, ids=[repr("".join(chunks)) for chunks, _ in CASES])
def test_the_table(chunks: list[str], lines: list[str]) -> None:
    assert plain(*chunks).split("\n") == lines
    assert plain(*"".join(chunks)).split("\n") == lines


def test_the_table_needs_the_rule() -> None:
    """The negative control: what merely makes controls visible, or drops them, fails it."""
    for wrong in (visible, lambda text: SGR.sub("", text).replace("\r", ""), lambda text: text.replace("\r", "\n")):
        failed = [chunks for chunks, lines in CASES if wrong("".join(chunks)).split("\n") != lines]
        assert len(failed) > len(CASES) / 2


PIECES = st.lists(
    st.one_of(st.sampled_from(["\r", "\b", "\t", "\n", "\r\n", "\x1b[K", "\x1b[1K", "\x1b[2K", "\x1b[31m", "\x1b[1m",
                               "\x1b[0m", "\x1b[48;5;7m", "\x1b[39m"]), st.text("abcxyz ", max_size=6)),
    max_size=25,
)  # fmt: skip


def screen(text: str) -> pyte.Screen:
    target = pyte.Screen(200, 40)
    target.set_mode(pyte.modes.LNM)
    pyte.Stream(target).feed(text)
    return target


@given(PIECES)
def test_it_is_what_a_terminal_shows(pieces: list[str]) -> None:
    text = "".join(pieces)
    wanted, got = screen(text), screen(over(text))
    assert [line.rstrip() for line in got.display] == [line.rstrip() for line in wanted.display]
    for y in range(40):
        for x in range(200):
            if wanted.buffer[y][x].data != " ":
                assert got.buffer[y][x] == wanted.buffer[y][x]


@given(st.text("ab \r\b\t\n表示\u0301🙂\x1b[K31m;", max_size=30), st.lists(st.integers(0, 30), max_size=4))
def test_however_it_is_cut_it_is_the_same(text: str, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    assert plain(*(text[start:end] for start, end in itertools.pairwise(edges))) == plain(text)


@given(st.text(max_size=40))
def test_nothing_is_left_that_could_move(text: str) -> None:
    rest = SGR.sub("", shown(text))
    assert not {"\r", "\b", "\x1b", "\x9b"} & set(rest)
    if not {"\r", "\b", "\x1b", "\x9b"} & set(text):
        clean = TerminalFilter()
        assert shown(text) == clean.feed(text) + clean.close()


def test_a_line_that_is_written_over_for_hours_stays_one_line() -> None:
    lines = Overwriting()
    for number in range(100_000):
        assert lines.feed(f"\r{number} of 100000") == ""
    assert lines.line == "99999 of 100000"


def test_characters_as_people_see_them() -> None:
    text = "a表e\u0301👩\u200d👩\u200d👧\u200d👦👋🏽🇩🇪❤\ufe0f1\ufe0f\u20e3"
    assert list(clusters(text)) == [
        ("a", 1), ("表", 2), ("e\u0301", 1), ("👩\u200d👩\u200d👧\u200d👦", 2), ("👋🏽", 2), ("🇩🇪", 2), ("❤\ufe0f", 2),
        ("1\ufe0f\u20e3", 2),
    ]  # fmt: skip
