"""One process of `claude -p`: the turns that it answers, and what it goes on with between them.

It says of each task in the background that it has begun and ended; of the end it tells the model by itself, whose
answer is a turn that nobody prompted, with a `result` like any other. Seen with claude 2.1.197.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from myagent.agents import Answer, Turn, TurnIO
from myagent.agents.claude.asking import ASKS, answered, question
from myagent.agents.claude.choosing import Started
from myagent.agents.claude.stream import Stream, tool_call
from myagent.agents.claude.talk import ClaudeTalk
from myagent.agents.rendering import JSON
from myagent.agents.rendering.bounds import cut, fit, trimmed
from myagent.agents.rendering.state import commands_state
from myagent.agents.showing import Showing
from myagent.core.messages import Option

LATE = 10_000  # updates and lines between turns that are kept until the host has opened one for them
SUMMARY_CHARACTERS = 400  # of how a task in the background ended

_NOBODY = Answer("cancelled")
_NO_TURN: JSON = {"behavior": "deny", "message": "no turn is running"}
_OPTIONS = (Option("allow", "Allow", "allow_once"), Option("reject", "Reject", "reject_once"))


@dataclass(slots=True)
class Running:
    """A turn between its begin and its end; `failed` is set when it cannot go on. `own`: nobody prompted it."""

    io: TurnIO
    showing: Showing
    failed: asyncio.Future[JSON]
    own: bool = False
    asks: int = 0  # that wait for a human
    stopping: bool = False


class Conversation:
    """What one process says and asks. `session_id` is set when the conversation is there, `busy` while the model is at
    work, `result` how its last turn ended."""

    talk: ClaudeTalk  # set when the process runs
    started: Started  # how it was

    def __init__(self, turn: Turn, speaks: Callable[[Conversation], None] | None) -> None:
        self.turn = turn  # the last that was prompted
        self.session_id: str | None = None
        self.commands: list[JSON] = []
        self.running: Running | None = None
        self.busy, self.asking = False, 0
        self.result: JSON = {}
        self.heard = asyncio.Event()  # something came, or has changed
        self.late: list[JSON | str] = []  # said while no turn ran; text is a line beside
        self.lost = 0
        self._stream = Stream(turn.cwd)
        self._speaks = speaks  # has a turn of its own opened, where there can be any
        self._tasks: set[str] = set()  # in the background
        self._notified = False  # of the end of one the model is about to be told
        self._calls: dict[str, JSON] = {}  # that were open when their turn ended
        self._attended = asyncio.Event()  # a turn runs, and all that is late was shown

    def initialized(self, said: JSON) -> None:
        self.commands = commands_state(said.get("commands"))

    def serves(self, session_id: str | None, started: Started) -> bool:
        """Whether the next prompt can go to this process: the same conversation, started as it would be now."""
        return not self.talk.over.is_set() and self.session_id == session_id and self.started == started

    @property
    def goes_on(self) -> bool:
        """Whether there is more to come, also without a prompt."""
        return self._speaks is not None and bool(self.busy or self._tasks or self._notified or self.is_heard)

    @property
    def is_heard(self) -> bool:
        """Whether there is something to say or ask, and no turn for it."""
        return self.running is None and (self.asking > 0 or any(not isinstance(each, str) for each in self.late))

    async def until_over(self, quiet_seconds: float) -> None:
        """Return when nothing more comes: at once where it says so, else after it was quiet for so long."""
        while not self.talk.over.is_set() and (self.running is not None or self.goes_on):
            waits = None if self.running is not None or self.busy or self._tasks or self.is_heard else quiet_seconds
            self.heard.clear()
            try:
                async with asyncio.timeout(waits):
                    await self.heard.wait()
            except TimeoutError:
                return

    # --- turns -------------------------------------------------------------------------------------------------

    async def attend(self, running: Running) -> None:
        """Let a turn have what is said here from now on, after what was said before it."""
        self.running = running
        running.showing.carry(self._calls)
        if self.lost:
            await running.showing.line(f"{self.lost} updates between turns were too many to be kept")
            self.lost = 0
        while self.late:
            await self._show(running, self.late[0])
            del self.late[0]
        self._attended.set()

    def unattend(self, running: Running) -> None:
        """The turn is over."""
        running.failed.cancel()
        self._calls = running.showing.open_calls()
        self.running = None
        for event in (self._attended, self.heard):
            event.set()
        self._attended.clear()
        if self.is_heard and self._speaks is not None:
            self._speaks(self)

    # --- what it sends -----------------------------------------------------------------------------------------

    async def take(self, message: JSON) -> bool:
        """Handle a message; returns whether anything came of it."""
        try:
            return await self._take(message)
        finally:
            self.heard.set()

    async def _take(self, message: JSON) -> bool:
        said: list[JSON | str] = [*self._stream.updates(message)]
        match message:
            case {"type": "system", "subtype": "init", "session_id": str(session_id)}:
                self.session_id, self.busy, self._notified = session_id, True, False
                if self.running is not None and "model" in message:
                    self.running.io.tell(model=trimmed(message["model"], 120))
                return True
            case {"type": "system", "subtype": "task_started", "task_id": str(task)}:
                self._tasks.add(task)
            case {"type": "system", "subtype": "task_updated", "task_id": str(task), "patch": {"status": "killed"}}:
                self._tasks.discard(task)
            case {"type": "system", "subtype": "task_notification", "task_id": str(task)}:
                self._tasks.discard(task)
                self._notified = True
                said.append(
                    cut(str(message.get("summary") or "a task in the background has ended"), SUMMARY_CHARACTERS)
                )
            case {"type": "result"}:
                self.busy, self.result = False, message
        for each in said:
            await self._told(each)
        return bool(said)

    async def _told(self, said: JSON | str) -> None:
        while (running := self.running) is not None and not self._attended.is_set():
            await self._attended.wait()  # what was said before comes first
        if running is not None:
            await self._show(running, said)
        elif self._speaks is None or len(self.late) >= LATE:
            self.lost += 1
        else:
            self.late.append(said if isinstance(said, str) else fit(said))
            if self.is_heard:
                self._speaks(self)

    async def _show(self, running: Running, said: JSON | str) -> None:
        try:
            await (running.showing.line(said) if isinstance(said, str) else running.showing.show(said))
        except Exception as error:  # the host's side failed
            if not running.own:
                raise  # the turn's result
            self.fail(running, error)

    def fail(self, running: Running, error: Exception) -> None:
        """End a turn with an error of the host's side."""
        if not running.failed.done():
            running.failed.set_exception(error)
        self.heard.set()

    async def may_use(self, request: JSON) -> JSON:
        """Ask permission for a tool, or put a question; the answer as claude wants it."""
        running = await self._asked_in()
        if running is None or running.stopping:
            return _NO_TURN
        running.asks += 1
        try:
            return await self._judged(running, request)
        except Exception as error:
            if running.own:
                self.fail(running, error)
            raise
        finally:
            running.asks -= 1
            self.heard.set()

    async def _asked_in(self) -> Running | None:
        """The turn that a request can be shown in, if there is to be one."""
        self.asking += 1
        try:
            while not self._attended.is_set():
                if self._speaks is None:
                    return None
                if self.running is None:
                    self._speaks(self)
                await self._attended.wait()
                if self.running is not None:
                    break
            return self.running
        finally:
            self.asking -= 1

    async def _judged(self, running: Running, request: JSON) -> JSON:
        given: Any = request.get("input")
        given = given if isinstance(given, dict) else {}
        if request.get("tool_name") == ASKS:
            asked_of_human = question(given)
            if asked_of_human is None:
                return {"behavior": "deny", "message": "the question cannot be shown; ask it in words"}
            return answered(given, await running.io.question(asked_of_human))
        call = tool_call(str(request.get("tool_use_id")), str(request.get("tool_name")), given, self.turn.cwd)
        answer = _NOBODY
        asked = running.showing.asked(call, _OPTIONS)
        try:
            answer = await running.io.ask(asked)
        finally:
            running.showing.answered(asked, answer)
        if answer.kind == "allow":
            return {"behavior": "allow", "updatedInput": given}
        if answer.kind == "cancelled":
            return {"behavior": "deny", "message": "cancelled", "interrupt": True}
        await running.showing.line(answer.refusal)
        return {"behavior": "deny", "message": answer.refusal}
