"""The owner slot, as messages move it, and what people are called; the agent's own processes get none of it."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from myagent.core.codec import encode
from myagent.core.messages import Claim, ConnectionId, ControlRequested, Handover, RequestControl
from myagent.core.ownership import Change, Ownership
from myagent.core.refusals import NotAllowed
from myagent.host.peer import Peer, shown_name
from myagent.redaction.redactor import RECLAIM_PREFIX
from myagent.settings import Settings

_log = logging.getLogger(__name__)


class Slot:
    """`announce` tells everybody of a change; `record` and `actor` are the audit's."""

    def __init__(
        self,
        peers: Mapping[ConnectionId, Peer],
        ownership: Ownership,
        settings: Settings,
        announce: Callable[[Change], None],
        record: Callable[[str, dict[str, Any]], None],
        actor: Callable[[Peer], dict[str, Any]],
    ) -> None:
        self._peers = peers
        self._ownership = ownership
        self._settings = settings
        self._announce = announce
        self._record = record
        self._actor = actor

    def name(self, peer: Peer, label: str) -> None:
        """Have others see a connection under what its credential is called and the `label` that it gave itself."""
        others = {other.label for other in self._peers.values() if other is not peer}
        peer.label = shown_name(peer.credential_label, label, others)
        if (seat := self._ownership.seats.get(peer.connection_id)) is not None:
            seat.label = peer.label

    def claim(self, peer: Peer, message: Claim) -> Change | None:
        """Raises `NotClaimable`."""
        self.confine(peer)
        from_any = self._settings.takeover == "any"
        return self._ownership.claim(peer.connection_id, new_token(), force=message.force, from_any=from_any)

    def handover(self, message: Handover) -> Change:
        """Raises `NotClaimable`."""
        heir = ConnectionId(message.to)
        if heir in self._peers:
            self.confine(self._peers[heir])
        return self._ownership.handover(heir, new_token())

    def request_control(self, peer: Peer, message: RequestControl) -> bool:
        """Ask the owner to hand over; false where that is who asks. Raises `NotClaimable`, `RateLimited`."""
        self.confine(peer)
        owner = self._ownership.request_control(peer.connection_id, asyncio.get_running_loop().time())
        if owner is None:
            return False
        self._record("control_requested", self._actor(peer))
        asked = ControlRequested(connection_id=peer.connection_id, label=peer.label)
        self._peers[owner.connection_id].send(encode(asked))
        return True

    def confine(self, peer: Peer) -> bool:
        """Let a connection of the agent's own processes watch and no more. Looked at only when it would be granted
        something: to be the owner, to decide, or to stop a turn that is not its own."""
        if peer.scope == "follower" or not (why := peer.why_inside()):
            return False
        peer.scope = "follower"
        if peer.connection_id in self._ownership.seats:
            self._ownership.seats[peer.connection_id].scope = "follower"
        _log.warning(
            "connection %s may not own or decide, for it may be the agent that tried to drive its own session: %s",
            peer.connection_id, why,
        )  # fmt: skip
        self._record("inside", {**self._actor(peer), "tried": "to own or to decide", "why": why})
        if self._ownership.role(peer.connection_id) == "owner":
            self._announce(self._ownership.release(peer.connection_id))
        return True

    def refuse_the_agent(self, peer: Peer) -> None:
        """Raises `NotAllowed` for a connection of the agent's own processes."""
        if self.confine(peer):
            raise NotAllowed("a process of the agent cannot decide what it may do")


def new_token() -> str:
    """A reclaim token; its prefix is known to the redactor."""
    return RECLAIM_PREFIX + secrets.token_urlsafe(32)
