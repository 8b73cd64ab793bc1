"""Permission requests: the digest of what will run, what a human is shown, and which answers count."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myagent.core.messages import DecisionBody, Diff, Option, PermissionDecision
from myagent.core.permissions import (
    EXPIRED,
    REQUEST_BYTES,
    Answer,
    OpenRequest,
    Resolution,
    ToolCall,
    canonical,
    digest_of,
    policy,
    request_body,
)
from myagent.core.refusals import BadMessage, DigestMismatch, OptionRequired

CWD = "/w"
CALL = ToolCall("shell", {"command": "make"}, "make", plan={"make": "sha256"})
OPTIONS = (
    Option("yes", "Allow", "allow_once"),
    Option("ever", "Always", "allow_always"),
    Option("no", "Reject", "reject_once"),
    Option("odd", "Something else", "something"),
)
OPEN = OpenRequest("p", "t", "d" * 64, OPTIONS)


def decision(kind: Any, *, option: str | None = None, digest: str | None = None) -> PermissionDecision:
    return PermissionDecision(
        id="m", permission_request_id="p", decision=DecisionBody(kind, "because", option_id=option, digest=digest)
    )


@pytest.mark.parametrize(
    ("command", "flagged"),
    [
        ("git clean -fdx", True),
        ("cd a && git -c clean.requireForce=false clean -dX", True),
        ("git clean -d --force --force", True),
        ("git clean -ffd", True),
        ("sh -c '/usr/bin/git clean -xfd .'", True),
        ("rm -rf .myagent", True),
        ("mv ./.myagent/remote /tmp", True),
        ("find . -name .myagent -delete", True),
        ("git clean -fd", False),
        ("git clean -n; echo -x", False),
        ("make clean -x", False),
        ("ls .myagent", False),
        ("git status", False),
    ],
)
def test_a_command_that_may_take_the_state_away_is_flagged(command: str, flagged: bool) -> None:
    body = request_body(replace(CALL, kind="execute", text=command), cwd=CWD, expires_at="")
    assert body is not None and ("deletes_state" in body.flags) is flagged
    written = request_body(replace(CALL, kind="edit", text=command), cwd=CWD, expires_at="")
    assert written is not None and "deletes_state" not in written.flags


# --- the digest ---------------------------------------------------------------------------------------------------

json_data = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def shuffled(value: Any, seed: int) -> Any:
    """The same data with the keys of every object in another order."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: hashlib.sha256(f"{seed}{key}".encode("utf-8", "replace")).digest())
        return {key: shuffled(value[key], seed) for key in keys}
    return [shuffled(each, seed) for each in value] if isinstance(value, list) else value


