"""An agent's questions on the local terminal: asked field by field, checked as they are typed, never answered early."""

from __future__ import annotations

import re
from typing import Any

import pytest

SEND = "Send this? [y, d declines, N cancels]"


def client(terminal: Any, serving: Any, *options: str) -> Any:
    return terminal("remote", "client", "--url", serving.url, *options, cwd=serving.directory)


def field(screen: Any, times: int = 1) -> str:
    """Wait for the place where a field is answered."""
    return str(screen.read_until(lambda text: len(re.findall("^>", text, re.MULTILINE)) >= times))


def test_a_choice_is_made_by_its_number(serve: Any, terminal: Any) -> None:
    screen = client(terminal, serve(), "--prompt", "ask Which \u202eone?\nred\nblue")
    shown = field(screen)
    assert "the agent asks:\n  | Which \\u{202e}one?" in shown and "\u202e".encode() not in screen.raw
    assert "warning:" in shown and "  1  red\n  2  blue" in shown
    screen.type("7\n")
    assert "this must be one of its choices" in field(screen, 2)
    screen.type("2\n")
    screen.read_until(SEND)
    screen.type("y\n")
    assert screen.finish() == 0
    assert "\nblue\n" in screen.text


def test_text_that_is_required_is_asked_for_until_it_is_given(serve: Any, terminal: Any) -> None:
    screen = client(terminal, serve(), "--prompt", "ask Your name?")
    field(screen)
    screen.type("\n")
    assert "this is required" in field(screen, 2)
    screen.type("Ann of the Gables\n")
    screen.read_until(SEND)
    screen.type("y\n")
    assert screen.finish() == 0
    assert "\nAnn of the Gables\n" in screen.text


@pytest.mark.parametrize(
    ("typed", "confirmed", "told"),
    [
        ("/decline\n", "", "declined"),
        ("/cancel\n", "", "not answered"),
        ("x\n", "d\n", "declined"),
        ("x\n", "\n", "not answered"),
        ("\x04", "", "not answered"),
    ],
)
def test_refusing_and_leaving(serve: Any, terminal: Any, typed: str, confirmed: str, told: str) -> None:
    screen = client(terminal, serve(), "--prompt", "ask Well?")
    field(screen)
    screen.type(typed)
    if confirmed:
        screen.read_until(SEND)
        screen.type(confirmed)
    assert screen.finish() == 1
    assert f"ask: {told}" in screen.text


def test_a_slip_at_the_end_throws_nothing_away(serve: Any, terminal: Any) -> None:
    screen = client(terminal, serve(), "--prompt", "ask Well?")
    field(screen)
    screen.type("kept\n")
    screen.read_until(SEND)
    screen.type("yep\n")
    screen.read_until(lambda text: text.count(SEND) == 2)
    screen.type("y\n")
    assert screen.finish() == 0
    assert "y, d or n" in screen.text and "\nkept\n" in screen.text


def test_lines_typed_before_the_question_are_no_answer(serve: Any, terminal: Any) -> None:
    screen = client(terminal, serve(), "--prompt", "ask Well?")
    screen.type("early\ny\ny\n")
    field(screen)
    screen.type("late\n")
    screen.read_until(SEND)
    screen.type("y\n")
    assert screen.finish() == 0
    assert screen.text.count("early") <= 1, "its echo alone"
    assert "\nlate\n" in screen.text


def test_the_wait_is_what_keeps_them_out(serve: Any, terminal: Any) -> None:
    """Negative control: what is typed when the question takes answers is one."""
    screen = client(terminal, serve(), "--prompt", "ask Well?")
    field(screen)
    screen.type("early\ny\n")
    assert screen.finish() == 0
    assert "early\n[remote] turn ended: exit 0" in screen.text


def test_plain_asks_too_and_what_was_typed_for_the_prompt_is_lost(serve: Any, terminal: Any) -> None:
    serving = serve()
    screen = terminal("remote", "attach", "--plain", "--url", serving.url, cwd=serving.directory)
    screen.read_until("owner")
    screen.type("ask Well?\n")
    field(screen)
    screen.type("as said\n")
    screen.read_until(SEND)
    screen.type("y\n")
    screen.read_until("\nas said\n")
    screen.type("/quit\n")
    screen.finish()


def test_a_question_that_expires_is_withdrawn(serve: Any, terminal: Any) -> None:
    screen = client(terminal, serve("--permission-timeout", "1"), "--prompt", "ask Well?")
    field(screen)
    assert screen.finish() == 1
    assert "ask: not answered: nobody answered in time" in screen.text
    assert "the question is withdrawn" in screen.text
