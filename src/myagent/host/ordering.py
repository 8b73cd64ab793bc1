"""Commands of connections are carried out one after another, by whoever may still give them when it is their turn."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from myagent.core.refusals import NotAllowed
from myagent.host.peer import Peer
from myagent.host.session_store import SessionStore


def in_order(
    store: SessionStore, peer: Peer, message_id: str, work: Callable[[], Coroutine[Any, Any, None]], **how: Any
) -> None:
    """See `SessionStore.command`. Raises `Refused`; what is refused later is told to the connection."""

    async def if_still_good() -> None:
        if not peer.still_good():  # it waited while its credential was replaced or revoked
            raise NotAllowed("the credential is no longer good")
        await work()

    store.command(if_still_good, refuse=partial(peer.refuse, message_id), **how)
