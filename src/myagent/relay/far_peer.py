"""A connection at a relay, as the host has it: a peer like any other, whose wire is the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from myagent.access.credentials import Credential
from myagent.core.messages import ConnectionId, Scope, SessionId
from myagent.core.refusals import Refused, StaleOwner
from myagent.delivery.cursor import Cursor
from myagent.delivery.window import View
from myagent.host.host import Host
from myagent.host.peer import clean_label
from myagent.relay.words import Close, Fence, Join, Said, Told, ToRelay
from myagent.server.limits import Allowance
from myagent.server.messages import error, receive

if TYPE_CHECKING:
    from myagent.server.editor import EditorSide


class FarCursor(Cursor):
    """Delivers nothing: the relay does, out of its copy, and says of each answer whether what it answers was shown."""

    __slots__ = ("shown",)

    shown: bool

    def start(self, after_seq: int | None = None) -> None:
        """The relay's cursor does."""

    def look(self, view: View) -> None:
        """The relay's cursor does."""

    @property
    def behind(self) -> int:
        return 0

    def has_passed(self, pos: int) -> bool:
        return self.shown


class FarPeer:
    """A `host.peer.Peer`. What it may do is what the host's own registry says of its credential."""

    socket = -1
    paused = False
    editor: EditorSide | None = None

    def __init__(
        self, host: Host, said: Join, credential: Credential, session_id: SessionId | None, *,
        put: Callable[[ToRelay], None], is_good: Callable[[Credential], bool],
    ) -> None:  # fmt: skip
        self.connection_id: ConnectionId = said.connection
        self.credential_id = credential.credential_id
        self.device_id = credential.device_id
        self.credential_label = credential.label
        self.scope: Scope = credential.scope
        self.label = clean_label(host.redactor.text(said.label))
        self.since = datetime.now(UTC)
        self.shown: set[str] = set()
        self.cursor: Cursor = FarCursor(host.fanout, self, session_id=session_id)
        self._host = host
        self._credential = credential
        self._put = put
        self._is_good = is_good
        self._allowance = Allowance(host.settings.limits)
        self._fenced = False

    def said(self, said: Said) -> None:
        """A message of theirs has come: it is taken as one of a connection of our own."""
        assert isinstance(self.cursor, FarCursor)
        self.cursor.shown = said.shown
        allowed = self._allowance.message(_now(), owns=self._host.ownership.role(self.connection_id) == "owner")
        receive(self, self._host, bytes(said.message), wait=None if allowed else self._allowance.retry_after)

    def send(self, payload: bytes) -> None:
        if self.connection_id in self._host.peers:
            self._put(Told(self.connection_id, msgspec.Raw(self._host.redactor.encoded(payload))))

    def write(self, data: bytes, /) -> None:
        """Events come to the relay by the stream."""

    def fail(self) -> None:
        self.close(1011, "internal error")

    def refuse(self, message_id: str | None, refusal: Refused) -> None:
        self.send(error(message_id, refusal))
        if self._fenced and isinstance(refusal, StaleOwner):
            return  # sent before it could know
        if not self._allowance.error(_now()):
            self.close(1008, "too many errors")

    def why_inside(self) -> str:
        """Where it comes from is seen by the relay alone."""
        return ""

    def still_good(self) -> bool:
        return self._is_good(self._credential)

    def close(self, code: int, reason: str) -> None:
        self._put(Close(self.connection_id, code, reason))
        self._host.leave(self, clean=False)

    def fence(self) -> None:
        """The relay does, and says when it is gone. What is on its way until then is answered here."""
        self._fenced = True
        settings = self._host.settings
        unnoticed = 2 * settings.heartbeat
        self._allowance.fence(unnoticed, _now() + unnoticed + settings.stall_timeout)
        self._put(Fence(self.connection_id))


def _now() -> float:
    return asyncio.get_running_loop().time()
