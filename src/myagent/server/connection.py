"""One WebSocket: bytes in, frames out, heartbeat, limits, closing.

`websockets` keeps the protocol (its sans-I/O `ServerProtocol`: handshake, framing, ping, close); what is delivered is
finished frames, written to the socket directly while nothing waits there, else to the transport. Both only ever write
whole frames, so control frames fall between them wherever they come, and no extension is negotiated that would change
a frame.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import struct
import termios
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, cast

from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from myagent.core.codec import decode, encode
from myagent.core.messages import ConnectionId, Error, Scope, SessionId
from myagent.core.refusals import BadMessage, Internal, RateLimited, Refused, StaleOwner, UnknownType
from myagent.delivery.fanout import Cursor
from myagent.delivery.window import frame as finished_frame
from myagent.host.host import Host
from myagent.server import process_origin
from myagent.server.admission import SUBPROTOCOL
from myagent.settings import Settings

CONTROL_FRAMES_PER_SECOND = 20  # pings and pongs from a client; in bursts of five times as many
FOLLOWER_BURST = 20  # messages
ERROR_WINDOW = 10.0  # seconds in which `limits.errors` errors are too many
OUTBOX_BYTES = 64 * 1024  # of answers that a client does not read, before no more of its messages are read
PING = b"\x89\x00"  # a whole frame: a thousand are sent in every heartbeat
PING_PLACES = 16  # of a heartbeat, in which connections have their pings
PINGS_BYTES = 16  # several unanswered ones; who has no more than these unsent is idle
REQUEST_END = b"\r\n\r\n"
FENCE = b"fence"  # payload of the ping after which a connection that lost ownership is closed

_log = logging.getLogger(__name__)
_wire_log = logging.getLogger(f"{__name__}.wire")
_wire_log.setLevel(logging.ERROR)  # its lower levels print headers and frames: tokens, and other people's text


def _select_subprotocol(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Ours where it is offered; nothing else is ever sent back, since it may be a secret."""
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None


