"""The owner slot, row by row of the table at the head of `ownership.py`, and what a reclaim token is worth when."""

from __future__ import annotations

import pytest

from myagent.core.messages import (
    AnswerMessage,
    Archive,
    Cancel,
    Claim,
    ClientInfo,
    ClientMessage,
    ConnectionId,
    Delete,
    Handover,
    Hello,
    ListChanges,
    ListFiles,
    ListRules,
    OpenSession,
    PermissionDecision,
    Ping,
    PushOff,
    PushOn,
    PushState,
    ReadChange,
    Release,
    Rename,
    RequestControl,
    Resume,
    RevokeRule,
    Scope,
    Seen,
    SessionId,
    SetOption,
    Upload,
    UserMessage,
    Who,
)
from myagent.core.messages import DecisionBody as Decision
from myagent.core.ownership import CONTROL_SECONDS, MAY, SCOPES, Change, Ownership, Seat, opens, reaches, told
from myagent.core.refusals import NotClaimable, NotOwner, RateLimited, StaleOwner
from myagent.core.rule import Remember

GRACE = 10.0
A, B, C = ConnectionId("a"), ConnectionId("b"), ConnectionId("c")
WRITE = UserMessage(id="m", prompt="help")


class Slot(Ownership):
    """An owner slot with the shortest way of saying what happens to it."""

    def __init__(self, *, epoch: int = 0, ceiling: int = 64, grace: float = GRACE) -> None:
        super().__init__(epoch=epoch, ceiling=ceiling, grace=grace)

    def come(
        self,
        connection_id: ConnectionId,
        *,
        scope: Scope = "owner",
        as_follower: bool = False,
        reclaim: str | None = None,
        hello: bool = True,
        credential: str = "owner",
    ) -> Change | None:
        """Join, and say hello; the token on offer is the connection's name."""
        seat = Seat(connection_id, scope, "", credential_id=credential)
        change = self.join(seat, as_follower=as_follower, reclaim=reclaim, token=connection_id)
        if hello:
            self.heard(connection_id)
            self.hello(connection_id, reclaim=None, token="unused")
        return change

    def drop(self, connection_id: ConnectionId, *, now: float = 0.0) -> Change | None:
        return self.leave(connection_id, clean=False, now=now)

    def end(self, connection_id: ConnectionId) -> Change | None:
        return self.leave(connection_id, clean=True, now=0.0)


def owned() -> Slot:
    """Owned by A; B follows and may own."""
    slot = Slot()
    slot.come(A)
    slot.come(B)
    return slot


def reserved() -> Slot:
    """Kept for A, who dropped at time 0; B follows and may own."""
    slot = owned()
    slot.drop(A)
    return slot


def owner_of(slot: Ownership) -> ConnectionId | None:
    return slot.owner.connection_id if slot.owner else None


# --- the row "free" -----------------------------------------------------------------------------------------------


def test_the_first_that_may_own_owns() -> None:
    slot = Slot(epoch=7)
    change = slot.come(A)
    assert change == Change(8, slot.seats[A], "joined")
    assert slot.role(A) == "owner"
    assert slot.reclaim_token == A


def test_a_follower_scope_joins_a_free_slot_as_a_follower() -> None:
    slot = Slot()
    assert slot.come(A, scope="follower") is None
    assert slot.come(B, as_follower=True) is None
    assert owner_of(slot) is None
    assert slot.epoch == 0
    assert slot.followers == 2


def test_a_reclaim_token_shown_to_a_free_slot_counts_for_nothing() -> None:
    slot = owned()
    slot.end(A)
    assert slot.come(C, reclaim=A, as_follower=True) is None
    change = slot.come(ConnectionId("d"), reclaim=A)
    assert change is not None
    assert (change.why, change.fenced) == ("joined", None)


def test_a_claim_takes_the_free_slot() -> None:
    slot = owned()
    slot.end(A)
    change = slot.claim(B, "b")
    assert change == Change(2, slot.seats[B], "claimed")
    assert slot.reclaim_token == "b"


def test_a_follower_scope_cannot_claim_the_free_slot() -> None:
    slot = Slot()
    slot.come(A, scope="follower")
    with pytest.raises(NotClaimable):
        slot.claim(A, "t")
    assert owner_of(slot) is None


def test_a_follower_that_leaves_moves_nothing() -> None:
    slot = owned()
    assert slot.drop(B) is None
    assert slot.end(B) is None  # also when it left before
    assert owner_of(slot) == A


