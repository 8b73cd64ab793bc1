"""Several people must allow: the table of `approvals.py`, a state machine against a model, and planted faults."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from msgspec.structs import replace

from myagent.core import approvals
from myagent.core.approvals import KINDS, ApproveBy, UnusableApproveBy, read
from myagent.core.messages import (
    DecisionBody,
    Option,
    PermissionAllowed,
    PermissionDecision,
    PermissionRequest,
    PermissionResolved,
    SessionId,
    UserMessage,
)
from myagent.core.permissions import Allow, OpenRequest, ToolCall
from myagent.core.refusals import AlreadyResolved, BadMessage, DigestMismatch, OptionRequired, Refused
from myagent.core.rule import Offer, Remember, Rule
from myagent.core.session import Session, Step

NEW = Session(session_id=SessionId("s"), cwd="/w", created_at="t", updated_at="t", agent="command", mode="default")
OPTIONS = (Option("a", "Allow", "allow_once"), Option("b", "Always", "allow_always"), Option("n", "No", "reject_once"))
CALL = ToolCall("shell", {"command": "make"}, "make", kind="execute", options=OPTIONS)
RULE = Rule(
    rule_id="r", match="exact", shown="make", cwd="/w", tool_name="shell", kind="execute", asked="", bound="",
    made_at="t", made_by="me", credential="owner",
)  # fmt: skip


def asked(people: int, **more: Any) -> Session:
    running = NEW.accept(UserMessage(id="1", prompt="x"), by="me", mode="default", now="t").session
    step = running.ask(CALL, request_id="p", turn_id="1", expires_at="soon", people=people, **more)
    assert isinstance(step, Step)
    return step.session


def digest() -> str:
    return asked(2).open[0].digest


def decide(
    session: Session, credential: str, kind: Any = "allow", device: str | None = None, **body: Any
) -> Step | None:
    body = {"digest": digest(), **body}
    decision = PermissionDecision(id="d", permission_request_id="p", decision=DecisionBody(kind, **body))
    return session.decide(decision, by=f"name of {credential}", credential=credential, device=device)


def outcomes(step: Step | None) -> list[str]:
    return [] if step is None else [each.outcome for each in step.events if isinstance(each, PermissionResolved)]


def test_the_second_person_allows_and_both_are_told() -> None:
    first = decide(asked(2), "owner")
    assert first is not None and outcomes(first) == []
    [told] = first.events
    assert isinstance(told, PermissionAllowed)
    assert (told.allowed_by, told.people, told.by) == (["name of owner"], 2, "name of owner")
    second = decide(first.session, "i-1")
    assert outcomes(second) == ["allow"]
    assert second is not None and second.events[0].by == "name of owner and name of i-1"  # type: ignore[union-attr]


def test_the_same_credential_again_is_a_duplicate_whatever_device_or_name() -> None:
    first = decide(asked(2), "i-1", device="d1")
    assert first is not None
    assert decide(first.session, "i-1", device="d2") is None
    assert decide(first.session, "i-1", device="d1") is None


@pytest.mark.parametrize("who", ["owner", "i-1"])
def test_one_deny_denies(who: str) -> None:
    first = decide(asked(2), "owner")
    assert first is not None
    denied = decide(first.session, who, "deny")
    assert outcomes(denied) == ["deny"] and denied is not None
    with pytest.raises(AlreadyResolved):
        decide(denied.session, "i-2")


def test_both_name_the_digest_of_what_was_shown() -> None:
    for given, refusal in ((None, BadMessage), ("0" * 64, DigestMismatch)):
        with pytest.raises(refusal):
            decide(asked(2), "owner", digest=given)
        first = decide(asked(2), "owner")
        assert first is not None
        with pytest.raises(refusal):
            decide(first.session, "i-1", digest=given)


def test_both_choose_the_same_answer_of_the_agents() -> None:
    two = replace(asked(2).open[0], options=(*OPTIONS, Option("c", "Allow elsewhere", "allow_once")))
    first = decide(replace(asked(2), open=(two,)), "owner", option_id="a")
    assert first is not None
    with pytest.raises(BadMessage):
        decide(first.session, "i-1", option_id="c")
    with pytest.raises(OptionRequired):
        decide(first.session, "i-1")
    assert outcomes(decide(first.session, "i-1", option_id="a")) == ["allow"]


@pytest.mark.parametrize("named", [("a", None), (None, "a")])
def test_where_there_is_one_answer_that_allows_it_need_not_be_named(named: tuple[str | None, str | None]) -> None:
    first = decide(asked(2), "owner", option_id=named[0])
    assert first is not None
    assert outcomes(decide(first.session, "i-1", option_id=named[1])) == ["allow"]


def test_no_rule_stands_in_for_a_person_and_none_is_made() -> None:
    session = asked(2, rule=RULE, remembers=(Offer("exact"),))
    assert [each.people for each in session.open] == [2]
    with pytest.raises(BadMessage):
        decide(session, "owner", remember=Remember(scope="session", match="exact"))
    assert asked(1, rule=RULE).open == ()  # the control: with one person it does


def test_an_answer_that_the_agent_would_remember_is_not_offered_nor_is_a_rule() -> None:
    running = NEW.accept(UserMessage(id="1", prompt="x"), by="me", mode="default", now="t").session
    step = running.ask(
        CALL, request_id="p", turn_id="1", expires_at="soon", people=2, remembers=(Offer("exact"),)
    )  # fmt: skip
    assert isinstance(step, Step)
    [event] = step.events
    assert isinstance(event, PermissionRequest)
    assert [each.option_id for each in event.request.options] == ["a", "n"]
    assert (event.request.remembers, event.request.people) == ((), 2)
    with pytest.raises(BadMessage):
        decide(step.session, "owner", option_id="b")


def test_what_a_revoked_credential_or_device_allowed_counts_no_more() -> None:
    for ended in ("i-1", "d1"):
        first = decide(asked(2), "i-1", device="d1")
        assert first is not None
        less = first.session.disallow({ended}, by="server")
        assert less is not None
        [told] = less.events
        assert isinstance(told, PermissionAllowed) and told.allowed_by == []
        assert outcomes(decide(less.session, "owner")) == []
        assert less.session.disallow({ended}, by="server") is None


def test_a_restart_cancels_it_whoever_has_allowed_it() -> None:
    first = decide(asked(2), "owner")
    assert first is not None
    recovered = first.session.recover(now="t")
    assert outcomes(recovered) == ["cancelled"] and recovered is not None
    with pytest.raises(AlreadyResolved):
        decide(recovered.session, "i-1")


@pytest.mark.parametrize(
    ("text", "kind", "flags", "needed"),
    [
        ("1", "execute", (), 1),
        ("2", "edit", (), 2),
        ("2:execute,delete", "execute", (), 2),
        ("2:execute,delete", "edit", (), 1),
        ("2:execute", "other", (), 2),  # what says no kind
        ("2:execute", "Execute", (), 2),  # nor does what says none that there is
        ("2:execute", "read", ("contradicts",), 2),
        ("2:execute", "read", ("unspecified",), 2),
    ],
)
def test_which_calls_need_several_people(text: str, kind: str, flags: tuple[str, ...], needed: int) -> None:
    assert read(text).needed(ToolCall("t", {}, "", kind=kind, flags=flags)) == needed


@pytest.mark.parametrize("kind", ["read", "edit", "fetch", "think"])
@pytest.mark.parametrize("given", [{"command": "rm -rf /"}, {"cmd": ["sh", "-c", "id"]}, {"script": "id"}])
def test_a_call_that_holds_a_command_executes_whatever_its_kind_says(kind: str, given: dict[str, Any]) -> None:
    assert read("2:execute").needed(ToolCall("t", given, "", kind=kind)) == 2
    assert read("2:execute").needed(ToolCall("t", {"path": "a"}, "", kind=kind)) == 1  # the negative control


@pytest.mark.parametrize(
    "text", ["", "0", "10", "-1", "x", "2:", "2:exec", "2,execute", "²", "2:execute, delete", "9" * 5000]
)
def test_what_is_no_number_of_people(text: str) -> None:
    with pytest.raises(UnusableApproveBy):
        read(text)


def test_every_kind_can_be_named() -> None:
    assert read(f"3:{','.join(KINDS)}") == ApproveBy(3, frozenset(KINDS))


# --- a model of it ------------------------------------------------------------------------------------------------


class People(RuleBasedStateMachine):
    """Who allows, denies and is revoked in any order; the model is a set of names."""

    def __init__(self) -> None:
        super().__init__()
        self.session = asked(3)
        self.allowed: set[str] = set()
        self.outcome: str | None = None

    def take(self, step: Step | None) -> list[str]:
        if step is not None:
            self.session = step.session
        return outcomes(step)

    @rule(who=st.sampled_from("abcd"), device=st.sampled_from("xy"), right=st.booleans())
    def allow(self, who: str, device: str, right: bool) -> None:
        try:
            told = self.take(decide(self.session, who, device=device, **({} if right else {"digest": "no"})))
        except Refused:
            assert not right or self.outcome not in (None, "allow")
            return
        assert right or self.outcome is not None
        if self.outcome is not None:
            assert told == [] and self.outcome == "allow"
            return
        self.allowed.add(who)
        assert told == (["allow"] if len(self.allowed) == 3 else [])
        self.outcome = "allow" if told else None

    @precondition(lambda self: self.outcome is None)
    @rule(who=st.sampled_from("abcd"))
    def deny(self, who: str) -> None:
        assert self.take(decide(self.session, who, "deny")) == ["deny"]
        self.outcome = "deny"

    @rule(who=st.sampled_from("abcd"))
    def revoke(self, who: str) -> None:
        self.take(self.session.disallow({who}, by="server"))
        if self.outcome is None:
            self.allowed.discard(who)

    @invariant()
    def it_is_open_until_it_is_decided(self) -> None:
        assert bool(self.session.open) == (self.outcome is None)
        if self.session.open:
            assert {each.credential for each in self.session.open[0].allows} == self.allowed


LOOK = settings(max_examples=200, stateful_step_count=20, deadline=None)


def test_it_is_as_its_model() -> None:
    run_state_machine_as_test(People, settings=LOOK)  # type: ignore[no-untyped-call]


class Planted:
    """Faults of the rule, each of which the model must find."""

    @staticmethod
    def counts_devices(request: OpenRequest, new: Allow, **more: Any) -> OpenRequest | None:
        if any((each.credential, each.device) == (new.credential, new.device) for each in request.allows):
            return None
        return replace(request, allows=(*request.allows, new))

    @staticmethod
    def counts_twice(request: OpenRequest, new: Allow, **more: Any) -> OpenRequest | None:
        return replace(request, allows=(*request.allows, new))

    @staticmethod
    def needs_one_less(request: OpenRequest, new: Allow, **more: Any) -> OpenRequest | None:
        counted = TRUE_RULE(request, new, **more)
        return counted and replace(counted, people=request.people - 1)

    @staticmethod
    def forgets_the_first(request: OpenRequest, new: Allow, **more: Any) -> OpenRequest | None:
        return replace(request, allows=(new,))

    ALL: ClassVar = (counts_devices, counts_twice, needs_one_less, forgets_the_first)


TRUE_RULE = approvals.allowed


def finds(name: str, planted: Any) -> None:
    true_rule = getattr(approvals, name)
    setattr(approvals, name, planted)
    try:
        with pytest.raises(AssertionError):
            run_state_machine_as_test(People, settings=LOOK)  # type: ignore[no-untyped-call]
    finally:
        setattr(approvals, name, true_rule)


@pytest.mark.parametrize("planted", Planted.ALL, ids=lambda each: each.__name__)
def test_a_broken_rule_is_found(planted: Any) -> None:
    finds("allowed", planted)


def test_what_is_not_taken_back_is_found() -> None:
    finds("without", lambda request, ended: request)
