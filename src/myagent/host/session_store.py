"""The one way by which a session changes. Decide on what is stored, commit the step, then let it be seen.

Steps go through one at a time, so each is decided on committed state and a refused one leaves nothing to undo. Output
of a running turn decides nothing and does not wait here (see `turns.py`).

Architecture invariant: only `SessionStore.commit` puts a session's new state in place, and it does so after the log
has it, together with the answer, the events and whatever begins.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from myagent.core.audit import entry
from myagent.core.codec import encode
from myagent.core.messages import (
    Error,
    Metadata,
    PermissionAllowed,
    PermissionRequest,
    PermissionResolved,
    Question,
    QuestionResolved,
    SessionEvent,
    SessionId,
    SessionMetadata,
)
from myagent.core.refusals import DiskFull, Internal, Refused, StateGone
from myagent.core.session import Session, Step
from myagent.core.telling import metadata
from myagent.core.turn import QueuedTurn
from myagent.delivery.fanout import Fanout
from myagent.eventlog import Draft, EventLog, LogFailed, LogFull, LogGone, LogRefused, PromptKey, Stored, Unit

RETAIN_EVERY = 256  # events published between two looks at what retention may drop
LOOK_SECONDS = 0.5  # between two looks of a command that waits, whether what it waits for waits for space

_log = logging.getLogger(__name__)

TARGET_CHARACTERS = 200  # of what was asked for, in a record of the audit


class Tell(msgspec.Struct, frozen=True):
    """A place among a step's events: here the session's metadata is told, or that its turn could not run."""

    error: Error | None = None


METADATA = Tell()


class SessionStore:
    """The sessions of a workspace, as they are stored, and the way to change them."""

    def __init__(self, log: EventLog, fanout: Fanout, sessions: dict[SessionId, Session], retain: int | None) -> None:
        self.log = log
        self.fanout = fanout
        self.sessions = sessions
        self.lock = asyncio.Lock()  # held from deciding a step to its commit; fair, so commands keep their order
        # Called within a commit: a turn is to run; a permission request is no longer open (with the chosen option).
        self.begins: Callable[[Session, QueuedTurn], None]
        self.resolved: Callable[[PermissionResolved, str | None], None]
        self.held_up: Callable[[SessionId], None]  # within a commit: a prompt waits for a turn of the agent's own
        self.question_resolved: Callable[[QuestionResolved], None]  # as `resolved`
        self.happened: list[Callable[[SessionEvent], None]] = []  # each event of a step; not the agent's output
        self.failed: Callable[[LogFailed], None]  # a fact cannot be stored any more; may be called again
        self.erases: list[Callable[[], Awaitable[None]]] = []  # what else forgets a session that is deleted
        self._latest = max((each.updated_at for each in sessions.values()), default="")
        self._retain = retain
        self._since_retain = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._records: list[bytes] = []  # for the audit, of this turn of the event loop

    @asynccontextmanager
    async def exclusive(self, *, frees: bool = False) -> AsyncIterator[None]:
        """Hold the lock for a command. Raises `Refused` while who has it, with a fact, waits for space."""
        taking = asyncio.ensure_future(self.lock.acquire())
        try:
            while not (await asyncio.wait({taking}, timeout=LOOK_SECONDS))[0]:
                self.check_writable(frees=frees)
        except BaseException:
            if not taking.cancel():
                self.lock.release()
            raise
        try:
            yield
        finally:
            self.lock.release()

    def command(
        self,
        work: Callable[[], Coroutine[Any, Any, None]],
        *,
        refuse: Callable[[Refused], None],
        unstored: Callable[[], str | None] = lambda: None,
        frees: bool = False,
    ) -> None:
        """Carry a command out when those before it are stored; `refuse` is told if it cannot be. One that `frees` space
        is taken although the log has grown to its quota.

        `unstored` does what of it can be done with no space to store it, and says what that was. Raises `DiskFull`.
        """

        async def run() -> None:
            try:
                try:
                    async with self.exclusive(frees=frees):
                        await work()
                except DiskFull:
                    raise DiskFull(unstored()) from None
            except Refused as refusal:
                refuse(refusal)
            except LogRefused as error:  # what the command had to look up could not be read
                refuse(as_refusal(error))
                raise

        try:
            self.check_writable(frees=frees)
        except DiskFull:
            raise DiskFull(unstored()) from None
        self.spawn(run(), "command")

    async def commit(
        self,
        step: Step,
        parts: Sequence[SessionEvent | Tell] | None = None,
        *,
        prompts: Sequence[PromptKey] = (),
        on_stored: Callable[[list[Stored]], None] | None = None,
        fact: bool = False,
        actor: Mapping[str, Any] | None = None,
        audit: Sequence[bytes] = (),
    ) -> None:
        """Store a step; then, in one go: take the new state, answer (`on_stored`), publish, begin what is to run.

        `parts` are the step's events with the places where state is told between them. The lock is the caller's.
        Raises `Refused`; a `fact` waits for space instead. `actor` is who caused it; permission requests and what
        became of them go into the audit from here, the rest of it is `audit`.
        """
        session = step.session
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def committed(stored: list[Stored]) -> None:
            try:
                present = self.sessions.get(session.session_id, session)
                self.sessions[session.session_id] = replace(session, agent_state=present.agent_state)
                if on_stored is not None:
                    on_stored(stored)
                events = iter(stored)
                for part in step.events if parts is None else parts:
                    if not isinstance(part, Tell):
                        self.publish(next(events))
                        for take in self.happened:
                            take(part)
                        if isinstance(part, PermissionResolved):
                            self.resolved(part, session.chosen_option(part.permission_request_id))
                        elif isinstance(part, QuestionResolved):
                            self.question_resolved(part)
                    elif part.error is not None:
                        self.fanout.state(encode(part.error), session_id=session.session_id)
                    else:
                        self.tell_metadata(session.session_id)
                if step.begins is not None:
                    self.begins(session, step.begins)
                if session.is_held_up:
                    self.held_up(session.session_id)
            finally:  # whatever fails here, it is stored, and commits must go on
                if not done.done():
                    done.set_result(None)

        def refused(error: LogRefused) -> None:
            self.lost(error)
            if not done.done():
                done.set_exception(as_refusal(error))

        drafts = [Draft(session.session_id, encode(event)) for event in step.events]
        records = (*audit, *self._permission_records(step, actor or {}))
        document = {str(session.session_id): encode(session)}
        self.write_records()  # they came before
        self.log.write(
            Unit(committed, refused, events=drafts, sessions=document, prompts=prompts, audit=records, fact=fact)
        )
        await done

    async def delete(self, session_id: SessionId, told: bytes, record: bytes) -> None:
        """Let a session be gone, with a record for the audit; then everybody is `told`. The lock is the caller's. Its
        bytes are gone when `log.erase` returns. Raises `Refused`."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def committed(_: list[Stored]) -> None:
            self.sessions.pop(session_id, None)
            self.fanout.forget(session_id)
            self.fanout.state(told, kind=f"session {session_id}", session_id=session_id)
            if not done.done():
                done.set_result(None)

        def refused(error: LogRefused) -> None:
            self.lost(error)
            if not done.done():
                done.set_exception(as_refusal(error))

        self.write_records()
        # A fact, since a log that is over its quota takes those: this is how there is room again.
        self.log.write(Unit(committed, refused, deletes=(session_id,), audit=(record,), fact=True))
        await done

    async def erase(self) -> None:
        """Return when the bytes of deleted sessions are gone. Raises `LogRefused`."""
        for each in self.erases:
            await each()
        await self.log.erase()

    def lost(self, error: LogRefused) -> None:
        """Something could not be stored; if nothing can be any more, whoever runs the server must know."""
        if isinstance(error, LogFailed):
            self.failed(error)

    def publish(self, stored: Stored) -> None:
        """Show an event that was committed."""
        self.fanout.event(stored)
        if self._retain is not None:
            self._since_retain += 1
            if self._since_retain >= min(RETAIN_EVERY, self._retain):
                self._since_retain = 0
                self.spawn(self.log.retain(self._retain), "retain")

    def record(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Put something into the audit that changes no session; it waits for space, and nobody waits for it."""
        if not self._records:
            asyncio.get_running_loop().call_soon(self.write_records)
        self._records.append(entry(kind, now(), fields))

    def write_records(self) -> None:
        """Give the log what `record` took: one unit for a crowd that comes in one turn of the event loop."""
        if self._records:
            self.log.write(Unit(_nothing, audit=tuple(self._records), fact=True))
            self._records = []

    def _permission_records(self, step: Step, actor: Mapping[str, Any]) -> Iterator[bytes]:
        before = self.sessions.get(step.session.session_id)
        digests = {each.permission_request_id: each.digest for each in before.open} if before else {}
        for event in step.events:
            if isinstance(event, Question | QuestionResolved):
                yield _question_record(event, actor)
            if not isinstance(event, PermissionRequest | PermissionAllowed | PermissionResolved):
                continue
            request_id = event.permission_request_id
            fields = {**actor, "session": event.session_id, "turn": event.id, "request": request_id}
            if isinstance(event, PermissionRequest):
                body = event.request
                asked = {"tool": body.tool_name, "title": body.title, "target": _first_line(body.display)}
                asked["digest"] = body.digest
                yield entry("request", now(), {**fields, **asked, "people": body.people if body.people > 1 else None})
            elif isinstance(event, PermissionAllowed):
                count = {"allows": len(event.allowed_by), "people": event.people}
                yield entry("allowed", now(), {**fields, **count, "digest": digests.get(request_id)})
            else:
                kind = "decision" if actor and event.outcome in ("allow", "deny") else "resolved"
                outcome = {"outcome": event.outcome, "digest": digests.get(request_id), "reason": event.reason}
                yield entry(kind, now(), {**fields, **outcome})

    def check_writable(self, *, frees: bool = False) -> None:
        """Refuse a command at once while nothing can be stored."""
        refusing = self.log.refusing
        if refusing is not None and not (frees and isinstance(refusing, LogFull) and refusing.quota is not None):
            raise as_refusal(refusing)

    def keep_state(self, session_id: SessionId, state: dict[str, Any]) -> None:
        """Keep latest-only state that the agent told: in memory at once, stored with the session's next step."""
        encode(state)  # raises here, where the agent told it, what could not be stored or shown later
        session = self.sessions.get(session_id)
        if session is None:
            return  # it was deleted
        kept = {key: value for key, value in {**session.agent_state, **state}.items() if value is not None}
        self.sessions[session_id] = replace(session, agent_state=kept)

    def stamp(self) -> str:
        """When a session changes: now, or just after the last change where the clock was set back, since what is new
        stands above what is old."""
        moment = now()
        if moment < self._latest:
            moment = iso(datetime.fromisoformat(self._latest) + timedelta(milliseconds=1))
        self._latest = moment
        return moment

    def latest_first(self) -> list[Session]:
        return sorted(self.sessions.values(), key=lambda each: each.updated_at, reverse=True)

    def listed(self, *, only: SessionId | None = None) -> list[Metadata]:
        """Every session, or one, the latest first."""
        return [self.metadata(each) for each in self.latest_first() if only in (None, each.session_id)]

    def metadata(self, session: Session) -> Metadata:
        return metadata(session, self.fanout.window.heads.get(session.session_id, 0))

    def tell_metadata(self, session_id: SessionId) -> None:
        message = encode(SessionMetadata(session=self.metadata(self.sessions[session_id])))
        self.fanout.state(message, kind=f"session {session_id}", session_id=session_id)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run something beside; that it failed is never lost."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self) -> None:
        """End what still runs beside; idempotent."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.write_records()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Refused | LogRefused):
            _log.error("task %s failed", task.get_name(), exc_info=error)
        elif error is not None:
            _log.warning("task %s: %s", task.get_name(), error)


def _question_record(event: Question | QuestionResolved, actor: Mapping[str, Any]) -> bytes:
    fields = {**actor, "session": event.session_id, "turn": event.id, "question": event.question_id}
    if isinstance(event, Question):
        return entry("question", now(), {**fields, "target": _first_line(event.message), "url": event.url})
    return entry("answer", now(), {**fields, "outcome": event.outcome, "reason": event.reason})


def _first_line(display: str) -> str:
    """What a request is about, for the audit; the event has all of it."""
    line = next((each for each in display.split("\n") if each.strip()), "")
    return line if len(line) <= TARGET_CHARACTERS else f"{line[:TARGET_CHARACTERS]}…"


def _nothing(_: list[Stored]) -> None:
    """Nobody waits for this."""


def as_refusal(error: LogRefused) -> Refused:
    """What a client is told of a log that refuses."""
    if isinstance(error, LogGone):
        return StateGone()
    return DiskFull() if isinstance(error, LogFull) else Internal()


def now() -> str:
    return iso(datetime.now(UTC))


def iso(time: datetime) -> str:
    """A UTC time as ISO 8601, to the millisecond."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
