"""What the server says, told to the editor: answers to what it asked, and the sessions that it has open, live."""

from __future__ import annotations

from typing import Any

from myagent.core.messages import (
    Ack,
    Activity,
    AgentStderr,
    AgentStdout,
    Claim,
    ConnectionInfo,
    Connections,
    Error,
    Gap,
    Metadata,
    OptionSet,
    OwnerChanged,
    PermissionAllowed,
    PermissionRequest,
    PermissionResolved,
    Presence,
    Prompt,
    Question,
    QuestionResolved,
    Replayed,
    RequestControl,
    Resume,
    RoleMessage,
    SessionDeleted,
    SessionMetadata,
    TerminalState,
    UserMessage,
    Welcome,
    Who,
)
from myagent.editors import answers, attaching, people, refusals, rpc, updates
from myagent.editors.board import Board
from myagent.editors.permits import Permits
from myagent.editors.rpc import JSON, RpcError, RpcId
from myagent.editors.waiting import Asking, Coming, Deciding, Deleting, Joining, Open, Opening, Prompting, Sent, Setting

FORCE = "force"  # after /claim: take over

STOP_REASONS = ("end_turn", "max_tokens", "max_turn_requests", "refusal", "cancelled")

_Turn = Prompt | Activity | AgentStdout | AgentStderr | TerminalState


