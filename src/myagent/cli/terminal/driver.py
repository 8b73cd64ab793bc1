"""What a client's terminal shows for each message, what it asks the human, and when it is done."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from myagent.cli.terminal.form import fill
from myagent.cli.terminal.output import Screen
from myagent.cli.terminal.question import DENY, Decision, Keyboard, ask
from myagent.client import Attachment, Client, ClientError, Message, State
from myagent.core.display import escape
from myagent.core.messages import (
    Ack,
    Activity,
    AgentStderr,
    AgentStdout,
    ControlRequested,
    Error,
    Event,
    Gap,
    HostLink,
    OptionSet,
    OwnerChanged,
    PermissionAllowed,
    PermissionMode,
    PermissionRequest,
    PermissionResolved,
    Prompt,
    Question,
    QuestionOutcome,
    QuestionResolved,
    RequestBody,
    RequestSeen,
    RoleMessage,
    TerminalState,
)
from myagent.export import facts
from myagent.text.carried import prompt_line
from myagent.text.options import told
from myagent.text.wording import ANSWERED, OUTCOMES, allowed_by, attention, name_line, one_line, request_name

CANCEL_WAIT = 5.0  # seconds for a turn that was cancelled to end
HOLDS = "while this client is here, nobody else can prompt; --role follower watches without owning"
REFUSED_ONLY = ("digest_mismatch", "option_required", "bad_message")  # what was answered is open still
NO_TERMINAL = "there is no terminal to ask on"

DONE, FAILED, USAGE, NOT_ALLOWED, INTERRUPTED = 0, 1, 2, 3, 130


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the human asked for: a prompt, or (`None`) to watch; in one session, or (`None`) a new one or all."""

    prompt: str | None = None
    session: str | None = None
    mode: PermissionMode | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    take_over: bool = False
    attachments: tuple[Attachment, ...] = ()


@dataclass(slots=True)
class _Question:
    request_id: str
    task: asyncio.Task[None]


@dataclass(slots=True)
class _Progress:
    """Of the prompt that this client submitted."""

    turn: str | None = None
    acked: bool = False  # the server has accepted it
    session: str | None = None  # known from the `ack` on, if not before
    answered: dict[str, str] = field(default_factory=dict)  # permission request → id of our decision
    told: set[str] = field(default_factory=set)  # permission requests that the human was told of
    attention: dict[str, list[str]] = field(default_factory=dict)  # who has seen those, as the human was told


