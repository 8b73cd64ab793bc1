"""An answer from a lock screen: a device that is not connected gives one decision, by the way that every one goes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from myagent.access.decision_tickets import Leave
from myagent.core.messages import ConnectionId, DecisionBody, PermissionDecision, Scope
from myagent.core.ownership import Seat
from myagent.core.refusals import Refused
from myagent.delivery.cursor import Cursor
from myagent.host.host import Host

SECONDS = 10.0  # for a decision to be stored


class Presser:
    """A `Peer` for as long as its one message takes. Nobody is told of it, and nothing is sent to it but the answer."""

    def __init__(
        self, host: Host, leave: Leave, *, why_inside: Callable[[], str], still_good: Callable[[], bool]
    ) -> None:
        credential = leave.credential
        self.connection_id = ConnectionId(f"p_{secrets.token_hex(8)}")
        self.credential_id, self.device_id = credential.credential_id, credential.device_id
        self.scope: Scope = credential.scope
        self.credential_label = self.label = credential.label
        self.since = datetime.now(UTC)
        self.cursor = Cursor(host.fanout, self, session_id=credential.session_id)
        self.shown = {leave.request_id}  # the device was called with it
        self.paused, self.socket = False, -1
        self.answer: asyncio.Future[Refused | None] = asyncio.get_running_loop().create_future()
        self._why_inside, self._still_good = why_inside, still_good

    def write(self, data: bytes, /) -> None:
        """What others are shown is not shown to a lock screen."""

    def fail(self) -> None:
        """There is no connection to end."""

    def send(self, payload: bytes) -> None:
        """Only its answer comes: that it was taken."""
        if msgspec.json.decode(payload)["type"] == "ack":
            self._answered(None)

    def refuse(self, message_id: str | None, refusal: Refused) -> None:
        self._answered(refusal)

    def why_inside(self) -> str:
        return self._why_inside()

    def still_good(self) -> bool:
        return self._still_good()

    def close(self, code: int, reason: str) -> None:
        """There is no connection to close."""

    def fence(self) -> None:
        """As above."""

    def _answered(self, refusal: Refused | None) -> None:
        if not self.answer.done():
            self.answer.set_result(refusal)


async def press(host: Host, leave: Leave, presser: Presser) -> None:
    """Give the answer that a ticket was good for. Raises `Refused`, `TimeoutError`."""
    decision = DecisionBody(leave.answer, digest=leave.digest)
    message = PermissionDecision(id=presser.connection_id, permission_request_id=leave.request_id, decision=decision)
    seat = Seat(presser.connection_id, presser.scope, presser.label, credential_id=presser.credential_id)
    host.ownership.join(seat, as_follower=True, reclaim=None, token="")
    try:
        host.receive(presser, message)
    finally:
        host.ownership.leave(presser.connection_id, clean=True, now=0.0)
    async with asyncio.timeout(SECONDS):
        refusal = await asyncio.shield(presser.answer)
    if refusal is not None:
        raise refusal
