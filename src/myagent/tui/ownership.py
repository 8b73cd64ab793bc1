"""The ownership by keys: F4 takes or releases it, or asks for it; F10 gives it to whoever asked."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from myagent.client import Client
from myagent.core.messages import ControlRequested, Error, OwnerChanged
from myagent.text.wording import name_line
from myagent.tui import status

SURE = 5.0  # seconds in which a second F4 gives it up


class OwnershipKeys:
    """`send` has something sent that the client can ask for; `say` tells the human."""

    def __init__(
        self, client: Client, *, send: Callable[[Callable[[], Awaitable[str]]], object], say: Callable[..., None]
    ) -> None:
        self._client = client
        self._send = send
        self._say = say
        self._taking = ""  # id of a take-over that is not answered
        self._sure_until = 0.0  # of the clock that only runs: F4 was pressed once
        self._asker: ControlRequested | None = None  # who asked last, while this client owns

    def pressed(self) -> None:
        """F4: what is meant depends on who owns."""
        client = self._client
        if client.welcome is not None and client.welcome.scope == "follower":
            self._say(status.way_to_own(client), error=True)
        elif client.role == "owner":
            self._release()
        else:
            self._send(self._take)

    def _release(self) -> None:
        """Only when it is pressed twice: whoever connects next may own then."""
        if time.monotonic() > self._sure_until:
            self._sure_until = time.monotonic() + SURE
            self._say("F4 once more gives the ownership up: whoever claims it, or connects next, has it then")
            return
        self._sure_until = 0.0
        self._send(self._client.release)

    async def _take(self) -> str:
        self._taking = await self._client.claim(force=True)
        return self._taking

    def refused(self, error: Error) -> bool:
        """Whether an error was the answer to F4; then the owner, who has another credential, is asked."""
        if error.id is None or error.id != self._taking:
            return False
        self._taking = ""
        if error.code != "not_claimable" or self._client.owner is None:
            return False
        self._say("the owner has another credential: it is asked to hand over")
        self._send(self._client.request_control)
        return True

    def asked(self, message: ControlRequested) -> None:
        self._asker = message
        self._say(f"{name_line(message.label or message.connection_id)} asks for the ownership: F10 hands it over")

    def changed(self, message: OwnerChanged) -> None:
        self._asker = None

    def give(self) -> None:
        """F10."""
        asker = self._asker
        if asker is None or self._client.role != "owner":
            self._say("nobody has asked for the ownership; F3 hands it over to somebody")
            return
        self._asker = None
        self._send(lambda: self._client.handover(asker.connection_id))
