"""Agent text on a terminal: it colours, breaks lines and indents, and can do nothing else, however it is cut."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myagent.text.terminal import TerminalFilter, visible

ESC, BEL, ST = "\x1b", "\x07", "\x1b\\"

# What people have sent to terminals to take them over, and what would only confuse; in their 7-bit form.
SEQUENCES = [
    f"{ESC}]0;owned{BEL}",
    f"{ESC}]2;owned{ST}",
    f"{ESC}]52;c;cm0gLXJmIC8={BEL}",
    f"{ESC}]52;c;?{ST}",
    f"{ESC}]8;;https://evil.example{ST}good.example{ESC}]8;;{ST}",
    f"{ESC}]4;1;rgb:00/00/00{BEL}",
    f"{ESC}]10;?{BEL}",
    f"{ESC}]7;file:///tmp{BEL}",
    f"{ESC}]1337;File=name=eA==:eA=={BEL}",
    f"{ESC}]9;notify{BEL}",
    f"{ESC}]777;notify;a;b{BEL}",
    f"{ESC}[2J",
    f"{ESC}[3J",
    f"{ESC}[H",
    f"{ESC}[10;10H",
    f"{ESC}[5A",
    f"{ESC}[5B",
    f"{ESC}[5C",
    f"{ESC}[5D",
    f"{ESC}[1K",
    f"{ESC}[2K",
    f"{ESC}[1L",
    f"{ESC}[1M",
    f"{ESC}[4h",
    f"{ESC}[?25l",
    f"{ESC}[?1049h",
    f"{ESC}[?2004h",
    f"{ESC}[?1000h",
    f"{ESC}[6n",
    f"{ESC}[c",
    f"{ESC}[21t",
    f"{ESC}[5;10r",
    f"{ESC}[s{ESC}[u",
    f"{ESC}[>4;2m",
    f"{ESC}[8mhidden{ESC}[0m",
    f"{ESC}[38;5m",
    f"{ESC}7{ESC}8",
    f"{ESC}c",
    f"{ESC}D{ESC}M{ESC}E",
    f"{ESC}#8",
    f"{ESC}(0lqk{ESC}(B",
    f"{ESC}P$q m{ST}",
    f"{ESC}_Gf=100;AAAA{ST}",
    f"{ESC}^private{ST}",
    f"{ESC}Xstring{ST}",
    f"{ESC}]0;never ends",
    f"{ESC}P never ends",
    f"{ESC}[31",
    f"{ESC}{ESC}[2J",
    "\r\b\x00\x0b\x0c\x0e\x0f\x7f\x05\x18\x1a",
]
EIGHT_BIT = {
    f"{ESC}{seven}": eight
    for seven, eight in {
        "[": "\x9b", "]": "\x9d", "P": "\x90", "_": "\x9f", "^": "\x9e", "X": "\x98", "\\": "\x9c",
        "D": "\x84", "M": "\x8d", "E": "\x85",
    }.items()
}  # fmt: skip


def in_8_bits(text: str) -> str:
    return re.sub("\x1b[][P_^X\\\\DME]", lambda match: EIGHT_BIT[match[0]], text)


def shown(*chunks: str) -> str:
    stream = TerminalFilter()
    return "".join([stream.feed(chunk) for chunk in chunks]) + stream.close()


class Recorder:
    """Listens to pyte's parser instead of a screen: what a terminal is told beyond text, line feeds, tabs, colours."""

    def __init__(self) -> None:
        self.effects: list[str] = []
        self.drawn = ""

    def draw(self, text: str) -> None:
        self.drawn += text

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *parameters, **more: self.effects.append(name)

    def linefeed(self) -> None:
        self.drawn += "\n"

    def tab(self) -> None:
        self.drawn += "\t"

    def select_graphic_rendition(self, *parameters: int, private: bool = False) -> None:
        if private:
            self.effects.append("private colours")


def drive(text: str) -> Recorder:
    recorder = Recorder()
    pyte.Stream(recorder).feed(text)  # type: ignore[arg-type]
    return recorder


SGR = re.compile(r"\x1b\[[0-9]+(?:;[0-9]+)*m")


def assert_harmless(text: str) -> None:
    assert drive(text).effects == []
    rest = SGR.sub("", text)
    bad = [character for character in rest if not (character in "\n\t" or character.isprintable())]
    assert all(unicodedata.category(character) == "Zs" for character in bad), bad
    assert rest.count("\x1b") == 0