class Following:
    def __init__(self, board: Board, permits: Permits, *, only_mine: bool) -> None:
        self._board, self._permits, self._only_mine = board, permits, only_mine
        self._welcomed = False

    def take(self, message: Any) -> None:
        """Take one message of the server's; what is not known is passed over."""
        match message:
            case Welcome():
                self._greeted(message)
            case RoleMessage() | OwnerChanged():
                self._owner_moved(message)
            case Presence():
                self._board.here.followers = message.followers
            case SessionMetadata(session=session):
                self._told(session)
            case Ack():
                self._acked(message)
            case Error():
                self._refused(message)
            case Connections():
                self._who(message)
            case Replayed():
                self._reached(message.session_id, message.head)
            case Gap():
                self._missing(message)
            case PermissionRequest() | Question():
                attaching.note(self._board, message)
                self._permits.opened(message)
                self._reached(message.session_id, None if message.pending else message.seq)
            case PermissionResolved():
                attaching.note(self._board, message)
                attaching.resolved(self._board, self._permits, message)
                self._permits.closed(message.permission_request_id)
                self._reached(message.session_id, message.seq)
            case QuestionResolved():
                self._permits.closed(message.question_id)
                self._reached(message.session_id, message.seq)
            case Prompt() | Activity() | AgentStdout() | AgentStderr() | TerminalState():
                self._turn(message)
            case PermissionAllowed():
                self._reached(message.session_id, None if message.pending else message.seq)
            case OptionSet():  # what holds now is told with the session's metadata
                self._reached(message.session_id, message.seq)
            case SessionDeleted():
                self._deleted(message)
            case _:
                if text := self._board.here.heard(message):
                    for session_id in self._board.open:
                        self._board.tell(session_id, updates.beside(text))
        self._permits.reconsider()

    # --- how things stand -------------------------------------------------------------------------------------------

    def _greeted(self, welcome: Welcome) -> None:
        board = self._board
        board.here.greeted(welcome)
        told = {str(each.session_id): each for each in welcome.sessions}
        board.sessions.update(told)
        if not self._welcomed:
            self._welcomed = True
            return
        for command_id, sent in list(board.sent.items()):
            match sent:
                case Sent(command=UserMessage()):
                    pass  # whoever connects sends it again, until it is answered
                case Sent(wait=Coming(begun=True, session_id=session_id) as wait) if session_id in told:
                    # Whoever connects reads on where it was; that far the load goes.
                    wait.head = told[session_id].head if wait.head is None else wait.head
                    self._reached(session_id, wait.reached)
                case Sent(wait=Coming(begun=True, session_id=session_id) as wait):
                    del board.sent[command_id]
                    wait.begun = False
                    board.send(Resume(id=board.new_id(), session_id=session_id, after_seq=wait.reached), wait)
                case _:
                    board.commands.append(sent.command)

    def _owner_moved(self, message: RoleMessage | OwnerChanged) -> None:
        board = self._board
        before = board.here.owner
        board.here.moved(message)
        if isinstance(message, OwnerChanged):
            attaching.left(board, before, message.why)
            for session_id in board.open:
                board.tell(session_id, updates.noted(**board.here.facts(), why=message.why))

    def _deleted(self, message: SessionDeleted) -> None:
        """There is no such session any more: whoever waits for it is told, and nothing more is."""
        board, session_id = self._board, message.session_id
        board.sessions.pop(session_id, None)
        board.open.pop(session_id, None)
        for command_id, sent in list(board.sent.items()):
            if isinstance(sent.wait, Coming | Joining | Prompting | Setting) and sent.wait.session_id == session_id:
                del board.sent[command_id]
                board.fail(sent.wait.id, RpcError(rpc.NOT_FOUND, f"the session was deleted by {message.by}"))

    def _told(self, session: Metadata) -> None:
        board = self._board
        board.sessions[session.session_id] = session
        loads = board.loads(session.session_id)
        for _, wait in loads:
            if wait.begun and wait.head is None:
                wait.head = session.head
        if session.session_id in board.open and not loads:
            board.tell_state(session)

    # --- answers ----------------------------------------------------------------------------------------------------

    def _acked(self, ack: Ack) -> None:
        board = self._board
        sent = board.sent.get(ack.id)
        if sent is None:
            return
        match sent.wait:
            case Prompting() as prompting:
                if board.echoes and not prompting.accepted:
                    board.answer(prompting.id, {"messageId": updates.message_id(ack.id)})
                prompting.accepted = True
                return  # its end is its answer
            case Coming(is_told=True) as coming:
                coming.begun = True
                if board.echoes:
                    board.tell(coming.session_id, updates.noted(replay="begins"))
                board.open.setdefault(coming.session_id, Open(coming.cwd))
                return
            case Coming() as coming:
                del board.sent[ack.id]
                self._came(coming)
                return
            case Opening() as opening if ack.session_id is not None:
                self._opens(opening.id, ack.session_id, opening.cwd, {"sessionId": ack.session_id})
            case Setting() as wait:
                board.answer(
                    wait.id, {"configOptions": board.options_of(wait.session_id, (wait.option_id, wait.value))}
                )
            case Deleting() as wait:
                board.answer(wait.id, {})
            case Asking() as wait:
                board.here.did(wait.name)
                board.end(wait.id, wait.session_id, people.done(wait.name, is_so_already=ack.duplicate))
            case _:
                pass
        del board.sent[ack.id]

    def _came(self, coming: Coming) -> None:
        """A session is there, with what was to be told of it."""
        board = self._board
        opened = board.open.setdefault(coming.session_id, Open(coming.cwd))
        opened.role = None if coming.attach is None else coming.attach.role
        if coming.attach is None:
            self._opens(coming.id, coming.session_id, coming.cwd, {})
        elif board.here.role == "owner":  # who alone is told who is here
            board.send(Who(id=board.new_id()), Joining(coming))
        else:
            self._attached(coming, None)

    def _attached(self, coming: Coming, everybody: list[ConnectionInfo] | None) -> None:
        told = attaching.result(self._board, self._permits, coming, everybody)
        self._opens(coming.id, coming.session_id, coming.cwd, told)

    def _opens(self, number: RpcId, session_id: str, cwd: str, body: JSON) -> None:
        """Answer what opened a session, then tell how it stands."""
        board = self._board
        opened = board.open.setdefault(session_id, Open(cwd))
        opened.cwd, opened.commands, opened.options, opened.title = cwd, None, None, ""
        session = board.sessions.get(session_id)
        mode = opened.mode or (session.mode if session is not None else "default")
        facts = {} if session is None else {"cwd": session.cwd, "agent": session.agent, "state": session.state}
        told: JSON = {"modes": answers.modes(mode), "_meta": {"myagent": {**board.here.facts(), **facts}}}
        if opened_options := board.options_of(session_id):
            opened.options = told["configOptions"] = opened_options
        board.answer(number, {**body, **told})
        if session is not None:
            board.tell_state(session)
        else:
            opened.commands = answers.commands_of(None)
            board.tell(session_id, answers.commands_of(None))

    def _refused(self, error: Error) -> None:
        board = self._board
        sent = board.sent.get(error.id) if error.id is not None else None
        if sent is None or error.id is None:
            return
        match sent.wait:
            case Prompting(accepted=True) as prompting if error.code != "state_gone":
                prompting.failure = error.message  # its terminal_state comes next
                return
            case Asking(name="claim") as wait if error.code == "not_claimable" and wait.rest != FORCE:
                del board.sent[error.id]
                if board.here.owner is None:  # kept for who was lost: perhaps this very editor, before it was restarted
                    again = Asking(wait.id, wait.session_id, "claim", FORCE)
                    board.send(Claim(id=board.new_id(), force=True), again)
                else:  # it is somebody's, who can be asked
                    asking = Asking(wait.id, wait.session_id, "ask", "")
                    board.send(RequestControl(id=board.new_id()), asking)
                return
            case Asking() as wait:
                board.end(wait.id, wait.session_id, error.message)
            case Deciding():
                self._permits.not_counted(sent.command, error.code)
            case Joining(coming=coming):  # the slot was lost in between
                self._attached(coming, None)
            case Coming() as coming if (told := attaching.refused(error, coming)) is not None:
                board.fail(coming.id, told)
            case wait:
                board.fail(wait.id, refusals.in_words(error, board.here))
        del board.sent[error.id]

    def _who(self, message: Connections) -> None:
        board = self._board
        sent = board.sent.pop(message.id, None)
        if sent is not None and isinstance(sent.wait, Joining):
            self._attached(sent.wait.coming, message.connections)
        if sent is None or not isinstance(sent.wait, Asking):
            return
        wait = sent.wait
        if wait.name != "handover":
            board.end(wait.id, wait.session_id, board.here.listed(message.connections))
            return
        try:
            command = board.here.handover(wait.rest, message.connections, board.new_id())
        except RpcError as error:
            board.end(wait.id, wait.session_id, str(error))
        else:
            board.send(command, Asking(wait.id, wait.session_id, "given", ""))

    # --- events -----------------------------------------------------------------------------------------------------

    def _turn(self, event: _Turn) -> None:
        board, session_id = self._board, event.session_id
        opened = board.open.get(session_id)
        loading = any(wait.begun for _, wait in board.loads(session_id))
        own = board.is_own(event.id)
        if opened is not None and (own or loading or not self._only_mine):
            match event:
                case Prompt():
                    attaching.note(board, event)
                    opened.output.begin()
                    if loading or not own or board.echoes:
                        is_named = not own and (not loading or board.here.is_other(event.by))
                        board.tell(session_id, updates.prompted(event, is_named=is_named))
                case Activity():
                    opened.output.begin()
                    board.tell(session_id, updates.noted(turn=event.id, origin=event.origin))
                case TerminalState():
                    for update in opened.output.rest():
                        board.tell(session_id, update)
                    if (not own or board.echoes) and not loading:
                        board.tell(session_id, updates.ended(event))
                case _:
                    for update in opened.output.updates(event, most=board.here.chunk_bytes):
                        board.tell(session_id, update)
        if isinstance(event, TerminalState):
            self._permits.ended(event.id)
            self._ended(event)
        self._reached(session_id, event.seq)

    def _ended(self, event: TerminalState) -> None:
        """The end of a turn is the answer to its prompt."""
        board = self._board
        sent = board.sent.get(event.id)
        if sent is None or not isinstance(sent.wait, Prompting):
            return
        del board.sent[event.id]
        wait = sent.wait
        if board.echoes and wait.accepted:
            return  # it has its answer
        if event.stop_reason in STOP_REASONS:
            facts = {"turn": event.id, "exitCode": event.exit_code}
            board.answer(wait.id, {"stopReason": event.stop_reason, "_meta": {"myagent": facts}})
            return
        why = event.message or wait.failure or f"the turn ended: {event.stop_reason}"
        board.fail(wait.id, RpcError(rpc.INTERNAL_ERROR, why, event.stop_reason))

    def _reached(self, session_id: str, seq: int | None) -> None:
        """Count what was told of a session; a load that is complete with it has its answer."""
        board = self._board
        for command_id, wait in board.loads(session_id):
            if not wait.begun or seq is None:
                continue
            wait.reached = max(wait.reached, seq)
            if wait.head is not None and wait.reached >= wait.head:
                del board.sent[command_id]
                self._came(wait)

    def _missing(self, gap: Gap) -> None:
        if gap.session_id in self._board.open:
            count = gap.end - gap.start + 1
            text = f"[{count} events that stood here are no longer kept]\n"
            self._board.tell(gap.session_id, updates.beside(text))
        self._reached(gap.session_id, gap.end)
