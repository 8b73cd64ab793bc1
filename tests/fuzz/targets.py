"""What is fuzzed without a socket: the decoder, and a connection from its first byte; each with what must hold."""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from myagent.access.registry import Access
from myagent.access.state_directory import write_private
from myagent.agents.builtin.command import CommandAgent
from myagent.core import codec
from myagent.core.refusals import BadJson, BadMessage, UnknownType
from myagent.eventlog.memory import MemoryLog
from myagent.server import Server, Settings
from myagent.server.connection import Connection
from myagent.server.static import page_files

TOKEN = "fuzz-" + "t" * 38
STATUSES = {101, 200, 308, 400, 401, 403, 404, 405, 414, 426, 429, 431, 503, 505}  # of any answer; 500 is none of them
FRESH = 10_000  # connections that one server takes, before another one is started

MESSAGES = [
    json.dumps(message).encode()
    for message in (
        {"type": "user_message", "id": "a", "prompt": "help"},
        {"type": "user_message", "id": "b", "prompt": "read x\u2028é", "sessionId": "remote_20260101120000_0a1b2c3d",
         "permissionMode": "plan", "skillNames": ["one", "two"]},
        {"type": "permission_decision", "id": "c", "permissionRequestId": "p1", "decision": {"kind": "allow"}},
        {"type": "permission_decision", "id": "d", "permissionRequestId": "p1",
         "decision": {"kind": "deny", "reason": "no", "optionId": "o", "digest": "0" * 64}},
        {"type": "resume", "id": "e", "sessionId": "remote_20260101120000_0a1b2c3d", "afterSeq": 0},
        {"type": "ping", "id": "f"},
        {"type": "hello", "id": "g", "client": {"name": "n", "version": "1"}, "label": "l", "wants": ["updates"],
         "reclaimToken": "myagent_rcl_" + "x" * 43},
        {"type": "cancel", "id": "h", "sessionId": "remote_20260101120000_0a1b2c3d", "turnId": "a"},
        {"type": "claim", "id": "i"},
        {"type": "claim", "id": "i", "force": True},
        {"type": "request_control", "id": "i"},
        {"type": "release", "id": "j"},
        {"type": "handover", "id": "k", "to": "c_0123456789ab"},
        {"type": "who", "id": "l"},
        {"type": "open_session", "id": "m"},
    )
]  # fmt: skip
JSON_WORDS = [
    b"null", b"true", b"NaN", b"Infinity", b"-0", b"1e999", b"9007199254740993", b"1" * 5000, b'"\\ud800"',
    b"\\u0000", b"\xed\xa0\x80",
    b'"type":"ping",', b'"id":"x",', b"[" * 3000, b'{"a":' * 3000, b"{}", b"[]", b'""', b"\xef\xbb\xbf",
    b'"sessionId":"../../x",', b'"afterSeq":-1,', b'"decision":[],', b"/**/", b"'", b"\xf4\x90\x80\x80",
]  # fmt: skip


def _request(target: str, *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]).encode("latin-1")


_UPGRADE = (
    "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
)  # fmt: skip
_SHOWN = f"Authorization: Bearer {TOKEN}"
REQUESTS = [
    _request("/", _SHOWN, *_UPGRADE),
    _request("/?role=follower&label=x", _SHOWN, *_UPGRADE, "Origin: http://127.0.0.1"),
    _request("/", *_UPGRADE, "Sec-WebSocket-Protocol: myagent.v1, ticket.x", "Origin: http://127.0.0.1"),
    _request("/", *_UPGRADE),
    _request("/"),
    _request("/app.js"),
    _request("/healthz"),
    _request("/sessions", _SHOWN),
    _request("/sessions/remote_20260101120000_0a1b2c3d/events?after=0&limit=1", _SHOWN),
    _request("/ticket", _SHOWN, "Origin: http://127.0.0.1"),
    _request("/metrics", _SHOWN),
    _request("/", _SHOWN, method="POST"),
]
HTTP_WORDS = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\0", b" ", b"\t", b"Host: evil.example\r\n", b"Origin: null\r\n",
    b"Origin: http://evil.example\r\n", b"Authorization: Bearer x\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 99999999999999999999\r\n", b"Sec-WebSocket-Extensions: permessage-deflate\r\n",
    b"Sec-WebSocket-Version: 8\r\n", b"X-Myagent-Reclaim: x\r\n", b"Sec-WebSocket-Protocol: ,\r\n", b"?token=x",
    b"%00", b"%2e%2e/", b"//", b"http://evil/", b"HTTP/1.0", b"HTTP/2.0", b":65536", b"[::1]", b"[", b"\xff\xfe",
    b"&" * 40, b"after=1", b"session=x", b"wants=updates", b"before=99999999999999999",
]  # fmt: skip


def decoder(data: bytes) -> None:
    """Any bytes make a message or one of three refusals; a message is the same when it is written and read again."""
    try:
        message = codec.decode(data)
    except (BadJson, BadMessage, UnknownType):
        return
    assert codec.decode(codec.encode(message)) == message