# --- the row "owned" ----------------------------------------------------------------------------------------------


def test_who_comes_later_follows() -> None:
    slot = owned()
    assert slot.role(B) == "follower"
    assert slot.epoch == 1
    assert slot.followers == 1


def test_a_reclaim_takes_the_slot_from_the_old_connection_and_fences_it() -> None:
    slot = owned()
    change = slot.come(C, reclaim=A)
    assert change == Change(2, slot.seats[C], "reclaimed", lost=A, fenced=A)
    assert slot.role(A) == "follower"
    assert slot.drop(A) is None  # its late end moves nothing
    assert owner_of(slot) == C


def test_a_reclaim_by_hello_takes_the_slot_too() -> None:
    slot = owned()
    change = slot.hello(B, reclaim=A, token="b2")
    assert change == Change(2, slot.seats[B], "reclaimed", lost=A, fenced=A)


def test_the_owner_that_shows_its_own_token_moves_nothing() -> None:
    slot = owned()
    assert slot.hello(A, reclaim=A, token="t") is None
    assert slot.epoch == 1


@pytest.mark.parametrize("shown", ["", "b", "A", "a\u00e9"])
def test_a_wrong_token_reclaims_nothing(shown: str) -> None:
    slot = owned()
    assert slot.come(C, reclaim=shown) is None
    assert slot.hello(B, reclaim=shown, token="t") is None
    assert owner_of(slot) == A


def test_a_follower_scope_cannot_reclaim_whatever_it_shows() -> None:
    slot = owned()
    assert slot.come(C, scope="follower", reclaim=A) is None
    assert slot.hello(C, reclaim=A, token="t") is None
    assert owner_of(slot) == A


def test_a_claim_of_an_owned_slot_is_refused() -> None:
    slot = owned()
    with pytest.raises(NotClaimable, match="somebody owns"):
        slot.claim(B, "t")
    assert slot.claim(A, "t") is None  # who owns has what it asks for
    assert slot.epoch == 1


def test_a_handover_gives_the_slot_to_the_named_follower() -> None:
    slot = owned()
    change = slot.handover(B, "b2")
    assert change == Change(2, slot.seats[B], "handed_over", lost=A)
    assert slot.role(A) == "follower"
    assert slot.reclaim_token == "b2"
    assert slot.come(C, reclaim=A) is None  # the giver's token went with the slot


@pytest.mark.parametrize("to", [A, ConnectionId("nobody"), C])
def test_a_handover_to_oneself_to_nobody_or_to_a_follower_scope_is_refused(to: ConnectionId) -> None:
    slot = owned()
    slot.come(C, scope="follower")
    with pytest.raises(NotClaimable):
        slot.handover(to, "t")
    assert owner_of(slot) == A
    assert slot.epoch == 1


def test_a_release_frees_the_slot_and_the_owner_stays_as_a_follower() -> None:
    slot = owned()
    change = slot.release(A)
    assert change == Change(2, None, "released", lost=A)
    assert slot.role(A) == "follower"
    assert slot.followers == 2
    assert slot.reclaim_token is None
    with pytest.raises(StaleOwner, match=r"epoch 1; the current one is 2"):
        slot.admit(A, WRITE)


def test_a_clean_leave_frees_the_slot_at_once_and_promotes_nobody() -> None:
    slot = owned()
    assert slot.end(A) == Change(1, None, "left", lost=A)
    assert slot.role(B) == "follower"
    assert slot.come(C) == Change(2, slot.seats[C], "joined")


def test_a_drop_keeps_the_slot() -> None:
    slot = owned()
    assert slot.leave(A, clean=False, now=100.0) == Change(1, None, "lost", lost=A)
    assert slot.reserved_until == 110.0
    assert slot.reclaim_token is None  # there is nobody to be told of it


@pytest.mark.parametrize(("hello", "grace"), [(False, GRACE), (True, 0.0)])
def test_a_drop_without_hello_or_without_grace_frees_the_slot_as_v1_has_it(hello: bool, grace: float) -> None:
    slot = Slot(grace=grace)
    slot.come(A, hello=hello)
    slot.drop(A)
    assert slot.reserved_until is None
    assert slot.come(B) == Change(2, slot.seats[B], "joined")


# --- the row "reserved" -------------------------------------------------------------------------------------------


