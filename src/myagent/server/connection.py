"""One WebSocket: bytes in, frames out, closing.

`websockets` keeps the protocol (its sans-I/O `ServerProtocol`: handshake, framing, ping, close); what is delivered is
finished frames, written to the socket directly while nothing waits there, else to the transport. Both write only whole
frames, so control frames fall between them wherever they come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State

from myagent.core.messages import Scope
from myagent.core.refusals import Refused, StaleOwner
from myagent.delivery.cursor import Cursor
from myagent.delivery.window import frame as finished_frame
from myagent.server import process_origin
from myagent.server.assembly import Assembly, Breach
from myagent.server.editor import EditorSide
from myagent.server.heartbeat import PING, Heartbeat
from myagent.server.keep_alive import asks_to_stay, stays
from myagent.server.limits import FENCE, Allowance
from myagent.server.listener import Identity, Listener
from myagent.server.messages import error, receive
from myagent.server.plain_answer import PlainAnswer
from myagent.server.protocol import make_protocol
from myagent.server.request_head import RequestHead
from myagent.settings import limits_of

OUTBOX_BYTES = 64 * 1024  # of answers that a client does not read, before no more of its messages are read


class Connection(asyncio.BufferedProtocol):
    """One client, from its first byte to its last. A `Peer` of the host from `accept` to `_leave`."""

    __slots__ = (
        "_allowance", "_credential", "_front", "_half_closed", "_head", "_heartbeat", "_key", "_listener", "_loop",
        "_outbox", "_protocol", "_seated", "_stays", "_taken", "_text", "_timer", "_transport", "answer", "answered",
        "connection_id", "credential_id", "credential_label", "cursor", "device_id", "editor", "label", "paused",
        "scope", "shown", "since", "socket", "write",
    )  # fmt: skip

    def __init__(self, listener: Listener) -> None:
        self._listener = self._front = listener
        self._loop = asyncio.get_running_loop()
        self._protocol = make_protocol(listener.settings.limits)
        self._timer: asyncio.TimerHandle | None = None  # for the handshake, then for the close
        self._head = RequestHead()
        self.answer: PlainAnswer | None = None
        self._stays = False  # and may ask again when it has the answer
        self._half_closed = False  # the other side says no more, and waits for the answer to its request
        self._seated = False  # between joining the host and leaving it
        self._text = Assembly(listener.settings.limits.fragments)
        self._outbox = bytearray()  # answers that wait for room
        self.paused = False

    def become(self, identity: Identity) -> None:
        """Take what the request was granted, before `accept`."""
        self.connection_id = identity.connection_id
        self.credential_id = identity.credential.credential_id
        self.device_id = identity.credential.device_id
        self.credential_label = identity.credential.label
        self._credential = identity.credential
        self.scope: Scope = identity.scope
        self.label = identity.label
        self.since = identity.since
        self.shown: set[str] = set()
        self.editor = EditorSide(self, self._listener.host) if identity.is_editor else None  # on `/acp`
        self.cursor = Cursor(self._listener.host.fanout, self, session_id=identity.session_id)

    def pass_to(self, listener: Listener) -> None:
        """Let another listener take the request, and all that follows: of several at one address, the one it names."""
        self._listener = listener

    @property
    def addresses(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """The other side's and ours, as IP address and port."""
        peer, own = self._transport.get_extra_info("peername"), self._transport.get_extra_info("sockname")
        return (peer or ("", 0))[:2], (own or ("", 0))[:2]

    def why_inside(self) -> str:
        """Why one of the agent's own processes may be at the other end; empty if none is. Takes milliseconds."""
        return process_origin.why_inside(*self.addresses)

    def still_good(self) -> bool:
        """Whether its credential has been neither replaced, revoked nor expired."""
        return self._listener.still_good(self._credential)

    @property
    def is_seated(self) -> bool:
        """Whether it has joined the host, and not left."""
        return self._seated

    # --- asyncio.Protocol -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._heartbeat = Heartbeat(self._transport, self._listener.settings, self._loop.time())
        # Whatever the kernel does not take at once pauses this connection: then nothing more is written until all
        # of it is gone, so at most one slice ever waits here. Over TLS asyncio counts otherwise: with 0 it would pause
        # after every write, also when nothing waits, and resume only when something comes in.
        encrypted = transport.get_extra_info("sslcontext") is not None
        self._transport.set_write_buffer_limits(high=1 if encrypted else 0)
        self.write: Callable[[bytes], None] = self._transport.write
        self.socket = -1 if encrypted else transport.get_extra_info("socket").fileno()
        self._timer = self._loop.call_later(self._listener.settings.handshake_timeout, self.abort)
        self._listener.opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._listener.incoming

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._listener.incoming[:nbytes])
        self._heartbeat.heard = self._loop.time()
        if not self._head.whole:
            request, data = self._head.split(data)
            if self.answer is not None:  # it was too long
                return
            self._take(request)
            if not self._head.whole:
                self._send_protocol()  # which has an answer of its own to a line that is too long
                self._count_head()
                return
        # What comes behind a request is frames once it was accepted. Before, the protocol would answer them.
        self._stays = self._stays and not data  # who does not wait for an answer gets no second one
        if data and self._protocol.state is not State.CONNECTING:
            self._take(data)
        self._send_protocol()
        if self._seated:
            self._count_unfinished()

    def _count_head(self) -> None:
        if self._protocol.state is not State.CONNECTING or self._protocol.parser_exc is not None:
            return  # answered
        if self._head.is_too_long:
            self.respond(self._protocol.reject(431, "the request is too long\n"), key="too long")
        else:
            self._listener.places.requests.put(self, self._head.weight)

    def _take(self, data: bytes) -> None:
        protocol = self._protocol
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Frame):
                self._frame_received(event)
            elif isinstance(event, Request):
                self._stays = self.socket >= 0 and asks_to_stay(event)
                self._listener.requested(self, event)
        if protocol.parser_exc is not None:  # the other side broke the protocol; the close frame is waiting
            self._leave(clean=False)

    def eof_received(self) -> bool:
        answered = self._protocol.state is not State.CONNECTING or self._protocol.close_expected()
        # TLS has no half-close in asyncio: there nobody hears an answer any more.
        if self._head.whole and not answered and self._transport.can_write_eof():
            self._half_closed, self._stays = True, False
            return True
        self._leave(clean=False)
        self._protocol.receive_eof()
        self._send_protocol()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        self._leave(clean=False)
        self._protocol.parser.close()  # with what has come of a request or message: this object is part of cycles
        self._protocol.reader.buffer.clear()
        self._listener.closed(self)

    def pause_writing(self) -> None:
        self.paused = True
        self._heartbeat.paused(self._loop.time())
        if self._seated:
            self.cursor.hold()

    def resume_writing(self) -> None:
        self.paused = False
        self._heartbeat.heard = self._loop.time()  # that it takes what waited is a sign of life
        if self._outbox:
            data, self._outbox = bytes(self._outbox), bytearray()
            self._transport.resume_reading()
            self.write(data)
        if self.paused:
            return
        self._listener.places.outboxes.drop(self)
        if self._seated:
            self.cursor.pump()
        elif self.answer is not None and self.socket >= 0:
            self._drained()

    # --- opening --------------------------------------------------------------------------------------------------

    def respond(self, response: Response, *, key: str | None = None) -> PlainAnswer | None:
        """Answer the request as plain HTTP, and close unless it may stay; there is nobody to answer once the other side
        broke off. `key`: whom what is not taken of it is counted for; `None`: scope `owner`'s, and not counted."""
        if self._protocol.parser_exc is not None:
            self.abort()
            return None
        answer = self.answer = PlainAnswer(self, self._listener.places, key)
        if self._stays and stays(response):
            self.write(response.serialize())
        else:
            self._stays = False
            self._protocol.send_response(response)
            self._send_protocol()
        if not self.paused and self.socket >= 0:
            self._drained()
        else:  # over TLS nobody tells when it was taken, but that the other side is gone
            self._start_timer(self._listener.settings.stall_timeout)
            self.answer.unread(len(response.body or b""))
        if self._half_closed:  # nothing comes that would tell that the answer was taken
            self._transport.close()
        return answer

    def _drained(self) -> None:
        assert self.answer is not None
        self.answer.drained(stays=self._stays)
        settings = self._listener.settings
        self._start_timer(settings.handshake_timeout if self._stays else settings.close_timeout)
        if self._stays:  # as it was when it came
            self._listener = self._front
            self.answer, self._head = None, RequestHead()
            self._protocol = make_protocol(settings.limits)
            self._listener.stays(self)
        elif not self._protocol.eof_sent:  # it was to stay, and did not wait
            self._transport.close()

    def accept(self, request: Request, *, as_follower: bool, after_seq: int | None, reclaim: str | None) -> None:
        """Finish the handshake and join the host; a request that is no valid upgrade is answered as such."""
        response = self._protocol.accept(request)
        if response.status_code != 101:  # its text repeats what was sent
            key = None if self.scope == "owner" else self.credential_id
            self.respond(self._protocol.reject(response.status_code, "not a valid WebSocket request\n"), key=key)
            return
        self._protocol.send_response(response)
        self.cursor.deflate = bool(self._protocol.extensions)
        request.headers.clear()  # the protocol's parser keeps the request as long as the connection: 2 kB of headers
        self._cancel_timer()
        if self.scope != "owner":
            self._protocol.max_message_size = limits_of(self._listener.settings.limits, self.scope).message_bytes
        self._allowance = Allowance(self._listener.settings.limits)
        self._heartbeat.start(self._loop.time(), len(self._listener.host.peers))
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
                if not self._allowance.control_frame(self._heartbeat.heard):
                    self.close(1008, "too many control frames")
                elif frame.opcode is Opcode.PONG and bytes(frame.data) == FENCE:
                    self.close(4409, "ownership lost")

    def _fragment_received(self, frame: Frame) -> None:
        try:
            data = self._text.add(frame)
        except Breach as breach:
            self.close(breach.code, breach.reason)
            return
        if data is not None and self._seated:
            self._message_received(data)

    def _message_received(self, data: bytes) -> None:
        allowed = self._allowance.message(self._heartbeat.heard, owns=self._owns())
        receive(self, self._listener.host, data, wait=None if allowed else self._allowance.retry_after)

    def _count_unfinished(self) -> None:
        """Count what is held of a message whose end has not come, here and where its last frame is read."""
        size = self._text.size + len(self._protocol.reader.buffer)
        if size and not self._owns():
            self._listener.places.messages.put(self, size)
        else:
            self._listener.places.messages.drop(self)

    def _owns(self) -> bool:
        return self._listener.host.ownership.role(self.connection_id) == "owner"

    # --- outgoing -------------------------------------------------------------------------------------------------

    def send(self, payload: bytes) -> None:
        """Send one message to this client alone."""
        if self._protocol.state is not State.OPEN or self._transport.is_closing():  # the other side may just be gone
            return
        data = finished_frame(self._listener.host.redactor.encoded(payload))
        if not self.paused:
            self.write(data)
            return
        self._outbox += data
        if len(self._outbox) > OUTBOX_BYTES:
            self._transport.pause_reading()
        if self.scope != "owner":
            self._listener.places.outboxes.put(self, len(self._outbox) + self._transport.get_write_buffer_size())

    def refuse(self, message_id: str | None, refusal: Refused) -> None:
        """Answer with an `error`; too many of them end the connection."""
        self.send(error(message_id, refusal))
        if self._allowance.fence_ends is not None and isinstance(refusal, StaleOwner):
            return  # sent before it could know; how many there may be is what `fence` allows
        if not self._allowance.error(self._loop.time()):
            self.close(1008, "too many errors")

    def fence(self) -> None:
        """Close with 4409 once everything that the other side sent before it could know was answered: its pong comes
        after all of that, or else it has until a silent owner would be gone and a stuck reader dropped."""
        if self._protocol.state is not State.OPEN:
            return
        settings = self._listener.settings
        unnoticed = 2 * settings.heartbeat  # how long an owner may be cut off: what it sent meanwhile comes at once
        self._allowance.fence(unnoticed, self._loop.time() + unnoticed + settings.stall_timeout)
        self._protocol.send_ping(FENCE)
        self._send_protocol()

    def fail(self) -> None:
        self.close(1011, "internal error")

    # --- heartbeat ------------------------------------------------------------------------------------------------

    def beat(self, now: float) -> None:
        """Ping when it is time; end the connection when it is dead or does not read. Called a few times a second."""
        if self._protocol.state is not State.OPEN or not self._seated:
            return
        verdict = self._heartbeat.judge(now, paused=self.paused, owns=self._owns)
        if verdict == "slow":
            self.close(4408, "reads too slowly")
        elif self._allowance.fence_ends is not None and now > self._allowance.fence_ends:
            self.close(4409, "ownership lost")
        elif verdict == "dead":
            self._leave(clean=False)
            self.close(1011, "no answer to pings")
        elif verdict == "ping":
            self.write(PING)

    def excuse(self, seconds: float) -> None:
        """Nobody could be heard for so long, for it was this server that stood still."""
        self._heartbeat.excuse(self._loop.time(), seconds)

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
            if self.scope != "owner":
                self._listener.places.closing.add(self, self.credential_id)
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
