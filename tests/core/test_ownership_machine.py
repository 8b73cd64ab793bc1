"""The owner slot against a small model of its own, through any sequence of what people and networks do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from myagent.core.messages import (
    Cancel,
    ClientMessage,
    ConnectionId,
    DecisionBody,
    Handover,
    PermissionDecision,
    Ping,
    Release,
    Scope,
    SessionId,
    UserMessage,
)
from myagent.core.ownership import CONTROL_SECONDS, Change, Ownership, Seat
from myagent.core.refusals import NotClaimable, NotOwner, RateLimited, StaleOwner

GRACE = 10
WRITE = UserMessage(id="m", prompt="help")
CANCEL = Cancel(id="m", session_id=SessionId("s"))
DECIDE = PermissionDecision(id="m", permission_request_id="p", decision=DecisionBody("allow"))
WRITES: list[ClientMessage] = [WRITE, Release(id="m"), Handover(id="m", to="x"), CANCEL, DECIDE]
# Credentials by name, with their scopes. Two of a kind, so that the same one is told from one that may do the same.
CREDENTIALS: dict[str, Scope] = {
    "owner": "owner", "anna": "owner", "berta": "owner", "carl": "approve", "dora": "stop", "emil": "follower",
}  # fmt: skip
# What may be sent without owning.
MAY_SEND: dict[str, list[ClientMessage]] = {
    "anna": [CANCEL, DECIDE], "berta": [CANCEL, DECIDE], "carl": [CANCEL, DECIDE], "dora": [CANCEL],
}  # fmt: skip


@dataclass
class Known:
    """What the model knows of a connection."""

    credential: str
    hello: bool = False
    owned: bool = False  # now or once

    @property
    def scope(self) -> Scope:
        return CREDENTIALS[self.credential]


class OwnerSlot(RuleBasedStateMachine):
    """Does everything to an `Ownership` and to the model, and compares."""

    ownership: ClassVar[type[Ownership]] = Ownership

    def __init__(self) -> None:
        super().__init__()
        self.slot = self.ownership(epoch=0, ceiling=1000, grace=GRACE)
        # the model
        self.known: dict[ConnectionId, Known] = {}
        self.owner: ConnectionId | None = None
        self.last = ""  # credential of whoever owned last
        self.asked: dict[str, int] = {}  # when each credential asked for control
        self.kept_until: int | None = None
        self.right: set[str] = set()  # reclaim tokens
        self.newest = ""
        self.epoch = 0
        self.exhausted = False
        self.now = 0
        # everything so far
        self.tokens: list[str] = []
        self.grants: list[int] = []

    # --- the model's own moves ------------------------------------------------------------------------------------

    def free(self) -> bool:
        return self.owner is None and self.kept_until is None

    def takes(self, to: ConnectionId, token: str, *, shown: str | None = None) -> None:
        self.owner, self.kept_until, self.newest = to, None, token
        self.right = {token} | ({shown} if shown else set())
        self.known[to].owned = True
        self.last = self.known[to].credential
        self.known[to].hello |= shown is not None

    def lets_go(self) -> None:
        self.owner, self.right = None, set()

    def token(self) -> str:
        self.tokens.append(f"token {len(self.tokens)}")
        return self.tokens[-1]

    def some(self, data: st.DataObject) -> ConnectionId:
        """A connection that is there; the owner and those who were it more often than others."""
        often = [each for each, known in self.known.items() if known.owned]
        return data.draw(st.sampled_from([*self.known, *often]), label="connection")

    def shown(self, data: st.DataObject) -> str | None:
        return data.draw(st.sampled_from([None, None, "wrong", *self.tokens, *sorted(self.right)]), label="shown")

    def compare(self, change: Change | None, expected: ConnectionId | bool | None, *, fenced: bool = False) -> None:
        """`expected`: who owns after a change, `None` for nobody; `False` for no change at all."""
        if expected is False:
            assert change is None
            return
        assert change is not None
        assert (change.owner.connection_id if change.owner else None) == expected
        assert (change.fenced is not None) == fenced
        assert change.epoch == self.slot.epoch
        if expected is not None:
            assert change.epoch > max(self.grants, default=0), "every grant raises the epoch"
            self.grants.append(change.epoch)
            self.epoch = change.epoch

    # --- what may happen ------------------------------------------------------------------------------------------

    @rule(credential=st.sampled_from([*CREDENTIALS, "owner", "anna"]), as_follower=st.booleans(), data=st.data())
    def join(self, credential: str, as_follower: bool, data: st.DataObject) -> None:
        scope = CREDENTIALS[credential]
        newcomer, shown, token = ConnectionId(f"c{len(self.tokens)}"), self.shown(data), self.token()
        before, old = self.free(), self.owner
        self.known[newcomer] = Known(credential)
        reclaims = scope == "owner" and shown in self.right
        seat = Seat(newcomer, scope, "", credential_id=credential)
        change = self.slot.join(seat, as_follower=as_follower, reclaim=shown, token=token)
        if reclaims and not self.exhausted:
            self.compare(change, newcomer, fenced=old is not None)
            self.takes(newcomer, token, shown=shown)
        elif not reclaims and scope == "owner" and not as_follower and before and not self.exhausted:
            self.compare(change, newcomer)
            self.takes(newcomer, token)
        else:
            self.compare(change, False)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def hello(self, data: st.DataObject) -> None:
        who, shown, token, old = self.some(data), self.shown(data), self.token(), self.owner
        self.heard(who)
        change = self.slot.hello(who, reclaim=shown, token=token)
        self.known[who].hello = True
        if self.known[who].scope == "owner" and who != old and shown in self.right and not self.exhausted:
            self.compare(change, who, fenced=old is not None)
            self.takes(who, token, shown=shown)
        else:
            self.compare(change, False)

    def heard(self, who: ConnectionId) -> None:
        self.slot.heard(who)
        if who == self.owner:
            self.right &= {self.newest}

    @precondition(lambda self: self.known)
    @rule(data=st.data(), message=st.sampled_from(WRITES))
    def write(self, data: st.DataObject, message: ClientMessage) -> None:
        who = self.some(data)
        self.heard(who)
        self.slot.admit(who, Ping(id="m"))
        known = self.known[who]
        if who == self.owner or (not known.owned and message in MAY_SEND.get(known.credential, [])):
            self.slot.admit(who, message)
            return
        with pytest.raises(StaleOwner if self.known[who].owned else NotOwner):
            self.slot.admit(who, message)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        who, token = self.some(data), self.token()
        if who != self.owner and not (self.free() and self.known[who].scope == "owner" and not self.exhausted):
            with pytest.raises(NotClaimable):
                self.slot.claim(who, token)
            return
        change = self.slot.claim(who, token)
        if who == self.owner:
            self.compare(change, False)
        else:
            self.compare(change, who)
            self.takes(who, token)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), from_any=st.sampled_from([False, False, False, True]))
    def take_over(self, data: st.DataObject, from_any: bool) -> None:
        heirs = [each for each, known in self.known.items() if known.scope == "owner" and each != self.owner]
        who = data.draw(st.sampled_from([*self.known, *heirs, *heirs, *heirs]), label="who")
        token = self.token()
        known, free = self.known[who], self.free()
        may = free or from_any or known.credential == self.last
        if who == self.owner:
            self.compare(self.slot.claim(who, token, force=True, from_any=from_any), False)
        elif known.scope != "owner" or not may or self.exhausted:
            with pytest.raises(NotClaimable):
                self.slot.claim(who, token, force=True, from_any=from_any)
        else:
            change = self.slot.claim(who, token, force=True, from_any=from_any)
            assert change is not None
            assert (change.why, change.lost) == ("claimed" if free else "taken_over", self.owner)
            self.compare(change, who)
            self.takes(who, token)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def request_control(self, data: st.DataObject) -> None:
        who = self.some(data)
        credential = self.known[who].credential
        if who == self.owner:
            assert self.slot.request_control(who, self.now) is None
        elif CREDENTIALS[credential] != "owner" or self.owner is None:
            with pytest.raises(NotClaimable):
                self.slot.request_control(who, self.now)
        elif self.now < self.asked.get(credential, -100) + CONTROL_SECONDS:
            with pytest.raises(RateLimited):
                self.slot.request_control(who, self.now)
        else:
            asked = self.slot.request_control(who, self.now)
            assert asked is not None
            assert asked.connection_id == self.owner
            self.asked[credential] = self.now

    @precondition(lambda self: self.owner)
    @rule()
    def release(self) -> None:
        assert self.owner is not None
        before = self.slot.epoch
        self.compare(self.slot.release(self.owner), None)
        assert self.slot.epoch == before + (not self.exhausted)
        self.epoch = self.slot.epoch
        self.lets_go()

    @precondition(lambda self: self.owner)
    @rule(data=st.data())
    def handover(self, data: st.DataObject) -> None:
        assert self.owner is not None
        to, token = data.draw(st.sampled_from([*self.known, ConnectionId("nobody")]), label="to"), self.token()
        heir = self.known.get(to)
        if heir is None or heir.scope != "owner" or to == self.owner or self.exhausted:
            with pytest.raises(NotClaimable):
                self.slot.handover(to, token)
        else:
            self.compare(self.slot.handover(to, token), to)
            self.takes(to, token)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), clean=st.booleans())
    def leave(self, data: st.DataObject, clean: bool) -> None:
        who = self.some(data)
        known = self.known.pop(who)
        change = self.slot.leave(who, clean=clean, now=self.now)
        if who != self.owner:
            self.compare(change, False)
            return
        self.compare(change, None)
        if known.hello and not clean:
            self.owner, self.kept_until = None, self.now + GRACE
        else:
            self.lets_go()

    @rule(seconds=st.integers(1, GRACE))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        change = self.slot.expire(self.now)
        if self.kept_until is not None and self.now >= self.kept_until:
            self.compare(change, None)
            self.kept_until, self.right = None, set()
        else:
            self.compare(change, False)

    @rule(exhausted=st.booleans())
    def reserve_epochs(self, exhausted: bool) -> None:
        self.exhausted = exhausted
        self.slot.ceiling = self.slot.epoch if exhausted else 1000

    # --- what must be true always ---------------------------------------------------------------------------------

    @invariant()
    def owners_are_who_the_model_says(self) -> None:
        """At most one; and since the model promotes nobody but who asked or was named, neither did the slot."""
        owners = [each for each in self.known if self.slot.role(each) == "owner"]
        assert owners == ([self.owner] if self.owner else [])
        assert self.slot.seats.keys() == self.known.keys()
        assert self.slot.followers == len(self.known) - len(owners)

    @invariant()
    def a_follower_scope_never_owns(self) -> None:
        assert self.slot.owner is None or self.slot.owner.scope == "owner"

    @invariant()
    def everybody_may_do_what_the_role_says(self) -> None:
        for who, known in self.known.items():
            try:
                self.slot.admit(who, WRITE)
            except StaleOwner:
                assert who != self.owner
                assert known.owned
            except NotOwner:
                assert not known.owned
            else:
                assert who == self.owner

    @invariant()
    def everybody_may_do_what_the_scope_says(self) -> None:
        for who, known in self.known.items():
            for message in (CANCEL, DECIDE):
                may = who == self.owner or (not known.owned and message in MAY_SEND.get(known.credential, []))
                try:
                    self.slot.admit(who, message)
                except (StaleOwner, NotOwner):
                    assert not may
                else:
                    assert may

    @invariant()
    def the_epoch_only_rises_and_stays_below_the_ceiling(self) -> None:
        assert self.slot.epoch == self.epoch <= self.slot.ceiling

    @invariant()
    def the_slot_is_free_when_the_model_says_so(self) -> None:
        assert self.slot.reserved_until == self.kept_until
        assert self.slot._free == self.free()

    @invariant()
    def only_the_right_tokens_are_right(self) -> None:
        assert {token for token in self.tokens if self.slot._reclaims(token)} == self.right
        assert self.slot.reclaim_token == (self.newest if self.owner else None)


NORMAL = settings(max_examples=300, stateful_step_count=30, suppress_health_check=list(HealthCheck))


def test_the_owner_slot_is_as_its_model() -> None:
    run_state_machine_as_test(OwnerSlot, settings=NORMAL)


@pytest.mark.long
def test_the_owner_slot_is_as_its_model_for_long() -> None:
    run_state_machine_as_test(OwnerSlot, settings=settings(NORMAL, max_examples=10_000))


# --- negative controls: what the machine must find ----------------------------------------------------------------


class PromotesOnLeave(Ownership):
    def leave(self, connection_id: ConnectionId, *, clean: bool, now: float) -> Change | None:
        change = super().leave(connection_id, clean=clean, now=now)
        heir = next((seat for seat in self.seats.values() if seat.scope == "owner"), None)
        if change is not None and self._free and heir is not None:
            return self._grant(heir, "promoted", "token")
        return change


class KeepsTheEpoch(Ownership):
    def _grant(self, seat: Seat, why: str, token: str) -> Change | None:
        change = super()._grant(seat, why, token)
        if change is not None and self.epoch > 1:
            self.epoch -= 1
        return change and Change(self.epoch, change.owner, change.why, change.lost)


class AdmitsAnybody(Ownership):
    def admit(self, connection_id: ConnectionId, message: ClientMessage) -> None:
        pass


class ForgetsScope(Ownership):
    def handover(self, to: ConnectionId, token: str) -> Change:
        heir = self.seats.get(to)
        if heir is None or heir is self.owner:
            raise NotClaimable("no such follower is connected")
        change = self._grant(heir, "handed_over", token)
        if change is None:
            raise NotClaimable("no new epoch can be stored now")
        return change


class KeepsOldTokens(Ownership):
    def heard(self, connection_id: ConnectionId) -> None:
        pass


class NeverFrees(Ownership):
    def leave(self, connection_id: ConnectionId, *, clean: bool, now: float) -> Change | None:
        return super().leave(connection_id, clean=False, now=now)


class TakesFromAnybody(Ownership):
    def _takes_over(self, seat: Seat, from_any: bool) -> bool:
        return True


class LetsAnOldOwnerDecide(Ownership):
    def admit(self, connection_id: ConnectionId, message: ClientMessage) -> None:
        self.seats[connection_id].held_epoch = 0
        super().admit(connection_id, message)


class LetsThoseWhoStopDecide(Ownership):
    def admit(self, connection_id: ConnectionId, message: ClientMessage) -> None:
        if not (isinstance(message, PermissionDecision) and self.seats[connection_id].scope == "stop"):
            super().admit(connection_id, message)


class LetsTheTokenDecideWithoutOwning(Ownership):
    def admit(self, connection_id: ConnectionId, message: ClientMessage) -> None:
        if not (isinstance(message, PermissionDecision) and self.seats[connection_id].scope == "owner"):
            super().admit(connection_id, message)


class AsksAsOftenAsOneLikes(Ownership):
    def request_control(self, connection_id: ConnectionId, now: float) -> Seat | None:
        self._asked = {}
        return super().request_control(connection_id, now)


@pytest.mark.parametrize(
    "broken",
    [
        TakesFromAnybody,
        LetsAnOldOwnerDecide,
        LetsThoseWhoStopDecide,
        LetsTheTokenDecideWithoutOwning,
        AsksAsOftenAsOneLikes,
        PromotesOnLeave,
        KeepsTheEpoch,
        AdmitsAnybody,
        ForgetsScope,
        KeepsOldTokens,
        NeverFrees,
    ],
)
def test_a_broken_slot_is_found(broken: type[Ownership]) -> None:
    machine = type("Broken", (OwnerSlot,), {"ownership": broken})
    once = settings(NORMAL, derandomize=True, database=None, phases=[Phase.generate])
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        run_state_machine_as_test(machine, settings=once)
