"""Decision tickets: one answer, to one request, of one device, once, while all of that is so."""

from __future__ import annotations

from typing import Literal

import pytest

from myagent.access.credentials import Credential
from myagent.access.decision_tickets import LIMIT, DecisionTickets, Leave

PHONE = Credential("inv", "approve", device_id="phone", label="phone")
TABLET = Credential("inv", "approve", device_id="tablet", label="tablet")


def leave(credential: Credential = PHONE, request: str = "p", answer: Literal["allow", "deny"] = "deny") -> Leave:
    return Leave(credential, request, "digest", answer)


def test_a_ticket_is_good_once() -> None:
    tickets = DecisionTickets()
    ticket = tickets.issue(leave())
    assert tickets.redeem(ticket, "deny") == leave()
    assert tickets.redeem(ticket, "deny") is None


@pytest.mark.parametrize(("mine", "other"), [("deny", "allow"), ("allow", "deny")])
def test_a_ticket_says_its_own_answer_and_is_spent_by_another(mine: Literal["allow", "deny"], other: str) -> None:
    for shown in (other, "", "ALLOW", mine + " ", "é"):
        tickets = DecisionTickets()
        ticket = tickets.issue(leave(answer=mine))
        assert tickets.redeem(ticket, shown) is None
        assert tickets.redeem(ticket, mine) is None


def test_a_device_answers_a_request_once_whichever_ticket_it_shows() -> None:
    tickets = DecisionTickets()
    deny, allow = (tickets.issue(leave(answer=each)) for each in ("deny", "allow"))  # type: ignore[arg-type]
    elsewhere, another = tickets.issue(leave(TABLET)), tickets.issue(leave(request="q"))
    assert tickets.redeem(deny, "deny") is not None
    assert tickets.redeem(allow, "allow") is None
    assert tickets.redeem(elsewhere, "deny") == leave(TABLET)
    assert tickets.redeem(another, "deny") == leave(request="q")


def test_a_ticket_dies_with_its_request() -> None:
    tickets = DecisionTickets()
    gone, stays = tickets.issue(leave()), tickets.issue(leave(request="q"))
    tickets.close("p")
    assert tickets.redeem(gone, "deny") is None
    assert tickets.redeem(stays, "deny") is not None


@pytest.mark.parametrize(("ended", "left"), [("inv", 0), ("phone", 1), ("unknown", 2)])
def test_a_ticket_dies_with_its_credential_and_its_device(ended: str, left: int) -> None:
    tickets = DecisionTickets()
    tickets.issue(leave())
    tickets.issue(leave(TABLET))
    tickets.forget(ended)
    assert len(tickets) == left


def test_what_was_never_given_out_is_good_for_nothing() -> None:
    tickets = DecisionTickets()
    real = tickets.issue(leave())
    for shown in ("", "x", real[:-1], f"{real}x", real.upper(), "\udcff"):
        assert tickets.redeem(shown, "deny") is None
    assert tickets.redeem(real, "deny") is not None


def test_there_are_only_so_many() -> None:
    tickets = DecisionTickets()
    first = tickets.issue(leave())
    for number in range(LIMIT):
        tickets.issue(leave(request=str(number)))
    assert len(tickets) == LIMIT
    assert tickets.redeem(first, "deny") is None