def test_a_newcomer_does_not_get_a_slot_that_is_kept() -> None:
    slot = reserved()
    assert slot.come(C) is None
    with pytest.raises(NotClaimable, match="kept"):
        slot.claim(B, "t")
    assert owner_of(slot) is None


def test_a_reclaim_ends_the_grace_and_fences_nobody() -> None:
    slot = reserved()
    change = slot.come(C, reclaim=A)
    assert change == Change(2, slot.seats[C], "reclaimed")
    assert slot.reserved_until is None
    assert slot.expire(1000.0) is None


def test_a_follower_may_reclaim_during_the_grace_by_hello() -> None:
    slot = reserved()
    change = slot.hello(B, reclaim=A, token="b")
    assert change is not None
    assert owner_of(slot) == B


def test_the_grace_ends_when_its_time_has_come_and_not_before() -> None:
    slot = reserved()
    assert slot.expire(GRACE - 0.001) is None
    assert slot.reserved_until == GRACE
    assert slot.expire(GRACE) == Change(1, None, "grace_over")
    assert slot.expire(GRACE) is None
    assert slot.role(B) == "follower"
    assert slot.come(C, reclaim=A) == Change(2, slot.seats[C], "joined")


def test_the_timer_of_an_earlier_grace_does_not_end_a_later_one() -> None:
    slot = reserved()
    slot.come(C, reclaim=A)
    slot.drop(C, now=5.0)
    assert slot.expire(GRACE) is None
    assert slot.expire(5.0 + GRACE) is not None


# --- the life of a reclaim token ----------------------------------------------------------------------------------


def test_the_old_token_lasts_until_the_new_connection_has_spoken() -> None:
    slot = owned()
    retried = ConnectionId("retried")
    slot.come(retried, reclaim=A, hello=False)
    assert slot.reclaim_token == retried
    change = slot.come(C, reclaim=A, hello=False)  # the first answer was lost on its way: the client tries again
    assert change is not None
    assert change.fenced == retried
    slot.heard(C)
    assert slot.come(ConnectionId("d"), reclaim=A) is None
    assert slot.come(ConnectionId("e"), reclaim=retried) is None
    assert slot.come(ConnectionId("f"), reclaim=C) is not None


def test_the_token_that_was_shown_lasts_through_any_number_of_answers_that_are_lost() -> None:
    slot = owned()
    for number in range(4):
        change = slot.come(ConnectionId(f"r{number}"), reclaim=A, hello=False)
        assert change is not None
        assert change.why == "reclaimed"
        slot.drop(ConnectionId(f"r{number}"))


def test_only_the_owners_own_message_ends_the_old_token() -> None:
    slot = owned()
    slot.come(C, reclaim=A, hello=False)
    slot.heard(A)
    slot.heard(B)
    assert slot.come(ConnectionId("d"), reclaim=A) is not None


def test_a_reclaimer_that_drops_before_it_spoke_is_waited_for_with_either_token() -> None:
    for shown in (A, C):
        slot = reserved()
        slot.come(C, reclaim=A, hello=False)
        slot.drop(C, now=3.0)
        assert slot.reserved_until == 3.0 + GRACE
        assert slot.come(ConnectionId("stranger")) is None
        change = slot.come(ConnectionId("d"), reclaim=shown)
        assert change is not None
        assert change.why == "reclaimed"


def test_at_most_two_tokens_are_right_at_a_time() -> None:
    slot = owned()
    before, shown = [str(A)], str(A)
    for number in range(6):
        newcomer = ConnectionId(f"r{number}")
        assert slot.come(newcomer, reclaim=shown, hello=False) is not None
        before.append(shown := str(newcomer))
    assert [token for token in before if slot._reclaims(token)] == before[-2:]


@pytest.mark.parametrize("move", ["end", "release", "handover", "expire"])
def test_a_token_ends_with_the_ownership_that_it_stands_for(move: str) -> None:
    slot = owned()
    match move:
        case "end":
            slot.end(A)
        case "release":
            slot.release(A)
        case "handover":
            slot.handover(B, "b2")
        case "expire":
            slot.drop(A)
            slot.expire(GRACE)
    change = slot.come(C, reclaim=A, as_follower=True)
    assert change is None


# --- who may send what --------------------------------------------------------------------------------------------

