"""The single writer of a workspace: receives what connections send, and decides in one place.

Everything here runs on the event loop's thread. The rules are pure and in `core`; the rooms beside this one hold the
clocks, the ids and the tasks: `session_store` (how a session changes), `permission_requests` (those that are open),
`turns` (the agent at work). Ownership is decided at once, when a message is received; what changes a session goes
through the store, one step at a time.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, assert_never

import msgspec
from msgspec.structs import replace

from myagent import __version__
from myagent.agents import Agent
from myagent.core.audit import entry
from myagent.core.codec import encode
from myagent.core.messages import (
    PROTOCOL_VERSION,
    Ack,
    Cancel,
    Claim,
    ClientMessage,
    ConnectionId,
    ConnectionInfo,
    Connections,
    Handover,
    Hello,
    Metadata,
    OwnerChanged,
    OwnerInfo,
    PermissionDecision,
    Ping,
    Pong,
    Presence,
    Ready,
    Release,
    Resume,
    RoleMessage,
    ServerInfo,
    SessionId,
    SessionMetadata,
    UserMessage,
    Welcome,
    Who,
)
from myagent.core.ownership import Change, Ownership, Seat
from myagent.core.refusals import (
    BadMessage,
    Conflict,
    DiskFull,
    NotAllowed,
    RateLimited,
    Refused,
    TooLarge,
    UnknownSession,
)
from myagent.core.session import Session, prompt_digest
from myagent.delivery.fanout import Fanout
from myagent.delivery.window import Window, frame
from myagent.eventlog import EventLog, LogFailed, LogRefused, PromptKey
from myagent.host.notifications import Notifications
from myagent.host.peer import Peer, clean_label, name_of
from myagent.host.permission_requests import PermissionRequests, watches
from myagent.host.session_store import METADATA, SessionStore, iso, now
from myagent.host.turns import Turns
from myagent.redaction.redactor import RECLAIM_PREFIX, Redactor
from myagent.settings import Settings

EPOCHS = 64  # owner epochs reserved in one durable step, so that granting one does not wait for the disk
REPLAYS = 16  # that one connection may have outstanding
WELCOME_SESSIONS = 50
STOP_SECONDS = 2.0  # for the agent to stop what runs, when the server stops

_log = logging.getLogger(__name__)


class Host:
    """One workspace, being served."""

    def __init__(self, workspace: Path, agent: Agent, log: EventLog, settings: Settings) -> None:
        self.workspace = workspace
        self.agent = agent
        self.log = log
        self.settings = settings
        self.redactor = Redactor(settings.redact, known=settings.redact_known)
        self.notifications: Notifications | None = None  # whom to call when nobody looks; set before `start`
        self.peers: dict[ConnectionId, Peer] = {}
        self.ownership: Ownership
        self.fanout: Fanout
        self.store: SessionStore
        self._requests: PermissionRequests
        self._turns: Turns
        self._reserving = False  # more owner epochs
        self._presence_timer: asyncio.TimerHandle | None = None  # while it runs, presence was told within the second
        self._presence_told = 0
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
        self.fanout = Fanout(Window(opened.heads, opened.pos), self.log, announce_gaps=not keeps_all)
        decoder = msgspec.json.Decoder(Session)
        sessions = {SessionId(key): decoder.decode(state) for key, state in opened.sessions.items()}
        self.store = SessionStore(self.log, self.fanout, sessions, settings.retain_events)
        self._requests = PermissionRequests(self.store, settings.permission_timeout, self._nobody_asked)
        chunk_bytes = settings.limits.chunk_frame_bytes
        self._turns = Turns(self.agent, self.workspace, self.store, self._requests, chunk_bytes, self.redactor)
        self.store.begins = self._turns.begin
        self.store.resolved = self._requests.resolved
        self.store.failed = self._log_failed
        if self.notifications is not None:
            self.store.happened = self.notifications.event
            self._turns.on_unasked = self.notifications.unasked
        first = await self.log.reserve_epochs(EPOCHS)
        self.ownership = Ownership(epoch=first - 1, ceiling=first + EPOCHS - 1, grace=settings.owner_grace)
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
        if self._presence_timer is not None:
            self._presence_timer.cancel()
        if self.notifications is not None:
            self.notifications.close()
        self._requests.close()
        await self.store.close()
        await self.fanout.close()
        await self.log.close()

    def _log_failed(self, error: LogFailed) -> None:
        if self.failure is None and not self._stopping:
            _log.critical("%s; what runs can only be told of after a restart", error)
            self.failure = error
            self.on_failure()

    # --- connections ----------------------------------------------------------------------------------------------

    def join(self, peer: Peer, *, as_follower: bool, after_seq: int | None, reclaim: str | None) -> None:
        """Seat an authenticated connection: `ready`, `role`, `welcome`, what waits for a decision, then the stream."""
        may_own = reclaim is not None or (self.ownership.owner is None and not as_follower)
        if may_own:
            self._confine(peer)
        seat = Seat(peer.connection_id, peer.scope, peer.label)
        self.peers[peer.connection_id] = peer
        self._reserve_epochs()  # again, if an earlier try found the disk full
        token = _new_token() if may_own else ""
        change = self.ownership.join(seat, as_follower=as_follower, reclaim=reclaim, token=token)
        role = self.ownership.role(peer.connection_id)
        self.record("join", {**self._actor(peer), "scope": peer.scope, "role": role, "label": peer.label or None})
        peer.send(encode(Ready(PROTOCOL_VERSION)))
        self._tell_role(peer)
        peer.send(encode(self._welcome(peer)))
        if change is not None:
            self._announce(change, welcomed=peer)
        self._requests.show(peer)
        peer.cursor.start(after_seq)
        self._tell_presence()

    def leave(self, peer: Peer, *, clean: bool) -> None:
        """Forget a connection; the slot that it held is free, or kept for it, when this returns. Idempotent."""
        if self.peers.pop(peer.connection_id, None) is None:
            return
        peer.cursor.drop()
        self.record("leave", self._actor(peer))
        change = self.ownership.leave(peer.connection_id, clean=clean, now=_monotonic())
        if change is not None:
            self._announce(change)
        self._tell_presence()

    def receive(self, peer: Peer, message: ClientMessage) -> None:
        """Take up a message. Raises `Refused`; what must be stored first is refused or acknowledged later."""
        self._reserve_epochs()
        self.ownership.heard(peer.connection_id)
        self.ownership.admit(peer.connection_id, message)
        match message:
            case Ping():
                peer.send(encode(Pong(id=message.id)))
            case Hello():
                self._hello(peer, message)
            case Resume():
                self._resume(peer, message)
            case Who():
                self._who(peer, message)
            case Claim():
                self._confine(peer)
                self._moved(peer, message.id, self.ownership.claim(peer.connection_id, _new_token()))
            case Release():
                self._moved(peer, message.id, self.ownership.release(peer.connection_id))
            case Handover():
                heir = ConnectionId(message.to)
                if heir in self.peers:
                    self._confine(self.peers[heir])
                self._moved(peer, message.id, self.ownership.handover(heir, _new_token()))
            case UserMessage():
                self._check_prompt(peer, message)
                self._in_order(peer, message.id, partial(self._accept, peer, message, self._actor(peer)))
            case PermissionDecision():
                self._requests.check_shown(peer, message)
                if self._confine(peer):
                    raise NotAllowed("a process of the agent cannot decide what it may do")
                reason = message.decision.reason
                if reason is not None:
                    message = replace(message, decision=replace(message.decision, reason=self.redactor.text(reason)))
                decision = (peer, message, self._actor(peer))
                self._in_order(
                    peer,
                    message.id,
                    partial(self._requests.decide, *decision),
                    unstored=partial(self._requests.deny_unstored, *decision),
                )
            case Cancel():
                self._check_session(peer, message.session_id)
                actor = self._actor(peer)
                self._in_order(
                    peer,
                    message.id,
                    partial(self._cancel, peer, message, actor),
                    unstored=partial(self._turns.halt, message.session_id, message.turn_id, actor),
                )
            case _:
                assert_never(message)

    def _hello(self, peer: Peer, message: Hello) -> None:
        if message.label is not None:
            peer.label = self.ownership.seats[peer.connection_id].label = clean_label(self.redactor.text(message.label))
        if "updates" in message.wants:
            peer.cursor.look("updates")
        if message.reclaim_token is not None:
            self._confine(peer)
        change = self.ownership.hello(peer.connection_id, reclaim=message.reclaim_token, token=_new_token())
        peer.send(encode(Ack(id=message.id, duplicate=False)))
        if change is not None:
            self._announce(change)

    def _moved(self, peer: Peer, message_id: str, change: Change | None) -> None:
        """Answer whoever asked for the slot to move, then tell everybody; without a change it had what it asked."""
        peer.send(encode(Ack(id=message_id, duplicate=change is None)))
        if change is not None:
            self._announce(change)

    def _resume(self, peer: Peer, message: Resume) -> None:
        session = self._check_session(peer, message.session_id)
        head = self.fanout.window.heads.get(session.session_id, 0)
        if message.after_seq is not None and message.after_seq > head:
            raise BadMessage(f"`afterSeq` is beyond the session's head, which is {head}", message.id)
        if peer.cursor.replays >= REPLAYS:
            raise RateLimited("resumes at a time")
        ack = encode(Ack(id=message.id, session_id=session.session_id, duplicate=False))
        metadata = encode(SessionMetadata(session=self.store.metadata(session)))
        if message.after_seq is None:
            peer.send(ack)
            peer.send(metadata)
        else:
            opening = frame(ack) + frame(metadata)
            peer.cursor.replay(session.session_id, message.after_seq, reply_to=message.id, opening=opening)

    def _who(self, peer: Peer, message: Who) -> None:
        connections = [
            ConnectionInfo(
                other.connection_id,
                self.ownership.role(other.connection_id),
                other.scope,
                other.label,
                iso(other.since),
            )
            for other in self.peers.values()
        ]
        peer.send(encode(Connections(id=message.id, connections=connections)))

    def _actor(self, peer: Peer) -> dict[str, Any]:
        """Who does something now, for the audit: no label, which anybody may choose."""
        return {
            "credential": peer.credential_id,
            "connection": peer.connection_id,
            "epoch": self.ownership.epoch,
        }

    def _confine(self, peer: Peer) -> bool:
        """Let a connection of the agent's own processes watch and no more. Looked at only when it would be granted
        something: to be the owner, or to decide."""
        if peer.scope != "owner" or not (why := peer.why_inside()):
            return False
        peer.scope = "follower"
        if peer.connection_id in self.ownership.seats:
            self.ownership.seats[peer.connection_id].scope = "follower"
        _log.warning(
            "connection %s may not own or decide, for it may be the agent that tried to drive its own session: %s",
            peer.connection_id, why,
        )  # fmt: skip
        self.record("inside", {**self._actor(peer), "tried": "to own or to decide", "why": why})
        if self.ownership.role(peer.connection_id) == "owner":
            self._announce(self.ownership.release(peer.connection_id))
        return True

    # --- ownership ------------------------------------------------------------------------------------------------

    def _announce(self, change: Change, *, welcomed: Peer | None = None) -> None:
        """Tell everybody that the slot moved, and do what follows. `welcomed` was told already that it owns."""
        owner = OwnerInfo(change.owner.connection_id, change.owner.label) if change.owner else None
        news = OwnerChanged(owner_epoch=change.epoch, owner=owner, why=change.why)
        holder = self.peers.get(owner.connection_id) if owner else None
        self.record(
            "owner",
            {
                "epoch": change.epoch,
                "why": change.why,
                "connection": owner.connection_id if owner else None,
                "credential": holder.credential_id if holder else None,
                "lost": change.lost,
            },
        )
        loser = self.peers.get(change.lost) if change.lost else None
        if loser is not None:
            self._tell_role(loser)
            if change.fenced is not None:
                loser.fence()
        winner = self.peers.get(change.owner.connection_id) if change.owner else None
        if winner is not None and winner is not welcomed:
            self._tell_role(winner)
            winner.send(encode(replace(news, reclaim_token=self.ownership.reclaim_token)))
            self._requests.show(winner)
        self.fanout.state(encode(news), kind="owner")
        if self.notifications is not None and not self._stopping:
            awaited = self.ownership.reserved_until is not None
            self.notifications.owner(owned=owner is not None, lost=change.why in ("lost", "grace_over") and not awaited)
        if change.owner is not None:
            self._reserve_epochs()
        elif self.ownership.reserved_until is not None:
            asyncio.get_running_loop().call_at(self.ownership.reserved_until, self._end_grace)
        else:
            self._owner_gone()

    def _end_grace(self) -> None:
        change = self.ownership.expire(_monotonic())
        if change is not None:
            self._announce(change)

    def _owner_gone(self) -> None:
        """Nobody owns and nobody is waited for: `--on-owner-leave` says what becomes of what runs."""
        if self._stopping:
            return
        match self.settings.on_owner_leave:
            case "continue":
                pass
            case "deny":
                self._requests.deny_all("the owner has left")
            case "interrupt":
                self.store.spawn(self._turns.interrupt_all(), "interrupt")

    def _nobody_asked(self) -> str | None:
        gone = self.ownership.owner is None and self.ownership.reserved_until is None
        return "the owner has left" if gone and self.settings.on_owner_leave == "deny" else None

    def _reserve_epochs(self) -> None:
        """Keep enough reserved epochs ahead; without any, nobody is granted the slot (a full disk)."""
        if not self._reserving and self.ownership.ceiling - self.ownership.epoch < EPOCHS // 2:
            self._reserving = True
            self.store.spawn(self._extend_ceiling(), "reserve epochs")

    async def _extend_ceiling(self) -> None:
        try:
            # No other server reserves in this log, so the new block follows the present one.
            self.ownership.ceiling = await self.log.reserve_epochs(EPOCHS) + EPOCHS - 1
        except LogRefused as error:
            _log.warning("cannot reserve owner epochs: %s", error)
        finally:
            self._reserving = False

    # --- prompts --------------------------------------------------------------------------------------------------

    def _in_order(
        self,
        peer: Peer,
        message_id: str,
        work: Callable[[], Coroutine[Any, Any, None]],
        *,
        unstored: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Carry a command out when those before it are stored. `unstored` does what of it can be done with no space to
        store it, and says what that was."""

        async def run() -> None:
            try:
                try:
                    async with self.store.exclusive():
                        await work()
                except DiskFull:
                    raise DiskFull(unstored()) from None
            except Refused as refusal:
                peer.refuse(message_id, refusal)

        try:
            self.store.check_writable()
        except DiskFull:
            raise DiskFull(unstored()) from None
        self.store.spawn(run(), "command")

    def _check_session(self, peer: Peer, session_id: SessionId) -> Session:
        session = self.sessions.get(session_id)
        if session is None or not watches(peer, session_id):
            raise UnknownSession
        return session

    def _check_prompt(self, peer: Peer, message: UserMessage) -> None:
        if len(message.prompt.encode()) > self.settings.limits.prompt_bytes:
            raise TooLarge("the prompt", self.settings.limits.prompt_bytes)
        if self.redactor.text(message.id) != message.id:
            raise BadMessage("the id holds a secret")
        if not message.prompt.strip():
            raise BadMessage("the prompt is blank", message.id)
        if message.permission_mode == "bypassPermissions" and not self.settings.allow_bypass:
            raise NotAllowed("bypassPermissions needs a server that was started with --allow-bypass")
        if message.session_id is not None:
            self._check_session(peer, message.session_id)
        elif peer.cursor.session_id is not None:
            raise NotAllowed("this connection watches one session and cannot open another")

    async def _accept(self, peer: Peer, message: UserMessage, actor: dict[str, Any]) -> None:
        digest = prompt_digest(message.prompt)
        message = replace(message, prompt=self.redactor.text(message.prompt))
        if message.session_id is None:
            earlier = await self.log.find_opening(message.id, digest)
        else:
            earlier = await self.log.find_prompt(message.id, message.session_id)
            if earlier is not None and earlier.digest != digest:
                raise Conflict
        if earlier is not None:
            session = self.sessions[SessionId(earlier.session_id)]
            peer.send(encode(Ack(id=message.id, session_id=session.session_id, duplicate=True)))
            peer.send(encode(SessionMetadata(session=self.store.metadata(session))))
            return
        session = self._new_session() if message.session_id is None else self.sessions[message.session_id]
        mode = message.permission_mode or self.settings.permission_mode
        step = session.accept(message, by=name_of(peer), mode=mode, now=now())
        ack = encode(Ack(id=message.id, session_id=session.session_id, duplicate=False))
        key = PromptKey(session.session_id, message.id, digest, opened=message.session_id is None)
        fields = {**actor, "session": session.session_id, "turn": message.id, "digest": digest.hex(), "mode": mode}
        await self.store.commit(
            step,
            (METADATA, *step.events),
            prompts=(key,),
            on_stored=lambda _: peer.send(ack),
            audit=(entry("prompt", now(), fields),),
        )

    async def _cancel(self, peer: Peer, message: Cancel, actor: dict[str, Any]) -> None:
        def answer(found: bool) -> None:
            peer.send(encode(Ack(id=message.id, session_id=message.session_id, duplicate=not found)))

        await self._turns.cancel(message.session_id, message.turn_id, by=name_of(peer), answer=answer, actor=actor)

    def _new_session(self) -> Session:
        time = datetime.now(UTC)
        return Session(
            session_id=SessionId(f"remote_{time:%Y%m%d%H%M%S}_{secrets.token_hex(4)}"),
            cwd=str(self.workspace),
            created_at=iso(time),
            updated_at=iso(time),
            agent=self.agent.info.name,
            mode=self.settings.permission_mode,
            agent_state=dict(self.agent.info.state),
        )

    # --- what is told ---------------------------------------------------------------------------------------------

    def _tell_role(self, peer: Peer) -> None:
        peer.send(encode(RoleMessage(role=self.ownership.role(peer.connection_id))))

    def _tell_presence(self) -> None:
        """Tell how many follow: at once, then at most once a second."""
        if self._presence_timer is None and not self._stopping:
            self._presence_timer = asyncio.get_running_loop().call_later(1.0, self._presence_due)
            self._presence_told = self.ownership.followers
            self.fanout.state(encode(Presence(followers=self._presence_told)), kind="presence")

    def _presence_due(self) -> None:
        self._presence_timer = None
        if self._presence_told != self.ownership.followers:
            self._tell_presence()

    def _welcome(self, peer: Peer) -> Welcome:
        owner = self.ownership.owner
        owns = owner is not None and owner.connection_id == peer.connection_id
        visible = [each for each in self._latest_first() if watches(peer, each.session_id)][:WELCOME_SESSIONS]
        return Welcome(
            connection_id=peer.connection_id,
            server=ServerInfo("myagent", __version__),
            scope=peer.scope,
            owner_epoch=self.ownership.epoch,
            owner=OwnerInfo(owner.connection_id, owner.label) if owner else None,
            followers=self.ownership.followers,
            sessions=[self.store.metadata(each) for each in visible],
            limits=self.settings.limits,
            reclaim_token=self.ownership.reclaim_token if owns else None,
        )

    def record(self, kind: str, fields: dict[str, Any]) -> None:
        """Put something into the audit that changes no session."""
        self.store.record(kind, fields)

    def list_sessions(self, *, only: SessionId | None = None) -> list[Metadata]:
        """Every session, or one, the latest first."""
        return [self.store.metadata(each) for each in self._latest_first() if only in (None, each.session_id)]

    def _latest_first(self) -> list[Session]:
        return sorted(self.sessions.values(), key=lambda each: each.updated_at, reverse=True)


def _new_token() -> str:
    """A reclaim token; its prefix is known to the redactor."""
    return RECLAIM_PREFIX + secrets.token_urlsafe(32)


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
