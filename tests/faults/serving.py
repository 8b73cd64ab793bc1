"""Servers under test: one in this process with an agent that does as the prompt says, or the real program."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Self

from myagent.agents import AgentInfo, ToolCall, Turn, TurnEnd, TurnIO
from myagent.eventlog import Stored
from myagent.eventlog.sqlite import SqliteLog
from myagent.server import Server, Settings

ALL = 1 << 40
LOCAL = ("127.0.0.1",)  # as `allowed_hosts`: the port in `Host` is a proxy's
ROOT = Path(__file__).parents[2]
READY_SECONDS = 60.0  # for a start on a machine that does much else


def script(**steps: Any) -> str:
    """A prompt for `ScriptedAgent`: `ask`, `wait` for `go`, then `lines` of `size` characters, eight in every `pace`
    seconds."""
    return json.dumps(steps)


class ScriptedAgent:
    """Does what its prompt says, and counts what it did: the side effects that must not happen twice."""

    def __init__(self) -> None:
        self.info = AgentInfo(name="scripted")
        self.ran: Counter[str] = Counter()  # turns by their id
        self.allowed: Counter[str] = Counter()  # turns whose question was allowed
        self.answers: list[str] = []
        self.go = asyncio.Event()

    async def start(self) -> None:
        pass

    async def run(self, turn: Turn, io: TurnIO) -> TurnEnd:
        self.ran[turn.turn_id] += 1
        steps = json.loads(turn.prompt)
        if steps.get("ask"):
            answer = await io.ask(ToolCall("Touch", {"what": turn.turn_id}, f"touch {turn.turn_id}"))
            self.answers.append(answer.kind)
            if answer.kind != "allow":
                return TurnEnd("cancelled") if answer.kind == "cancelled" else TurnEnd(exit_code=1)
            self.allowed[turn.turn_id] += 1
        if steps.get("wait"):
            await self.go.wait()
        for number in range(steps.get("lines", 0)):
            # By turns, so that each is an event of its own: what follows on the same side is joined.
            say = (io.stdout, io.stderr)[number % 2]
            await say(f"{number:06} {'x' * steps.get('size', 20)}\n")
            if number % 8 == 0:
                await asyncio.sleep(steps.get("pace", 0))
        return TurnEnd()

    async def close(self) -> None:
        pass


class InProcess:
    """A server in this process, which can be stopped in good order and started again on the same workspace."""

    def __init__(self, workspace: Path, settings: Settings, agent: ScriptedAgent | None = None) -> None:
        self.workspace = workspace
        self.settings = settings
        self.agent = agent or ScriptedAgent()

    async def start(self) -> Self:
        self.server = Server(self.workspace, self.agent, self.settings)
        await self.server.start()
        return self

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def token(self) -> str:
        return self.server.token

    async def stop(self, *, hard: bool = False) -> None:
        assert not hard, "one that is to be killed is a process of its own"
        await self.server.close()


class Program:
    """`myagent remote serve`, the real one, in a process of its own."""

    def __init__(self, workspace: Path, *options: str, module: tuple[str, ...] = ("myagent",)) -> None:
        self.workspace = workspace
        self.options = options
        self._module = module  # negative controls run another one
        self.lines: list[str] = []  # that it printed

    async def spawn(self) -> None:
        """Start it without waiting until it is ready."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *self._module, "remote", "serve", "--cwd", str(self.workspace), "--port", "0",
            "--allowed-host", "127.0.0.1", *self.options, cwd=ROOT,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip

    async def ready(self) -> Self:
        """Return when it listens; fails with what it said if it ends instead."""
        assert self.process.stdout is not None
        async with asyncio.timeout(READY_SECONDS):
            while line := (await self.process.stdout.readline()).decode():
                self.lines.append(line.rstrip())
                if line.startswith("[remote] listening "):
                    self.port = int(line.rpartition(":")[2])
                    auth = self.workspace / ".myagent" / "remote" / "auth.json"
                    self.token = str(json.loads(auth.read_bytes())["token"])
                    return self
        await self.process.wait()
        raise AssertionError(f"the server ended instead of starting: {self.lines}")

    async def start(self) -> Self:
        await self.spawn()
        return await self.ready()

    async def stop(self, *, hard: bool = False) -> None:
        """End it: SIGKILL, or SIGTERM and wait."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL if hard else signal.SIGTERM)
        # Its output is read to the end, so that the pipe is not left behind.
        await asyncio.wait_for(self.process.communicate(), READY_SECONDS)


async def stored(workspace: Path) -> dict[str, list[Stored]]:
    """Every event of a workspace's log, by session, while no server runs there."""
    log = SqliteLog(workspace / ".myagent" / "remote" / "sessions.db")
    opened = await log.open()
    try:
        return {session: await log.read_session(session, 0, max_bytes=ALL) for session in opened.sessions}
    finally:
        await log.close()