OPEN: list[ClientMessage] = [
    Hello(id="m", client=ClientInfo("test")),
    Resume(id="m", session_id=SessionId("s")),
    Ping(id="m"),
    Claim(id="m"),
    Claim(id="m", force=True),
    RequestControl(id="m"),
]
OWNERS: list[ClientMessage] = [
    WRITE,
    PermissionDecision(id="m", permission_request_id="p", decision=Decision("allow")),
    Cancel(id="m", session_id=SessionId("s")),
    Release(id="m"),
    Handover(id="m", to="b"),
    Who(id="m"),
    OpenSession(id="m"),
    Rename(id="m", session_id=SessionId("s"), title="t"),
    Archive(id="m", session_id=SessionId("s")),
    Delete(id="m", session_id=SessionId("s")),
    SetOption(id="m", session_id=SessionId("s"), name="model", value="m"),
    ListRules(id="m"),
    RevokeRule(id="m", rule_id="r"),
    ListChanges(id="m"),
    ReadChange(id="m", file="f"),
    AnswerMessage(id="m", question_id="q", action="cancel"),
    Seen(id="m", permission_request_id="p"),
    Upload(id="m", digest="a" * 64, size=1, data=b"x"),
    ListFiles(id="m"),
    PushState(id="m"),
    PushOn(id="m", endpoint="https://push.example.org/x", p256dh="k", auth="a"),
    PushOff(id="m"),
]


def test_every_message_type_of_the_protocol_is_judged_here() -> None:
    assert {type(message) for message in OPEN + OWNERS} == set(ClientMessage.__args__)


@pytest.mark.parametrize("message", OPEN + OWNERS, ids=lambda message: type(message).__name__)
def test_only_what_is_open_to_all_is_admitted_from_a_follower(message: ClientMessage) -> None:
    slot = owned()
    slot.admit(A, message)
    if message in OPEN:
        slot.admit(B, message)
    else:
        tag = message.__struct_config__.tag
        with pytest.raises(NotOwner, match=rf"^read-only follower: only the owner may send {tag}$"):
            slot.admit(B, message)


def test_who_lost_the_slot_is_told_that_it_is_stale() -> None:
    slot = owned()
    slot.come(C, reclaim=A)
    with pytest.raises(StaleOwner, match=r"^read-only follower: .*epoch 1; the current one is 2"):
        slot.admit(A, WRITE)
    slot.admit(C, WRITE)


# --- scopes, for credentials that are not the owner token -----------------------------------------------------------


def test_the_scopes_are_in_one_order_and_each_may_all_that_those_before_it_may() -> None:
    assert [MAY[scope] for scope in SCOPES] == ["watch", "stop", "approve", "drive"]
    approve = (Cancel, PermissionDecision, AnswerMessage, Seen, PushState, PushOn, PushOff)
    drive = (*approve, ListChanges, ReadChange)
    assert [opens(scope) for scope in SCOPES] == [(), (Cancel,), approve, drive]
    assert [reaches(scope, "approve") for scope in SCOPES] == [False, False, True, True]
    assert [told(scope) for scope in SCOPES] == ["follower", "follower", "follower", "owner"]


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("message", OPEN + OWNERS, ids=lambda message: type(message).__name__)
def test_a_scope_is_admitted_to_what_is_named_for_it_and_to_nothing_else(message: ClientMessage, scope: Scope) -> None:
    slot = owned()
    slot.come(C, scope=scope, credential="invite", as_follower=True)
    if message in OPEN or isinstance(message, opens(scope)):
        slot.admit(C, message)
    else:
        with pytest.raises(NotOwner):
            slot.admit(C, message)


@pytest.mark.parametrize("scope", ["follower", "stop", "approve"])
def test_what_cannot_drive_is_never_given_the_slot(scope: Scope) -> None:
    slot = Slot()
    assert slot.come(C, scope=scope, credential="invite") is None
    for force in (False, True):
        with pytest.raises(NotClaimable, match=rf"can (only )?{MAY[scope]}"):
            slot.claim(C, "c", force=force, from_any=True)
    slot.come(A)
    with pytest.raises(NotClaimable, match=f"can only {MAY[scope]}"):
        slot.handover(C, "c")
    with pytest.raises(NotClaimable):
        slot.request_control(C, 0.0)


# --- taking over ----------------------------------------------------------------------------------------------------


def test_the_same_credential_takes_over_at_once_and_the_old_connection_follows() -> None:
    slot = owned()
    change = slot.claim(B, "b", force=True)
    assert change == Change(2, slot.seats[B], "taken_over", lost=A)
    assert slot.role(A) == "follower"
    with pytest.raises(StaleOwner):
        slot.admit(A, WRITE)
    assert slot.come(C, reclaim=A, as_follower=True) is None  # the old reclaim token is void


