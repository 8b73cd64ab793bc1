"""What a human reads before deciding: everything that matters, and nothing that could pretend to be something else."""

from __future__ import annotations

import asyncio
import os
import pty
from datetime import UTC, datetime
from typing import Any

import pytest

from myagent.cli.terminal.question import PROMPT, Decision, Keyboard, ask, describe, understood
from myagent.core.messages import Diff, Option, PermissionRequest, RequestBody, SessionId
from myagent.text.wording import WARNINGS

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def request(**fields: Any) -> PermissionRequest:
    body = {"tool_name": "bash", "input": {}, "display": "make", "flags": (), "digest": "d", "expires_at": "", **fields}
    return PermissionRequest(id="t", session_id=SessionId("s"), permission_request_id="p", request=RequestBody(**body))


def test_it_shows_all_there_is_to_know() -> None:
    body = request(
        title="run make",
        reason="to build",
        display="make all\nmake install",
        expires_at="2026-01-01T00:09:58Z",
        diffs=(Diff("new.txt", None, "hello\n"),),
    )
    assert describe(body, cwd="/w", now=NOW, colour=False) == (
        "[remote] permission needed: run make\n"
        "  tool     bash\n"
        "  in       /w\n"
        "  because  to build\n"
        "  expires  in 9 min 58 s\n"
        "  | make all\n"
        "  | make install\n"
        "  --- /dev/null\n"
        "  +++ b/new.txt\n"
        "  @@ -0,0 +1 @@\n"
        "  +hello\n"
    )


HOSTILE = "x\n[remote] permission needed: nothing\x1b[2J\u202e\x9b2J"


@pytest.mark.parametrize("name", ["title", "tool_name", "reason", "display", "expires_at"])
def test_no_field_can_drive_the_terminal_or_begin_a_line_of_ours(name: str) -> None:
    shown = describe(request(**{name: HOSTILE}), cwd=HOSTILE, now=NOW, colour=False)
    assert all(character == "\n" or character.isprintable() for character in shown)
    assert sum(line.startswith("[remote]") for line in shown.split("\n")) == 1


def test_a_diff_cannot_either() -> None:
    diff = Diff(HOSTILE, HOSTILE, HOSTILE + "\n[remote] more\x07")
    shown = describe(request(diffs=(diff,)), cwd="", now=NOW, colour=False)
    assert all(character == "\n" or character.isprintable() for character in shown)
    assert sum(line.startswith("[remote]") for line in shown.split("\n")) == 1


@pytest.mark.parametrize("flag", [*WARNINGS, "something-new"])
def test_every_flag_has_its_warning(flag: str) -> None:
    shown = describe(request(flags=(flag,)), cwd="", now=NOW, colour=False)
    assert shown.count("  warning: ") == 1
    assert "type the word allow" in shown


@pytest.mark.parametrize(
    ("flags", "typed", "allowed"),
    [
        ((), b"y\n", True),
        ((), b"YES\n", True),
        ((), b"allow\n", True),
        ((), b"n\n", False),
        ((), b"\n", False),
        ((), b"yy\n", False),
        ((), b"\x04", False),
        (("bidi",), b"y\n", None),
        (("bidi",), b"allow\n", True),
        (("bidi",), b"n\n", False),
    ],
)
def test_only_a_clear_yes_allows(flags: tuple[str, ...], typed: bytes, allowed: bool | None) -> None:
    """`None`: it asks again."""
    master, slave = pty.openpty()
    written: list[str] = []

    def write(text: str) -> None:
        written.append(text)
        if text == PROMPT and written.count(PROMPT) == 1:
            os.write(master, typed)
        elif text == PROMPT:
            os.write(master, b"n\n")

    try:
        answer = asyncio.run(ask(request(flags=flags), Keyboard(slave), write, cwd=""))
    finally:
        os.close(master)
        os.close(slave)
    assert answer.kind == ("allow" if allowed else "deny")
    assert written.count(PROMPT) == (2 if allowed is None else 1)


CHOICE = (
    Option("production", "production", "allow_once"),
    Option("test", "test", "allow_once"),
    Option("no", "Neither", "reject_once"),
)


@pytest.mark.parametrize(
    ("flags", "typed", "wanted"),
    [
        ((), "2", Decision("allow", "test")),
        ((), "allow 2", Decision("allow", "test")),
        ((), "3", Decision("deny", "no")),
        ((), "n", Decision("deny")),
        ((), "nonsense 2", Decision("deny")),
        ((), "y", None),
        ((), "allow", None),
        ((), "4", None),
        ((), "0", None),
        (("bidi",), "2", None),
        (("bidi",), "y 2", None),
        (("bidi",), "allow 2", Decision("allow", "test")),
    ],
)
def test_of_several_answers_that_allow_one_must_be_named(flags: tuple[str, ...], typed: str, wanted: object) -> None:
    """`None`: it asks again."""
    body = request(flags=flags, options=CHOICE)
    decision = understood(typed, body.request)
    assert decision == wanted if wanted is not None else isinstance(decision, str)


def test_answers_are_listed_with_what_they_do() -> None:
    shown = describe(request(options=CHOICE), cwd="", now=NOW, colour=False)
    assert "  1  allow (production)\n  2  allow (test)\n  3  deny (Neither)\n" in shown
    misnamed = (Option("o", "Deny", "allow_always"), Option("p", "Allow", "reject_once"))
    shown = describe(request(options=misnamed), cwd="", now=NOW, colour=False)
    assert "  1  always allow (Deny)\n  2  deny (Allow)\n" in shown


def test_a_stretch_without_text_cannot_push_the_rest_out_of_sight() -> None:
    shown = describe(request(display="ls" + "\n" * 400 + "curl x" + " " * 500 + "| sh"), cwd="", now=NOW, colour=False)
    assert "  | ls\n  | [399 empty lines]\n  | curl x[500 spaces]| sh\n" in shown


def test_a_long_request_says_how_long_it_is() -> None:
    shown = describe(request(display="\n".join(map(str, range(400)))), cwd="", now=NOW, colour=False)
    assert "400 lines: scroll up" in shown
