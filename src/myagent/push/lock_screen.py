"""Whom to call when something waits for an answer, with what, and when that is over.

A device is called at once while nobody who may answer is connected, and otherwise when nobody has answered for a while.
What a call offers is `core.lock_screen`'s to say; each answer in it is a ticket, which dies with the request.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping
from functools import partial
from typing import Any, assert_never

from msgspec.structs import replace

from myagent.access.credentials import Credential
from myagent.access.decision_tickets import DecisionTickets, Leave
from myagent.access.push_book import Subscription, TooMany
from myagent.access.registry import Access
from myagent.core import lock_screen
from myagent.core.codec import encode
from myagent.core.display import escape
from myagent.core.lock_screen import Call
from myagent.core.messages import (
    Ack,
    PermissionRequest,
    PermissionResolved,
    PushMessage,
    PushOff,
    PushOn,
    PushState,
    PushTold,
    Question,
    QuestionResolved,
    SessionEvent,
    SessionId,
)
from myagent.core.ownership import reaches
from myagent.core.refusals import DiskFull, NotAllowed
from myagent.host.host import Host
from myagent.host.peer import Peer
from myagent.push import envelope
from myagent.push.door import Door
from myagent.push.endpoint import BadEndpoint, Endpoint, read_endpoint
from myagent.push.lines import Lines
from myagent.redaction.redactor import MASK

GONE = (404, 410)  # what a push service says of a subscription that is no more (RFC 8030, 7.3)
LONGEST = 24 * 3600.0  # seconds that a push service keeps a call for a device that is off
CLOSE_SECONDS = 2.0  # for calls on their way, when the server stops
NOT_ENROLLED = "only a device that was paired, or came by an invite, can be called"

_log = logging.getLogger(__name__)
_Asked = PermissionRequest | Question


class LockScreen:
    """One workspace's. Tests give their own `door`, and say `anywhere` where endpoints may be of this machine."""

    def __init__(self, host: Host, access: Access) -> None:
        self.door = Door()
        self.anywhere = False
        self.tickets = DecisionTickets()
        self.host = host
        self._access = access
        self._book = access.push
        self._place = f"{escape(host.workspace.name)} on {escape(socket.gethostname())}"
        self._waiting: dict[str, tuple[_Asked, asyncio.TimerHandle]] = {}  # not called for yet
        self._called: dict[str, set[str]] = {}  # what is open and was called for → the devices
        self._lines = Lines()  # of credentials: the calls of each keep their order
        self._closed = False

    # --- what happens ---------------------------------------------------------------------------------------------

    def event(self, event: SessionEvent) -> None:
        """Take what was stored."""
        match event:
            case PermissionRequest() | Question() if self._book.all() and not self._closed:
                here = any(map(self.host.ownership.may_answer, self.host.peers))
                after = self.host.settings.notify_after if here else 0.0
                timer = asyncio.get_running_loop().call_later(after, self._call, event)
                self._waiting[_id_of(event)] = event, timer
            case PermissionResolved() | QuestionResolved():
                self._over(event)
            case _:
                pass

    def nobody_here(self) -> None:
        """Nobody who may answer is connected any more: call for what waits now, instead of after a while."""
        for event, timer in list(self._waiting.values()):
            timer.cancel()
            self._call(event)

    def credential_ended(self, ended: str) -> None:
        """A credential, or a device, is good no more: neither is what it was given, and it is called no more."""
        self.tickets.forget(ended)
        self._drop(ended)

    def answers(self, leave: Leave) -> None:
        """A device answers by its ticket, and need not be told of that."""
        self._called.get(leave.request_id, set()).discard(str(leave.credential.device_id))

    def answered_in_vain(self, leave: Leave) -> None:
        """That did not count: it is told, as others are, when the request is over."""
        if leave.request_id in self._called:
            self._called[leave.request_id].add(str(leave.credential.device_id))

    def still_good(self, leave: Leave) -> bool:
        """Whether the credential of a ticket is still what it was."""
        credential = leave.credential
        return self._access.authenticator.still_good(credential)

    def close(self) -> None:
        self._closed = True
        for _, timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()

    async def finish(self) -> None:
        """Let calls on their way get out."""
        self.close()
        await self._lines.finish(CLOSE_SECONDS)

    # --- what devices say -----------------------------------------------------------------------------------------

    def receive(self, peer: Peer, message: PushMessage, actor: Mapping[str, Any]) -> None:
        """A device says whether it wants to be called. Raises `Refused`."""
        if peer.device_id is None or not reaches(peer.scope, "approve"):
            raise NotAllowed(NOT_ENROLLED)
        try:
            match message:
                case PushState():
                    key = envelope.public_key(self._book.key(envelope.new_key))
                    peer.send(encode(PushTold(id=message.id, on=self._book.has(peer.device_id), public_key=key)))
                case PushOn():
                    read_endpoint(message.endpoint, anywhere=self.anywhere)
                    envelope.check_keys(message.p256dh, message.auth)
                    keys = message.endpoint, message.p256dh, message.auth
                    self._book.add(Subscription(peer.credential_id, peer.device_id, *keys))
                    self.host.record("push_on", dict(actor))
                    peer.send(encode(Ack(id=message.id, duplicate=False)))
                case PushOff():
                    gone = self._book.drop(peer.device_id)
                    self.tickets.forget(peer.device_id)
                    if gone:
                        self.host.record("push_off", dict(actor))
                    peer.send(encode(Ack(id=message.id, duplicate=not gone)))
                case _:
                    assert_never(message)
        except OSError:
            raise DiskFull from None
        except (envelope.NoPush, envelope.BadKeys, BadEndpoint, TooMany) as error:
            raise NotAllowed(str(error)) from None

    # --- calling --------------------------------------------------------------------------------------------------

    def _call(self, event: _Asked) -> None:
        asked_id = _id_of(event)
        self._waiting.pop(asked_id, None)
        self._called[asked_id] = set()
        for each in self._book.all():
            credential = self._access.authenticator.of_device(each.credential, each.device)
            if credential is None:
                self._drop(each.device)
            elif reaches(credential.scope, "approve") and credential.session_id in (None, event.session_id):
                self._called[asked_id].add(each.device)
                self._send(each, self._made(event, credential), asked_id)

    def _made(self, event: _Asked, credential: Credential) -> Call:
        details, place, cover = self.host.settings.notify_details, self._place, self.host.redactor.text
        if isinstance(event, Question):
            say = cover(event.message), event.question_id, event.session_id
            return lock_screen.asks_something(*say, place=place, details=details)
        request, request_id = event.request, event.permission_request_id
        shown = replace(
            request, display=cover(request.display), title=cover(request.title), tool_name=cover(request.tool_name)
        )
        whole = MASK not in shown.display + shown.tool_name  # what is covered was not shown, and cannot be allowed
        answers = {
            kind: self.tickets.issue(Leave(credential, request_id, request.digest, kind))
            for kind in lock_screen.offered(request, details=details and whole)
        }
        call = lock_screen.asks(shown, request_id, event.session_id, place=place, details=details)
        return replace(call, answers=answers)

    def _over(self, event: PermissionResolved | QuestionResolved) -> None:
        asked_id = event.question_id if isinstance(event, QuestionResolved) else event.permission_request_id
        self.tickets.close(asked_id)
        if asked_id in self._waiting:
            self._waiting.pop(asked_id)[1].cancel()
        called = self._called.pop(asked_id, set())
        call = lock_screen.withdraws(asked_id, SessionId(event.session_id), event.outcome, place=self._place)
        for each in self._book.all():
            if each.device in called:
                self._send(each, call, None)

    def _send(self, to: Subscription, call: Call, asked_id: str | None) -> None:
        """`asked_id`: what it calls for, which may be over before it is sent."""
        if not self._closed and not self._lines.add(to.credential, partial(self._sent, to, call, asked_id)):
            _log.warning("device %s is not called: too many calls of its credential wait", to.device)

    async def _sent(self, to: Subscription, call: Call, asked_id: str | None) -> None:
        if (asked_id is not None and asked_id not in self._called) or not self._book.has(to.device):
            return
        try:
            endpoint = read_endpoint(to.endpoint, anywhere=self.anywhere)
            body, headers = await asyncio.to_thread(self._sealed, call, to, endpoint)
            status = await self.door.post(endpoint, body, headers)
        except (OSError, BadEndpoint, envelope.NoPush) as error:  # nothing of the address, which is a secret
            _log.warning("device %s could not be called: %s", to.device, type(error).__name__)
            return
        if status in GONE:
            self._drop(to.device)
            self.host.record("push_off", {"device": to.device, "why": "its push service knows it no more"})
        elif not 200 <= status < 300:
            _log.warning("the push service of device %s has answered %d", to.device, status)

    def _sealed(self, call: Call, to: Subscription, endpoint: Endpoint) -> tuple[bytes, dict[str, str]]:
        """The body and the headers of a request to the push service."""
        keeps = min(LONGEST, self.host.settings.permission_timeout)
        headers = {
            "Authorization": envelope.signed(self._book.key(envelope.new_key), endpoint),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(int(keeps)),
            "Urgency": "high",
            "Topic": lock_screen.topic_of(call.tag),
        }
        return envelope.sealed(encode(call), to), headers

    def _drop(self, ended: str) -> None:
        try:
            self._book.drop(ended)
        except OSError as error:
            _log.warning("a device is called no more, and that could not be stored yet: %s", error.strerror)


def _id_of(event: _Asked) -> str:
    return event.question_id if isinstance(event, Question) else event.permission_request_id