class Driver:
    """`keyboard` is `None` where there is no terminal to ask on."""

    can_prompt = False  # also when it was given no prompt to begin with

    def __init__(self, wanted: Wanted, screen: Screen, keyboard: Keyboard | None) -> None:
        self._wanted = wanted
        self._screen = screen
        self._keyboard = keyboard
        self._progress = _Progress(session=wanted.session)
        self._question: _Question | None = None
        self._client: Client | None = None
        self._work: asyncio.Task[int] | None = None
        self._cancelling: asyncio.Task[None] | None = None
        self._loss = ""  # why the connection is down, as last told
        self.interrupted = False

    async def run(self, client: Client) -> int:
        """Connect, show, ask, until the turn ends or, watching, until interrupted; return the exit code."""
        self._client = client
        try:
            async with client:
                if self._wanted.take_over and client.role != "owner":
                    await client.claim(force=True)
                if self._wanted.prompt is not None:
                    self._progress.turn = await client.prompt(
                        self._wanted.prompt,
                        session=self._wanted.session,
                        mode=self._wanted.mode,
                        options=self._wanted.options,
                        attachments=self._wanted.attachments,
                    )
                else:
                    watched = "all sessions" if self._wanted.session is None else f"session {self._wanted.session}"
                    self._screen.say(f"watching {escape(watched)}; Ctrl+C leaves")
                async for message in client:
                    self._withdraw_if_closed(client, message)
                    code = self._show(client, message)
                    if code is not None:
                        return code
                    await self._consider(client)
        finally:
            self._withdraw("")
            if self._cancelling is not None:
                self._cancelling.cancel()
            self._screen.flush()
        return DONE

    def start(self, client: Client) -> asyncio.Task[int]:
        self._work = asyncio.create_task(self.run(client), name="driver")
        return self._work

    def interrupt(self) -> None:
        """Take a Ctrl+C: the first cancels a turn of ours and waits for its end, the second leaves at once."""
        assert self._work is not None
        turn, session = self._progress.turn, self._progress.session
        first, self.interrupted = not self.interrupted, True
        can_cancel = self._client is not None and self._client.welcome is not None and self._progress.acked
        if first and can_cancel and turn is not None and session is not None:
            self._screen.say("cancelling the turn; Ctrl+C again leaves at once")
            self._cancelling = asyncio.create_task(self._cancel(session, turn), name="cancel")
        else:
            self._screen.end_line()
            self._work.cancel()

    def terminate(self) -> None:
        assert self._work is not None
        self.interrupted = True
        self._work.cancel()

    @property
    def is_asking(self) -> bool:
        """Whether a question is on the terminal, or just about to be."""
        return self._question is not None and not self._question.task.done()

    @property
    def exit_when_left(self) -> int:
        """Leaving is how watching ends; it is no success for a prompt."""
        return DONE if self._wanted.prompt is None else INTERRUPTED

    def state_changed(self, state: State) -> None:
        if state.name == "reconnecting":
            self._withdraw("the connection is lost")
            self._progress.answered.clear()  # an answer may be lost with it; the same one again does no harm
            if state.why != self._loss:
                self._screen.say(escape(str(state)))
            self._loss = state.why
        elif self._loss and state.name not in ("connecting", "closed"):
            self._loss = ""
            self._screen.say("connected again")

    # --- showing ---------------------------------------------------------------------------------------------

    def _show(self, client: Client, message: Message) -> int | None:
        """Show a message; return the exit code when it was the last."""
        match message:
            case RoleMessage(role=role):
                self._screen.say(f"role: {role}")
                if role == "owner" and self._watches and not self.can_prompt:
                    self._screen.say(HOLDS)
            case Ack() if message.id == self._progress.turn:
                self._progress.acked, self._progress.session = True, message.session_id
                self._screen.say(f"session: {escape(message.session_id or '')}")
            case Error():
                return self._show_error(client, message)
            case ControlRequested() if self._watches:
                name = name_line(message.label or message.connection_id)
                self._screen.say(f"{name} asks for the ownership ({name_line(message.connection_id)})")
            case OwnerChanged() if self._watches:
                owner = (
                    "nobody" if message.owner is None else name_line(message.owner.label or message.owner.connection_id)
                )
                taken = message.why == "taken_over"
                self._screen.say(f"taken over by {owner}" if taken else f"owner: {owner} ({escape(message.why)})")
            case HostLink(online=False) if self._watches:
                self._screen.say(f"host offline since {escape(message.since or '')}: what is shown is the relay's copy")
            case Gap() if self._watches:
                self._screen.say(
                    f"events {message.start} to {message.end} of session {escape(message.session_id)} are gone: "
                    "the server keeps the latest only"
                )
            case RequestSeen(permission_request_id=at) if message.seen_by and len(message.could_answer) > 1:
                if self._progress.attention.get(at) != message.seen_by:
                    self._progress.attention[at] = message.seen_by
                    self._screen.say(f"permission request: {attention(message)}")
            case Event() if self._is_shown(message):
                with self._screen.at(message.at):
                    return self._show_event(client, message)
            case _:
                pass
        return None

    def _show_event(self, client: Client, event: Event) -> int | None:
        match event:
            case AgentStdout() | AgentStderr():
                self._screen.agent(event.id, event.chunk, error=isinstance(event, AgentStderr))
            case Prompt() if event.id != self._progress.turn:
                self._screen.say(f"prompt by {name_line(event.by)}: {prompt_line(event)}")
            case Activity() as activity:
                self._screen.say(facts.activity(activity))
            case PermissionRequest(request=RequestBody(rule_id=None)) if not self._may_ask(client):
                self._tell_follower(client, event)
            case PermissionAllowed():
                self._screen.say(f"permission allowed by {allowed_by(event.allowed_by, event.people)}, so far")
            case PermissionResolved() if event.permission_request_id not in self._progress.answered:
                reason = f": {one_line(event.reason)}" if event.reason else ""
                self._screen.say(f"permission {OUTCOMES[event.outcome]} by {name_line(event.by)}{reason}")
            case OptionSet():
                self._screen.say(told(event))
            case Question() if not self._may_ask(client) and event.question_id not in self._progress.told:
                self._progress.told.add(event.question_id)
                self._screen.say(f"the agent asks: {name_line(event.message)}; waiting for the owner to answer")
            case QuestionResolved() if event.question_id not in self._progress.answered:
                reason = f": {one_line(event.reason)}" if event.reason else ""
                self._screen.say(f"question {ANSWERED[event.outcome]} by {name_line(event.by)}{reason}")
            case TerminalState():
                self._screen.end_turn(event.id)
                why = event.message or event.stop_reason
                self._screen.say(f"turn ended: exit {event.exit_code}{f' ({one_line(why)})' if why else ''}")
                if event.id == self._progress.turn:
                    return INTERRUPTED if self.interrupted else DONE if event.exit_code == 0 else FAILED
            case _:
                pass
        return None

    def _show_error(self, client: Client, error: Error) -> int | None:
        if error.id == self._progress.turn and not self._progress.acked:
            way = f"; {_way_to_own(client)}" if error.code == "not_owner" else ""
            self._screen.say(f"{one_line(error.message)}{way}")
            return USAGE if error.code in ("bad_message", "too_large") else NOT_ALLOWED
        for request_id, decision_id in list(self._progress.answered.items()):
            if error.id == decision_id and error.code in REFUSED_ONLY:
                del self._progress.answered[
                    request_id
                ]  # it is open still: not what was shown, or one of several answers is to be named
        self._screen.say(f"error: {one_line(error.message)}")
        return FAILED if error.code == "state_gone" and error.id == self._progress.turn else None  # it has no other end

    def _tell_follower(self, client: Client, request: PermissionRequest) -> None:
        if request.permission_request_id not in self._progress.told:
            self._progress.told.add(request.permission_request_id)
            past = request.session_id in client.behind
            self._screen.say(
                f"permission asked: {request_name(request)}{'' if past else '; waiting for the owner to answer'}"
            )

    # --- asking ----------------------------------------------------------------------------------------------

    async def _consider(self, client: Client) -> None:
        """Ask the next open question, if it is ours to answer and not one from the past."""
        if self._question is not None and self._question.task.done():
            task, self._question = self._question.task, None
            task.result()
        if self._question is not None or not self._may_ask(client):
            return
        for request in client.requests.values():
            past = request.session_id in client.behind and not request.pending
            if self._is_shown(request) and not past and request.permission_request_id not in self._progress.answered:
                if self._keyboard is None:
                    self._screen.say(f"permission denied: {request_name(request)}: {NO_TERMINAL}")
                    await self._answer(client, request, DENY, NO_TERMINAL)
                    continue
                task = asyncio.create_task(self._ask(client, request, self._keyboard), name="question")
                self._question = _Question(request.permission_request_id, task)
                return
        for question in client.questions.values():
            past = question.session_id in client.behind and not question.pending
            if self._is_shown(question) and not past and question.question_id not in self._progress.answered:
                if self._keyboard is None:
                    self._screen.say(f"question cancelled: {name_line(question.message)}: {NO_TERMINAL}")
                    await self._reply(client, question, "cancel", None)
                    continue
                task = asyncio.create_task(self._fill(client, question, self._keyboard), name="question")
                self._question = _Question(question.question_id, task)
                return

    def _may_ask(self, client: Client) -> bool:
        """Whoever can approve and has no terminal leaves it to others, where the owner would have to deny."""
        return client.may_answer and (client.role == "owner" or self._keyboard is not None)

    async def _fill(self, client: Client, question: Question, keyboard: Keyboard) -> None:
        filled = await fill(question, keyboard, self._screen.own)
        self._screen.answered()
        await self._reply(client, question, filled.action, filled.content)

    async def _reply(
        self, client: Client, question: Question, action: QuestionOutcome, content: dict[str, Any] | None
    ) -> None:
        try:
            self._progress.answered[question.question_id] = await client.answer(question, action, content)
        except ClientError as error:
            self._screen.say(f"the answer was not sent: {error}")

    async def _ask(self, client: Client, request: PermissionRequest, keyboard: Keyboard) -> None:
        session = client.sessions.get(request.session_id)
        with contextlib.suppress(ClientError):
            await client.saw(request)
        decision = await ask(request, keyboard, self._screen.own, cwd=session.cwd if session else "")
        self._screen.answered()
        await self._answer(client, request, decision, None)

    async def _answer(self, client: Client, request: PermissionRequest, given: Decision, reason: str | None) -> None:
        try:
            decision = await client.decide(request, given.kind, reason=reason, option=given.option)
        except ClientError as error:
            self._screen.say(f"the answer was not sent: {error}")
        else:
            self._progress.answered[request.permission_request_id] = decision

    def _withdraw_if_closed(self, client: Client, message: Message) -> None:
        if self._question is None or self._question.task.done():
            return
        if not client.may_answer:
            self._withdraw("this client is not the owner any more")
        elif self._question.request_id not in (*client.requests, *client.questions):
            resolved = f"it is {OUTCOMES[message.outcome]}" if isinstance(message, PermissionResolved) else ""
            if isinstance(message, QuestionResolved):
                resolved = f"it is {ANSWERED[message.outcome]}"
            self._withdraw(resolved or "its turn has ended")

    def _withdraw(self, why: str) -> None:
        """Take a question back. `why` is empty when the program ends anyway."""
        question, self._question = self._question, None
        if question is not None and not question.task.done():
            question.task.cancel()
            if self._keyboard is not None:
                self._keyboard.discard()  # half an answer is no input for whatever comes next
            if why:
                self._screen.say(f"the question is withdrawn: {why}")

    # --- small parts -----------------------------------------------------------------------------------------

    @property
    def _watches(self) -> bool:
        return self._wanted.prompt is None

    def _is_shown(self, event: Event) -> bool:
        """Watching shows all that comes; a prompt shows its session if one was named, else its own turn alone."""
        if self._watches or event.id == self._progress.turn:
            return True
        return self._wanted.session is not None and event.session_id == self._wanted.session

    async def _cancel(self, session: str, turn: str) -> None:
        assert self._client is not None
        assert self._work is not None
        try:
            await self._client.cancel(session, turn)
            await asyncio.sleep(CANCEL_WAIT)
        except ClientError as error:
            self._screen.say(f"the turn was not cancelled: {error}")
        self._work.cancel()


def _way_to_own(client: Client) -> str:
    """What a follower can do whose prompt was refused."""
    if client.welcome is not None and client.welcome.scope == "follower":
        return "this token is an invite's: it can watch, and never prompt"
    if client.owner is None:
        return (
            "nobody owns now: try again without --role follower; after an owner was lost, its place is kept for it "
            "for some seconds"
        )
    label = f" ({name_line(client.owner.label)})" if client.owner.label else ""
    owner = f"{name_line(client.owner.connection_id)}{label}"
    return f"the owner is {owner}: try again when it has left, or be handed the ownership in `myagent remote attach`"
