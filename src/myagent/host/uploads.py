"""What comes in pieces before a prompt carries it: put together, held to its digest, and kept until that prompt."""

from __future__ import annotations

import errno
import hashlib
import logging
from dataclasses import dataclass, field

from myagent.core.codec import encode
from myagent.core.messages import Ack, ConnectionId, Upload
from myagent.core.refusals import BadMessage, DiskFull, Internal, RateLimited, Refused, StateGone, TooLarge
from myagent.eventlog.blobs import Blobs
from myagent.host.peer import Peer
from myagent.host.session_store import SessionStore

WAITING_BYTES = 32 << 20  # of completed uploads that are not stored yet

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Partial:
    """What has come of one upload; a connection has one at a time."""

    digest: str
    size: int
    data: bytearray = field(default_factory=bytearray)


class Uploads:
    """Of the connections of one workspace."""

    def __init__(self, blobs: Blobs, store: SessionStore, *, item_bytes: int) -> None:
        self._blobs, self._store = blobs, store
        self._item_bytes = item_bytes
        self._partial: dict[ConnectionId, _Partial] = {}
        self._waiting = 0  # bytes

    def left(self, connection_id: ConnectionId) -> None:
        """What has come of an upload goes with its connection."""
        self._partial.pop(connection_id, None)

    def receive(self, peer: Peer, message: Upload) -> None:
        """Take a piece, acknowledged at once; the last one when all is stored. Raises `Refused`."""
        if message.size > self._item_bytes:
            raise TooLarge("a picture or file", self._item_bytes)
        if self._blobs.is_staged(peer.credential_id, message.digest):
            self._partial.pop(peer.connection_id, None)
            peer.send(encode(Ack(id=message.id, duplicate=True)))
            return
        partial = self._partial.get(peer.connection_id)
        if message.offset == 0:
            partial = self._partial[peer.connection_id] = _Partial(message.digest, message.size)
        if partial is None or (partial.digest, partial.size) != (message.digest, message.size):
            raise BadMessage("an upload begins with offset 0; a connection has one at a time", message.id)
        if message.offset != len(partial.data) or len(partial.data) + len(message.data) > partial.size:
            raise BadMessage("the pieces of an upload follow each other, and end where it does", message.id)
        whole = len(partial.data) + len(message.data) == partial.size
        if whole and self._waiting and self._waiting + partial.size > WAITING_BYTES:
            raise RateLimited("uploads that wait to be stored")  # this piece alone is to be sent again
        partial.data += message.data
        if len(partial.data) < partial.size:
            peer.send(encode(Ack(id=message.id, duplicate=False)))
            return
        data = bytes(self._partial.pop(peer.connection_id).data)
        if hashlib.sha256(data).hexdigest() != message.digest:
            raise BadMessage("what was uploaded is not what its digest says", message.id)
        self._store.check_writable()
        self._waiting += len(data)
        self._store.spawn(self._stage(peer, message, data), "stage an upload")

    async def _stage(self, peer: Peer, message: Upload, data: bytes) -> None:
        try:
            await self._blobs.stage(peer.credential_id, message.digest, data)
        except OSError as error:
            peer.refuse(message.id, unstorable(error))
            return
        finally:
            self._waiting -= len(data)
        peer.send(encode(Ack(id=message.id, duplicate=False)))


def unstorable(error: OSError) -> Refused:
    """What a client is told when a file of ours cannot be written or read."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull()
    if isinstance(error, FileNotFoundError):
        return StateGone()
    _log.error("a picture or file could not be kept: %s", error)
    return Internal()
