"""No secret passes, wherever a chunk ends; and what cannot be a secret is not held back."""

from __future__ import annotations

import logging
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myagent.access.tickets import PREFIX as TICKET_PREFIX
from myagent.access.tokens import make_token
from myagent.redaction.redactor import KNOWN, MASK, OURS, BadPattern, Form, RedactingFormatter, Redactor, Stream

OWNER = "Zq3x-kT0_9mN4vR7sL2pW8yB6cD1fG5hJ_aE3uI0oXz"
LETTERS = "A7b_" * 100


def example(form: Form, size: int) -> str:
    allowed = [letter for letter in "aB7Z9b3-_" if re.fullmatch(form.characters, letter)]
    return form.prefix + (allowed * 300)[0] * (size // 2) + (allowed * 300)[-1] * (size - size // 2)


SECRETS = [
    OWNER,
    make_token("abcdefgh", "a2" * 16),
    *(example(form, form.low) for form in (*OURS, *KNOWN)),
    *(example(form, form.high) for form in KNOWN if form.high > form.low),
]


def redactor(*patterns: str) -> Redactor:
    made = Redactor(patterns)
    made.register(OWNER)
    return made


def streamed(made: Redactor, *pieces: str) -> str:
    stream = Stream(made)
    return "".join([*(stream.feed(piece) for piece in pieces), stream.flush()])


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(("before", "after"), [("token: ", "\n"), ("", ""), ("'", "' and more"), ("\nmygh sk ", " x")])
def test_every_secret_at_every_split(secret: str, before: str, after: str) -> None:
    made = redactor()
    whole = before + secret + after
    assert made.text(whole) == before + MASK + after
    for at in range(len(whole) + 1):
        assert streamed(made, whole[:at], whole[at:]) == before + MASK + after
    assert streamed(made, *whole) == before + MASK + after
    third = max(1, len(whole) // 3)
    for at in range(len(whole) - third):
        assert streamed(made, whole[:at], whole[at : at + third], whole[at + third :]) == before + MASK + after


@pytest.mark.parametrize("secret", SECRETS)
def test_no_part_of_a_secret_is_shown_before_its_end_has_come(secret: str) -> None:
    stream = Stream(redactor())
    for letter in secret[:-1]:
        assert stream.feed(letter) == ""


def test_without_the_carry_a_split_secret_passes() -> None:
    """The negative control: covering each chunk by itself is what leaks."""
    made = redactor()
    leaked = made.text(OWNER[:20]) + made.text(OWNER[20:])
    assert OWNER in leaked
    assert OWNER not in streamed(made, OWNER[:20], OWNER[20:])


PARTS = st.sampled_from([*SECRETS, OWNER[:10], "myagent_", "sk-", "gh", "x", " ", "\n", "-", "ghp_", "é", "𝒳", "AK"])


@given(st.lists(PARTS, max_size=8), st.data())
def test_however_it_is_cut_the_same_is_shown(parts: list[str], data: st.DataObject) -> None:
    made = redactor()
    whole = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert streamed(made, *pieces) == made.text(whole)


@given(
    st.lists(st.sampled_from(["user=", "alice", "bob", " ", "\n", "\r", "x", "password: ", "hunter2"]), max_size=12),
    st.data(),
)
def test_however_it_is_cut_a_pattern_shows_the_same(parts: list[str], data: st.DataObject) -> None:
    made = redactor(r"user=\w+", "hunter2")
    whole = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert streamed(made, *pieces) == made.text(whole)


@pytest.mark.parametrize("line", ["done\n", "Continue? ", "progress 50%\r", "…", "Writing 3 files.", "I am thinking"])
def test_a_line_whose_end_cannot_begin_a_secret_is_not_held_back(line: str) -> None:
    assert Stream(Redactor()).feed(line) == line


def test_a_pattern_holds_back_an_unfinished_line_and_no_finished_one() -> None:
    stream = Stream(redactor("hunter[0-9]"))
    assert stream.feed("a hunter2 b\nhun") == f"a {MASK} b\n"
    assert stream.feed("ter2") == ""
    assert stream.feed("\n") == f"{MASK}\n"
    assert stream.feed("last") == ""
    assert stream.flush() == "last"


def test_an_endless_line_is_not_held_back_for_ever() -> None:
    stream = Stream(redactor("hunter[0-9]"))
    shown = "".join(stream.feed("x" * 1000 + "hunter2") for _ in range(50))
    assert len(shown) > 35_000
    assert "hunter2" not in shown + stream.flush()


@pytest.mark.parametrize("pattern", ["", "a*", "(", "[", "x{9999}", "(?<=a)b", r"(a)\1"])
def test_a_pattern_that_cannot_be_used_is_refused(pattern: str) -> None:
    with pytest.raises(BadPattern, match="--redact"):
        Redactor([pattern])


def test_known_forms_can_be_switched_off_and_ours_cannot() -> None:
    made = Redactor(known=False)
    key, invite = "ghp_" + "a" * 36, make_token("abcdefgh", "a2" * 16)
    assert made.text(f"{key} {invite}") == f"{key} {MASK}"


def test_a_forgotten_secret_is_a_text_like_any_other() -> None:
    made = redactor()
    made.forget(OWNER)
    assert made.text(OWNER) == OWNER


def test_data_is_covered_in_every_string_and_key() -> None:
    made = redactor("hunter2")
    given_ = {OWNER: [1, None, True, f"x{OWNER}", {"a": ("hunter2",)}]}
    assert made.data(given_) == {MASK: [1, None, True, f"x{MASK}", {"a": [MASK]}]}
    plain = {"a": [1, "b"]}
    assert Redactor().data(plain) is plain


def test_log_records_and_tracebacks_are_covered() -> None:
    formatter = RedactingFormatter(redactor())
    try:
        raise ValueError(f"bad {OWNER}")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "of %s", (OWNER,), sys.exc_info())
    said = formatter.format(record)
    assert OWNER not in said
    assert said.count(MASK) == 2


def test_a_ticket_has_the_form_that_is_covered() -> None:
    assert TICKET_PREFIX in {form.prefix for form in OURS}


def test_text_without_secrets_is_looked_at_and_not_rewritten() -> None:
    text = "y\n" * 30_000
    assert not redactor().may_hold(text)
    assert redactor().text(text) is text
