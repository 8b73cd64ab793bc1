"""Whatever an editor sends in whatever order, over connections lost at any point, to a session that others drive too:
every request has one answer, nothing of a session is lost, doubled or out of order, and a question stands exactly while
it may be answered here.

The server is a model: its rules are docs/protocol.md's, and what a client of ours does at a new connection.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from msgspec.structs import replace
from tests.editors.desk import ALICE, LIMITS, ME, SECOND, Desk, metadata, request
from tests.editors.second_judge import needs_schema

from myagent.core.messages import (
    Ack,
    AgentStdout,
    Cancel,
    Claim,
    Command,
    ConnectionInfo,
    Connections,
    Error,
    Event,
    Handover,
    Metadata,
    OpenSession,
    OwnerChanged,
    PermissionDecision,
    PermissionRequest,
    PermissionResolved,
    Prompt,
    Release,
    Replayed,
    Resume,
    RoleMessage,
    SessionMetadata,
    TerminalState,
    UserMessage,
    Welcome,
    Who,
)
from myagent.editors.following import Following
from myagent.editors.permits import Permits
from myagent.editors.second import Second
from myagent.editors.waiting import SessionsWanted

SESSIONS = ["a", "b"]
PICK = st.integers(0, 7)


@dataclass
class Session:
    """A session of the model: its log, and what runs in it."""

    name: str
    events: list[Any] = field(default_factory=list)
    running: str | None = None
    queue: list[tuple[str, str]] = field(default_factory=list)  # turn, by
    asking: PermissionRequest | None = None

    def metadata(self) -> Metadata:
        return metadata(self.name, head=len(self.events), state="running" if self.running else "idle")


class Server:
    """What a server does with commands, and what a client of ours makes of its connections."""

    def __init__(self) -> None:
        self.sessions = {name: Session(name) for name in SESSIONS}
        self.owner: Any = ME
        self.epoch = 1
        self.out: list[Any] = []  # on its way to the editor's side
        self.up = True
        self.cursor: dict[str, int] = dict.fromkeys(SESSIONS, 0)  # the client's: the last event that was given on
        self.unacked: dict[str, UserMessage] = {}
        self.opened: dict[str, str] = {}  # command → session that it opened
        self.accepted: set[str] = set()
        self.resolved: dict[str, str] = {}
        self._count = 0

    def number(self) -> int:
        self._count += 1
        return self._count

    def add(self, session: Session, event: Any) -> None:
        event = replace(event, seq=len(session.events) + 1)
        session.events.append(event)
        if self.up:
            self.out.append(event)

    def say(self, *messages: Any) -> None:
        if self.up:
            self.out += messages

    def begin(self, session: Session, turn: str, by: str) -> None:
        session.running = turn
        self.add(session, Prompt(id=turn, session_id=session.name, prompt=f"<{turn}>", by=by))  # type: ignore[arg-type]

    def prompt(self, session: Session, turn: str, by: str) -> None:
        self.accepted.add(turn)
        if session.running:
            session.queue.append((turn, by))
        else:
            self.begin(session, turn, by)

    def end(self, session: Session, stop: str) -> None:
        assert session.running is not None
        self.resolve(session, "cancelled")
        turn, session.running = session.running, None
        end = TerminalState(id=turn, session_id=session.name, exit_code=0, stop_reason=stop)  # type: ignore[arg-type]
        self.add(session, end)
        if session.queue:
            self.begin(session, *session.queue.pop(0))

    def ask(self, session: Session) -> None:
        assert session.running is not None
        event = request(f"p{self.number()}", session=session.name, turn=session.running)
        session.asking = event
        self.add(session, event)

    def resolve(self, session: Session, outcome: Any) -> None:
        if session.asking is not None:
            name, session.asking = session.asking.permission_request_id, None
            self.resolved[name] = outcome
            event = PermissionResolved(
                id=str(session.running),
                session_id=session.name,  # type: ignore[arg-type]
                permission_request_id=name,
                outcome=outcome,
                by="x",
            )
            self.add(session, event)

    def move(self, owner: Any, why: str) -> None:
        self.owner, self.epoch = owner, self.epoch + 1
        self.say(RoleMessage(role="owner" if owner is ME else "follower"))
        if owner is ME:
            for session in self.sessions.values():
                if session.asking is not None:
                    self.say(replace(session.asking, pending=True))
        self.say(OwnerChanged(owner_epoch=self.epoch, owner=owner, why=why))

    def connect(self, loads: set[str]) -> None:
        """As a client of ours comes back: greeted, what it waits for sent again, what it missed read on."""
        self.up = True
        sessions = [session.metadata() for session in self.sessions.values()]
        self.say(
            RoleMessage(role="owner" if self.owner is ME else "follower"),
            Welcome(
                connection_id="c_me",  # type: ignore[arg-type]
                server=None,  # type: ignore[arg-type]
                scope="owner",
                owner_epoch=self.epoch,
                owner=self.owner,
                followers=0,
                sessions=sessions,
                limits=LIMITS,
            ),
        )
        for session in self.sessions.values():
            if session.asking is not None:
                self.say(replace(session.asking, pending=True))
        for name, session in self.sessions.items():
            self.say(*session.events[self.cursor.setdefault(name, 0) :])
        for message in list(self.unacked.values()):
            self.take(message)

    def take(self, command: Command) -> None:
        """Do what the editor's side asks for."""
        owned = self.owner is ME
        if not owned and not isinstance(command, Resume | Claim):
            self.say(Error(id=command.id, message="read-only follower", code="not_owner"))
            return
        match command:
            case OpenSession():
                name = self.opened.setdefault(command.id, f"n{len(self.opened)}")
                self.sessions.setdefault(name, Session(name))
                self.say(Ack(id=command.id, session_id=name, duplicate=False))  # type: ignore[arg-type]
                self.say(SessionMetadata(session=self.sessions[name].metadata()))
            case Resume(session_id=name) if name not in self.sessions:
                self.say(Error(id=command.id, message="no such session", code="unknown_session"))
            case Resume(session_id=name, after_seq=after):
                session = self.sessions[name]
                self.say(Ack(id=command.id, session_id=name, duplicate=False))
                self.say(SessionMetadata(session=session.metadata()))
                if after is not None:
                    self.say(*session.events[after:])
                    self.say(Replayed(id=command.id, session_id=name, head=len(session.events)))
            case UserMessage(session_id=name):
                assert name is not None
                self.say(Ack(id=command.id, session_id=name, duplicate=command.id in self.accepted))
                if command.id not in self.accepted:
                    self.prompt(self.sessions[name], command.id, "zed")
            case Cancel(session_id=name, turn_id=turn):
                session = self.sessions[name]
                waiting = [each for each in session.queue if each[0] == turn]
                self.say(Ack(id=command.id, session_id=name, duplicate=False))
                if waiting:
                    session.queue.remove(waiting[0])
                    gone = TerminalState(id=str(turn), session_id=name, exit_code=130, stop_reason="cancelled")
                    self.add(session, gone)
                elif session.running and turn in (None, session.running):
                    self.end(session, "cancelled")
            case PermissionDecision(permission_request_id=name):
                found = [each for each in self.sessions.values() if _is(each.asking, name)]
                if not found:
                    self.say(Error(id=command.id, message="too late", code="already_resolved"))
                else:
                    self.say(Ack(id=command.id, duplicate=False))
                    self.resolve(found[0], command.decision.kind)
            case Claim():
                if self.owner not in (ME, None):
                    self.say(Error(id=command.id, message="taken", code="not_claimable"))
                else:
                    self.say(Ack(id=command.id, duplicate=owned))
                    if not owned:
                        self.move(ME, "claimed")
            case Release():
                self.say(Ack(id=command.id, duplicate=False))
                self.move(None, "released")
            case Who():
                rows = [ConnectionInfo("c_alice", "follower", "owner", "alice", "2026")]  # type: ignore[arg-type]
                self.say(Connections(id=command.id, connections=rows))
            case Handover():
                self.say(Ack(id=command.id, duplicate=False))
                self.move(ALICE, "handed_over")
            case _:
                raise AssertionError(command)


