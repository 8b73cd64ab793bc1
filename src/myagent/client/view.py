"""What a client knows: its role, the sessions, the open requests, what it has seen and what it waits for.

Pure: messages go in, `take` says whether each is shown. It outlives connections; `disconnected` tells it of a drop.
"""

from __future__ import annotations

from collections.abc import Iterable

from myagent.client.cursors import Cursors
from myagent.client.incoming import Message, place
from myagent.client.state import State
from myagent.core.messages import (
    Ack,
    Activity,
    Command,
    Connections,
    Error,
    Gap,
    Metadata,
    OwnerChanged,
    OwnerInfo,
    PermissionRequest,
    PermissionResolved,
    Pong,
    Prompt,
    Question,
    QuestionResolved,
    Replayed,
    RequestBody,
    Role,
    RoleMessage,
    SessionMetadata,
    TerminalState,
    UserMessage,
    Welcome,
)

UNANSWERED = 256  # messages that are kept; a server that answers none must not fill memory


class View:
    """`only` is the one session that is watched, `after` the event of it after which to start."""

    def __init__(self, only: str | None = None, after: int | None = None) -> None:
        self.cursors = Cursors()
        self.role: Role | None = None
        self.welcome: Welcome | None = None  # of the newest connection; a v1 server sends none
        self.owner: OwnerInfo | None = None
        self.sessions: dict[str, Metadata] = {}
        self.requests: dict[str, PermissionRequest] = {}  # open ones, by permissionRequestId
        self.questions: dict[str, Question] = {}  # open ones, by questionId
        self.unacked: dict[str, UserMessage] = {}  # prompts of ours that the server has not answered
        self.unanswered: dict[str, Command] = {}  # what else was sent on this connection and has no answer, newest last
        self.session_of: dict[str, str] = {}  # turn → session; filled with a v1 server only, which does not tell them
        self.reclaim_token: str | None = None
        self.agent_failure: str | None = None  # why the last turn could not run
        self._only = only
        self._running: set[str] = set()
        self._failing: dict[str, str] = {}  # turn → why, between its `error` and its `terminal_state`
        self._own: set[str] = set()  # ids of what the client sent by itself; their answers are not shown
        if only is not None and after is not None:
            self.cursors.last[only] = after

    def disconnected(self) -> None:
        self.cursors.disconnected()
        self._own.clear()
        self.unanswered.clear()

    def sent(self, message: Command) -> None:
        """Keep a message until it is answered, since the server may want to have it again."""
        if not isinstance(message, UserMessage) and message.id not in self._own:
            self.unanswered[message.id] = message
            if len(self.unanswered) > UNANSWERED:
                del self.unanswered[next(iter(self.unanswered))]

    def to_repeat(self, error: Error) -> Command | None:
        """The message that was not processed since the server had too many, if it is to be sent again."""
        if error.code != "rate_limited" or error.id is None:
            return None
        return self.unacked.get(error.id) or self.unanswered.get(error.id)

    def sent_by_itself(self, message_id: str) -> None:
        self._own.add(message_id)

    def take(self, message: Message) -> bool:
        """Learn from a message; say whether it is shown. Raises `MissingEvents` and `LogShrunk`."""
        match message:
            case RoleMessage(role=role):
                self.role = role
                if role == "follower":
                    self.reclaim_token = None
            case Welcome():
                self._greeted(message)
            case OwnerChanged():
                self.owner = message.owner
                if message.reclaim_token is not None:
                    self.reclaim_token = message.reclaim_token
            case SessionMetadata(session=session):
                self.sessions[session.session_id] = session
                self._learn_v1(session.write_ids, session.session_id)
            case Ack():
                return self._acked(message)
            case Error():
                return self._refused(message)
            case Pong() | Connections():
                self.unanswered.pop(message.id, None)
            case Replayed():
                self.cursors.replayed(message.id)
            case Gap():
                return self.cursors.gap(message.session_id, message.start, message.end)
            case _:
                return self._event(message)
        return True

    @property
    def standing(self) -> State:
        """How things stand while the connection is up."""
        if behind := self.cursors.behind:
            return State("replaying", f"{len(behind)} session{'s' if len(behind) > 1 else ''}")
        if self.requests:
            request = next(iter(self.requests.values())).request
            return State("waiting_for_human", request.title or request.tool_name)
        if self.questions:
            return State("waiting_for_human", next(iter(self.questions.values())).message)
        if self.agent_failure is not None:
            return State("agent_dead", self.agent_failure)
        if self.role == "follower" and self.owner is not None:
            return State("owner_elsewhere", self.owner.label)
        return State("live", self.role or "")

    def _greeted(self, welcome: Welcome) -> None:
        again = self.welcome is not None
        self.welcome, self.owner = welcome, welcome.owner
        self.reclaim_token = welcome.reclaim_token
        self.sessions = {session.session_id: session for session in welcome.sessions}
        self.requests.clear()  # every open one is sent right after
        self.questions.clear()
        heads: dict[str, int] = {session.session_id: session.head for session in welcome.sessions}
        self.cursors.connected(heads, again=again, only=self._only)

    def _acked(self, ack: Ack) -> bool:
        self.unanswered.pop(ack.id, None)
        if self.unacked.pop(ack.id, None) is not None:
            self._running.add(ack.id)
            if ack.session_id is not None:
                self._learn_v1([ack.id], ack.session_id)
        self.cursors.acked(ack.id)
        return ack.id not in self._own

    def _refused(self, error: Error) -> bool:
        if error.id is None:
            return True
        again = error.code == "rate_limited"
        resume = self.cursors.refused(error.id, again=again)
        if again and (resume or self.to_repeat(error) is not None):
            return False
        if error.code == "state_gone":  # the end of a turn, of which no event tells
            self._running.discard(error.id)
            self._ended(error.id)
        if error.id in self._running:
            self._failing[error.id] = error.message
        self.unacked.pop(error.id, None)
        self.unanswered.pop(error.id, None)
        return True

    def _event(self, message: Message) -> bool:
        if (where := place(message)) is not None and not self.cursors.event(*where):
            return False
        match message:
            case PermissionRequest(request=RequestBody(rule_id=None)):
                self.requests[message.permission_request_id] = message
            case PermissionResolved():
                self.requests.pop(message.permission_request_id, None)
            case Prompt():
                self.agent_failure = None
                self._running.add(message.id)
            case Activity():
                self._running.add(message.id)
            case TerminalState():
                self._running.discard(message.id)
                self.agent_failure = self._failing.pop(message.id, None)
                self._ended(message.id)
            case Question():
                self.questions[message.question_id] = message
            case QuestionResolved():
                self.questions.pop(message.question_id, None)
            case _:
                pass
        return True

    def _ended(self, turn_id: str) -> None:
        """Nothing that a turn asked is open any more."""
        self.requests = {key: asked for key, asked in self.requests.items() if asked.id != turn_id}
        self.questions = {key: asked for key, asked in self.questions.items() if asked.id != turn_id}

    def _learn_v1(self, turn_ids: Iterable[str], session_id: str) -> None:
        if self.welcome is None:
            self.session_of.update(dict.fromkeys(turn_ids, session_id))
