"""The right to a workspace's name: a lease in the engine, renewed while we live; the first who asks has it.

It says who may begin to publish. That nobody else's events are stored afterwards does not rest on clocks: whoever has
the lease writes into the name's place in the event stream, and from then on what others send is refused (`publisher`).
"""

from __future__ import annotations

import asyncio
import secrets

import msgspec

from myagent.relay.engine import Engine, EngineAway, Fenced
from myagent.relay.subjects import NAMES, lease

FREE = ""  # in the place of a holder: it was given back
SECONDS = 9.0  # that a lease holds without being renewed
RENEWALS = 3  # in that time


class Held(msgspec.Struct, frozen=True):
    """What a lease says."""

    holder: str


class Lease:
    """One host's claim to a name."""

    def __init__(self, engine: Engine, name: str, *, seconds: float = SECONDS) -> None:
        self._engine = engine
        self._subject = lease(name)
        self._holder = secrets.token_hex(8)
        self._seconds = seconds
        self._revision = 0
        self._until = 0.0  # of the event loop's clock: it may be another's from then on

    @property
    def held(self) -> bool:
        return self._revision > 0 and asyncio.get_running_loop().time() < self._until

    @property
    def wait(self) -> float:
        """Seconds between two renewals."""
        return self._seconds / RENEWALS

    async def take(self) -> bool:
        """Take the name if it is free, or renew it. False: another has it. Raises `EngineAway`: nobody can tell."""
        asked = asyncio.get_running_loop().time()
        last = self._revision
        while True:
            try:
                self._revision = await self._engine.keep(self._subject, _said(self._holder), last=last)
            except Fenced:
                self._revision = 0
                found = await self._engine.last(self._subject, stream=f"KV_{NAMES}")
                if found is None:  # it ran out before we could renew it, or just now
                    free = 0
                elif msgspec.json.decode(found.data, type=Held).holder in (FREE, self._holder):
                    free = found.number  # given back; or ours, by a renewal whose answer was lost
                else:
                    return False
                if free == last:
                    return False  # and somebody was faster
                last = free
            else:
                self._until = asked + self._seconds
                return True

    async def let_go(self) -> None:
        """Give the name back, if it is ours still."""
        revision, self._revision = self._revision, 0
        if revision:
            try:
                await self._engine.keep(self._subject, _said(FREE), last=revision)
            except (EngineAway, Fenced):
                pass  # it runs out


def _said(holder: str) -> bytes:
    return msgspec.json.encode(Held(holder))
