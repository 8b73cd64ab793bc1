"""One editor on `/acp`: what a connection is sent becomes the Agent Client Protocol, and what comes becomes messages.

The connection is one like any other: the same admission, limits, seat and cursor. Only the last step differs: frames of
ours are read again where they would be written, and written as what an editor is told. What is the editor's already
comes the same way, and is known by how it begins.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from myagent import __version__
from myagent.core.codec import encode
from myagent.core.messages import ClientInfo, Command, Hello, Metadata, ServerMessage, SessionEvent
from myagent.core.refusals import BadMessage, Internal, Refused
from myagent.delivery.window import frame as finished_frame
from myagent.editors import rpc
from myagent.editors.editor import Editor
from myagent.editors.waiting import SessionsWanted
from myagent.server.workspace import Workspace

if TYPE_CHECKING:
    from myagent.server.connection import Connection

TEXT = 0x81  # the first byte of a whole text frame
EDITORS = b'{"jsonrpc"'  # what every message for an editor begins with, and none of ours
SWITCHING, HEAD_ENDS = b"HTTP/1.1 101 ", b"\r\n\r\n"
LABEL_CHARACTERS = 128

_log = logging.getLogger(__name__)
_messages: msgspec.json.Decoder[Any] = msgspec.json.Decoder(ServerMessage | SessionEvent)
_listed = msgspec.json.Decoder(list[Metadata])


class EditorSide:
    """Between a connection and its host."""

    def __init__(self, connection: Connection, host: Workspace) -> None:
        """From here on, what the connection is sent becomes what the editor is told, beginning with the answer to its
        handshake; nobody writes to the socket beside that."""
        self._connection, self._host = connection, host
        numbers = itertools.count()
        self._new_id: Callable[[], str] = lambda: f"acp-{connection.connection_id}-{next(numbers)}"
        self._editor = Editor(version=__version__, new_id=self._new_id, label=connection.label)
        write = connection.write
        connection.socket, connection.write = -1, lambda data: write(self.translated(data))

    def translated(self, data: bytes) -> bytes:
        """Whole frames of ours as what the editor is told; control frames, and a request's answer, as they are."""
        parts: list[bytes] = []
        start = 0
        if data.startswith(b"HTTP/"):
            if not data.startswith(SWITCHING):
                return data
            start = data.index(HEAD_ENDS) + len(HEAD_ENDS)
            parts.append(data[: start - 2] + f"Acp-Connection-Id: {self._connection.connection_id}\r\n\r\n".encode())
        for first, whole, payload in _frames(data, start):
            if first != TEXT or payload.startswith(EDITORS):
                parts.append(whole)
                continue
            try:
                self._editor.from_server(_messages.decode(payload))
            except Exception:  # of this connection alone: others are served by the same caller
                _log.exception("a message for an editor could not be told")
                asyncio.get_running_loop().call_soon(self._connection.fail)
            parts += map(finished_frame, self._editor.frames())
        # Not now: whoever writes is in the middle of something.
        asyncio.get_running_loop().call_soon(self._carry_out)
        return b"".join(parts)

    def received(self, data: bytes, *, wait: float | None) -> None:
        """Take one message of the editor's; `wait`: seconds, if it is one too many."""
        connection, editor = self._connection, self._editor
        try:
            if wait is not None:
                editor.refuse(data, f"too many messages: wait {wait:.1f} s")
            else:
                was = editor.initialized
                editor.from_editor(data)
                if editor.initialized and not was:
                    self._greet(data)
        except Exception:
            _log.exception("a message of an editor's could not be handled")
            connection.close(1011, "internal error")
            return
        self._put(editor.frames())
        for _ in range(editor.failures()):
            connection.refuse(None, BadMessage("an editor was told so"))  # it is counted like any; this says nothing
        self._carry_out()

    def _put(self, frames: Iterable[bytes]) -> None:
        for each in frames:
            self._connection.send(each)

    def _greet(self, data: bytes) -> None:
        """Introduce the connection as what the editor calls itself."""
        name, version = "editor", ""
        match rpc.read(data):
            case rpc.Request(params={"clientInfo": dict(info)}):
                named = [info.get("title"), info.get("name")]
                name = next((each for each in named if isinstance(each, str) and each.strip()), name)
                version = str(info.get("version", ""))
        label = None if self._connection.label else name[:LABEL_CHARACTERS]
        client = ClientInfo(name[:LABEL_CHARACTERS], version[:LABEL_CHARACTERS])
        self._do(Hello(id=self._new_id(), client=client, label=label, wants=("updates",)))
        self._editor.goes_by(self._connection.label)

    def _carry_out(self) -> None:
        for command in self._editor.commands():
            if not isinstance(command, SessionsWanted):
                self._do(command)
                continue
            sessions = self._host.store.listed(only=self._connection.cursor.session_id)
            self._editor.listed(command, _listed.decode(self._host.redactor.encoded(encode(sessions))))
            self._put(self._editor.frames())

    def _do(self, command: Command) -> None:
        """Give the host a command; a refusal comes back as a message like any other."""
        connection = self._connection
        if not connection.is_seated:
            return
        try:
            self._host.receive(connection, command)  # type: ignore[arg-type]
        except Refused as refusal:
            connection.refuse(command.id, refusal)
        except Exception:
            _log.exception("a message of an editor's could not be handled")
            connection.refuse(command.id, Internal())
            connection.close(1011, "internal error")


def _frames(data: bytes, start: int) -> Iterator[tuple[int, bytes, bytes]]:
    """Of whole frames as a server sends them (RFC 6455, section 5.2): the first byte, the frame, its payload."""
    while start < len(data):
        size, begin = data[start + 1], start + 2
        if size == 126:
            (size,) = struct.unpack_from("!H", data, begin)
            begin += 2
        elif size == 127:
            (size,) = struct.unpack_from("!Q", data, begin)
            begin += 8
        end = begin + size
        yield data[start], data[start:end], data[begin:end]
        start = end