def _opens(sent: Any) -> bool:
    """Whether a command opens a session without telling it again."""
    return sent is not None and (
        isinstance(sent.command, OpenSession) or (isinstance(sent.command, Resume) and sent.command.after_seq is None)
    )


def _is(asking: PermissionRequest | None, name: str) -> bool:
    return asking is not None and asking.permission_request_id == name


class Machine(RuleBasedStateMachine):
    """The editor and its side, and everything that may happen to them."""

    second = False  # it speaks version 2

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(greets=False, second=self.second)
        self.server = Server()
        self.commands: list[Any] = []  # given by the editor's side, not sent yet
        self.numbers = 0
        self.told: dict[str, list[str]] = {}  # of each session that is open: the texts that the editor was given
        self.due: dict[str, list[str]] = {}  # and those that it must be given
        self.kinds: dict[int, tuple[str, Any]] = {}  # the editor's requests: method, session
        self.moving: dict[str, Resume] = {}  # that were sent on this connection, until their ack
        self.asked: dict[int, str] = {}  # open questions: our id → permission request
        self.answered: set[str] = set()
        self.server.connect(set())
        self.deliver(9)
        self.ask("initialize", **(SECOND if self.second else {"protocolVersion": 1}))
        self.ask("session/resume", sessionId="a", cwd="/w", mcpServers=[])
        self.settle()

    def settle(self) -> None:
        """Everything arrives, both ways."""
        while self.server.up and (self.commands or self.server.out):
            self.commands_arrive(9)
            self.deliver(99)

    # --- both directions ------------------------------------------------------------------------------------------

    def ask(self, method: str, **params: Any) -> None:
        self.numbers += 1
        self.kinds[self.numbers] = (method, params.get("sessionId"))
        self.desk.judge.sent(self.numbers, method)
        self.gives({"jsonrpc": "2.0", "id": self.numbers, "method": method, "params": params})

    def gives(self, message: Any) -> None:
        self.desk.editor.from_editor(json.dumps(message).encode())
        self.drain()

    def drain(self) -> None:
        for frame in self.desk.editor.frames():
            message = self.desk.judge.took(frame)
            match message:
                case {"method": "session/update", "params": {"sessionId": name, "update": update}}:
                    assert name in self.told, "an update of a session that is not open"
                    self.told[name] += said(update)
                case {"method": "session/request_permission", "id": number, "params": params}:
                    name = params["_meta"]["myagent"]["permissionRequestId"]
                    assert name not in self.asked.values(), "asked twice"
                    assert self.desk.core._board.open[params["sessionId"]].role != "observer"
                    self.asked[number] = name
                case {"method": "$/cancel_request", "params": {"requestId": number}}:
                    del self.asked[number]
                case {"id": number, "result": result} if number in self.kinds:
                    self.answer(number, result)
        for command in self.desk.editor.commands():
            if isinstance(command, SessionsWanted):
                self.desk.editor.listed(command, [each.metadata() for each in self.server.sessions.values()])
                self.drain()
                continue
            if isinstance(command, UserMessage):
                self.server.unacked[command.id] = command
            self.commands.append(command)

    def answer(self, number: int, result: Any) -> None:
        method, name = self.kinds[number]
        if method in ("session/close", "session/detach"):
            self.told.pop(name, None)
            self.due.pop(name, None)

    def deliver(self, count: int) -> None:
        """Give the editor's side what is on its way, as a client of ours does: what was seen is dropped."""
        for _ in range(count):
            if not self.server.out:
                return
            message = self.server.out.pop(0)
            if self.arrives(message):
                self.desk.editor.from_server(message)
                self.drain()

    def arrives(self, message: Any) -> bool:
        """What a client of ours makes of a message: whether it is given on."""
        server = self.server
        match message:
            case Ack(id=command_id, session_id=name):
                server.unacked.pop(command_id, None)
                resume = self.moving.pop(command_id, None)
                if resume is not None:
                    if resume.after_seq == 0:
                        self.told[str(name)], self.due[str(name)] = [], []
                    server.cursor[str(name)] = resume.after_seq or 0
                elif _opens(self.desk.core._board.sent.get(command_id)):
                    self.told.setdefault(str(name), [])
                    self.due.setdefault(str(name), [])
                    server.cursor.setdefault(str(name), 0)
            case Error(id=str(command_id)):
                server.unacked.pop(command_id, None)
                self.moving.pop(command_id, None)
            case PermissionRequest(pending=True):
                pass
            case Event(session_id=name, seq=int(seq)):
                last = server.cursor.setdefault(name, 0)
                if seq <= last or (seq > last + 1 and any(each.session_id == name for each in self.moving.values())):
                    return False
                assert seq == last + 1, "the model is wrong"
                server.cursor[name] = seq
                if isinstance(message, AgentStdout) and name in self.due:
                    self.due[name].append(message.chunk)
        return True

    # --- the editor -----------------------------------------------------------------------------------------------

    @rule(pick=PICK)
    def opens_new(self, pick: int) -> None:
        self.ask("session/new", cwd="/w", mcpServers=[])

    @rule(
        name=st.sampled_from([*SESSIONS, "none"]),
        role=st.sampled_from(["controller", "observer"]),
        policy=st.sampled_from(["full", "pending_only", "none"]),
    )
    def attaches(self, name: str, role: str, policy: str) -> None:
        if not any(sent.session_id == name for sent in self.coming()):
            self.ask("session/attach", sessionId=name, role=role, historyPolicy=policy)

    @rule(name=st.sampled_from([*SESSIONS, "none"]), method=st.sampled_from(["session/load", "session/resume"]))
    def opens(self, name: str, method: str) -> None:
        if not any(sent.session_id == name for sent in self.coming()):  # two at once of one session: see below
            replays = {"replayFrom": {"type": "start"}} if self.second and method == "session/load" else {}
            method = "session/resume" if self.second else method
            self.ask(method, sessionId=name, cwd="/w", mcpServers=[], **replays)

    def coming(self) -> list[Any]:
        return [sent.command for sent in self.desk.core._board.sent.values() if isinstance(sent.command, Resume)]

    @rule(
        name=st.sampled_from(SESSIONS), text=st.sampled_from(["help", "/who", "/claim", "/release", "/handover alice"])
    )
    def prompts(self, name: str, text: str) -> None:
        self.ask("session/prompt", sessionId=name, prompt=[{"type": "text", "text": text}])

    @rule(name=st.sampled_from(SESSIONS))
    def cancels(self, name: str) -> None:
        self.gives({"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": name}})

    @rule(name=st.sampled_from(SESSIONS), method=st.sampled_from(["session/close", "session/detach"]))
    def closes(self, name: str, method: str) -> None:
        if not any(sent.session_id == name for sent in self.coming()):
            self.ask(method, sessionId=name)

    @rule()
    def prompts_and_is_asked(self) -> None:
        self.prompts("a", "help")
        self.settle()
        self.goes_on("a", "ask")
        self.settle()

    @rule(count=st.integers(1, 3))
    def reads_what_was_said(self, count: int) -> None:
        self.prompts("a", "help")
        self.goes_on("a", "prompt")
        self.settle()
        for _ in range(count):
            self.goes_on("a", "say")
        self.opens("a", "session/load")

    @rule()
    def lists(self) -> None:
        self.ask("session/list")

    @rule(pick=PICK)
    def takes_back(self, pick: int) -> None:
        waiting = [number for number in self.desk.judge.waiting if self.kinds[number][0] == "session/prompt"]
        if waiting:
            number = waiting[pick % len(waiting)]
            self.gives({"jsonrpc": "2.0", "method": "$/cancel_request", "params": {"requestId": number}})

    @rule(pick=PICK, option=st.sampled_from(["myagent:allow", "myagent:deny", "x"]))
    def decides(self, pick: int, option: str) -> None:
        if self.asked:
            number = list(self.asked)[pick % len(self.asked)]
            self.answered.add(self.asked.pop(number))
            del self.desk.judge.asked[number]
            result = {"outcome": {"outcome": "selected", "optionId": option}}
            self.gives({"jsonrpc": "2.0", "id": number, "result": result})

    # --- the server, its agent and others -------------------------------------------------------------------------

    @rule(count=st.integers(1, 6))
    def messages_arrive(self, count: int) -> None:
        self.deliver(count)

    @rule(count=st.integers(1, 3))
    def commands_arrive(self, count: int) -> None:
        for _ in range(count):
            if self.server.up and self.commands:
                command = self.commands.pop(0)
                if isinstance(command, Resume) and command.after_seq is not None:
                    self.moving[command.id] = command
                self.server.take(command)

    @rule()
    def all_arrives(self) -> None:
        self.settle()

    @rule()
    def connection_is_lost(self) -> None:
        if self.server.up:
            self.server.up, self.server.out = False, []
            self.commands = []  # what was on its way is gone, and what is given now is not sent
            self.moving.clear()

    @precondition(lambda self: not self.server.up)
    @rule()
    def connection_is_back(self) -> None:
        self.commands = []
        self.server.connect(set())

    @rule(
        name=st.sampled_from(SESSIONS), what=st.sampled_from(["say", "say", "ask", "end", "fail", "prompt", "decide"])
    )
    def goes_on(self, name: str, what: str) -> None:
        server, session = self.server, self.server.sessions[name]
        if what == "prompt" and server.owner is not ME:
            server.prompt(session, f"alice-{server.number()}", "alice")
        elif what == "decide" and server.owner is not ME:
            server.resolve(session, "allow")
        elif session.running is None:
            return
        elif what == "say":
            text = f"#{server.number()}"
            server.add(session, AgentStdout(id=session.running, session_id=name, chunk=text))  # type: ignore[arg-type]
        elif what == "ask" and session.asking is None:
            server.ask(session)
        elif what in ("end", "fail"):
            server.end(session, "end_turn" if what == "end" else "failed")

    @rule(owner=st.sampled_from([ME, ALICE, None]))
    def slot_moves(self, owner: Any) -> None:
        if owner != self.server.owner:
            self.server.move(owner, "claimed")

    # --- what holds -----------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_lost_doubled_or_out_of_order(self) -> None:
        assert {name: [*texts, *self.held(name)] for name, texts in self.told.items()} == self.due

    def held(self, name: str) -> list[str]:
        """What waits until a message is whole."""
        sessions = self.desk.editor._sessions if self.second else {}
        return said({"content": sessions[name].held}) if name in sessions else []

    def teardown(self) -> None:
        """Everything comes to its end, and every request has its answer."""
        server = self.server
        rounds = 3 + 2 * self.numbers  # each turn ends in one, and may let another begin
        for _ in range(rounds):
            if not server.up:
                self.connection_is_back()
            self.settle()
            for session in server.sessions.values():
                if session.running:
                    server.end(session, "end_turn")
        self.settle()
        assert self.desk.judge.waiting == {}
        assert self.asked == {}
        assert not any(self.held(name) for name in self.told)
        for name, session in server.sessions.items():
            texts = [event.chunk for event in session.events if isinstance(event, AgentStdout)]
            if told := self.told.get(name):
                assert told == texts[-len(told) :]


