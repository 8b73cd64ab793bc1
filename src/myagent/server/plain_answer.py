"""A plain HTTP answer on its way: how long it may take, and whom it is counted for until the other side is gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from myagent.server.places import Places

if TYPE_CHECKING:
    from myagent.server.connection import Connection


class PlainAnswer:
    """What one connection was answered. `key`: whom it is counted for; `None`: scope `owner`'s are not."""

    __slots__ = ("_connection", "_drained", "_key", "_places", "_waiting")

    def __init__(self, connection: Connection, places: Places, key: str | None) -> None:
        self._connection = connection
        self._places = places
        self._key = key
        self._drained = False
        self._waiting: asyncio.Future[None] | None = None
        places.pending.drop(connection)
        places.requests.drop(connection)

    def unread(self, size: int) -> None:
        """So many bytes of it wait to be sent."""
        if self._key is not None:
            self._places.unread.add(self._connection, self._key)
            self._places.answers.put(self._connection, size)

    def drained(self, *, stays: bool) -> None:
        """The kernel has all of it: the other side goes, or `stays` to ask again."""
        self._drained = True
        self._places.unread.drop(self._connection)
        self._places.answers.drop(self._connection)
        if self._key is not None and not stays:
            self._places.lingering.add(self._connection, self._key)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def taken(self) -> None:
        """Return when it is drained; cancelled when the connection is gone."""
        if not self._drained:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
