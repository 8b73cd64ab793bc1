"""The single writer of a workspace: receives what connections send, and decides in one place.

Everything here runs on the event loop's thread. The rules are pure and in `core`; the modules beside this one hold the
clocks, the ids and the tasks: `session_store` (how a session changes), `permission_requests` (those that are open),
`prompts` and `turns` (the agent at work), `announcements` (what is told to whom), `slot`, `succession` and `epochs`
(who owns). Ownership is decided at once, when a message is received; what changes a session goes through the store, one
step at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, assert_never

import msgspec
from msgspec.structs import replace

from myagent.agents import Agent
from myagent.core import approvals, away
from myagent.core.codec import encode
from myagent.core.messages import (
    PROTOCOL_VERSION,
    Ack,
    AnswerMessage,
    Cancel,
    Claim,
    ClientMessage,
    ConnectionId,
    Handover,
    Hello,
    Keep,
    ListFiles,
    ListRules,
    Look,
    OpenSession,
    PermissionDecision,
    Ping,
    Pong,
    Push,
    Ready,
    Release,
    RequestControl,
    Resume,
    RevokeRule,
    Seen,
    SessionId,
    SetOption,
    Upload,
    UserMessage,
    Who,
)
from myagent.core.ownership import MAY, Change, Ownership, Seat, told
from myagent.core.refusals import BadMessage, Refused, UnknownSession
from myagent.core.session import Session
from myagent.delivery.fanout import Fanout
from myagent.delivery.window import Window
from myagent.eventlog import EventLog, LogFailed, LogGone
from myagent.eventlog.blobs import Blobs
from myagent.host.announcements import Announcements
from myagent.host.attention import Attention
from myagent.host.calls import Calls, NoCalls
from myagent.host.content import Content
from myagent.host.covered_log import CoveredLog
from myagent.host.epochs import EPOCHS, Epochs
from myagent.host.gone_state import GoneState
from myagent.host.keeping import Keeping
from myagent.host.looking import Looking
from myagent.host.notifications import Notifications
from myagent.host.options import Options
from myagent.host.ordering import in_order
from myagent.host.peer import Peer, clean_label, watches
from myagent.host.permission_requests import PermissionRequests
from myagent.host.prompts import Prompts
from myagent.host.remembering import Book, Remembering
from myagent.host.session_store import SessionStore
from myagent.host.slot import Slot, new_token
from myagent.host.succession import Succession
from myagent.host.turns import Turns
from myagent.host.visits import Visits
from myagent.redaction.redactor import Redactor
from myagent.settings import Settings

STOP_SECONDS = 2.0  # for the agent to stop what runs, when the server stops

_log = logging.getLogger(__name__)


class Host:
    """One workspace, being served."""

    def __init__(self, workspace: Path, agent: Agent, log: EventLog, settings: Settings) -> None:
        self.workspace = workspace
        self.agent = agent
        self.settings = settings
        self._approve_by = approvals.read(settings.approve_by)
        self._away = away.read(settings.owner_away)
        self.redactor = Redactor(settings.redact, known=settings.redact_known)
        self.log = CoveredLog(log, self.redactor)
        self.notifications: Notifications | None = None  # whom to call when nobody looks; set before `start`
        self.calls: Calls = NoCalls()  # to devices that have no page open; as above
        self.rules: Book | None = None  # where rules are kept; as above
        self.blobs: Blobs | None = None  # where pictures and files are kept; as above
        self.peers: dict[ConnectionId, Peer] = {}
        self.ownership: Ownership
        self.fanout: Fanout
        self.store: SessionStore
        self._requests: PermissionRequests
        self._remembering: Remembering
        self._turns: Turns
        self.visits = Visits(self.record, _monotonic)
        self._epochs: Epochs
        self._prompts: Prompts
        self._succession: Succession
        self._slot: Slot
        self._announcements: Announcements
        self._attention: Attention
        self._stopping = False
        self.failure: LogFailed | None = None  # once set, nothing can be stored until the server is started again
        self.on_failure: Callable[[], None] = lambda: None  # called when it is

    @property
    def sessions(self) -> dict[SessionId, Session]:
        return self.store.sessions

    async def start(self, *, survivors: int = 0) -> None:
        """Open the log, close what an earlier server left open, get the agent ready. `survivors`: processes of agents
        that outlived that server, and have been ended."""
        opened = await self.log.open()
        settings = self.settings
        keeps_all = settings.retain_events is None
        window = Window(opened.heads, opened.pos)
        self.fanout = Fanout(window, self.log, announce_gaps=not keeps_all, cover=self.redactor.encoded)
        decoder = msgspec.json.Decoder(Session)
        sessions = {SessionId(key): decoder.decode(state) for key, state in opened.sessions.items()}
        self._gone = GoneState(self.fanout)
        self.store = SessionStore(self.log, self.fanout, sessions, settings.retain_events)
        self._remembering = Remembering(self.rules, self.store, self.redactor)
        self.content = Content(self.blobs, self.agent, self.store, self.workspace, self.redactor, settings)
        timeout = settings.permission_timeout
        self._requests = PermissionRequests(
            self.store, timeout, self._nobody_asked, self._remembering, self._approve_by
        )
        chunk_bytes = settings.limits.chunk_frame_bytes
        self._turns = Turns(self.agent, self.workspace, self.store, self._requests, chunk_bytes, self.redactor)
        self._turns.content = self.content
        self._turns.credential_places = settings.credential_places
        self._turns.allow_bypass = settings.allow_bypass
        self._options = Options(self.agent, self.store, allow_bypass=settings.allow_bypass)
        self._turns.activities.attend(self.agent, settings.activity_quiet)
        self.store.begins = self._turns.begin
        self.store.resolved = self._requests.resolved
        self.store.failed = self._log_failed
        if self.notifications is not None:
            self.store.happened.append(self.notifications.event)
            self._turns.on_unasked = self.notifications.unasked
        first = await self.log.reserve_epochs(EPOCHS)
        self.ownership = Ownership(epoch=first - 1, ceiling=first + EPOCHS - 1, grace=settings.owner_grace)
        self._epochs = Epochs(self.log, self.ownership, self.store)
        self._prompts = Prompts(
            self.agent, self.workspace, self.store, self.redactor, settings, self._options, self.content
        )
        self._keeping = Keeping(self.store, self.redactor)
        self._looking = Looking(self.workspace, self.store, self.redactor)
        self._announcements = Announcements(self.peers, self.ownership, self.store, self._requests, settings)
        self._announcements.takes = lambda: self.content.takes
        self._succession = Succession(
            self.peers, self.ownership, settings, self._epochs, self.store, self._turns, self._requests,
            self._announcements, self.notifications, self.record,
        )  # fmt: skip
        self._attention = Attention(
            self.peers, self.ownership, self._requests, self._away, self.notifications, self.record
        )
        self._requests.changed = self._succession.moved = self._attention.changed
        self.store.happened.append(self.calls.event)
        self._attention.on_away = self.calls.nobody_here
        if self.notifications is not None and self._away.what == "notify":
            self.notifications.anybody_here = lambda: self._attention.is_anybody_here
        self._slot = Slot(self.peers, self.ownership, settings, self._succession.announce, self.record, self._actor)
        await self._turns.close_open(survivors=survivors)
        await self.agent.start()
        for secret in self.agent.info.secrets:
            self.redactor.register(secret)

    async def abandon(self) -> None:
        """Let go of what a failed `start` had opened."""
        await self.agent.close()
        await self.log.close()

    async def stop(self) -> None:
        """End the turns, store that they ended, and show it; the connections are then the server's to close."""
        self._stopping = True
        self._succession.close()
        self._announcements.close()
        await self._turns.stop(STOP_SECONDS)
        await self.agent.close()
        try:
            async with asyncio.timeout(1.0):  # a full disk must not keep the server from stopping
                await self._turns.close_open()
                await self.log.flush()
        except (TimeoutError, Refused):
            _log.warning("stopping without having stored how the running turns ended")
        self.fanout.flush()

    async def close(self) -> None:
        """Let go of everything, after `stop` and after the connections are closed."""
        if self.notifications is not None:
            self.notifications.close()
        self.visits.flush()
        self._requests.close()
        self._attention.close()
        await self.store.close()
        await self.content.close()
        await self.fanout.close()
        await self.log.close()

    def look_at_log(self) -> None:
        """Notice that nothing can be stored any more, also when nobody wants to store anything."""
        if isinstance(self.log.refusing, LogFailed):
            self._log_failed(self.log.refusing)

    def _log_failed(self, error: LogFailed) -> None:
        if self._stopping:
            return
        if isinstance(error, LogGone):
            self.failure = error
            self._gone.tell(error, self._turns, self.notifications)
        elif self.failure is None:
            _log.critical("%s; what runs can only be told of after a restart", error)
            self.failure = error
            self.on_failure()

    # --- connections ----------------------------------------------------------------------------------------------

    def join(self, peer: Peer, *, as_follower: bool, after_seq: int | None, reclaim: str | None) -> None:
        """Seat an authenticated connection: `ready`, `role`, `welcome`, what waits for a decision, then the stream."""
        may_own = reclaim is not None or (self.ownership.owner is None and not as_follower)
        if may_own:
            self._slot.confine(peer)
        self._slot.name(peer, peer.label)
        seat = Seat(peer.connection_id, peer.scope, peer.label, credential_id=peer.credential_id)
        self.peers[peer.connection_id] = peer
        self._epochs.keep_ahead()  # again, if an earlier try found the disk full
        token = new_token() if may_own else ""
        change = self.ownership.join(seat, as_follower=as_follower, reclaim=reclaim, token=token)
        role = self.ownership.role(peer.connection_id)
        facts = {"scope": told(peer.scope), "role": role, "label": peer.label or None, "may": MAY[peer.scope]}
        self.visits.joined(peer, {**self._actor(peer), **facts})
        peer.send(encode(Ready(PROTOCOL_VERSION)))
        self._announcements.role(peer)
        peer.send(encode(self._announcements.welcome(peer)))
        if change is not None:
            self._succession.announce(change, welcomed=peer)
        self._requests.show(peer)
        self._attention.joined(peer)
        peer.cursor.start(after_seq)
        self._announcements.presence()

    def leave(self, peer: Peer, *, clean: bool) -> None:
        """Forget a connection; the slot that it held is free, or kept for it, when this returns. Idempotent."""
        if self.peers.pop(peer.connection_id, None) is None:
            return
        peer.cursor.drop()
        self.visits.left(peer, self._actor(peer))
        self.content.left(peer.connection_id)
        change = self.ownership.leave(peer.connection_id, clean=clean, now=_monotonic())
        if change is not None:
            self._succession.announce(change)
        self._announcements.presence()
        self._attention.changed()

    def receive(self, peer: Peer, message: ClientMessage) -> None:
        """Handle a message. Raises `Refused`; what must be stored first is refused or acknowledged later."""
        self._epochs.keep_ahead()
        self.ownership.heard(peer.connection_id)
        self.ownership.admit(peer.connection_id, message)
        if self.redactor.text(message.id) != message.id:
            raise BadMessage("the id holds a secret")
        match message:
            case Ping():
                peer.send(encode(Pong(id=message.id)))
            case Hello():
                self._hello(peer, message)
            case Resume():
                self._announcements.resume(peer, message, self._check_session(peer, message.session_id))
            case Who():
                self._announcements.who(peer, message)
            case ListRules() | RevokeRule():
                self._remembering.receive(peer, message, self._actor(peer))
            case Look():
                self._looking.receive(peer, message)
            case Claim():
                self._moved(peer, message.id, self._slot.claim(peer, message))
            case RequestControl():
                asked = self._slot.request_control(peer, message)
                peer.send(encode(Ack(id=message.id, duplicate=not asked)))
            case Release():
                self._moved(peer, message.id, self.ownership.release(peer.connection_id))
            case Handover():
                self._moved(peer, message.id, self._slot.handover(message))
            case UserMessage() | OpenSession():
                if isinstance(message, UserMessage) and message.session_id is not None:
                    self._check_session(peer, message.session_id)
                self._prompts.check(peer, message)
                in_order(self.store, peer, message.id, partial(self._prompts.accept, peer, message, self._actor(peer)))
            case PermissionDecision():
                self._requests.check_shown(peer, message)
                self._slot.refuse_the_agent(peer)
                reason = message.decision.reason
                if reason is not None:
                    message = replace(message, decision=replace(message.decision, reason=self.redactor.text(reason)))
                decision = (peer, message, self._actor(peer))
                deny = partial(self._requests.deny_unstored, *decision)
                in_order(self.store, peer, message.id, partial(self._requests.decide, *decision), unstored=deny)
            case Seen():
                self._requests.check_shown(peer, message)
                self._slot.refuse_the_agent(peer)
                self._attention.seen(peer, message, self._actor(peer))
            case AnswerMessage():
                self._requests.questions.check_shown(peer, message)
                self._slot.refuse_the_agent(peer)
                answer, questions = (peer, message, self._actor(peer)), self._requests.questions
                refuse = partial(questions.refuse_unstored, *answer)
                in_order(self.store, peer, message.id, partial(questions.answer, *answer), unstored=refuse)
            case Cancel():
                self._check_session(peer, message.session_id)
                actor = self._actor(peer)
                owns = self.ownership.role(peer.connection_id) == "owner"
                if not owns:
                    self._slot.refuse_the_agent(peer)
                cancel = partial(self._turns.cancel_for, peer, message, actor, running_only=not owns)
                halt = partial(self._turns.halt, message.session_id, message.turn_id, actor)
                in_order(self.store, peer, message.id, cancel, unstored=halt)
            case Keep():
                self._check_session(peer, message.session_id)
                self._slot.refuse_the_agent(peer)
                work = partial(self._keeping.carry_out, peer, message, self._actor(peer))
                in_order(self.store, peer, message.id, work, frees=self._keeping.frees(message))
            case Upload() | ListFiles():
                self.content.receive(peer, message)
            case Push():
                self._slot.refuse_the_agent(peer)
                self.calls.receive(peer, message, self._actor(peer))
            case SetOption():
                self._check_session(peer, message.session_id)
                in_order(self.store, peer, message.id, partial(self._options.set, peer, message, self._actor(peer)))
            case _:
                assert_never(message)

    def _hello(self, peer: Peer, message: Hello) -> None:
        if message.label is not None:
            self._slot.name(peer, clean_label(self.redactor.text(message.label)))
        if "updates" in message.wants:
            peer.cursor.look("updates")
        if message.reclaim_token is not None:
            self._slot.confine(peer)
        change = self.ownership.hello(peer.connection_id, reclaim=message.reclaim_token, token=new_token())
        peer.send(encode(Ack(id=message.id, duplicate=False)))
        if change is not None:
            self._succession.announce(change)

    def _moved(self, peer: Peer, message_id: str, change: Change | None) -> None:
        """Answer whoever asked for the slot to move, then tell everybody; without a change it had what it asked."""
        peer.send(encode(Ack(id=message_id, duplicate=change is None)))
        if change is not None:
            self._succession.announce(change)

    def _actor(self, peer: Peer) -> dict[str, Any]:
        """Who does something now, for the audit: no label, which anybody may choose."""
        whose = {"credential": peer.credential_id, "device": peer.device_id, "connection": peer.connection_id}
        return {**whose, "epoch": self.ownership.epoch}

    def credential_ended(self, ended: str) -> None:
        """A credential, or a device, is good no more: what it has allowed alone counts no more either."""
        self._requests.credential_ended(ended)

    def _nobody_asked(self) -> str | None:
        gone = self.ownership.owner is None and self.ownership.reserved_until is None
        if gone and self.settings.on_owner_leave == "deny":
            return "the owner has left"
        return self._attention.gone

    def _check_session(self, peer: Peer, session_id: SessionId) -> Session:
        session = self.sessions.get(session_id)
        if session is None or not watches(peer, session_id):
            raise UnknownSession
        return session

    def record(self, kind: str, fields: dict[str, Any]) -> None:
        """Put something into the audit that changes no session."""
        self.store.record(kind, fields)


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
