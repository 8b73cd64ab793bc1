"""Gives one message of a client to the host, and answers it with an error where it is refused."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from myagent.core.codec import decode, encode
from myagent.core.messages import Error
from myagent.core.refusals import BadMessage, Internal, RateLimited, Refused, UnknownType
from myagent.host.peer import Peer
from myagent.server.workspace import Workspace

if TYPE_CHECKING:
    from myagent.server.editor import EditorSide

_log = logging.getLogger(__name__)


class Speaker(Peer, Protocol):
    """A connection of our own, or one at a relay."""

    editor: EditorSide | None


def receive(connection: Speaker, host: Workspace, data: bytes, *, wait: float | None) -> None:
    """`wait`: seconds, if it is one message too many; it is read all the same, since its answer bears its id."""
    if connection.editor is not None:
        connection.editor.received(data, wait=wait)
        return
    message_id = None
    try:
        message = decode(data)
        message_id = message.id
        if wait is not None:
            raise RateLimited("messages", wait)
        host.receive(connection, message)
    except (BadMessage, UnknownType) as refusal:
        connection.refuse(refusal.message_id or message_id, refusal)
    except Refused as refusal:
        connection.refuse(message_id, refusal)
    except Exception:
        _log.exception("a message could not be handled")
        connection.refuse(message_id, Internal())
        connection.close(1011, "internal error")


def error(message_id: str | None, refusal: Refused) -> bytes:
    """The answer that says why."""
    wait = refusal.retry_after if isinstance(refusal, RateLimited) else None
    return encode(Error(id=message_id, message=str(refusal), code=refusal.code, retry_after=wait))
