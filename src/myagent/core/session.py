"""One session: its queue of prompts, its running turn, its open permission requests. Every rule about them is here.

A `Session` is a value. A method either refuses (raises `Refused`) or returns a `Step`: the session as it will be, and
the events that say so. The host stores both in one transaction and only then takes the new session for the present
one, so what is in memory is always what is on disk, and a crash has nothing to repair but turns that were running.

| session      | accept             | begin… | ask          | decide, expire | cancel            | finish              |
|--------------|--------------------|--------|--------------|----------------|-------------------|---------------------|
| nothing runs | → running          |        | refused      | refused        | nothing           | –                   |
| running      | queued, ≤ 16       | never  | + open       | − open         | open → cancelled  | terminal; next runs |
| cancelling   | queued, ≤ 16       | never  | cancelled    | refused        | nothing           | terminal; next runs |

A turn of the agent's own (`begin_own`) is a turn that runs like any other; it begins only where nothing runs or waits.

Every accepted prompt ends in exactly one `terminal_state`, also one that was cancelled before it began.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from myagent.core import approvals
from myagent.core.choices import Choice
from myagent.core.display import shortened
from myagent.core.forms import Matches
from myagent.core.messages import (
    Activity,
    AnswerMessage,
    Outcome,
    PermissionAllowed,
    PermissionDecision,
    PermissionMode,
    PermissionRequest,
    PermissionResolved,
    Prompt,
    QuestionOutcome,
    QuestionResolved,
    SessionEvent,
    SessionId,
    SessionState,
    TerminalState,
    UserMessage,
)
from myagent.core.permissions import TOO_LARGE, Allow, Answer, OpenRequest, Resolution, ToolCall, request_body
from myagent.core.questions import CANCELLED, Asked, Given, OpenQuestion, OpenQuestions, digest_of, question_event
from myagent.core.refusals import AlreadyResolved, QueueFull, SessionBusy, UnknownRequest
from myagent.core.rule import Missed, Offer, Rule
from myagent.core.turn import EXIT_CODES, QueuedTurn, Running

QUEUE_LIMIT = 16  # prompts waiting in one session
WRITE_IDS = 64  # accepted ids told in `session_metadata`
RESOLUTIONS = 256  # resolved requests remembered, to tell "already resolved" from "unknown"
SHORT_TITLE = 80
NAME_CHARACTERS = 200  # that a person may give it


@dataclass(frozen=True, slots=True)
class Step:
    """A session's next state, and the events that tell of it. `begins` is the turn that is to run now, if any."""

    session: Session
    events: tuple[SessionEvent, ...] = ()
    begins: QueuedTurn | None = None


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """The whole state of one session; times are ISO 8601 UTC."""

    session_id: SessionId
    cwd: str
    created_at: str
    updated_at: str
    agent: str
    mode: PermissionMode
    title: str = ""
    running: Running | None = None
    queue: tuple[QueuedTurn, ...] = ()
    open: tuple[OpenRequest, ...] = ()
    resolved: tuple[Resolution, ...] = ()
    questions: OpenQuestions = OpenQuestions()
    write_ids: tuple[str, ...] = ()
    agent_session_id: str | None = None
    agent_state: dict[str, Any] = {}
    last_request_id: str | None = None
    last_exit_code: int | None = None
    last_error: str | None = None
    name: str = ""  # that a person gave it
    archived: bool = False
    choices: tuple[Choice, ...] = ()  # what an owner chose of what the agent offers
    option_ids: tuple[str, ...] = ()  # of the latest `set_option`s

    @property
    def state(self) -> SessionState:
        if self.running:
            return "running"
        if self.last_exit_code is None:
            return "idle"
        return "failed" if self.last_exit_code else "completed"

    # --- prompts --------------------------------------------------------------------------------------------------

    def accept(self, message: UserMessage, *, by: str, mode: PermissionMode, now: str) -> Step:
        """Take a new prompt; its turn begins at once if nothing runs. The caller has ruled out a repeated id."""
        if len(self.queue) >= QUEUE_LIMIT:
            raise QueueFull(QUEUE_LIMIT)
        turn = QueuedTurn(message.id, message.prompt, by, mode, message.skill_names, content=message.content)
        session = replace(
            self,
            updated_at=now,
            title=self.title or shortened(message.prompt.strip().partition("\n")[0], SHORT_TITLE),
            write_ids=(*self.write_ids, message.id)[-WRITE_IDS:],
            last_request_id=message.id,
            archived=False,
        )
        if self.running:
            return Step(replace(session, queue=(*self.queue, turn)))
        return session._begin(turn)

    def begin_own(self, turn_id: str, *, now: str) -> Step | None:
        """Open a turn that the agent began by itself, in the mode of the last one; `None` while something runs."""
        if self.running or self.queue:
            return None
        turn = QueuedTurn(turn_id, "", "agent", self.mode, origin="agent")
        event = Activity(id=turn_id, session_id=self.session_id, origin="agent")
        return Step(replace(self, running=Running(turn), updated_at=now), (event,))

    @property
    def is_held_up(self) -> bool:
        """Whether a prompt waits for a turn of the agent's own to end."""
        return bool(self.queue) and self.running is not None and self.running.turn.origin == "agent"

    def cancel(self, turn_id: str | None, *, by: str, now: str) -> Step | None:
        """Stop the running turn, or take a waiting one out of the queue; `None` if there is no such turn to stop."""
        running = self.running
        if running and turn_id in (None, running.turn.id):
            if running.cancelling:
                return None
            session = replace(self, running=replace(running, cancelling=True), updated_at=now)
            return session._resolve_all("cancelled", by=by, reason="the turn was cancelled")
        if turn_id is None or not any(turn.id == turn_id for turn in self.queue):
            return None
        waiting = tuple(turn for turn in self.queue if turn.id != turn_id)
        ended = self._end(turn_id, "cancelled", EXIT_CODES["cancelled"], "cancelled before it began")
        return Step(replace(self, queue=waiting, updated_at=now), (ended,))

    def finish(
        self, *, stop_reason: str, exit_code: int | None, message: str | None, agent_session_id: str | None, now: str
    ) -> Step:
        """End the running turn; the next one in the queue begins with it."""
        assert self.running is not None
        turn = self.running.turn
        code = EXIT_CODES.get(stop_reason, 1) if exit_code is None else exit_code
        agent_session_id = agent_session_id or self.agent_session_id
        settled = self._resolve_all("cancelled", by="server", reason="the turn ended")
        end = replace(self._end(turn.id, stop_reason, code, message), agent_session_id=agent_session_id)
        session = replace(
            settled.session,
            running=None,
            updated_at=now,
            agent_session_id=agent_session_id,
            last_exit_code=code,
            last_error=message if code else None,
        )
        events = (*settled.events, end)
        if not session.queue:
            return Step(session, events)
        begun = replace(session, queue=session.queue[1:])._begin(session.queue[0])
        return Step(begun.session, events + begun.events, begun.begins)

    def recover(self, *, now: str, survivors: int = 0) -> Step | None:
        """Close what a stopped server left open; `None` if nothing was. No turn is ever run again by itself.
        `survivors`: processes of the agent's that had outlived the server, and were ended."""
        if not self.running and not self.queue:
            return None
        left = (self.running.turn, *self.queue) if self.running else self.queue
        settled = self._resolve_all("cancelled", by="server", reason="the server stopped")
        message = "the server stopped before this turn ended"
        if survivors:
            message += f"; processes of agents that were still running were ended: {survivors}"
        ends = tuple(self._end(turn.id, "interrupted", 1, message) for turn in left)
        session = replace(settled.session, running=None, queue=(), updated_at=now, last_exit_code=1, last_error=message)
        return Step(session, settled.events + ends)

    def keep(self, *, name: str | None = None, archived: bool | None = None) -> Step | None:
        """Give it a name (an empty one is none), or put it away or back; `None` if it is so already."""
        name = self.name if name is None else shortened(" ".join(name.split()), NAME_CHARACTERS)
        kept = replace(self, name=name, archived=self.archived if archived is None else archived)
        return None if kept == self else Step(kept)

    def check_deletable(self) -> None:
        if self.running or self.queue:
            raise SessionBusy

    # --- permission requests --------------------------------------------------------------------------------------

    def ask(
        self,
        call: ToolCall,
        *,
        request_id: str,
        turn_id: str,
        expires_at: str,
        asked_at: str | None = None,
        remembers: tuple[Offer, ...] = (),
        missed: tuple[Missed, ...] = (),
        rule: Rule | None = None,
        people: int = 1,
    ) -> Step | Answer:
        """Open a request, and close it again where a `rule` allows it; an `Answer` at once if it cannot be asked."""
        rule = rule if people == 1 else None
        if self.running is None or self.running.turn.id != turn_id or self.running.cancelling:
            return Answer("cancelled", "the turn is over")
        body = request_body(
            call,
            cwd=self.cwd,
            expires_at=expires_at,
            asked_at=asked_at,
            remembers=remembers if people == 1 else (),
            missed=missed,
            people=people,
            rule_id=rule.rule_id if rule else None,
        )
        if body is None:
            return TOO_LARGE
        event = PermissionRequest(
            id=turn_id, session_id=self.session_id, permission_request_id=request_id, request=body
        )
        request = OpenRequest(request_id, turn_id, body.digest, body.options, people)
        opened = replace(self, open=(*self.open, request))
        if rule is None:
            return Step(opened, (event,))
        by, reason = f"rule {rule.rule_id}", f"{rule.match}: {rule.shown}"
        step = opened._resolve(request, "allow", by=by, reason=reason, rule_id=rule.rule_id)
        return Step(step.session, (event, *step.events))

    def decide(
        self, decision: PermissionDecision, *, by: str, credential: str = "", device: str | None = None
    ) -> Step | None:
        """Take a decision, once; `None` if it was made before, and was the same. Where several people must allow, one
        allow of each `credential` counts (see `approvals`), and a deny of one denies."""
        request_id = decision.permission_request_id
        request = self._open_request(request_id)
        if request is None:
            before = next((each for each in self.resolved if each.permission_request_id == request_id), None)
            if before is None:
                raise UnknownRequest
            if before.repeats(decision):
                return None
            raise AlreadyResolved(before.outcome)
        answer = request.answer(decision)
        if answer.kind == "allow" and request.people > 1:
            new = Allow(credential, by, device, answer.option_id)
            more = approvals.allowed(request, new, digest=decision.decision.digest, message_id=decision.id)
            if more is None:
                return None
            if len(more.allows) < more.people:
                opened = tuple(more if each is request else each for each in self.open)
                return Step(replace(self, open=opened), (approvals.told(more, self.session_id, by=by),))
            by = " and ".join(each.by for each in more.allows)
        return self._resolve(request, answer.kind, by=by, reason=answer.reason, option_id=answer.option_id)

    def disallow(self, ended: Collection[str], *, by: str) -> Step | None:
        """Count the allows of these credentials and devices no more; `None` if there were none."""
        opened = tuple(approvals.without(request, ended) for request in self.open)
        fewer = [new for new, old in zip(opened, self.open, strict=True) if new.allows != old.allows]
        events = tuple(approvals.told(request, self.session_id, by=by) for request in fewer)
        return Step(replace(self, open=opened), events) if fewer else None

    def allowed_so_far(self, request_id: str) -> PermissionAllowed | None:
        """Who has allowed an open request, while others are awaited, as it is told to whoever comes now."""
        request = self._open_request(request_id)
        return approvals.so_far(request, self.session_id) if request and request.allows else None

    def chosen_option(self, request_id: str) -> str | None:
        """Which of the agent's options a resolved request got."""
        return next((each.option_id for each in self.resolved if each.permission_request_id == request_id), None)

    def knows_request(self, request_id: str) -> bool:
        """Whether a request is open here, or was."""
        known: tuple[OpenRequest | Resolution, ...] = (*self.open, *self.resolved)
        return any(each.permission_request_id == request_id for each in known)

    def settle(self, request_id: str, outcome: Outcome, *, by: str, reason: str) -> Step | None:
        """Close a request that nobody decided: it expired, or its owner went; `None` if it is not open."""
        request = self._open_request(request_id)
        return self._resolve(request, outcome, by=by, reason=reason) if request else None

    def _open_request(self, request_id: str) -> OpenRequest | None:
        return next((each for each in self.open if each.permission_request_id == request_id), None)

    # --- questions ------------------------------------------------------------------------------------------------

    def ask_question(
        self, asked: Asked, *, question_id: str, turn_id: str, asked_at: str, expires_at: str
    ) -> Step | Given:
        """Open a question; what is `Given` at once if it cannot be asked."""
        if self.running is None or self.running.turn.id != turn_id or self.running.cancelling:
            return CANCELLED
        event = question_event(
            asked,
            question_id=question_id,
            turn_id=turn_id,
            session_id=self.session_id,
            asked_at=asked_at,
            expires_at=expires_at,
        )
        if event is None:
            return Given("cancel", reason="the question is too large to be shown to anybody")
        return Step(replace(self, questions=self.questions.asked(event)), (event,))

    def answer(
        self, message: AnswerMessage, *, by: str, matches: Matches | None = None, key: bytes = b""
    ) -> Step | None:
        """Take an answer, once; `None` if it was given before, and was the same. `key`: what is kept to tell that says
        nothing without it."""
        question = self.questions.find(message.question_id)
        if question is None:
            self.questions.check_repeated(message, key)
            return None
        given = question.take(message, matches)
        return self._answered(question, given.action, by=by, reason=None, digest=digest_of(message, key))

    def cancel_question(self, question_id: str, *, by: str, reason: str) -> Step | None:
        """Close a question that nobody answered: it expired, or its agent took it back; `None` if it is not open."""
        question = self.questions.find(question_id)
        return self._answered(question, "cancel", by=by, reason=reason) if question else None

    # --- parts of the above ---------------------------------------------------------------------------------------

    def _begin(self, turn: QueuedTurn) -> Step:
        event = Prompt(id=turn.id, session_id=self.session_id, prompt=turn.prompt, by=turn.by, content=turn.content)
        session = replace(self, running=Running(turn), mode=turn.mode)
        return Step(session, (event,), begins=turn)

    def _end(self, turn_id: str, stop_reason: str, exit_code: int, message: str | None) -> TerminalState:
        return TerminalState(
            id=turn_id,
            session_id=self.session_id,
            exit_code=exit_code,
            stop_reason=stop_reason,
            agent_session_id=self.agent_session_id,
            message=message,
        )

    def _resolve(
        self, request: OpenRequest, outcome: Outcome, *, by: str, reason: str | None, option_id: str | None = None,
        rule_id: str | None = None,
    ) -> Step:  # fmt: skip
        event = PermissionResolved(
            id=request.turn_id,
            session_id=self.session_id,
            permission_request_id=request.permission_request_id,
            outcome=outcome,
            by=by,
            reason=reason,
            rule_id=rule_id,
        )
        resolution = Resolution(request.permission_request_id, outcome, option_id)
        session = replace(
            self,
            open=tuple(each for each in self.open if each is not request),
            resolved=(*self.resolved, resolution)[-RESOLUTIONS:],
        )
        return Step(session, (event,))

    def _resolve_all(self, outcome: Outcome, *, by: str, reason: str) -> Step:
        step = Step(self)
        for request in self.open:
            next_step = step.session._resolve(request, outcome, by=by, reason=reason)
            step = Step(next_step.session, step.events + next_step.events)
        for question in self.questions.open:
            next_step = step.session._answered(question, "cancel", by=by, reason=reason)
            step = Step(next_step.session, step.events + next_step.events)
        return step

    def _answered(
        self, question: OpenQuestion, outcome: QuestionOutcome, *, by: str, reason: str | None, digest: str = ""
    ) -> Step:
        event = QuestionResolved(
            id=question.turn_id,
            session_id=self.session_id,
            question_id=question.question_id,
            outcome=outcome,
            by=by,
            reason=reason,
        )
        return Step(replace(self, questions=self.questions.without(question, outcome, digest)), (event,))