def same(one: Any, other: Any) -> bool:
    """Equal as JSON, where `True` is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


@given(json_data, st.integers(0, 99))
def test_the_same_data_is_the_same_bytes_in_whatever_order_it_came(value: Any, seed: int) -> None:
    assert canonical(shuffled(value, seed)) == canonical(value)


@given(json_data, json_data)
def test_different_data_is_different_bytes(one: Any, other: Any) -> None:
    assert (canonical(one) == canonical(other)) == same(one, other)


def test_the_digest_is_over_canonical_json_that_anybody_can_compute() -> None:
    expected = b'{"cwd":"/w","input":{"command":"make"},"plan":{"make":"sha256"},"tool":"shell"}'
    assert digest_of(CALL, CWD) == hashlib.sha256(expected).hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        {"tool_name": "shell2"},
        {"input": {"command": "make "}},
        {"input": {"command": "make", "x": None}},
        {"plan": {"make": "other"}},
        {"plan": None},
    ],
)
def test_the_digest_changes_with_whatever_will_run(change: dict[str, Any]) -> None:
    assert digest_of(replace(CALL, **change), CWD) != digest_of(CALL, CWD)


def test_the_digest_changes_with_the_directory() -> None:
    assert digest_of(CALL, "/v") != digest_of(CALL, CWD)


def test_the_digest_does_not_change_with_how_it_is_shown() -> None:
    shown = replace(CALL, text="other", title="t", kind="execute", reason="r", options=OPTIONS)
    assert digest_of(shown, CWD) == digest_of(CALL, CWD)


# --- what is shown ------------------------------------------------------------------------------------------------


def test_everything_that_a_human_reads_is_escaped_and_flagged() -> None:
    call = ToolCall(
        "to\u202eol",
        {"raw": "\u202e"},
        "rm\u200b -rf",
        title="\x1b[2J",
        reason="p\u0430ypal\u00a0",
        options=(Option("o\u202e", "Al\u202elow", "allow_once"),),
    )
    body = request_body(call, cwd=CWD, expires_at="soon")
    assert body is not None
    assert body.tool_name == r"to\u{202e}ol"
    assert body.display == r"rm\u{200b} -rf"
    assert body.title == r"\u{1b}[2J"
    assert body.reason == "p\u0430ypal\\u{a0}"
    assert body.options == (Option("o\u202e", r"Al\u{202e}low", "allow_once"),)  # the id is for machines
    assert body.input == {"raw": "\u202e"}  # what the digest is over stays as it is
    assert set(body.flags) == {"bidi", "invisible", "escapes", "mixed_script"}


@pytest.mark.parametrize("place", ["tool_name", "text", "title", "reason", "options"])
def test_what_is_odd_is_flagged_wherever_it_stands(place: str) -> None:
    odd: Any = (Option("o", "\u202e", "allow_once"),) if place == "options" else "\u202e"
    body = request_body(replace(CALL, **{place: odd}), cwd=CWD, expires_at="soon")
    assert body is not None
    assert body.flags == ("bidi",)


def test_a_request_of_up_to_a_mebibyte_can_be_asked_and_a_larger_one_cannot() -> None:
    bare = request_body(ToolCall("t", "", ""), cwd=CWD, expires_at="soon")
    assert bare is not None
    room = REQUEST_BYTES - len(canonical(bare))
    assert request_body(ToolCall("t", "x" * room, ""), cwd=CWD, expires_at="soon") is not None
    assert request_body(ToolCall("t", "x" * (room + 1), ""), cwd=CWD, expires_at="soon") is None
    assert request_body(ToolCall("t", "", "x" * (room + 1)), cwd=CWD, expires_at="soon") is None
    assert request_body(ToolCall("t", "", "\u200b" * (room // 8 + 1)), cwd=CWD, expires_at="soon") is None
    diffs = (Diff("f", None, "x" * (room + 1)),)
    assert request_body(ToolCall("t", "", "", diffs=diffs), cwd=CWD, expires_at="soon") is None


# --- what answers -------------------------------------------------------------------------------------------------


def test_policy_by_mode() -> None:
    deny, allow = policy("plan"), policy("bypassPermissions")
    assert deny is not None
    assert deny.kind == "deny"
    assert allow is not None
    assert allow.kind == "allow"
    assert policy("default") is None


@pytest.mark.parametrize("kind", ["allow", "deny"])
@pytest.mark.parametrize("digest", [None, OPEN.digest])
def test_a_decision_is_taken_with_the_right_digest_or_with_none(kind: str, digest: str | None) -> None:
    assert OPEN.answer(decision(kind, digest=digest)) == Answer(kind, "because", None)  # type: ignore[arg-type]


@pytest.mark.parametrize("digest", ["", "d" * 63, "D" * 64, "d" * 65, "e" * 64])
@pytest.mark.parametrize("kind", ["allow", "deny"])
def test_a_decision_with_another_digest_is_refused(kind: str, digest: str) -> None:
    with pytest.raises(DigestMismatch):
        OPEN.answer(decision(kind, digest=digest))


@pytest.mark.parametrize(("kind", "option"), [("allow", "yes"), ("allow", "ever"), ("deny", "no")])
def test_an_option_is_taken_that_says_what_the_decision_says(kind: str, option: str) -> None:
    assert OPEN.answer(decision(kind, option=option)).option_id == option


@pytest.mark.parametrize(
    ("kind", "option"), [("deny", "yes"), ("deny", "ever"), ("allow", "no"), ("allow", "odd"), ("deny", "odd")]
)
def test_an_option_that_says_the_opposite_is_refused(kind: str, option: str) -> None:
    with pytest.raises(BadMessage, match="opposite"):
        OPEN.answer(decision(kind, option=option))


@pytest.mark.parametrize("option", ["", "YES", "nothing"])
def test_an_option_that_was_not_offered_is_refused(option: str) -> None:
    with pytest.raises(BadMessage, match="offers no such option"):
        OPEN.answer(decision("allow", option=option))


def test_a_decision_repeats_another_when_it_says_the_same() -> None:
    allowed = Resolution("p", "allow", "yes")
    assert allowed.repeats(decision("allow", option="yes"))
    assert not allowed.repeats(decision("allow", option="ever"))
    assert not allowed.repeats(decision("allow"))
    assert not allowed.repeats(decision("deny", option="yes"))
    for outcome in ("cancelled", "expired"):
        for kind in ("allow", "deny"):
            assert not Resolution("p", outcome).repeats(decision(kind))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer("deny"), "denied"),
        (Answer("deny", "not that"), "denied: not that"),
        (Answer("cancelled", "the turn was cancelled"), "denied: the turn was cancelled"),
        (Answer("expired"), EXPIRED),
        (Answer("expired", EXPIRED), EXPIRED),
    ],
    ids=str,
)
def test_why_nothing_runs_is_said_once(answer: Answer, said: str) -> None:
    assert answer.refusal == said


CHOICE = (Option("p", "production", "allow_once"), Option("t", "test", "allow_once"), Option("n", "no", "reject_once"))


def test_of_several_answers_that_allow_one_must_be_named() -> None:
    request = OpenRequest("r", "t", "d", CHOICE)
    with pytest.raises(OptionRequired) as refused:
        request.answer(decision("allow"))
    assert refused.value.option_ids == ("p", "t")
    assert request.answer(decision("allow", option="t")).option_id == "t"
    assert request.answer(decision("deny")).kind == "deny"


def test_one_answer_that_allows_this_time_needs_no_name() -> None:
    """v1: a decision without an option."""
    options = (Option("o", "Once", "allow_once"), Option("a", "Always", "allow_always"))
    assert OpenRequest("r", "t", "d", options).answer(decision("allow")).option_id is None


@pytest.mark.parametrize(
    ("name", "kind", "misnamed"),
    [
        ("Deny", "allow_always", True),
        ("No, thanks", "allow_once", True),
        ("Don't allow", "allow_once", True),
        ("Don't ask again for this", "allow_always", False),
        ("Never ask again", "allow_always", False),
        ("Yes, and don't ask again", "allow_always", False),
        ("Node", "allow_once", False),
        ("production", "allow_once", False),
        ("Allow", "reject_once", True),
        ("yes", "reject_always", True),
        ("No, and say why", "reject_once", False),
        ("Keep planning", "reject_once", False),
    ],
)
def test_a_name_that_says_the_opposite_is_flagged(name: str, kind: str, misnamed: bool) -> None:
    body = request_body(ToolCall("t", {}, "x", options=(Option("o", name, kind),)), cwd="/w", expires_at="")
    assert body is not None
    assert ("misnamed_option" in body.flags) is misnamed