class Bucket:
    """A token bucket: `rate` a second, up to `burst` at once."""

    __slots__ = ("_level", "_time", "burst", "rate")

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst = rate, burst
        self._level, self._time = burst, 0.0

    def take(self, now: float) -> bool:
        self._level = min(self.burst, self._level + (now - self._time) * self.rate)
        self._time = now
        if self._level < 1:
            return False
        self._level -= 1
        return True


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a connection is, once its request was judged; `session_id`: the only session that it watches."""

    connection_id: ConnectionId
    credential_id: str
    scope: Scope
    label: str
    since: datetime
    session_id: SessionId | None


class Listener(Protocol):
    """Where a connection comes from: judges its request, and forgets it when it is gone."""

    settings: Settings
    host: Host
    # Where every connection's bytes arrive; they are taken out before the next one reads. A view, because asyncio's TLS
    # fills `buffer[n:]` with a second record, which of a `bytearray` is a copy.
    incoming: memoryview

    def opened(self, connection: Connection) -> None: ...

    def requested(self, connection: Connection, request: Request) -> None:
        """A whole HTTP request has come; answers with `respond` or `accept`, now or later."""

    def closed(self, connection: Connection) -> None: ...


class Connection(asyncio.BufferedProtocol):
    """One client, from its first byte to its last. A `Peer` of the host from `accept` to `_leave`."""

    __slots__ = (
        "_control",
        "_errors",
        "_fence_ends",
        "_fragments",
        "_half_closed",
        "_heard",
        "_listener",
        "_loop",
        "_messages",
        "_outbox",
        "_ping_due",
        "_progress",
        "_protocol",
        "_request_tail",
        "_seated",
        "_text",
        "_timer",
        "_transport",
        "_unsent",
        "connection_id",
        "credential_id",
        "cursor",
        "label",
        "paused",
        "scope",
        "shown",
        "since",
        "socket",
        "write",
    )

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._protocol = ServerProtocol(
            max_size=listener.settings.limits.message_bytes, logger=_wire_log, select_subprotocol=_select_subprotocol
        )
        self._timer: asyncio.TimerHandle | None = None  # for the handshake, then for the close
        self._request_tail: bytes | None = b""  # its last bytes, until its end has come
        self._half_closed = False  # the other side says no more, and waits for the answer to its request
        self._seated = False  # between joining the host and leaving it
        self._text: list[bytes] = []  # of a message that comes in fragments
        self._fragments = 0
        self._outbox = bytearray()  # answers that wait for room
        self._heard = 0.0  # when anything came last
        self._ping_due = 0.0
        self._unsent = -1  # bytes that waited when last looked at, here and in the kernel; -1: it is not watched
        self._progress = 0.0  # when some of them were last taken
        self._errors: list[float] = []  # times of the last errors
        self._fence_ends: float | None = None  # when it is closed although it has not answered the fence's ping
        self.paused = False

    def become(self, identity: Identity) -> None:
        """Take what the request was granted, before `accept`."""
        self.connection_id = identity.connection_id
        self.credential_id = identity.credential_id
        self.scope: Scope = identity.scope
        self.label = identity.label
        self.since = identity.since
        self.shown: set[str] = set()
        self.cursor = Cursor(self._listener.host.fanout, self, session_id=identity.session_id)

    @property
    def addresses(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """The other side's and ours, as IP address and port."""
        peer, own = self._transport.get_extra_info("peername"), self._transport.get_extra_info("sockname")
        return (peer or ("", 0))[:2], (own or ("", 0))[:2]

    def why_inside(self) -> str:
        """Why one of the agent's own processes may be at the other end; empty if none is. Takes milliseconds."""
        return process_origin.why_inside(*self.addresses)

    @property
    def is_seated(self) -> bool:
        """Whether it has joined the host, and not left."""
        return self._seated

    # --- asyncio.Protocol -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # Whatever the kernel does not take at once pauses this connection: then nothing more is written until all
        # of it is gone, so at most one slice ever waits here. Over TLS asyncio counts otherwise: with 0 it would pause
        # after every write, also when nothing waits, and resume only when something comes in.
        encrypted = transport.get_extra_info("sslcontext") is not None
        self._transport.set_write_buffer_limits(high=1 if encrypted else 0)
        self.write: Callable[[bytes], None] = self._transport.write
        self.socket = -1 if encrypted else transport.get_extra_info("socket").fileno()
        self._heard = self._loop.time()
        self._timer = self._loop.call_later(self._listener.settings.handshake_timeout, self.abort)
        self._listener.opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._listener.incoming

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._listener.incoming[:nbytes])
        self._heard = self._loop.time()
        if self._request_tail is not None:
            request, data = self._split_request(data)
            self._take(request)
        # What comes behind a request is frames once it was accepted. Before, the protocol would answer them unasked.
        if data and self._protocol.state is not State.CONNECTING:
            self._take(data)
        self._send_protocol()

    def _take(self, data: bytes) -> None:
        protocol = self._protocol
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Frame):
                self._frame_received(event)
            elif isinstance(event, Request):
                self._listener.requested(self, event)
        if protocol.parser_exc is not None:  # the other side broke the protocol; the close frame is waiting
            self._leave(clean=False)

    def _split_request(self, data: bytes) -> tuple[bytes, bytes]:
        """What is still of the request, and what is behind its end."""
        assert self._request_tail is not None
        seen = self._request_tail + data
        end = seen.find(REQUEST_END)
        if end < 0:
            self._request_tail = seen[1 - len(REQUEST_END) :]
            return data, b""
        length = end + len(REQUEST_END) - len(self._request_tail)
        self._request_tail = None
        return data[:length], data[length:]

    def eof_received(self) -> bool:
        answered = self._protocol.state is not State.CONNECTING or self._protocol.close_expected()
        # TLS has no half-close in asyncio: there nobody hears an answer any more.
        if self._request_tail is None and not answered and self._transport.can_write_eof():
            self._half_closed = True
            return True
        self._leave(clean=False)
        self._protocol.receive_eof()
        self._send_protocol()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        self._leave(clean=False)
        self._listener.closed(self)

    def pause_writing(self) -> None:
        self.paused = True
        self._unsent, self._progress = -1, self._loop.time()
        if self._seated:
            self.cursor.hold()

    def resume_writing(self) -> None:
        self.paused = False
        self._heard = self._loop.time()  # as in `_watch_progress`
        if self._outbox:
            data, self._outbox = bytes(self._outbox), bytearray()
            self._transport.resume_reading()
            self.write(data)
        if self._seated and not self.paused:
            self.cursor.pump()

    # --- opening --------------------------------------------------------------------------------------------------

    def respond(self, response: Response) -> None:
        """Answer the request as plain HTTP, and close; there is nobody to answer once the other side broke off."""
        if self._protocol.parser_exc is not None:
            self.abort()
            return
        self._protocol.send_response(response)
        self._send_protocol()
        self._start_timer(self._listener.settings.stall_timeout)
        if self._half_closed:  # nothing comes that would tell that the answer was taken
            self._transport.close()

    def accept(self, request: Request, *, as_follower: bool, after_seq: int | None, reclaim: str | None) -> None:
        """Finish the handshake and join the host; a request that is no valid upgrade is answered as such."""
        response = self._protocol.accept(request)
        if response.status_code != 101:  # its text repeats what was sent
            self.respond(self._protocol.reject(response.status_code, "not a valid WebSocket request\n"))
            return
        self._protocol.send_response(response)
        request.headers.clear()  # the protocol's parser keeps the request as long as the connection: 2 kB of headers
        self._cancel_timer()
        limits = self._listener.settings.limits
        self._messages = Bucket(limits.follower_messages_per_second, limits.owner_messages_per_second)
        self._control = Bucket(CONTROL_FRAMES_PER_SECOND, 5 * CONTROL_FRAMES_PER_SECOND)
        # Spread, so that a thousand that came together are not pinged together.
        first = (len(self._listener.host.peers) % PING_PLACES + 1) / PING_PLACES
        self._ping_due = self._loop.time() + first * self._listener.settings.heartbeat
        self._seated = True
        # All that is said in joining waits for the rest of it, and goes out in one write with the handshake's answer.
        self.paused = True
        self._outbox += b"".join(self._protocol.data_to_send())
        self._listener.host.join(self, as_follower=as_follower, after_seq=after_seq, reclaim=reclaim)
        self.resume_writing()

    # --- incoming -------------------------------------------------------------------------------------------------

    def _frame_received(self, frame: Frame) -> None:
        match frame.opcode:
            case Opcode.TEXT | Opcode.CONT:
                self._fragment_received(frame)
            case Opcode.BINARY:
                self.close(1003, "this protocol has text messages only")
            case Opcode.CLOSE:
                self._leave(clean=True)
            case Opcode.PING | Opcode.PONG:
                if not self._control.take(self._heard):
                    self.close(1008, "too many control frames")
                elif frame.opcode is Opcode.PONG and bytes(frame.data) == FENCE:
                    self.close(4409, "ownership lost")

    def _fragment_received(self, frame: Frame) -> None:
        self._fragments += 1
        if self._fragments > self._listener.settings.limits.fragments:
            self.close(1009, "too many fragments")
            return
        self._text.append(bytes(frame.data))
        if not frame.fin:
            return
        data, self._text, self._fragments = b"".join(self._text), [], 0
        try:
            data.decode()
        except UnicodeDecodeError:
            self.close(1007, "not UTF-8")
            return
        if self._seated:
            self._message_received(data)

    def _message_received(self, data: bytes) -> None:
        message_id = None
        try:
            allowed = self._may_send()
            message = decode(data)
            message_id = message.id
            if not allowed:
                raise RateLimited("messages")
            self._listener.host.receive(self, message)
        except (BadMessage, UnknownType) as refusal:
            self.refuse(refusal.message_id or message_id, refusal)
        except Refused as refusal:
            self.refuse(message_id, refusal)
        except Exception:
            _log.exception("a message could not be handled")
            self.refuse(message_id, Internal())
            self.close(1011, "internal error")

    def _may_send(self) -> bool:
        if self._fence_ends is not None:
            return self._messages.take(self._heard)
        limits = self._listener.settings.limits
        owns = self._listener.host.ownership.role(self.connection_id) == "owner"
        self._messages.rate = limits.owner_messages_per_second if owns else limits.follower_messages_per_second
        self._messages.burst = limits.owner_messages_per_second if owns else FOLLOWER_BURST
        return self._messages.take(self._heard)

    # --- outgoing -------------------------------------------------------------------------------------------------

    def send(self, payload: bytes) -> None:
        """Send one message to this client alone."""
        if self._protocol.state is not State.OPEN:
            return
        data = finished_frame(payload)
        if not self.paused:
            self.write(data)
            return
        self._outbox += data
        if len(self._outbox) > OUTBOX_BYTES:
            self._transport.pause_reading()

    def refuse(self, message_id: str | None, refusal: Refused) -> None:
        """Answer with an `error`; too many of them end the connection."""
        self.send(encode(Error(id=message_id, message=str(refusal), code=refusal.code)))
        if self._fence_ends is not None and isinstance(refusal, StaleOwner):
            return  # sent before it could know; how many there may be is what `fence` allows
        now = self._loop.time()
        self._errors = [time for time in self._errors if now - time < ERROR_WINDOW]
        self._errors.append(now)
        if len(self._errors) > self._listener.settings.limits.errors:
            self.close(1008, "too many errors")

    def fence(self) -> None:
        """Close with 4409 once everything that the other side sent before it could know was answered: its pong comes
        after all of that, or else it has until a silent owner would be gone and a stuck reader dropped."""
        if self._protocol.state is not State.OPEN:
            return
        settings = self._listener.settings
        unnoticed = 2 * settings.heartbeat  # how long an owner may be cut off: what it sent meanwhile comes at once
        rate = settings.limits.owner_messages_per_second
        self._messages = Bucket(rate, rate * (unnoticed + 1))
        self._fence_ends = self._loop.time() + unnoticed + settings.stall_timeout
        self._protocol.send_ping(FENCE)
        self._send_protocol()

    def fail(self) -> None:
        self.close(1011, "internal error")

    # --- heartbeat ------------------------------------------------------------------------------------------------

    def beat(self, now: float) -> None:
        """Ping when it is time; end the connection when it is dead or does not read. Called a few times a second."""
        if self._protocol.state is not State.OPEN or not self._seated:
            return
        settings = self._listener.settings
        self._watch_progress(now, silent=now - self._heard > 2 * settings.heartbeat)
        stuck = now - self._progress
        if self.paused and stuck > settings.stall_timeout:
            self.close(4408, "reads too slowly")
            return
        if self._fence_ends is not None and now > self._fence_ends:
            self.close(4409, "ownership lost")
            return
        if now - self._heard > 2 * settings.heartbeat:
            owns = self._listener.host.ownership.role(self.connection_id) == "owner"
            idle = self._unsent <= PINGS_BYTES and stuck > 2 * settings.heartbeat
            if owns or idle or stuck > settings.stall_timeout:
                self._leave(clean=False)
                self.close(1011, "no answer to pings")
                return
        if now >= self._ping_due and not self.paused:
            self._ping_due = now + settings.heartbeat
            self.write(PING)

    def excuse(self, seconds: float) -> None:
        """Nobody could be heard for so long, for it was this server that stood still."""
        now = self._loop.time()
        self._heard = min(now, self._heard + seconds)
        self._progress = min(now, self._progress + seconds)

    def _watch_progress(self, now: float, *, silent: bool) -> None:
        """See whether bytes that wait are being taken. That there are more says nothing, nor that pings were taken:
        the kernel of a machine whose client is dead takes those."""
        if not (self.paused or silent):
            self._unsent = -1
            return
        before, self._unsent = self._unsent, self._transport.get_write_buffer_size() + self._in_kernel()
        if before < 0:
            if self._unsent > PINGS_BYTES:
                self._progress = now
        elif before - self._unsent > PINGS_BYTES:
            self._progress = now
            if self.paused:  # it cannot be pinged; that it takes what waits is its sign of life
                self._heard = now

    def _in_kernel(self) -> int:
        """Bytes that the kernel has and the other side has not acknowledged."""
        sock = self._transport.get_extra_info("socket")
        if sock is None or sock.fileno() < 0:
            return 0
        return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0])

    # --- closing --------------------------------------------------------------------------------------------------

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake; the TCP connection is gone after `close_timeout` at the latest."""
        outbox = bytes(self._outbox)
        self._leave(clean=False)
        if self._protocol.state is State.OPEN:
            if outbox:
                self.write(outbox)
            self._protocol.send_close(code, reason)
            self._send_protocol()

    def abort(self) -> None:
        """Drop the TCP connection."""
        self._transport.abort()

    def _leave(self, *, clean: bool) -> None:
        if self._seated:
            self._seated = False
            self._outbox = bytearray()
            self._listener.host.leave(self, clean=clean)

    def _send_protocol(self) -> None:
        """Write what the protocol has to say: control frames, responses, and the end of the stream."""
        for data in self._protocol.data_to_send():
            if data:
                self.write(data)
            elif self._transport.can_write_eof():
                try:
                    self._transport.write_eof()
                except OSError:  # the other side is gone already; the kernel has told nobody yet
                    self.abort()
            else:
                self._transport.close()
        if self._protocol.close_expected() and self._protocol.state is not State.CONNECTING:
            self._start_timer(self._listener.settings.close_timeout)

    def _start_timer(self, seconds: float) -> None:
        self._cancel_timer()
        self._timer = self._loop.call_later(seconds, self.abort)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
