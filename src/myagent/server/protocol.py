"""The WebSocket protocol as this server speaks it: that of `websockets` without I/O, our subprotocol and compression,
a quiet log."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from websockets.exceptions import NegotiationError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.server import ServerProtocol
from websockets.typing import ExtensionParameter, Subprotocol

from myagent.core.messages import Limits
from myagent.server.admission import SUBPROTOCOL

_wire_log = logging.getLogger(__name__)
_wire_log.setLevel(logging.ERROR)  # its lower levels print headers and frames: tokens, and other people's text


def make_protocol(limits: Limits) -> ServerProtocol:
    """The protocol of a new connection, before its request."""
    return ServerProtocol(
        max_size=limits.message_bytes,
        extensions=[_Deflate(server_no_context_takeover=True, client_no_context_takeover=True)],
        logger=_wire_log,
        select_subprotocol=_select_subprotocol,
    )


class _Deflate(ServerPerMessageDeflateFactory):
    """Compression where a client asks for it, each message by itself: one frame for all who asked (`delivery.deflate`).
    Who wants a smaller window than all others is not compressed for."""

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], PerMessageDeflate]:
        if any(name == "server_max_window_bits" and value != "15" for name, value in params):
            raise NegotiationError("all share one window of 32 KiB")
        return super().process_request_params(params, accepted_extensions)


def _select_subprotocol(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Ours where it is offered; nothing else is ever sent back, since it may be a secret."""
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None
