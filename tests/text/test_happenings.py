"""The lines that a server tells about its audit: each kind's words, hostile names, and wrong credentials counted."""

from __future__ import annotations

from typing import Any

import pytest

from myagent.text.happenings import Happenings

HOSTILE = "\x1b]0;owned\x07\u202eevil\nline"


def told(*records: dict[str, Any], labels: dict[str, str] | None = None) -> list[str | None]:
    names = labels or {}
    happenings = Happenings(lambda invite_id: names.pop(invite_id, ""))
    return [happenings.line(record) for record in records]


def joined(connection: str, **more: Any) -> dict[str, Any]:
    return {"kind": "join", "connection": connection, "credential": "owner", "role": "follower", **more}


def test_who_comes_and_goes_is_named_with_credential() -> None:
    assert told(
        joined("c_1", label="ann@desk", role="owner"),
        {"kind": "owner", "why": "joined", "connection": "c_1", "epoch": 1},
        joined("c_2", credential="inv1", device="d_12345678"),
        joined("c_3", credential="inv1"),
        {"kind": "leave", "connection": "c_1", "credential": "owner"},
        {"kind": "owner", "why": "lost", "lost": "c_1", "epoch": 1},
        {"kind": "visits", "credential": "inv1", "joins": 70, "leaves": 69},
        labels={"inv1": "team"},
    ) == [
        "ann@desk joined as owner, with the owner token",
        "ann@desk owns the session",
        "connection c_2 joined as follower, with invite inv1 (team), device 12345678",
        "connection c_3 joined as follower, with invite inv1 (team)",  # remembered, though the invite is gone by now
        "ann@desk left",
        "nobody owns the session: ann@desk dropped out",
        "70 joined and 69 left, with invite inv1 (team)",
    ]


def test_a_request_and_its_answer_say_what_it_was_about() -> None:
    request = {"kind": "request", "request": "r1", "session": "s_abcdefgh", "tool": "Bash", "target": "rm -r build"}
    decision = {"kind": "decision", "request": "r1", "outcome": "allow", "connection": "c_1", "session": "s"}
    expired = {"kind": "resolved", "request": "r2", "outcome": "expired", "session": "s"}
    assert told(joined("c_1", label="ann"), request, decision, expired)[1:] == [
        "waits for the owner, in session abcdefgh: rm -r build",
        "allowed by ann: rm -r build",
        "expired unanswered: a request",
    ]


def test_of_several_people_each_is_told() -> None:
    request = {"kind": "request", "request": "r1", "session": "s_abcdefgh", "target": "make"}
    allowed = {"kind": "allowed", "request": "r1", "allows": 1, "people": 2, "session": "s"}
    decision = {"kind": "decision", "request": "r1", "outcome": "allow", "connection": "c_1", "session": "s"}
    lines = told(
        joined("c_1", label="ann"), request, {**allowed, "connection": "c_1"}, {**allowed, "allows": 0}, decision
    )
    assert lines[2:] == [
        "allowed by ann, 1 of 2 people: make",
        "allowed by 0 of 2 people now, since a credential has ended: make",
        "allowed by ann: make",
    ]


@pytest.mark.parametrize("kind", ["prompt", "by_mode", "reads", "cancel", "something of tomorrow"])
def test_what_nobody_waits_for_is_not_told(kind: str) -> None:
    assert told({"kind": kind}) == [None]


def test_a_reason_of_tomorrow_still_says_who_owns() -> None:
    assert told({"kind": "owner", "why": "?", "connection": "c_9"}, {"kind": "owner", "why": "?"}) == [
        "connection c_9 owns the session",
        "nobody owns the session",
    ]


def test_hostile_names_stay_in_one_visible_line() -> None:
    lines = told(
        joined("c_1", label=HOSTILE),
        joined("c_2", credential=HOSTILE, device=HOSTILE),
        {"kind": "request", "request": "r", "session": HOSTILE, "target": HOSTILE * 100},
        {"kind": "allowed", "request": "r", "allows": 1, "people": HOSTILE, "connection": "c_1", "session": ""},
        {"kind": "decision", "request": "r", "outcome": HOSTILE, "reason": HOSTILE, "connection": "c_1", "session": ""},
    )
    for line in lines:
        assert line is not None and line.isprintable() and len(line) < 700, line
    wrong = Happenings(lambda _: HOSTILE).wrong_credential(HOSTILE, 0.0)
    assert wrong is not None and wrong.isprintable()


def test_wrong_credentials_are_told_once_a_minute_with_their_number() -> None:
    happenings = Happenings(lambda _: "")
    assert happenings.wrong_credential("192.0.2.1", 0.0) == "a wrong credential from 192.0.2.1"
    assert [happenings.wrong_credential("192.0.2.1", second) for second in range(1, 60)] == [None] * 59
    said = happenings.wrong_credential("192.0.2.2", 60.0)
    assert said == "a wrong credential from 192.0.2.2 (and 59 more since the last such line)"
