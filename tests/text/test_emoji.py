"""Emoji in output stay whole, however they are cut; what joins and varies outside of them can still be seen."""

from __future__ import annotations

import pytest

from myagent.core.display import escape
from myagent.text.terminal import TerminalFilter, printable, visible

EMOJI = pytest.importorskip("rich._emoji_codes", reason="the extra myagent[tui] is not installed").EMOJI
SEQUENCES = sorted({text for text in EMOJI.values() if any(character in text for character in "\u200d\ufe0f")})
FLAGS = [
    "\U0001f3f4" + "".join(chr(0xE0000 + ord(letter)) for letter in name) + "\U000e007f"
    for name in ("gbeng", "gbsct", "gbwls")
]
OTHERS = ["‼\ufe0f", "↔\ufe0f", "☎\ufe0e", "1\ufe0f\u20e3", "#\ufe0f\u20e3", "🐦\u200d⬛", "⛓\ufe0f\u200d💥",
          "👩🏽\u200d❤\ufe0f\u200d💋\u200d👨🏿", "🏳\ufe0f\u200d⚧\ufe0f"]  # fmt: skip
HOSTILE = ["a\u200db", "a\u200d🙂", "🙂\u200da", "🙂\u200d\u200d🙂", "\u200d🙂", "a\ufe0f", " \ufe0f", "\ufe0f",
           "🙂\ufe0f\ufe0f", "🏴\U000e0075\U000e0073\U000e007f", "🏴\U000e0067", "1\u200d2", "🙂\u200d",
           "表\u200d示", "→\u200d→"]  # fmt: skip


def shown(*chunks: str) -> str:
    stream = TerminalFilter()
    return "".join([stream.feed(chunk) for chunk in chunks]) + stream.close()


def test_every_sequence_of_the_data_is_text_wherever_it_is_cut() -> None:
    assert len(SEQUENCES) > 700
    for emoji in [*SEQUENCES, *FLAGS, *OTHERS]:
        text = f"a{emoji}b{emoji}"
        assert shown(text) == printable(text) == text
        assert shown(*text) == text
        for cut in range(len(text)):
            assert shown(text[:cut], text[cut:]) == text


@pytest.mark.parametrize("text", HOSTILE, ids=map(ascii, HOSTILE))
def test_elsewhere_they_can_be_seen(text: str) -> None:
    assert "\\u{" in shown(text)
    assert shown(*text) == shown(text)
    assert "\\u{" in printable(text)


@pytest.mark.parametrize("text", ["👩\u200d👧", "❤\ufe0f", FLAGS[0]], ids=ascii)
def test_what_is_decided_on_hides_nothing(text: str) -> None:
    """The negative control, too: without the rule, output looked like this."""
    assert "\\u{" in visible(text)
    assert "\\u{" in escape(text)
