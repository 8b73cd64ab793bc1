"""Who drives: the owner slot, its epochs, the grace after a drop, and the hand-overs. Everything about it is here.

Two rules stand above all others:

1. A connection becomes the owner while it joins, or by an explicit claim, take-over, handover or reclaim. Nothing else
   ever promotes one: not another's leaving, not time.
2. Every grant raises the epoch, and so does a release. What a connection sends counts only while the epoch that it was
   granted is current.

The slot, and what moves it:

| slot     | join with reclaim  | join, may own | claim   | take over | handover | release | leave  | drop   | over³  |
|----------|--------------------|---------------|---------|-----------|----------|---------|--------|--------|--------|
| free     | as any other       | → owned       | → owned | → owned   | –        | –       | –      | –      | –      |
| owned    | → owned, fence old | follower      | refused | → owned²  | → owned  | → free  | → free | → kept¹| –      |
| reserved | → owned            | follower      | refused | → owned²  | –        | –       | –      | –      | → free |

What is sent counts by the sender's credential (`SCOPES`, each all that those before it may):

| credential    | may own | cancel what runs | answer requests | all else that is the owner's |
|---------------|---------|------------------|-----------------|------------------------------|
| watch         | no      | no               | no              | no                           |
| stop          | no      | yes              | no              | no                           |
| approve       | no      | yes              | yes             | no                           |
| drive         | yes     | yes⁴             | yes⁴            | while it owns⁵               |
| owner's token | yes     | while it owns    | while it owns   | while it owns                |

A take-over is a claim that says so. A reclaim token is right only while the slot is owned or reserved; shown to a free
slot it counts for nothing, and the connection joins as any other. The owner token is v1's, and keeps to its rules.
¹ Reserved, if the owner had said hello, or reclaimed, and there is a grace; else → free, as v1 has it.
² From the same credential, or from any where the operator says so; the old owner stays as a follower. ³ The grace.
⁴ But not on a connection that has owned: what it sent before it could know that somebody took over does nothing.
⁵ What has changed in the directory it may ask at any time.
Who may answer may also have a device called for it, which is an answer from it and goes by the same lines.
Who answers without owning answers this one time: to have it remembered is the owner's.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from myagent.core.messages import (
    AnswerMessage,
    Cancel,
    Claim,
    ClientMessage,
    ConnectionId,
    Hello,
    ListChanges,
    May,
    PermissionDecision,
    Ping,
    PushOff,
    PushOn,
    PushState,
    ReadChange,
    RequestControl,
    Resume,
    Role,
    Scope,
    Seen,
    TwoScopes,
)
from myagent.core.refusals import NotClaimable, NotOwner, RateLimited, StaleOwner

# What any connection may send. A message type that is not named here is the owner's alone.
OPEN_TO_ALL = (Hello, Resume, Ping, Claim, RequestControl)
# What a credential may send besides, without owning, beginning with this scope. The owner token goes by v1: nothing.
OPEN_FROM: dict[Scope, tuple[type[ClientMessage], ...]] = {
    "follower": (),
    "stop": (Cancel,),
    "approve": (PermissionDecision, AnswerMessage, Seen, PushState, PushOn, PushOff),
    "owner": (ListChanges, ReadChange),
}
SCOPES: tuple[Scope, ...] = ("follower", "stop", "approve", "owner")  # each may all that those before it may
MAY: dict[Scope, May] = {"follower": "watch", "stop": "stop", "approve": "approve", "owner": "drive"}
OWNER_CREDENTIAL = "owner"  # the id of the owner token

CONTROL_SECONDS = 10.0  # between two requests for control with one credential


def reaches(scope: Scope, least: Scope) -> bool:
    """Whether a scope may all that `least` may."""
    return SCOPES.index(scope) >= SCOPES.index(least)


def opens(scope: Scope) -> tuple[type[ClientMessage], ...]:
    """What a credential of this scope may send without owning, beside what all may."""
    return tuple(kind for each in SCOPES[: SCOPES.index(scope) + 1] for kind in OPEN_FROM[each])


def scope_of(may: May) -> Scope:
    """The scope that people call so."""
    return next(scope for scope, word in MAY.items() if word == may)


def told(scope: Scope) -> TwoScopes:
    """As it is told to clients that know two."""
    return "owner" if scope == "owner" else "follower"


_CANNOT_OWN: dict[May, str] = {
    "watch": "this credential can only watch",
    "stop": "this credential can stop a turn, and not own",
    "approve": "this credential can approve, and not own",
}


@dataclass(slots=True)
class Seat:
    """What ownership knows of one connection."""

    connection_id: ConnectionId
    scope: Scope
    label: str
    said_hello: bool = False
    held_epoch: int = 0  # the last epoch that this connection owned, 0 if none: tells stale from never
    credential_id: str = OWNER_CREDENTIAL


@dataclass(frozen=True, slots=True)
class Change:
    """The slot moved: everybody is told. `lost` no longer owns and is told its role; `fenced` must also be closed."""

    epoch: int
    owner: Seat | None
    why: str
    lost: ConnectionId | None = None
    fenced: ConnectionId | None = None


class Ownership:
    """The owner slot of one workspace. Times are seconds of any one monotonic clock; tokens are made by the caller.

    `ceiling` is the last epoch that was durably reserved: beyond it nothing is granted, so that no epoch is ever
    used twice, whatever crashes.
    """

    def __init__(self, *, epoch: int, ceiling: int, grace: float) -> None:
        self.epoch = epoch
        self.ceiling = ceiling
        self.grace = grace
        self.seats: dict[ConnectionId, Seat] = {}
        self._owner: Seat | None = None
        self._reserved_until: float | None = None
        self._last_credential: str | None = None  # of whoever owned last: for whom the slot is reserved
        self._asked: dict[str, float] = {}  # when each credential asked for control last
        # Who shows one of these owns at once. Two only while the newer one may not have reached its client yet: the
        # older one is then what that client was seen to have.
        self._reclaim_tokens: tuple[str, ...] = ()

    @property
    def owner(self) -> Seat | None:
        return self._owner

    @property
    def reserved_until(self) -> float | None:
        """When the grace of a dropped owner is over; `None` if no grace runs."""
        return self._reserved_until

    @property
    def reclaim_token(self) -> str | None:
        """The newest token; `None` while nobody owns."""
        return self._reclaim_tokens[-1] if self._reclaim_tokens and self._owner else None

    def role(self, connection_id: ConnectionId) -> Role:
        return "owner" if self._owner is not None and self._owner.connection_id == connection_id else "follower"

    @property
    def followers(self) -> int:
        return len(self.seats) - (self._owner is not None)

    # --- coming and going -----------------------------------------------------------------------------------------

    def join(self, seat: Seat, *, as_follower: bool, reclaim: str | None, token: str) -> Change | None:
        """Seat a new connection. `token` becomes its reclaim token if it is granted the slot."""
        self.seats[seat.connection_id] = seat
        if seat.scope != "owner":
            return None
        if reclaim is not None and self._reclaims(reclaim):
            return self._reclaim(seat, reclaim, token)
        if as_follower or not self._free:
            return None
        return self._grant(seat, "joined", token)

    def hello(self, connection_id: ConnectionId, *, reclaim: str | None, token: str) -> Change | None:
        """A client that knows the additions has introduced itself; a browser can reclaim only here."""
        seat = self.seats[connection_id]
        seat.said_hello = True
        if reclaim is None or seat.scope != "owner" or seat is self._owner or not self._reclaims(reclaim):
            return None
        return self._reclaim(seat, reclaim, token)

    def heard(self, connection_id: ConnectionId) -> None:
        """The connection has sent a message, so it has its newest reclaim token: older ones end here."""
        if len(self._reclaim_tokens) > 1 and self.role(connection_id) == "owner":
            self._reclaim_tokens = self._reclaim_tokens[-1:]

    def leave(self, connection_id: ConnectionId, *, clean: bool, now: float) -> Change | None:
        """A connection is gone; `clean`: by a close frame, which means that it does not want the slot kept."""
        seat = self.seats.pop(connection_id, None)
        if seat is None or seat is not self._owner:
            return None
        self._owner = None
        if not clean and seat.said_hello and self.grace > 0:
            self._reserved_until = now + self.grace
            return Change(self.epoch, None, "lost", connection_id)
        self._reclaim_tokens = ()
        return Change(self.epoch, None, "left" if clean else "lost", connection_id)

    def expire(self, now: float) -> Change | None:
        """End the grace if its time has come."""
        if self._reserved_until is None or now < self._reserved_until:
            return None
        self._reserved_until = None
        self._reclaim_tokens = ()
        return Change(self.epoch, None, "grace_over")

    # --- asked for ------------------------------------------------------------------------------------------------

    def claim(
        self, connection_id: ConnectionId, token: str, *, force: bool = False, from_any: bool = False
    ) -> Change | None:
        """Take the free slot; with `force` also one that somebody of the same credential has, or `from_any`. `None` if
        the connection has it already."""
        seat = self.seats[connection_id]
        if seat is self._owner:
            return None
        if seat.scope != "owner":
            raise NotClaimable(_CANNOT_OWN[MAY[seat.scope]])
        if not self._free and not (force and self._takes_over(seat, from_any)):
            if force:
                raise NotClaimable("somebody with another credential owns this workspace; control can be requested")
            if self._owner is not None:
                raise NotClaimable("somebody owns this workspace")
            raise NotClaimable("the slot is kept for an owner who just lost the connection")
        change = self._grant(seat, "claimed" if self._free else "taken_over", token)
        if change is None:
            raise NotClaimable("no new epoch can be stored now")
        return change

    def _takes_over(self, seat: Seat, from_any: bool) -> bool:
        return from_any or seat.credential_id == self._last_credential

    def request_control(self, connection_id: ConnectionId, now: float) -> Seat | None:
        """The owner, who is to be asked to hand over; `None` if that is who asks. Raises `NotClaimable`, and
        `RateLimited` for a credential that asked just before."""
        seat = self.seats[connection_id]
        if seat is self._owner:
            return None
        if seat.scope != "owner":
            raise NotClaimable(_CANNOT_OWN[MAY[seat.scope]])
        if self._owner is None:
            raise NotClaimable("nobody owns this workspace who could be asked")
        self._asked = {key: at for key, at in self._asked.items() if now < at + CONTROL_SECONDS}
        if (asked := self._asked.get(seat.credential_id)) is not None:
            raise RateLimited("requests for control", asked + CONTROL_SECONDS - now)
        self._asked[seat.credential_id] = now
        return self._owner

    def release(self, connection_id: ConnectionId) -> Change:
        """Let go and stay as a follower; the owner was admitted to ask for it. Raises the epoch as far as it may."""
        self.epoch = min(self.epoch + 1, self.ceiling)
        self._owner = None
        self._reclaim_tokens = ()
        return Change(self.epoch, None, "released", connection_id)

    def handover(self, to: ConnectionId, token: str) -> Change:
        """Give the slot to a connected follower whose credential may own; the owner was admitted to ask for it."""
        heir = self.seats.get(to)
        if heir is None or heir is self._owner:
            raise NotClaimable("no such follower is connected")
        if heir.scope != "owner":
            raise NotClaimable(f"that follower's credential can only {MAY[heir.scope]}")
        change = self._grant(heir, "handed_over", token)
        if change is None:
            raise NotClaimable("no new epoch can be stored now")
        return change

    def admit(self, connection_id: ConnectionId, message: ClientMessage) -> None:
        """Refuse what neither the role nor the scope allows. The one place where either is checked."""
        if isinstance(message, OPEN_TO_ALL) or self.role(connection_id) == "owner":
            return
        seat = self.seats[connection_id]
        if seat.held_epoch:
            raise StaleOwner(seat.held_epoch, self.epoch)
        rules = isinstance(message, PermissionDecision) and message.decision.remember is not None
        if seat.credential_id != OWNER_CREDENTIAL and isinstance(message, opens(seat.scope)) and not rules:
            return
        raise NotOwner(str(message.__struct_config__.tag))

    def may_answer(self, connection_id: ConnectionId) -> bool:
        """Whether `admit` would let this connection answer a permission request."""
        seat = self.seats[connection_id]
        if self.role(connection_id) == "owner":
            return True
        return not seat.held_epoch and seat.credential_id != OWNER_CREDENTIAL and reaches(seat.scope, "approve")

    # --- the slot itself ------------------------------------------------------------------------------------------

    @property
    def _free(self) -> bool:
        return self._owner is None and self._reserved_until is None

    def _reclaims(self, shown: str) -> bool:
        return any(hmac.compare_digest(shown.encode(), token.encode()) for token in self._reclaim_tokens)

    def _reclaim(self, seat: Seat, shown: str, token: str) -> Change | None:
        old = self._owner
        change = self._grant(seat, "reclaimed", token)
        if change is None:
            return None
        self._reclaim_tokens = (shown, token)
        seat.said_hello = True  # a reclaim is an addition too: whoever knows it is waited for
        return Change(change.epoch, seat, change.why, change.lost, fenced=old.connection_id if old else None)

    def _grant(self, seat: Seat, why: str, token: str) -> Change | None:
        if self.epoch >= self.ceiling:
            return None
        lost = self._owner.connection_id if self._owner else None
        self.epoch += 1
        self._owner = seat
        self._last_credential = seat.credential_id
        self._reserved_until = None
        self._reclaim_tokens = (token,)
        seat.held_epoch = self.epoch
        return Change(self.epoch, seat, why, lost)
