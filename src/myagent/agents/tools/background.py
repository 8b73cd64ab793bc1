"""Commands that a model lets run on after its turn: what they write is shown as it comes, in turns of the agent's own
where no other runs; the model reads it later; they end when they are stopped, or with the agent."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from myagent.agents import TurnEnd, TurnIO
from myagent.agents.showing import Showing
from myagent.agents.tools.tail import Tail
from myagent.agents.tools.tools import CommandProposal
from myagent.agents.tools.workspace import ToolFailed
from myagent.agents.work import Work
from myagent.exceptions import MyagentError

LIMIT = 8  # commands of one session at a time
UNREAD_CHARACTERS = 30_000  # of each command's output, the latest, until the model reads it
LATE_CHARACTERS = 64_000  # of all output, the latest, until it is shown


@dataclass(slots=True)
class Command:
    """One that was started; `code` is set when it has ended, `why` when it could not be run."""

    title: str
    task: asyncio.Task[None]
    unread: Tail = field(default_factory=lambda: Tail(UNREAD_CHARACTERS))
    code: int | None = None
    why: str = ""

    @property
    def state(self) -> str:
        if not self.task.done():
            return "it runs still"
        return self.why or (f"it has ended: exit code {self.code}" if self.code is not None else "it was stopped")


class Background:
    """Those of one session. `speaks` is called when there is something to show, and no turn to show it in."""

    def __init__(self, speaks: Callable[[Background], None]) -> None:
        self._speaks = speaks
        self._commands: dict[str, Command] = {}
        self._numbers = itertools.count(1)
        self._showing: Showing | None = None  # of the turn that runs
        self._late: deque[str] = deque()
        self._late_size = self._lost = 0
        self.heard = asyncio.Event()

    @property
    def is_heard(self) -> bool:
        """Whether there is something to show, and no turn for it."""
        return self._showing is None and bool(self._late)

    @property
    def running(self) -> list[str]:
        """What still runs, by name and command."""
        return [f"{name} ({each.title})" for name, each in self._commands.items() if not each.task.done()]

    # --- turns -------------------------------------------------------------------------------------------------

    async def attend(self, showing: Showing) -> None:
        """Show what comes in this turn from now on, after what came before it."""
        if self._lost:
            await showing.line(f"{self._lost:,} characters of commands in the background were too many to be kept")
            self._lost = 0
        while self._late:
            text = self._late.popleft()
            self._late_size -= len(text)
            await showing.beside(text)
        self._showing = showing

    def unattend(self) -> None:
        """The turn is over."""
        self._showing = None
        if self._late:
            self._speaks(self)

    # --- what the model does with them -------------------------------------------------------------------------

    def start(self, proposal: CommandProposal) -> str:
        """Let a command run; what it is called. Raises `ToolFailed`."""
        running = [each for each in self._commands.values() if not each.task.done()]
        if len(running) >= LIMIT:
            raise ToolFailed(f"{LIMIT} commands run in the background already: stop one first")
        name = f"bash_{next(self._numbers)}"
        task = asyncio.create_task(self._run(name, proposal), name=f"background {name}")
        self._commands[name] = Command(proposal.call.title or proposal.call.text, task)
        return name

    def read(self, name: str) -> str:
        """What it has written since that was last read, and how it stands. Raises `ToolFailed`."""
        command = self._find(name)
        unread, command.unread = command.unread.text, Tail(UNREAD_CHARACTERS)
        if command.task.done():
            del self._commands[name]
        return f"{command.state}\n{unread}"

    async def stop(self, name: str) -> str:
        """End it, with all that it left running. Raises `ToolFailed`."""
        await _ended(self._find(name).task)
        return self.read(name)

    async def close(self) -> None:
        """End all of them; idempotent."""
        for command in [*self._commands.values()]:
            await _ended(command.task)

    def _find(self, name: str) -> Command:
        command = self._commands.get(name)
        if command is None:
            known = ", ".join(self._commands) or "none"
            raise ToolFailed(
                f"no command {name!r} runs in the background, or its end was read already; there are: {known}"
            )
        return command

    # --- how they run ------------------------------------------------------------------------------------------

    async def _run(self, name: str, proposal: CommandProposal) -> None:
        async def heard(text: str) -> None:
            self._commands[name].unread.add(text)
            await self._show(text)

        command: Command | None = None
        try:
            code = await proposal.launch(heard, heard)
            command = self._commands[name]
            command.code = code
        except MyagentError as error:
            command = self._commands[name]
            command.why = f"it was not run: {error}"
        finally:
            command = command or self._commands[name]
            how = command.why or ("it was stopped" if command.code is None else f"exit code {command.code}")
            await self._show(f"{name} ({command.title}): {how}\n")

    async def _show(self, text: str) -> None:
        showing = self._showing
        if showing is not None:
            await showing.beside(text)
        else:
            self._late.append(text)
            self._late_size += len(text)
            while self._late_size > LATE_CHARACTERS:
                lost = len(self._late.popleft())
                self._late_size, self._lost = self._late_size - lost, self._lost + lost
            self._speaks(self)
        self.heard.set()


class OwnTurn:
    """A turn that nobody prompted, for what commands in the background write; it ends when they are quiet."""

    def __init__(self, background: Background, quiet_seconds: float, work: Work) -> None:
        self._background, self._quiet_seconds, self._work = background, quiet_seconds, work
        self._hurried = False

    def is_due(self) -> bool:
        return self._background.is_heard

    def hurry(self) -> None:
        self._hurried = True
        self._background.heard.set()

    async def run(self, io: TurnIO) -> TurnEnd:
        return await self._work.run(self._run(io), name="model own turn")

    async def _run(self, io: TurnIO) -> TurnEnd:
        background = self._background
        try:
            await background.attend(Showing(io))
            while not self._hurried:
                background.heard.clear()
                async with asyncio.timeout(self._quiet_seconds):
                    await background.heard.wait()
        except TimeoutError:
            pass
        except asyncio.CancelledError:  # somebody wants it to stop: that is what runs
            await background.close()
            raise
        finally:
            background.unattend()
        return TurnEnd()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
