"""What a mirror has in the place of a host's rules: who owns, and what is asked, as the host has told it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from myagent.core.codec import encode
from myagent.core.messages import AnswerMessage, ClientMessage, ConnectionId, PermissionDecision, Role, Seen, SessionId
from myagent.core.ownership import Ownership, Seat
from myagent.core.session import Session
from myagent.eventlog import EventLog, Stored
from myagent.host.peer import Peer, watches

ASKED_BACK = 10_000  # events of a session among which an open request is looked for, after a start

_KINDS = (b'{"type":"permission_request"', b'{"type":"question"')


class MirroredOwnership(Ownership):
    """Who owns at the host. `seats` are of those who have none there: they only watch."""

    def __init__(self) -> None:
        super().__init__(epoch=0, ceiling=0, grace=0.0)
        self.host_owner: Seat | None = None
        self.host_followers = 0
        self.owning: set[ConnectionId] = set()  # of ours, as the host has told them; one at most, but for a moment

    @property
    def owner(self) -> Seat | None:
        return self.host_owner

    @property
    def followers(self) -> int:
        """Those of the host, and ours that have no seat there; what other relays have is not known here."""
        return self.host_followers + len(self.seats)

    def role(self, connection_id: ConnectionId) -> Role:
        return "owner" if connection_id in self.owning else "follower"


class MirroredRequests:
    """The open permission requests and questions, which are answered elsewhere."""

    def __init__(self, sessions: dict[SessionId, Session]) -> None:
        self._sessions = sessions
        self._asked: dict[str, Stored] = {}

    def seen(self, stored: Stored) -> None:
        if stored.body.startswith(_KINDS):
            asked = msgspec.json.decode(stored.body, type=_Asked)
            self._asked[asked.request_id or asked.question_id] = stored

    async def look_for(self, session: Session, log: EventLog, heads: Mapping[str, int]) -> None:
        """Find in the copy what is open of a session, after a start."""
        before, looked = heads.get(session.session_id, 0) + 1, 0
        wanted = set(waiting(session))
        while wanted and looked < ASKED_BACK:
            rows = await log.read_back(session.session_id, before, limit=1000, max_bytes=8 << 20)
            if not rows:
                return
            for row in rows:
                self.seen(row)
            wanted -= self._asked.keys()
            before, looked = rows[0].seq, looked + len(rows)

    def forget_closed(self) -> None:
        still = {each for session in self._sessions.values() for each in waiting(session)}
        self._asked = {key: stored for key, stored in self._asked.items() if key in still}

    def show(self, peer: Peer) -> None:
        for session in self._sessions.values():
            self.show_of(session, peer, {*waiting(session)})

    def show_of(self, session: Session, peer: Peer, asked: set[str], *, upto: int | None = None) -> None:
        """Those of one session, in the order of the log. `upto`: only what came up to that place of it."""
        found = [(self._asked[each], each) for each in asked if each in self._asked]
        for stored, request_id in sorted(found, key=lambda each: each[0].pos):
            if watches(peer, session.session_id) and (upto is None or stored.pos <= upto):
                peer.shown.add(request_id)
                peer.send(b'%b,"pending":true}' % stored.body[:-1])
                if (so_far := session.allowed_so_far(request_id)) is not None:
                    peer.send(encode(so_far))

    def was_shown(self, peer: Peer, message: ClientMessage) -> bool:
        """Whether this relay has shown somebody what a message of theirs answers."""
        match message:
            case PermissionDecision() | Seen():
                asked = message.permission_request_id
            case AnswerMessage():
                asked = message.question_id
            case _:
                return False
        stored = self._asked.get(asked)
        if asked in peer.shown:
            return True
        return stored is not None and watches(peer, SessionId(stored.session_id)) and peer.cursor.has_passed(stored.pos)


class _Asked(msgspec.Struct, frozen=True):
    request_id: str = msgspec.field(name="permissionRequestId", default="")
    question_id: str = msgspec.field(name="questionId", default="")


def waiting(session: Session) -> list[str]:
    """The ids of what an agent asks and nobody has answered."""
    return [each.permission_request_id for each in session.open] + [each.question_id for each in session.questions.open]
