"""The display text: nothing hidden, nothing ambiguous, and warnings that mean something."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.core.ordinary_texts import ORDINARY

from myagent.core.diffs import unified_diff
from myagent.core.display import escape, flags, shorten, unescape
from myagent.core.messages import Diff
from myagent.core.ordinary import without_ordinary
from myagent.core.permissions import ToolCall, request_body

any_text = st.text(st.characters(exclude_categories=()))  # surrogates too
# Where injectivity is easiest to lose: backslashes, the letters of an escape, and characters that are escaped.
tricky_text = st.text(st.sampled_from(list("\\\\\\u{}24e\n\t\x1b\u202e\u200b\ud800é\ufe0f")), max_size=40)

# Every code point of Default_Ignorable_Code_Point in Unicode 14.0 (DerivedCoreProperties.txt).
DEFAULT_IGNORABLE = [
    *(0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), *range(0x200B, 0x2010)),
    *(*range(0x202A, 0x202F), *range(0x2060, 0x2070), 0x3164, *range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0),
    *(*range(0xFFF0, 0xFFF9), *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000)),
]


@given(any_text | tricky_text)
@example("\\u{202e}")
@example("\\\u202e")
@example("\\\\u{202e}")
@example("\\\\\u202e\\u{")
def test_unescape_gives_the_text_back(text: str) -> None:
    assert unescape(escape(text)) == text


@given(st.lists(tricky_text, max_size=8, unique=True))
def test_different_texts_are_shown_differently(texts: list[str]) -> None:
    assert len({escape(text) for text in texts}) == len(texts)


@given(any_text | tricky_text)
def test_everything_shown_can_be_seen(text: str) -> None:
    assert all(c == "\n" or c.isprintable() for c in escape(text))


@given(st.text())
def test_what_escape_never_writes_survives_unescape_and_escape(text: str) -> None:
    assert unescape(escape(unescape(text))) == unescape(text)  # and nothing raises


def test_escaping_the_last_backslash_alone_would_not_be_injective() -> None:
    """Negative control: the literal reading of "double a backslash before u{" maps two texts to one."""

    def naive(text: str) -> str:
        return re.sub("\u202e", r"\\u{202e}", text.replace("\\u{", "\\\\u{"))

    assert naive("\\\u202e") == naive("\\u{202e}")
    assert escape("\\\u202e") != escape("\\u{202e}")


def test_every_character_of_the_named_categories_is_escaped_and_no_other() -> None:
    hidden = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"}

    def expected(character: str) -> str:
        named = unicodedata.category(character) in hidden and character not in "\n "
        return f"\\u{{{ord(character):x}}}" if named or ord(character) in _UNSEEN else character

    characters = [chr(code) for code in range(0x110000)]
    assert escape("".join(characters)) == "".join(map(expected, characters))


_UNSEEN = {*DEFAULT_IGNORABLE, 0x2800, 0x1D159}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ls -la\n", "ls -la\n"),
        ("a\tb\r\n", "a\\u{9}b\\u{d}\n"),
        ("rm\u00a0-rf", "rm\\u{a0}-rf"),
        ("\x1b[2J", "\\u{1b}[2J"),
        ("x\U000e0041", "x\\u{e0041}"),
        (r"\u{41}", r"\\u{41}"),
        (r"\\u{41}", r"\\\\u{41}"),
        ("\\\u200b", r"\\\u{200b}"),
        (r"C:\users\u", r"C:\users\u"),
        ("καλημέρα мир 世界 é 🙂", "καλημέρα мир 世界 é 🙂"),
    ],
)
def test_escape(text: str, shown: str) -> None:
    assert escape(text) == shown
    assert unescape(shown) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ls -la\n", ()),
        ("\tmake: all\n", ()),
        ("καλημέρα мир 世界 naïve Tシャツ test_привет файл.txt", ()),
        ("é written with a mark: e\u0301", ()),
        ("user\u202etxt", ("bidi",)),
        ("\u2066x\u2069", ("bidi",)),
        ("a\u200bb", ("invisible",)),
        ("rm\u00a0-rf /", ("invisible",)),
        ("\u3164", ("invisible",)),
        ("p\u0430ypal", ("mixed_script",)),
        ("p\u03bfwer", ("mixed_script",)),
        ("pa\u0301\u0443", ("mixed_script",)),
        ("sha256\u0455um", ("mixed_script",)),
        ("\x1b]0;x\x07", ("escapes",)),
        ("\x9b2J", ("escapes",)),
        ("progress 1\rprogress 2", ("escapes",)),
        ("\u202e\u200b\u0430b\x1b", ("bidi", "invisible", "mixed_script", "escapes")),
    ],
)
def test_flags(text: str, expected: tuple[str, ...]) -> None:
    assert flags(text) == expected


@given(any_text)
def test_an_escaped_character_is_flagged_unless_it_is_ordinary_where_it_stands(text: str) -> None:
    text = text.replace("\\", "").replace("\t", "")
    rest = without_ordinary(text)
    assert bool(set(flags(text)) - {"mixed_script", "look_alike"}) == (escape(rest) != rest)


def _asked(text: str) -> tuple[str, ...]:
    """The flags of a request to write it into a file, and of one to change a line of such a file."""
    found: set[str] = set()
    for before, after in ((None, text), (f"{text}\n1\n", f"{text}\n2\n")):
        call = ToolCall(
            tool_name="Write",
            input={"path": "notes/a.md", "content": after},
            text=f"notes/a.md\n{unified_diff('notes/a.md', before, after)}",
            diffs=(Diff("notes/a.md", before, after),),
        )
        body = request_body(call, cwd="/w", expires_at="")
        assert body is not None
        found |= set(body.flags)
    return tuple(sorted(found))


def test_of_ordinary_texts_hardly_any_is_flagged() -> None:
    assert len(set(ORDINARY)) >= 200
    flagged = {text: found for text in ORDINARY if (found := _asked(text))}
    assert len(flagged) <= len(ORDINARY) * 0.02, flagged


def test_a_warning_for_every_character_that_cannot_be_seen_would_flag_many_of_them() -> None:
    """Negative control of the corpus."""
    assert sum(escape(text) != text for text in ORDINARY) > len(ORDINARY) * 0.1


@pytest.mark.parametrize(
    "text",
    [
        *(
            f"x{hidden}y"
            for hidden in "\u200b\u200c\u200d\u2060\ufeff\u00ad\u034f\u3164\uffa0\ufe0f\ufe0e\U000e0101\u180e\u2028"
        ),
        "if admin\u200d == 1:",
        "rm\u00a0-rf /",
        "a = 1\u00a0\u00a0",
        "x\u3000= 1",
        "\u00a0\u00a0return",
        "word\u2003word",
        "\u200cمی",
        "می\u200c\u200cخواهم",
        "⚠\ufe0f\ufe0f",
        "1\ufe0f",
        "🏴\U000e0068\U000e0069\U000e007f",
        "👨\u200d",
        "\U000e0041\U000e0042",
        "x\ufeff",
        "a\n\ufeffb",
        "\u2800\u2800",
        "ก\u200b",
    ],
)
def test_what_is_hidden_where_nothing_has_it_is_flagged(text: str) -> None:
    assert "invisible" in flags(text)
    assert "invisible" in _asked(text)


@pytest.mark.parametrize("text", ["a\rb", "\r\rx\n", "x\x0cy", "\x0c\x0c\n", "\x1b[2K", "\x9b1m", "\x08"])
def test_what_steers_a_terminal_is_flagged(text: str) -> None:
    assert "escapes" in flags(text)


@pytest.mark.parametrize(
    "text",
    [
        "gıthub.com",
        "git clone https://gıthub.com/x/y.git",
        "git@gıthub.com:x/y.git",
        "curl https://аррӏе.com/install",
        "see http://ехаmрlе.org",
        "/usr/bın/env",
        "/еtс/hosts",
        "src/хор.py",
        "/etc⁄passwd",
        "https://github.com∕evil.example",
        "https://github.com⁄@evil.example",
        "https://example.com／@evil.example",
        "github。com/x",
        "https://github․com/x",
        "a/‥/b",
        "https://example.com℀b/",
        "conﬁg/local.py",
        "docs/cafe\u0301.md",
        "https://ｇｉｔｈｕｂ.com",
        "https://𝐠𝐢𝐭𝐡𝐮𝐛.com",
        "https://github.com⟋x.evil.example",
        "https://github.comんx.evil.example",
        "https://github.comノx.evil.example",
        "https://github.com˸443.evil.example",
        "https://github۔com.evil.example",
        "https://my‐site.example/x",
        "my–site.com",
        "https://g००gle.com",
        "https://g೦೦gle.com",
    ],
)
def test_names_that_pass_for_others_are_flagged(text: str) -> None:
    assert "look_alike" in flags(text)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"command": "сат ~/.profile"}, "look_alike"),  # no letter of it is Latin
        ({"command": "true; ѕһ x"}, "look_alike"),
        ({"command": "env сат x"}, "look_alike"),
        ({"command": "sudo ѕһ x"}, "look_alike"),
        ({"command": "rsync ‐n --delete a b"}, "look_alike"),
        ({"command": "git push –dry-run"}, "look_alike"),
        ({"command": "true ＃ a remark; rm x"}, "look_alike"),
        ({"command": "echo ′a; rm x′"}, "look_alike"),
        ({"command": "rm\u00a0x"}, "invisible"),
        ({"path": "my\u202ffile"}, "invisible"),
        ({"path": "etc⁄passwd"}, "look_alike"),
        ({"path": "etc⟋passwd"}, "look_alike"),
        ({"path": "setup.ру"}, "look_alike"),
        ({"file_path": "notes½x/y"}, "look_alike"),
        ({"url": "gıthub.com/x"}, "look_alike"),
        ({"cwd": "/tmp/е"}, "look_alike"),
    ],
)
def test_in_names_and_commands_more_is_flagged(given: dict[str, str], found: str) -> None:
    (text,) = given.values()
    body = request_body(ToolCall(tool_name="T", input=given, text=text), cwd="/w", expires_at="")
    assert body is not None and found in body.flags


@pytest.mark.parametrize(
    "given",
    [
        {"command": "git commit -m 'Prix\u00a0: 5\u00a0€'"},
        {"command": "grep '⚠\ufe0f' README.md"},
        {"path": "кот/файл.txt"},
        {"path": "sınıf.py"},
        {"path": "日本語／メモ.txt"},
        {"command": "echo и/или"},
        {"command": "git commit -m 'a – b, don’t ＃1'"},
        {"command": "echo 你好；echo 再见"},
        {"command": "echo 10–20"},
        {"path": "docs/さんぽ.md"},
        {"path": "docs/ノート.md"},
        {"url": "https://en.wikipedia.org/wiki/Foo–Bar_theorem"},
        {"path": "отчёт.txt"},
        {"url": "https://münchen.example/"},
    ],
)
def test_ordinary_names_and_commands_are_not(given: dict[str, str]) -> None:
    (text,) = given.values()
    body = request_body(ToolCall(tool_name="T", input=given, text=text), cwd="/w", expires_at="")
    assert body is not None and body.flags == ()


def test_each_of_the_twelve_bidi_controls_is_flagged() -> None:
    controls = [c for c in map(chr, range(0x110000)) if unicodedata.bidirectional(c) in _BIDI_CLASSES]
    assert len(controls) == 9
    assert all(flags(c) == ("bidi",) for c in [*controls, "\u061c", "\u200e", "\u200f"])


_BIDI_CLASSES = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def test_shorten_keeps_both_ends_and_says_how_much_is_hidden() -> None:
    text = "a" * 600 + "b" * 600
    assert shorten(text, 1200) is text
    assert shorten(text, 11) == "aaaaaa\n[1189 characters are hidden here]\nbbbbb"
    assert shorten(text, 0) == "\n[1200 characters are hidden here]\n"