class Handshake:
    """A server whose clients are bytes in memory: every one gets a whole answer with a status of ours, and what needs
    the token is given to nobody whose bytes do not hold it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._failed)
        self._failures: list[str] = []
        logging.getLogger("myagent").addHandler(_Errors(self._failures))
        self._open = {body for file in page_files().values() for body in (file.body, file.gzipped)} | {b"ok\n"}
        self._taken = 0
        self._start()

    def close(self) -> None:
        self._stop()
        self._loop.close()
        logging.getLogger("myagent").handlers = [
            each for each in logging.getLogger("myagent").handlers if not isinstance(each, _Errors)
        ]

    def __call__(self, data: bytes) -> None:
        if self._taken == FRESH:
            self._stop()
            self._start()
        self._taken += 1
        said = self._loop.run_until_complete(self._converse(data))
        assert not self._failures, self._failures
        self._check(data, said)

    def _check(self, data: bytes, said: bytes) -> None:
        if not said:
            return
        head, _, body = said.partition(b"\r\n\r\n")
        first, *headers = head.split(b"\r\n")
        assert first.startswith(b"HTTP/1.1 ") and int(first.split()[1]) in STATUSES, first
        status = int(first.split()[1])
        if status == 101:
            assert TOKEN.encode() in data and b"permessage" not in head
            assert body.startswith(b"\x81") and b'"ready"' in body
            return
        length = next(int(each.split(b":")[1]) for each in headers if each.lower().startswith(b"content-length:"))
        assert length == len(body)
        if status == 200:
            assert body in self._open or TOKEN.encode() in data
        assert TOKEN.encode() not in said

    async def _converse(self, data: bytes) -> bytes:
        """Send it in two pieces, read the answer, hang up; with some, the end is right behind the bytes."""
        transport = _Memory()
        connection = Connection(self._server)
        connection.connection_made(transport)
        half = len(data) * data[0] // 256 if data else 0
        for piece in (data[:half], data[half:]):
            for at in range(0, len(piece), len(self._server.incoming)):
                if transport.closing:
                    break
                taken = piece[at : at + len(self._server.incoming)]
                connection.get_buffer(-1)[: len(taken)] = taken
                connection.buffer_updated(len(taken))
        answering = self._server.acceptor._working.get(connection)
        ended = bool(data) and data[-1] % 2 == 1 and not transport.closing
        kept = connection.eof_received() if ended else True
        if answering is not None:
            assert kept, "the connection is closed before the answer"
            while not (transport.said or answering.done()):
                await asyncio.sleep(0)
        if not transport.closing and not ended:
            connection.eof_received()
        connection.connection_lost(None)
        if answering is not None:
            await asyncio.wait({answering})
        return bytes(transport.said)

    def _start(self) -> None:
        self._place = tempfile.TemporaryDirectory()
        state = Path(self._place.name) / ".myagent" / "remote"
        for directory in (state.parent, state):
            directory.mkdir(mode=0o700)
        content = {"version": 1, "token": TOKEN, "createdAt": "2026-01-01T00:00:00Z"}
        write_private(state / "auth.json", json.dumps(content).encode())
        Access(state).adopt()
        settings = Settings(port=0, allowed_hosts=("127.0.0.1",), wrong_credentials=10**9)
        self._server = Server(Path(self._place.name), CommandAgent(), settings, MemoryLog())
        self._loop.run_until_complete(self._server.start())
        self._taken = 0

    def _stop(self) -> None:
        self._loop.run_until_complete(self._server.close())
        self._place.cleanup()

    def _failed(self, _: object, context: dict[str, Any]) -> None:
        self._failures.append(f"{context['message']}: {context.get('exception')!r}")


class _Errors(logging.Handler):
    def __init__(self, failures: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._failures = failures

    def emit(self, record: logging.LogRecord) -> None:
        self._failures.append(record.getMessage())


class _Memory(asyncio.Transport):
    """A transport to nowhere, which keeps what was written."""

    def __init__(self) -> None:
        # As with TLS, nothing is written past the transport.
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2), "sslcontext": True})
        self.said = bytearray()
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closing, "written after the end"
        self.said += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def write_eof(self) -> None:
        assert not self.closing
        self.closing = True

    def can_write_eof(self) -> bool:
        return True

    def abort(self) -> None:
        self.closing = True


# Planted bugs, of kinds that were found in programs like this one. A fuzzer that does not find them is worth nothing.


def plant_in_decoder() -> Callable[[], None]:
    """Take for granted that a message has a type. Returns what takes the bug out again."""
    right = codec._id_of

    def naive(fields: dict[str, Any]) -> str | None:
        return right(fields) if fields["type"] else None

    codec._id_of = naive

    def mend() -> None:
        codec._id_of = right

    return mend


def plant_in_handshake() -> Callable[[], None]:
    """Compare what was shown as text, which fails on bytes that are none (HTTP 500, or worse, in many servers)."""
    from myagent.server.admission import Admission

    right = Admission._check_credential

    def naive(self: Admission, request: Any, *rest: Any) -> Any:
        for value in request.headers.get_all("Authorization"):
            value.encode("ascii")
        return right(self, request, *rest)

    Admission._check_credential = naive  # type: ignore[method-assign]

    def mend() -> None:
        Admission._check_credential = right  # type: ignore[method-assign]

    return mend
