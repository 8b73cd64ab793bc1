"""A workspace as a relay shows it: a host's events and state, come by the engine, in the place of the host itself.

It decides nothing. What is shown are the events of the copy, through the same cursors and the same fan-out as a host's;
ownership, sessions and open requests are what the host has told last.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from myagent.access.state_directory import StateDir
from myagent.core.codec import encode
from myagent.core.messages import (
    Ack,
    ClientMessage,
    ConnectionId,
    Hello,
    HostLink,
    Ping,
    Pong,
    Ready,
    Resume,
    Role,
    SessionId,
)
from myagent.core.ownership import Change, Ownership, Seat
from myagent.core.refusals import NotAllowed, UnknownSession
from myagent.core.session import Session
from myagent.delivery.fanout import Fanout
from myagent.delivery.window import Window
from myagent.eventlog import EventLog, Stored, Unit
from myagent.host.announcements import Announcements
from myagent.host.peer import Peer, clean_label, watches
from myagent.host.session_store import SessionStore, iso
from myagent.redaction.redactor import Redactor
from myagent.relay.copy import Copy
from myagent.relay.words import HostState, SessionState
from myagent.settings import Settings

ASKED_BACK = 10_000  # events of a session among which an open request is looked for, after a start
NO_FORWARDING = "this is a relay, which shows and does not forward: to drive, connect to the host itself"

_KINDS = (b'{"type":"permission_request"', b'{"type":"question"')
_log = logging.getLogger(__name__)


class MirroredOwnership(Ownership):
    """Who owns at the host; nobody does here."""

    def __init__(self) -> None:
        super().__init__(epoch=0, ceiling=0, grace=0.0)
        self.host_owner: Seat | None = None
        self.host_followers = 0

    @property
    def owner(self) -> Seat | None:
        return self.host_owner

    @property
    def followers(self) -> int:
        """Those of the host, and ours; what other relays have is not known here."""
        return self.host_followers + len(self.seats)

    def role(self, connection_id: ConnectionId) -> Role:
        return "follower"


class MirroredRequests:
    """The open permission requests and questions, which are answered elsewhere."""

    def __init__(self, sessions: dict[SessionId, Session]) -> None:
        self._sessions = sessions
        self._asked: dict[str, Stored] = {}

    def seen(self, stored: Stored) -> None:
        if stored.body.startswith(_KINDS):
            asked = msgspec.json.decode(stored.body, type=_Asked)
            self._asked[asked.request_id or asked.question_id] = stored

    @property
    def known(self) -> set[str]:
        return set(self._asked)

    def forget_closed(self) -> None:
        still = {each for session in self._sessions.values() for each in waiting(session)}
        self._asked = {key: stored for key, stored in self._asked.items() if key in still}

    def show(self, peer: Peer) -> None:
        for session in self._sessions.values():
            self.show_of(session, peer, {*waiting(session)})

    def show_of(self, session: Session, peer: Peer, asked: set[str], *, upto: int | None = None) -> None:
        """Those of one session, in the order of the log. `upto`: only what came up to that place of it."""
        found = [self._asked[each] for each in asked if each in self._asked]
        for stored in sorted(found, key=lambda each: each.pos):
            if watches(peer, session.session_id) and (upto is None or stored.pos <= upto):
                peer.send(b'%b,"pending":true}' % stored.body[:-1])


class _Asked(msgspec.Struct, frozen=True):
    request_id: str = msgspec.field(name="permissionRequestId", default="")
    question_id: str = msgspec.field(name="questionId", default="")


def waiting(session: Session) -> list[str]:
    """The ids of what an agent asks and nobody has answered."""
    return [each.permission_request_id for each in session.open] + [each.question_id for each in session.questions.open]


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
        self._saved = 0
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
            await self._look_for_requests(session)

    async def close(self) -> None:
        """Let go of everything; the connections are the relay's to close, before."""
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

    async def _look_for_requests(self, session: Session) -> None:
        before, looked = self.fanout.window.heads.get(session.session_id, 0) + 1, 0
        wanted = set(waiting(session))
        while wanted and looked < ASKED_BACK:
            rows = await self.log.read_back(session.session_id, before, limit=1000, max_bytes=8 << 20)
            if not rows:
                return
            for row in rows:
                self._requests.seen(row)
            wanted -= self._requests.known
            before, looked = rows[0].seq, looked + len(rows)

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
            if known != session:
                self.sessions[session.session_id] = session
                self._store_session(session)
                self.store.tell_metadata(session.session_id)
                opened = {*waiting(session)} - {*(waiting(known) if known else ())}
                for peer in self.peers.values():  # who came after the event, and before it was known to be open
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
            self._announcements.owner(Change(told.owner_epoch, ownership.host_owner, told.why))
        if ownership.host_followers != told.followers:
            ownership.host_followers = told.followers
            self._announcements.presence()

    def host_is(self, *, online: bool) -> None:
        """The host holds its name, or does no longer."""
        if online == (self.offline_since is None):
            return
        self.offline_since = None if online else iso(datetime.now(UTC))
        self.fanout.state(self._link(), kind="host")

    def _link(self) -> bytes:
        return encode(HostLink(online=self.offline_since is None, since=self.offline_since))

    # --- connections ----------------------------------------------------------------------------------------------

    def join(self, peer: Peer, *, as_follower: bool, after_seq: int | None, reclaim: str | None) -> None:
        """Seat an authenticated connection, as a host does; it follows."""
        self.peers[peer.connection_id] = peer
        self._joined[peer.connection_id] = self.fanout.window.pos
        self.ownership.seats[peer.connection_id] = Seat(peer.connection_id, peer.scope, peer.label)
        peer.scope = "follower"  # here, whatever its credential may do at the host
        peer.send(encode(Ready(1)))
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
        self.ownership.seats.pop(peer.connection_id, None)
        self._announcements.presence()

    def receive(self, peer: Peer, message: ClientMessage) -> None:
        """Raises `Refused`: for everything that would change something."""
        match message:
            case Ping():
                peer.send(encode(Pong(id=message.id)))
            case Hello():
                if message.label is not None:
                    peer.label = self.ownership.seats[peer.connection_id].label = clean_label(message.label)
                if "updates" in message.wants:
                    peer.cursor.look("updates")
                peer.send(encode(Ack(id=message.id, duplicate=False)))
            case Resume():
                self._announcements.resume(peer, message, self._check_session(peer, message.session_id))
            case _ if self.ownership.seats[peer.connection_id].scope == "follower":
                self.ownership.admit(peer.connection_id, message)
                raise NotAllowed(NO_FORWARDING)
            case _:
                raise NotAllowed(NO_FORWARDING)

    def _check_session(self, peer: Peer, session_id: SessionId) -> Session:
        session = self.sessions.get(session_id)
        if session is None or not watches(peer, session_id):
            raise UnknownSession
        return session
