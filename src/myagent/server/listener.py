"""What a connection and its server know of each other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from websockets.http11 import Request

from myagent.access.credentials import Credential
from myagent.core.messages import ConnectionId, Scope, SessionId
from myagent.server.places import Places
from myagent.server.workspace import Workspace
from myagent.settings import Settings

if TYPE_CHECKING:
    from myagent.server.connection import Connection


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a connection is, once its request was judged; `session_id`: the only session that it watches."""

    connection_id: ConnectionId
    credential: Credential
    scope: Scope
    label: str
    since: datetime
    session_id: SessionId | None
    is_editor: bool = False  # it speaks the Agent Client Protocol


class Listener(Protocol):
    """Where a connection comes from: judges its request, and forgets it when it is gone."""

    settings: Settings

    @property
    def host(self) -> Workspace: ...

    @property
    def places(self) -> Places: ...

    # Where every connection's bytes arrive; they are taken out before the next one reads. A view, because asyncio's TLS
    # fills `buffer[n:]` with a second record, which of a `bytearray` is a copy.
    @property
    def incoming(self) -> memoryview: ...

    def opened(self, connection: Connection) -> None: ...

    def requested(self, connection: Connection, request: Request) -> None:
        """A whole HTTP request has come; answers with `respond` or `accept`, now or later."""

    def stays(self, connection: Connection) -> None:
        """It has its whole answer, and may ask again."""

    def closed(self, connection: Connection) -> None: ...

    def still_good(self, credential: Credential) -> bool:
        """Whether it has been neither replaced, revoked nor expired since it was verified."""
