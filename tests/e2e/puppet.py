"""An agent whose turns are played by the test: it says, asks and ends what the test tells it to."""

from __future__ import annotations

import asyncio
import os

from myagent.agents import AgentInfo, Answer, Outside, ToolCall, Turn, TurnEnd, TurnIO

# Seconds that a test waits for what must come; only a failing test waits so long. Agents on a busy machine need more.
PATIENCE = float(os.environ.get("MYAGENT_TEST_PATIENCE", "30"))


class Play:
    """A turn that runs, in the hands of the test."""

    def __init__(self, turn: Turn, io: TurnIO) -> None:
        self.turn, self.io = turn, io
        self.cancelled = asyncio.Event()
        self._end: asyncio.Future[TurnEnd] = asyncio.get_running_loop().create_future()
        self._asking: set[asyncio.Task[Answer]] = set()

    async def say(self, text: str) -> None:
        await self.io.stdout(text)

    def ask(self, text: str = "rm -rf build", **call: object) -> asyncio.Task[Answer]:
        """Ask for permission; the task's result is the answer."""
        fields = {"tool_name": "bash", "input": {"command": text}, "text": text, **call}
        task = asyncio.create_task(self.io.ask(ToolCall(**fields)))  # type: ignore[arg-type]
        self._asking.add(task)
        return task

    def end(self, stop_reason: str = "end_turn", **how: object) -> None:
        self._end.set_result(TurnEnd(stop_reason, **how))  # type: ignore[arg-type]

    def fail(self, error: Exception) -> None:
        self._end.set_exception(error)

    async def wait(self) -> TurnEnd:
        try:
            return await self._end
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


class Going:
    """A turn of the agent's own, in the hands of the test; `hurried`: a prompt waits."""

    def __init__(self, begun: asyncio.Queue[Play], turn: Turn) -> None:
        self._begun, self._turn = begun, turn
        self.hurried = False

    def is_due(self) -> bool:
        return True

    def hurry(self) -> None:
        self.hurried = True

    async def run(self, io: TurnIO) -> TurnEnd:
        play = Play(self._turn, io)
        self._begun.put_nowait(play)
        return await play.wait()


class Puppet:
    """An adapter of the agent port."""

    info = AgentInfo("puppet", "1")

    def __init__(self) -> None:
        self._begun: asyncio.Queue[Play] = asyncio.Queue()
        self.runs = 0

    async def begun(self) -> Play:
        """The next turn that begins."""
        return await asyncio.wait_for(self._begun.get(), PATIENCE)

    async def start(self) -> None:
        pass

    async def run(self, turn: Turn, io: TurnIO) -> TurnEnd:
        self.runs += 1
        play = Play(turn, io)
        self._begun.put_nowait(play)
        return await play.wait()

    async def close(self) -> None:
        pass

    def attend(self, outside: Outside) -> None:
        self._outside = outside

    def goes_on(self, turn: Turn) -> Going:
        """Begin a turn of its own, in the session of one that has ended; `begun` gives it."""
        going = Going(self._begun, turn)
        self._outside.begin(turn.session_id, going)
        return going
