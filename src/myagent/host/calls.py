"""Calls to devices that have no page open, as the host knows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from myagent.core.messages import PushMessage, SessionEvent
from myagent.core.refusals import NotAllowed
from myagent.host.peer import Peer


class Calls(Protocol):
    """`push.LockScreen` is one."""

    def event(self, event: SessionEvent) -> None:
        """Take what was stored."""

    def receive(self, peer: Peer, message: PushMessage, actor: Mapping[str, Any]) -> None:
        """A device says whether it wants to be called. Raises `Refused`."""

    def nobody_here(self) -> None:
        """Nobody who may answer is connected any more."""

    def close(self) -> None: ...


class NoCalls:
    """Nobody is called."""

    def event(self, event: SessionEvent) -> None:
        pass

    def receive(self, peer: Peer, message: PushMessage, actor: Mapping[str, Any]) -> None:
        raise NotAllowed("this server calls no devices")

    def nobody_here(self) -> None:
        pass

    def close(self) -> None:
        pass
