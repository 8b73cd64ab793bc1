"""What a lock screen shows, and what may be answered there: never more than was shown."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from myagent.core import lock_screen
from myagent.core.messages import Diff, Option, RequestBody, SessionId
from myagent.core.permissions import ToolCall, request_body

S = SessionId("s")


def body(text: str = "make test", **call: Any) -> RequestBody:
    made = request_body(
        ToolCall("bash", {"command": text}, text, kind="execute", **call), cwd="/w", expires_at="2026-01-01T00:00:00Z"
    )
    assert made is not None
    return made


def test_without_details_nothing_of_the_request_is_said_and_it_can_only_be_denied() -> None:
    request = body("make test", title="Run the tests", reason="because")
    call = lock_screen.asks(request, "p", S, place="work on anna", details=False)
    assert (call.title, call.body) == ("Permission asked", "work on anna")
    assert lock_screen.offered(request, details=False) == ("deny",)


def test_with_details_what_fits_is_shown_whole_and_can_be_allowed() -> None:
    request = body("make test")
    call = lock_screen.asks(request, "p", S, place="work on anna", details=True)
    assert call.body == "bash: make test\nwork on anna"
    assert lock_screen.offered(request, details=True) == ("deny", "allow")


ONCE = Option("a", "Allow", "allow_once")
NOT_TO_BE_ALLOWED = {
    "flagged": body("make t\u0435st"),
    "flagged by its adapter": body(flags=("contradicts",)),
    "too long": body("x" * lock_screen.FITS_CHARACTERS),
    "too many lines": body("a\nb\nc\nd"),
    "changes files": body(diffs=(Diff("a", None, "b"),)),
    "several people": replace(body(), people=2),
    "a choice": body(options=(ONCE, Option("b", "Allow differently", "allow_once"))),
}


@pytest.mark.parametrize("why", NOT_TO_BE_ALLOWED)
def test_what_was_not_seen_whole_or_warns_is_not_offered_to_be_allowed(why: str) -> None:
    assert lock_screen.offered(NOT_TO_BE_ALLOWED[why], details=True) == ("deny",)


def test_the_longest_that_fits_is_the_longest_that_can_be_allowed() -> None:
    longest = lock_screen.FITS_CHARACTERS - len("bash: ")
    request = body("x" * longest)
    assert lock_screen.offered(request, details=True) == ("deny", "allow")
    assert "x" * longest in lock_screen.asks(request, "p", S, place="here", details=True).body
    assert lock_screen.offered(body("x" * (longest + 1)), details=True) == ("deny",)


def test_what_does_not_fit_is_named_by_its_title_alone() -> None:
    request = body("x" * 1000, title="a\nlong " + "y" * 1000)
    call = lock_screen.asks(request, "p", S, place="here", details=True)
    assert call.body.startswith("a") and call.body.endswith("…\nhere")
    assert len(call.body) <= lock_screen.FITS_CHARACTERS + len("\nhere")


@pytest.mark.parametrize(("details", "said"), [(False, "here"), (True, "Which one?\nhere")])
def test_a_question_is_only_looked_at(details: bool, said: str) -> None:
    call = lock_screen.asks_something("Which\u202e one?", "q", S, place="here", details=details)
    assert call.body.replace("\\u{202e}", "") == said
    assert call.answers == {}


def test_what_withdraws_a_call_takes_its_place_and_can_be_answered_by_nobody() -> None:
    asked = lock_screen.asks(body(), "p", S, place="here", details=True)
    over = lock_screen.withdraws("p", S, "allow", place="here")
    assert (asked.tag, asked.closed) == (over.tag, False)
    assert (over.closed, over.answers, over.title) == (True, {}, "No longer asked: allow")
    assert asked.tag != lock_screen.withdraws("q", S, "allow", place="here").tag


def test_a_topic_is_one_that_push_services_take() -> None:
    topic = lock_screen.topic_of(lock_screen.tag_of("p" * 128))
    assert len(topic) == 32 and topic.isalnum()
    assert topic != lock_screen.topic_of(lock_screen.tag_of("q"))
