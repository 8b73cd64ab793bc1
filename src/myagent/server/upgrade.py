"""What becomes of a request for a WebSocket: a place, a session, a use of its invite, and an identity."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections import Counter
from datetime import UTC, datetime
from math import ceil

from websockets.http11 import Request

from myagent.access.credentials import Credential
from myagent.access.invites import Spent
from myagent.access.registry import Access
from myagent.core.messages import ConnectionId
from myagent.host.peer import clean_label
from myagent.server.admission import NO_CREDENTIAL, NOT_STORED, Call, Rejected, known_session, number
from myagent.server.connection import Connection
from myagent.server.limits import Bucket
from myagent.server.listener import Identity
from myagent.server.places import Places
from myagent.server.workspace import Workspace

JOINS_PER_SECOND = 10  # with one invite, once as many as may connect have come


class Upgrades:
    """Turns calls that admission has let through into connections of the host."""

    def __init__(self, host: Workspace, access: Access, places: Places) -> None:
        self._host = host
        self._access = access
        self._places = places
        self._boot = secrets.token_hex(4)  # sets its connections apart from those of earlier servers
        self._numbers = itertools.count(1)
        self._joins: dict[str, Bucket] = {}  # by invite

    def accept(self, connection: Connection, request: Request, call: Call) -> None:
        """Raises `Rejected`, having changed nothing."""
        assert call.credential is not None
        is_full = not self._places.has_seat(call.credential, len(self._host.peers))
        crowded = self._crowded(call.credential) if is_full else None
        if is_full and crowded is None:
            raise Rejected(503, "all places are taken")
        session_id = known_session(self._host.sessions, call.parameters.get("session"), call.credential)
        after_seq = number(call.parameters, "after")
        if after_seq is not None and (
            session_id is None or after_seq > self._host.fanout.window.heads.get(session_id, 0)
        ):
            raise Rejected(400, "`after` needs `session`, and cannot be beyond its head")
        reclaim = request.headers.get_all("X-Myagent-Reclaim")
        self._check_rate(call.credential)
        self._use(call.credential, call.network)
        if crowded is not None:
            crowded.close(1013, "it gives its place to another invite")
        connection.become(
            Identity(
                connection_id=ConnectionId(f"c_{self._boot}{next(self._numbers):04x}"),
                credential=call.credential,
                scope=call.credential.scope,
                label=clean_label(self._host.redactor.text(call.parameters.get("label", ""))),
                since=datetime.now(UTC),
                session_id=session_id,
                is_editor=call.route == "acp",
            )
        )
        connection.accept(
            request,
            as_follower=call.parameters.get("role") == "follower",
            after_seq=after_seq,
            reclaim=reclaim[0] if len(reclaim) == 1 else None,
        )

    def _crowded(self, credential: Credential) -> Connection | None:
        """Whose place somebody gets where all are taken: the latest with the invite that has the most of them, unless
        the newcomer's has as many. Nobody of scope `owner`."""
        seated = [peer for peer in self._host.peers.values() if peer.scope != "owner" and isinstance(peer, Connection)]
        held = Counter(peer.credential_id for peer in seated)
        mine = 0 if credential.scope == "owner" else held[credential.credential_id] + 1
        most = max(held.values(), default=0)
        return next((peer for peer in reversed(seated) if held[peer.credential_id] == most > mine), None)

    def _check_rate(self, credential: Credential) -> None:
        """Of an invite, as many as there are places may come at once, and then a few a second."""
        if credential.scope == "owner":
            return
        self._joins = {key: each for key, each in self._joins.items() if self._access.invites.is_live(key)}
        most = self._places.seats
        bucket = self._joins.setdefault(credential.credential_id, Bucket(JOINS_PER_SECOND, most))
        if not bucket.take(asyncio.get_running_loop().time()):
            raise Rejected(429, "too many connections with this invite", retry_after=ceil(1 / JOINS_PER_SECOND))

    def _use(self, credential: Credential, network: str) -> None:
        """Count a connection against its invite."""
        try:
            self._access.use(credential, network)
        except Spent:
            raise Rejected(401, NO_CREDENTIAL) from None
        except OSError:
            raise Rejected(503, NOT_STORED) from None