def test_another_credential_takes_over_only_where_the_operator_says_so() -> None:
    slot = owned()
    slot.come(C, credential="anna")
    with pytest.raises(NotClaimable, match="another credential"):
        slot.claim(C, "c", force=True)
    assert owner_of(slot) == A
    change = slot.claim(C, "c", force=True, from_any=True)
    assert change is not None
    assert (change.why, change.lost, owner_of(slot)) == ("taken_over", A, C)
    with pytest.raises(NotClaimable, match="another credential"):
        slot.claim(A, "a", force=True)


def test_an_owner_who_dropped_is_not_waited_for_by_the_same_credential() -> None:
    slot = reserved()
    slot.come(C, credential="anna")
    with pytest.raises(NotClaimable, match="another credential"):
        slot.claim(C, "c", force=True)
    change = slot.claim(B, "b", force=True)
    assert change is not None
    assert (change.why, change.lost, slot.reserved_until) == ("taken_over", None, None)
    assert slot.come(ConnectionId("d"), reclaim=A, as_follower=True) is None


def test_taking_over_a_free_slot_is_a_claim() -> None:
    slot = owned()
    slot.release(A)
    change = slot.claim(B, "b", force=True)
    assert change is not None
    assert change.why == "claimed"
    assert slot.claim(B, "b", force=True) is None


def test_a_driver_who_was_taken_over_can_not_even_approve_what_was_asked_before() -> None:
    slot = Slot()
    slot.come(A, credential="anna")
    slot.come(B, credential="anna")
    slot.claim(B, "b", force=True)
    for message in (OWNERS[1], OWNERS[2]):
        with pytest.raises(StaleOwner):
            slot.admit(A, message)


def test_control_is_asked_of_the_owner_and_not_too_often() -> None:
    slot = owned()
    slot.come(C, credential="anna")
    slot.come(ConnectionId("d"), credential="anna")
    assert slot.request_control(A, 0.0) is None
    assert slot.request_control(C, 0.0) is slot.owner
    for asking in (C, ConnectionId("d")):
        with pytest.raises(RateLimited):
            slot.request_control(asking, CONTROL_SECONDS - 1)
    assert slot.request_control(B, 1.0) is slot.owner
    assert slot.request_control(C, CONTROL_SECONDS) is slot.owner
    slot.release(A)
    with pytest.raises(NotClaimable):
        slot.request_control(B, 100.0)


# --- no epoch is left ---------------------------------------------------------------------------------------------


def test_beyond_the_ceiling_nothing_is_granted() -> None:
    slot = Slot(epoch=5, ceiling=5)
    assert slot.come(A) is None
    with pytest.raises(NotClaimable, match="no new epoch"):
        slot.claim(A, "t")
    assert slot.epoch == 5
    slot.ceiling = 6
    assert slot.claim(A, "t") == Change(6, slot.seats[A], "claimed")


def test_an_owner_without_an_epoch_ahead_keeps_the_slot_against_handover_and_reclaim() -> None:
    slot = Slot(ceiling=1)
    slot.come(A)
    slot.come(B)
    with pytest.raises(NotClaimable, match="no new epoch"):
        slot.handover(B, "t")
    assert slot.hello(B, reclaim=A, token="t") is None
    assert owner_of(slot) == A
    slot.admit(A, WRITE)
    assert slot.come(C, reclaim=A) is None  # and A's token is still right when there is an epoch again
    slot.ceiling = 2
    assert slot.hello(C, reclaim=A, token="t") is not None


def test_a_release_never_raises_the_epoch_beyond_the_ceiling() -> None:
    slot = Slot(ceiling=1)
    slot.come(A)
    assert slot.release(A) == Change(1, None, "released", lost=A)


def test_only_the_owner_has_an_answer_remembered() -> None:
    """Whoever may approve without owning answers this one time."""
    slot = Slot()
    slot.come(A)
    slot.join(Seat(B, "approve", "", credential_id="invite"), as_follower=True, reclaim=None, token="b")
    once = PermissionDecision(id="m", permission_request_id="p", decision=Decision("allow"))
    remembered = Decision("allow", remember=Remember(scope="workspace", match="exact"))
    always = PermissionDecision(id="m", permission_request_id="p", decision=remembered)
    slot.admit(B, once)
    with pytest.raises(NotOwner):
        slot.admit(B, always)
    slot.admit(A, always)