@pytest.mark.parametrize("form", ["7-bit", "8-bit"])
@pytest.mark.parametrize("sequence", SEQUENCES)
def test_no_sequence_reaches_the_terminal_wherever_it_is_cut(sequence: str, form: str) -> None:
    sequence = sequence if form == "7-bit" else in_8_bits(sequence)
    text = f"before{sequence}after\n"
    whole = shown(text)
    for cut in range(len(text) + 1):
        assert shown(text[:cut], text[cut:]) == whole
    assert shown(*text) == whole
    assert_harmless(whole)
    # Nothing is dropped: what was taken apart is there to be read.
    unescaped = re.sub(r"\\u\{([0-9a-f]+)\}", lambda match: chr(int(match[1], 16)), whole.removesuffix("\x1b[0m"))
    either = re.compile(r"(\x1b\[|\x9b)[0-9]+(;[0-9]+)*m")
    assert either.sub("", unescaped) == either.sub("", text)


def test_the_corpus_does_something_to_a_terminal_without_the_filter() -> None:
    """The negative control: the oracle sees what the filter prevents."""
    harmless = [sequence for sequence in SEQUENCES if not drive(f"{sequence}{BEL}x").effects]
    seen = len(SEQUENCES) - len(harmless)
    assert seen >= 35, harmless
    assert len(SEQUENCES) >= 40


COLOURS = ["0", "1", "31", "1;31", "38;5;200", "38;2;1;2;3", "48;5;0", "97;101", "", "0;4", "39;49"]


@pytest.mark.parametrize("parameters", COLOURS)
@pytest.mark.parametrize("introducer", ["\x1b[", "\x9b"])
def test_colours_pass_and_end_with_the_stream(introducer: str, parameters: str) -> None:
    text = f"a{introducer}{parameters}mb"
    expected = f"a\x1b[{parameters or 0}mb"
    for cut in range(len(text) + 1):
        stream = TerminalFilter()
        assert stream.feed(text[:cut]) + stream.feed(text[cut:]) == expected
        assert stream.close() == ("" if parameters in ("", "0") else "\x1b[0m")


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        ("38:2::1:2:3", "38;2;1;2;3"),
        ("38:2:1:2:3", "38;2;1;2;3"),
        ("48:5:7", "48;5;7"),
        ("4:3", "4"),
        ("4:0", "24"),
    ],
)
def test_sub_parameters_are_written_so_that_every_terminal_knows_them(sent: str, got: str) -> None:
    assert shown(f"\x1b[{sent}mx") == f"\x1b[{got}mx\x1b[0m"


@pytest.mark.parametrize("parameters", ["8", "5", "6", "?25", ">4;1", "38;5", "38;2;1;2", "38;5;256", "999", "58;5;5",
                                        "1 ", "1$", "1" * 70, "38:9:1", "-1"])  # fmt: skip
def test_what_is_no_colour_is_made_visible(parameters: str) -> None:
    assert shown(f"\x1b[{parameters}mx") == f"\\u{{1b}}[{parameters}mx"


def test_invisible_and_reordering_characters_are_made_visible() -> None:
    assert shown("a\u202eb\u200bc\u2066d\ufeffe\u2028f\u00adg\U000e0041") == (
        r"a\u{202e}b\u{200b}c\u{2066}d\u{feff}e\u{2028}f\u{ad}g\u{e0041}"
    )


def test_ordinary_text_of_any_language_passes() -> None:
    text = "grüße 中文\u3000全角 «\u00a0oui\u00a0» עברית ✔\ufe0f 🙂\tend\n"
    assert shown(text) == text
    assert shown("✔", "\ufe0f") == "✔\ufe0f"
    assert shown("a\ufe0f") == r"a\u{fe0f}"


STEERING_TEXT = st.text(
    alphabet=st.one_of(
        st.sampled_from("\x1b\x9b\x9d\x90[]()#?;:>m0123456789JHKc \\\x07\r\b\n\t"), st.characters(exclude_categories=[])
    ),
    max_size=60,
)


@given(STEERING_TEXT, st.lists(st.integers(0, 60), max_size=4))
def test_any_text_is_harmless_and_shown_the_same_however_it_is_cut(text: str, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in itertools.pairwise(edges)]
    assert shown(*pieces) == shown(text)
    if not any(0xD800 <= ord(character) < 0xE000 for character in text):
        assert_harmless(shown(text))


@given(st.lists(st.one_of(st.sampled_from([f"\x1b[{p}m" for p in COLOURS]), st.sampled_from("ab \n")), max_size=20))
def test_coloured_text_looks_as_it_would_without_the_filter(parts: list[str]) -> None:
    def screen(text: str) -> object:
        target = pyte.Screen(40, 30)
        pyte.Stream(target).feed(text)
        return [[target.buffer[y][x] for x in range(40)] for y in range(30)]

    assert screen(shown("".join(parts))) == screen("".join(parts))


@given(STEERING_TEXT)
def test_visible_lets_no_colour_through_either(text: str) -> None:
    assert "\x1b" not in visible(text)
    assert "\x9b" not in visible(text)