def said(update: Any) -> list[str]:
    """The texts of the model's agent in an update."""
    content = update.get("content") or []
    blocks = content if isinstance(content, list) else [content]
    return [text for block in blocks for text in re.findall(r"#\d+", block.get("text", ""))]


class SecondMachine(Machine):
    second = True


def run(machine: type[Machine] = Machine, *, shrinks: bool = True) -> None:
    """A control needs no smallest example."""
    phases = [Phase.explicit, Phase.generate, *([Phase.shrink] if shrinks else [])]
    plan = settings(max_examples=100, stateful_step_count=30, phases=phases, report_multiple_bugs=False)
    run_state_machine_as_test(machine, settings=plan)  # type: ignore[no-untyped-call]


def test_any_sequence_answers_everything_once_and_tells_everything_once() -> None:
    run()


@needs_schema
def test_so_does_any_sequence_of_version_2() -> None:
    run(SecondMachine)


@needs_schema
def test_a_side_that_forgets_what_a_whole_message_holds_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its negative control."""
    monkeypatch.setattr(Second, "_whole", lambda _, session: session.held.clear() or [])
    with pytest.raises(AssertionError):
        run(SecondMachine, shrinks=False)


# --- negative controls --------------------------------------------------------------------------------------------


def test_a_side_that_asks_again_with_every_message_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    reconsider = Permits.reconsider

    def forgetful(self: Permits) -> None:
        self._asked.clear()
        reconsider(self)

    monkeypatch.setattr(Permits, "reconsider", forgetful)
    with pytest.raises(AssertionError):
        run(shrinks=False)


def test_a_side_that_sends_nothing_again_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def greeted(self: Following, welcome: Welcome) -> None:
        self._board.here.greeted(welcome)

    monkeypatch.setattr(Following, "_greeted", greeted)
    with pytest.raises(AssertionError):
        run(shrinks=False)


def test_a_side_that_answers_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Following._ended

    def twice(self: Following, event: TerminalState) -> None:
        sent = self._board.sent.get(event.id)
        ended(self, event)
        if sent is not None:
            self._board.sent[event.id] = sent
            ended(self, event)

    monkeypatch.setattr(Following, "_ended", twice)
    with pytest.raises((AssertionError, KeyError)):
        run(shrinks=False)
