"""The WebSocket protocol as this server speaks it: that of `websockets` without I/O, our subprotocol, a quiet log."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from myagent.core.messages import Limits
from myagent.server.admission import SUBPROTOCOL

_wire_log = logging.getLogger(__name__)
_wire_log.setLevel(logging.ERROR)  # its lower levels print headers and frames: tokens, and other people's text


def make_protocol(limits: Limits) -> ServerProtocol:
    """The protocol of a new connection, before its request."""
    return ServerProtocol(max_size=limits.message_bytes, logger=_wire_log, select_subprotocol=_select_subprotocol)


def _select_subprotocol(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Ours where it is offered; nothing else is ever sent back, since it may be a secret."""
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None
