"""A workspace as a relay shows it: a host's events and state, come by the engine, in the place of the host itself.

It decides nothing. What is shown are the events of the copy, through the same cursors and the same fan-out as a host's;
ownership, sessions and open requests are what the host has told last.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec.structs import replace

from myagent.access.state_directory import StateDir
from myagent.core.codec import encode
from myagent.core.messages import (
    PROTOCOL_VERSION,
    Ack,
    Claim,
    ClientMessage,
    ConnectionId,
    Hello,
    HostLink,
    Ping,
    Pong,
    Push,
    Ready,
    RequestControl,
    Resume,
    RoleMessage,
    SessionId,
    Welcome,
)
from myagent.core.ownership import Change, Seat
from myagent.core.refusals import HostAway, NotAllowed, RateLimited, Refused, UnknownSession
from myagent.core.session import Session
from myagent.delivery.fanout import Fanout
from myagent.delivery.window import Window
from myagent.eventlog import EventLog, Stored, Unit
from myagent.host.announcements import Announcements
from myagent.host.peer import Peer, clean_label, watches
from myagent.host.session_store import SessionStore, iso
from myagent.redaction.redactor import Redactor
from myagent.relay.copy import Copy
from myagent.relay.forwarding import Forwarding
from myagent.relay.mirrored import MirroredOwnership, MirroredRequests, waiting
from myagent.relay.words import HostState, SessionState
from myagent.settings import Settings

SAID_BEFORE = 64  # messages that are kept for a connection until it has its seat
NO_CALLS = "a device is called for the page of the host itself: its answers would not come through this relay"
WATCH_ONLY = "this relay was started with --watch-only: to drive, connect to the host itself or to another relay"

_ROLE = b'{"type":"role"'
_WELCOME = b'{"type":"welcome"'
_log = logging.getLogger(__name__)


@dataclass
class _Arriving:
    """Somebody who waits for a seat at the host. `in_place`: they watch already."""

    after_seq: int | None = None
    in_place: bool = False
    said: list[ClientMessage] = field(default_factory=list)


class Mirror:
    """One host's workspace, shown here. A `server.workspace.Workspace`."""

    def __init__(self, name: str, directory: Path, log: Callable[[Path], EventLog], settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.redactor = Redactor((), known=False)  # what comes was covered at the host
        self.peers: dict[ConnectionId, Peer] = {}
        self.ownership = MirroredOwnership()
        self.fanout: Fanout
        self.store: SessionStore
        self.copy: Copy
        self.offline_since: str | None = iso(datetime.now(UTC))  # None: the host is there
        self._state = StateDir(directory)
        self.log: EventLog = log(self._state.path / "sessions.db")
        self._requests: MirroredRequests
        self._announcements: Announcements
        self._waiting: dict[SessionId, SessionState] = {}  # until all events up to its head were seen
        self._listed = set[SessionId]()  # sessions of which nobody who was here was told yet
        self._saved = 0
        self.forwarding: Forwarding | None = None  # None: it only shows
        self._arriving: dict[ConnectionId, _Arriving] = {}
        self._refused: set[ConnectionId] = set()  # whom the host has not seated
        self._joined: dict[ConnectionId, int] = {}  # the place in the log at which each connection came

    @property
    def sessions(self) -> dict[SessionId, Session]:
        return self.store.sessions

    @property
    def visits(self) -> Mirror:
        return self

    def read(self, credential_id: str, device_id: str | None, session_id: str | None) -> None:
        """Who reads is in the host's audit by what it was asked, not in one of ours."""

    async def start(self, cover: Callable[[EventLog], EventLog] = lambda log: log) -> None:
        """Open the copy. Raises what a server does that cannot start. `cover` puts something before the log."""
        directory = self._state.workspace
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._state.open()
        try:
            self.log = cover(self.log)
            opened = await self.log.open()
        except BaseException:
            self._state.close()
            raise
        self.fanout = Fanout(Window(dict(opened.heads), opened.pos), self.log, announce_gaps=True)
        decoder = msgspec.json.Decoder(Session)
        sessions = {SessionId(key): decoder.decode(state) for key, state in opened.sessions.items()}
        self.store = SessionStore(self.log, self.fanout, sessions, None)
        self._requests = MirroredRequests(sessions)
        self._announcements = Announcements(self.peers, self.ownership, self.store, self._requests, self.settings)
        self.copy = Copy(
            self.log, self._state.path / "place.json", opened.heads, stored=self._stored, skipped=self._skipped
        )
        self.copy.load(opened.pos)
        for session in sessions.values():
            await self._requests.look_for(session, self.log, self.fanout.window.heads)

    async def close(self) -> None:
        """Let go of everything; the connections are the relay's to close, before."""
        if self.forwarding is not None:
            await self.forwarding.close()
        self._announcements.close()
        await self.store.close()
        await self.fanout.close()
        await self.log.flush()
        self.save()
        await self.log.close()
        self._state.close()

    @property
    def behind(self) -> int:
        """Events that the host has told of and that are not here."""
        return sum(max(0, each.head - self.copy.head(each.session.session_id)) for each in self._waiting.values())

    def save(self) -> None:
        if self.copy.number != self._saved and self.copy.failed is None:
            self.copy.save(self.fanout.window.pos)
            self._saved = self.copy.number

    # --- what comes from the host ---------------------------------------------------------------------------------

    def _stored(self, stored: Stored) -> None:
        self._requests.seen(stored)
        self.store.publish(stored)

    def _skipped(self) -> None:
        """Who is live here has not seen what is missing; whoever comes back is told where the gap is."""
        for peer in list(self.peers.values()):
            peer.close(1001, "some events are not here: resume")

    def take_states(self) -> list[SessionId]:
        """Take what was told of sessions whose events are all here; returns those of which some are not."""
        ready = [each for each in self._waiting.values() if each.head <= self.copy.head(each.session.session_id)]
        for told in ready:
            session = told.session
            del self._waiting[session.session_id]
            known = self.sessions.get(session.session_id)
            if known != session or session.session_id in self._listed:
                self._listed.discard(session.session_id)
                self.sessions[session.session_id] = session
                self._store_session(session)
                self.store.tell_metadata(session.session_id)
                opened = {*waiting(session)} - {*(waiting(known) if known else ())}
                for peer in self.peers.values():  # who came after the event, and before it was known to be open
                    if self.forwarding is not None and peer.connection_id in self.forwarding.seats:
                        continue  # the host has shown it
                    self._requests.show_of(session, peer, opened, upto=self._joined[peer.connection_id])
        if ready:
            self._requests.forget_closed()
        return list(self._waiting)

    def _store_session(self, session: Session) -> None:
        self.log.write(Unit(lambda _: None, sessions={str(session.session_id): encode(session)}, fact=True))

    def know(self, told: SessionState) -> None:
        """List a session from now on, before any of its events is shown: whoever comes in between is told of both."""
        session = told.session
        if session.session_id not in self.sessions:
            self.sessions[session.session_id] = session
            self._listed.add(session.session_id)
            self._store_session(session)

    def session_told(self, told: SessionState) -> None:
        self._waiting[told.session.session_id] = told

    async def miss(self, session_id: SessionId) -> None:
        """The stream has nothing of what is awaited of a session: it is missing here for good."""
        told = self._waiting.get(session_id)
        if told is not None and told.head > self.copy.head(session_id):
            await self.copy.miss(session_id, told.head)
            self.fanout.window.heads[session_id] = self.fanout.window.dropped[session_id] = told.head

    def host_told(self, told: HostState) -> None:
        ownership = self.ownership
        before = (ownership.epoch, ownership.host_owner and ownership.host_owner.connection_id)
        ownership.epoch = told.owner_epoch
        owner = told.owner
        ownership.host_owner = Seat(owner.connection_id, "owner", owner.label) if owner is not None else None
        if before != (told.owner_epoch, owner and owner.connection_id):
            winner = self.peers.get(owner.connection_id) if owner is not None else None  # who was told by the host
            self._announcements.owner(Change(told.owner_epoch, ownership.host_owner, told.why), welcomed=winner)
        if ownership.host_followers != told.followers:
            ownership.host_followers = told.followers
            self._announcements.presence()

    def host_is(self, *, online: bool) -> None:
        """The host holds its name, or does no longer."""
        if online == (self.offline_since is None):
            return
        self.offline_since = None if online else iso(datetime.now(UTC))
        if not online and self.forwarding is not None:
            self.forwarding.lost()
        self.fanout.state(self._link(), kind="host")

    def _link(self) -> bytes:
        return encode(HostLink(online=self.offline_since is None, since=self.offline_since))

    # --- connections ----------------------------------------------------------------------------------------------

    def join(self, peer: Peer, *, as_follower: bool, after_seq: int | None, reclaim: str | None) -> None:
        """Take an authenticated connection: to a seat at the host, where its credential may more than watch and the
        host is there, else to watch here."""
        self.peers[peer.connection_id] = peer
        self._joined[peer.connection_id] = self.fanout.window.pos
        forwarding = self.forwarding if self.offline_since is None and peer.scope != "follower" else None
        if forwarding is not None and forwarding.join(peer, as_follower=as_follower, reclaim=reclaim):
            self._arriving[peer.connection_id] = _Arriving(after_seq)
        else:
            self._sit_here(peer, after_seq)

    def _sit_here(self, peer: Peer, after_seq: int | None) -> None:
        """Seat a connection as a host does; it follows."""
        self.ownership.seats[peer.connection_id] = Seat(
            peer.connection_id, peer.scope, peer.label, credential_id=peer.credential_id
        )
        if self.forwarding is None:
            peer.scope = "follower"  # here, whatever its credential may do at the host
        peer.send(encode(Ready(PROTOCOL_VERSION)))
        self._announcements.role(peer)
        peer.send(encode(self._announcements.welcome(peer)))
        peer.send(self._link())
        self._requests.show(peer)
        peer.cursor.start(after_seq)
        self._announcements.presence()

    def leave(self, peer: Peer, *, clean: bool) -> None:
        """Idempotent."""
        if self.peers.pop(peer.connection_id, None) is None:
            return
        peer.cursor.drop()
        self._joined.pop(peer.connection_id, None)
        self._refused.discard(peer.connection_id)
        self._arriving.pop(peer.connection_id, None)
        self.ownership.seats.pop(peer.connection_id, None)
        self.ownership.owning.discard(peer.connection_id)
        if self.forwarding is not None:
            self.forwarding.left(peer.connection_id, clean=clean)
        self._announcements.presence()

    def receive(self, peer: Peer, message: ClientMessage) -> None:
        """Raises `Refused`. What is no matter of the copy goes to the host, from whoever has a seat there."""
        if isinstance(message, Push):
            raise NotAllowed(NO_CALLS)
        arriving = self._arriving.get(peer.connection_id)
        if arriving is not None:
            if len(arriving.said) >= SAID_BEFORE:
                raise RateLimited("messages")
            arriving.said.append(message)
            return
        if isinstance(message, Hello) and "updates" in message.wants:
            peer.cursor.look("updates")
        if isinstance(message, Resume):
            self._announcements.resume(peer, message, self._check_session(peer, message.session_id))
        elif self.forwarding is not None and peer.connection_id in self.forwarding.seats:
            self.forwarding.said(peer, message, shown=self._requests.was_shown(peer, message))
        else:
            self._received_here(peer, message)

    def _received_here(self, peer: Peer, message: ClientMessage) -> None:
        seat = self.ownership.seats[peer.connection_id]
        match message:
            case Ping():
                peer.send(encode(Pong(id=message.id)))
            case Hello():
                if message.label is not None:
                    peer.label = seat.label = clean_label(message.label)
                seat.said_hello = True
                peer.send(encode(Ack(id=message.id, duplicate=False)))
            case _ if self.forwarding is None:
                if seat.scope == "follower":
                    self.ownership.admit(peer.connection_id, message)
                raise NotAllowed(WATCH_ONLY)
            case _ if peer.scope != "follower":
                raise HostAway
            case Claim():
                self.ownership.claim(peer.connection_id, "")
            case RequestControl():
                self.ownership.request_control(peer.connection_id, 0.0)
            case _:
                self.ownership.admit(peer.connection_id, message)

    def _check_session(self, peer: Peer, session_id: SessionId) -> Session:
        session = self.sessions.get(session_id)
        if session is None or not watches(peer, session_id):
            raise UnknownSession
        return session

    # --- those who have a seat at the host ------------------------------------------------------------------------

    def seat_all(self) -> None:
        """Ask for a seat for those who came while the host was away. They follow, until they say otherwise."""
        if self.forwarding is None or self.offline_since is not None:
            return
        for connection_id, seat in list(self.ownership.seats.items()):
            peer = self.peers[connection_id]
            if peer.scope == "follower" or connection_id in self._refused or connection_id in self.forwarding.seats:
                continue
            if self.forwarding.join(peer, as_follower=True, reclaim=None, said_hello=seat.said_hello):
                self._arriving[connection_id] = _Arriving(in_place=True)

    def told(self, connection_id: ConnectionId, payload: bytes) -> None:
        """The host's message to one of them."""
        peer = self.peers.get(connection_id)
        if peer is None:
            return
        if payload.startswith(_ROLE):
            role = msgspec.json.decode(payload, type=RoleMessage).role
            (self.ownership.owning.add if role == "owner" else self.ownership.owning.discard)(connection_id)
        arriving = self._arriving.get(connection_id)
        if arriving is None:
            peer.send(payload)
        elif payload.startswith(_WELCOME):
            self._welcomed(peer, msgspec.json.decode(payload, type=Welcome), arriving)
        elif not arriving.in_place:  # `ready` and `role`, which others had already
            peer.send(payload)

    def _welcomed(self, peer: Peer, welcome: Welcome, arriving: _Arriving) -> None:
        """The host has seated somebody; of the sessions they are told what is here."""
        del self._arriving[peer.connection_id]
        if arriving.in_place:
            del self.ownership.seats[peer.connection_id]
        else:
            peer.send(encode(replace(welcome, sessions=self._announcements.welcome(peer).sessions)))
            peer.send(self._link())
            peer.cursor.start(arriving.after_seq)
        self._hear(peer, arriving)

    def _hear(self, peer: Peer, arriving: _Arriving) -> None:
        """Take what somebody said before it was known where they sit."""
        for message in arriving.said:
            try:
                self.receive(peer, message)
            except Refused as refusal:
                peer.refuse(message.id, refusal)

    def unseated(self, connection_id: ConnectionId) -> None:
        """The host has no place for them: they watch here."""
        self._refused.add(connection_id)
        self._stay(connection_id)

    def _stay(self, connection_id: ConnectionId) -> None:
        arriving, peer = self._arriving.pop(connection_id, None), self.peers.get(connection_id)
        if arriving is not None and peer is not None:
            if not arriving.in_place:
                self._sit_here(peer, arriving.after_seq)
            self._hear(peer, arriving)

    def broken(self, seats: list[ConnectionId]) -> None:
        """The host does not know them any more: who waits for an answer watches here, the others come again."""
        for connection_id in seats:
            if connection_id in self._arriving:
                self._stay(connection_id)
            elif connection_id in self.peers:
                self.peers[connection_id].close(1001, "the host cannot be reached: connect again")

    def fenced(self, connection_id: ConnectionId) -> None:
        if (peer := self.peers.get(connection_id)) is not None:
            peer.fence()

    def closed(self, connection_id: ConnectionId, code: int, reason: str) -> None:
        if (peer := self.peers.get(connection_id)) is not None:
            peer.close(code, reason)
