"""A running turn: what its agent says on the way to the log, what it asks, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from myagent.agents import Answer, ToolCall, TurnEnd, TurnIO, UnaskedCall
from myagent.core.codec import encode
from myagent.core.display import escape
from myagent.core.messages import AgentStderr, AgentStdout, SessionId
from myagent.core.questions import Asked, Given
from myagent.core.refusals import Internal
from myagent.eventlog import Draft, LogRefused, Stored, Unit
from myagent.exceptions import MyagentError
from myagent.host.content import Content
from myagent.host.output_redaction import RedactedOutput
from myagent.host.permission_requests import PermissionRequests
from myagent.host.pictured import Pictured
from myagent.host.session_store import SessionStore
from myagent.redaction.redactor import Redactor

GATHER_BYTES = 256 << 10  # of output waiting in memory before the agent is held back
CANCEL_SECONDS = 10.0  # for an agent to stop after a cancel; then its turn ends without it
MAX_INTEGER = 2**53  # beyond it JSON readers disagree
FRAME_OVERHEAD = 2048  # bytes of an output event beside its text: ids of 128 characters, names, the frame's header

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Piece:
    """Output that has not been given to the log."""

    kind: type[AgentStdout] | type[AgentStderr]
    text: list[str]
    update: bytes | None  # JSON


@dataclass(slots=True)
class RunningTurn:
    """What a running turn may say: the host's side of the agent port.

    Output goes to the log at once while nothing of this turn is being committed; what comes during a commit is
    gathered and goes with the next one. So a lone line is not delayed, and a flood becomes few, large events.
    """

    session_id: SessionId
    turn_id: str
    store: SessionStore
    requests: PermissionRequests
    chunk_bytes: int  # of a frame
    redactor: Redactor
    on_unasked: Callable[[str, str], None] | None = None  # calls a human who is not looking
    content: Content | None = None  # keeps the pictures that the agent sends
    end: asyncio.Future[TurnEnd] = field(init=False)  # how it ended; the agent can say nothing after that
    cancelling: bool = False
    _task: asyncio.Task[TurnEnd] | None = None
    _over: bool = False  # the agent has returned; what redaction held back does not wait for room
    _pieces: list[Piece] = field(default_factory=list)
    _size: int = 0  # characters in _pieces
    _committing: bool = False
    _calm: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self, work: Callable[[TurnIO], Awaitable[TurnEnd]]) -> None:
        """Let the agent run the turn."""
        loop = asyncio.get_running_loop()
        self.end = loop.create_future()
        self._task = loop.create_task(self._run(work), name=f"turn {self.turn_id}")
        self._task.add_done_callback(self._ended)

    async def _run(self, work: Callable[[TurnIO], Awaitable[TurnEnd]]) -> TurnEnd:
        redacted = RedactedOutput(self, self.redactor)
        try:
            return await work(redacted if self.content is None else Pictured(redacted, self.content, self.session_id))
        finally:
            self._over = True
            await redacted.finish()

    def cancel(self) -> None:
        """Ask the agent to stop, once; the turn ends when it has, or without it."""
        if self._task is not None and not self.end.done() and not self.cancelling:
            self.cancelling = True
            self._task.cancel()
            asyncio.get_running_loop().call_later(CANCEL_SECONDS, self._abandon)

    def _abandon(self) -> None:
        if not self.end.done():
            _log.error(
                "the agent did not stop within %g s after a cancel; turn %s ends without it",
                CANCEL_SECONDS,
                self.turn_id,
            )
            self.end.set_result(TurnEnd("cancelled", message="cancelled; the agent did not stop"))

    def _ended(self, task: asyncio.Task[TurnEnd]) -> None:
        error = None if task.cancelled() else task.exception()
        if task.cancelled():
            end = TurnEnd("cancelled", message="cancelled")
        elif error is None:
            end = self._checked(task.result())
        elif isinstance(error, MyagentError):
            end = TurnEnd("failed", message=str(error))
        else:
            _log.error("the agent failed in turn %s", self.turn_id, exc_info=error)
            end = TurnEnd("failed", message=str(Internal()))
        if not self.end.done():
            self.end.set_result(self._covered(end))

    def _checked(self, end: TurnEnd) -> TurnEnd:
        """What an agent returned, if it can be stored, and read again at the next start."""
        try:
            message = None if end.message is None else sendable(end.message)
            checked = msgspec.json.decode(encode(replace(end, message=message)), type=TurnEnd)
            if checked.exit_code is not None and abs(checked.exit_code) >= MAX_INTEGER:
                raise OverflowError("the exit code is too large for some clients")
            return checked
        except Exception as error:  # whatever an adapter may have made of it
            _log.error("what the agent returned from turn %s is no TurnEnd", self.turn_id, exc_info=error)
            return TurnEnd("failed", message=str(Internal()))

    def _covered(self, end: TurnEnd) -> TurnEnd:
        message, session_id = end.message, end.agent_session_id
        return replace(
            end,
            message=None if message is None else self.redactor.text(message),
            agent_session_id=session_id if session_id is None or self.redactor.text(session_id) == session_id else None,
        )

    async def stdout(self, text: str, *, update: dict[str, Any] | None = None) -> None:
        await self._say(AgentStdout, text, update)

    async def stderr(self, text: str, *, update: dict[str, Any] | None = None) -> None:
        await self._say(AgentStderr, text, update)

    async def ask(self, call: ToolCall) -> Answer:
        await self.settle()  # what was said before the question is shown before it
        return await self.requests.ask(self.session_id, self.turn_id, call)

    async def question(self, asked: Asked) -> Given:
        await self.settle()
        return await self.requests.questions.ask(self.session_id, self.turn_id, asked)

    async def unasked(self, call: UnaskedCall) -> None:
        covered = escape(call.title)
        told = replace(call, title=covered)
        fields = {"session": self.session_id, "turn": self.turn_id, "tool": covered, "does": call.kind}
        self.store.record(
            "unasked", {**fields, "swapped": call.swapped, "standing": call.standing, "refused": call.refused}
        )
        update = {
            "sessionUpdate": "_myagent/unasked",
            "toolCallId": call.call_id,
            "title": covered,
            "kind": call.kind,
            "swapped": call.swapped,
            "standing": call.standing,
            "refused": call.refused,
        }
        if call.standing and not call.swapped:
            await self.stderr(f"not asked: {told} (an earlier answer may allow it)\n", update=update)
            return
        _log.warning("UNSUPERVISED: session %s: %s", self.session_id, told)
        self.tell(supervision="unsupervised")
        if self.on_unasked is not None:
            self.on_unasked(self.session_id, str(told))
        await self.stderr(f"UNSUPERVISED: {told}\n", update=update)

    def tell(self, **state: Any) -> None:
        self.store.keep_state(self.session_id, state)

    async def settle(self) -> None:
        """Return when all that was said is stored."""
        while self._pieces or self._committing:
            self._calm.clear()
            await self._calm.wait()

    async def _say(self, kind: type[AgentStdout] | type[AgentStderr], text: str, update: dict[str, Any] | None) -> None:
        if self.end.done() or not (text or update):
            return
        last = self._pieces[-1] if self._pieces else None
        if last is not None and last.kind is kind and last.update is None and update is None:
            last.text.append(text)
        else:
            self._pieces.append(Piece(kind, [text], None if update is None else encode(update)))
        self._size += len(text)
        if not self._committing:
            self._commit()
        if self._over:
            return
        while self._size > GATHER_BYTES:
            self._calm.clear()
            await self._calm.wait()
        if not self.cancelling:  # what it says last is one more piece at most, and must not keep it from stopping
            await self.store.log.room()

    def _commit(self) -> None:
        pieces, self._pieces, self._size = self._pieces, [], 0
        drafts = [draft for piece in pieces for draft in self._drafts(piece)]
        self._committing = True
        self.store.log.write(Unit(self._committed, self._lost, events=drafts, fact=True))

    def _committed(self, stored: list[Stored]) -> None:
        for event in stored:
            self.store.publish(event)
        self._committing = False
        if self._pieces:
            self._commit()
        else:
            self._calm.set()

    def _lost(self, error: LogRefused) -> None:
        """The log has failed for good: nothing more of this turn can be shown."""
        self.store.lost(error)
        self._pieces, self._size = [], 0
        self._committing = False
        self._calm.set()

    def _drafts(self, piece: Piece) -> list[Draft]:
        update, drafts = piece.update, []
        for chunk in split("".join(piece.text), self.chunk_bytes - FRAME_OVERHEAD):
            event = piece.kind(id=self.turn_id, session_id=self.session_id, chunk=chunk)
            drafts.append(Draft(self.session_id, encode(event), update))
            update = None
        return drafts


def sendable(text: str) -> str:
    """The text with a question mark for each lone surrogate, which JSON over UTF-8 cannot carry."""
    return text.encode("utf-8", "replace").decode()


def split(text: str, limit: int) -> list[str]:
    """Cut text between characters so that each part takes at most `limit` bytes as a JSON string; the empty text is
    one part."""
    try:
        size = len(msgspec.json.encode(text))
    except UnicodeEncodeError:
        return split(sendable(text), limit)
    if size <= limit:
        return [text]
    count = -(-size // limit)  # parts of equal length, which are then equal in size too, unless the text varies
    step = max(1, len(text) // count)
    return [part for start in range(0, len(text), step) for part in split(text[start : start + step], limit)]
