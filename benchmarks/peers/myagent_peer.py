"""The product itself, as a program that takes the peers' commands: a real `Server` with an agent of the benchmark.

deliver TICKS BATCH      publish events that are committed already: delivery alone
emit TICKS BATCH         the agent says BATCH events, waits until they are committed, and again: the whole way
spawn ARGV               the agent runs a program (arguments as JSON) and its output is the turn's
fill SESSIONS EVENTS     commit that many events, in that many sessions, without showing them
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
import time
from pathlib import Path

from myagent.agents import AgentInfo, Turn, TurnEnd, TurnIO
from myagent.agents.processes.process import child_environment, run
from myagent.core.codec import encode
from myagent.core.messages import AgentStdout, SessionId, UserMessage
from myagent.core.session import Session
from myagent.eventlog import Draft, EventLog, Stored, Unit
from myagent.host.session_store import METADATA
from myagent.server import Server, Settings

CHUNK = "hello hello hell."  # no secret of ours begins as it ends: such an end would be held back, and be an event more
TIME = "2026-01-01T00:00:00.000Z"
FILL = 2000  # events in one unit


class ScriptedAgent:
    """Says what its prompt tells it to: `["emit", ticks, batch]` or `["spawn", argv]`."""

    info = AgentInfo(name="benchmark")
    log: EventLog  # of the server, to wait for commits

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def run(self, turn: Turn, io: TurnIO) -> TurnEnd:
        command, *arguments = json.loads(turn.prompt)
        if command == "emit":
            await self._emit(io, *arguments)
        elif command == "spawn":
            await run(arguments[0], cwd=turn.cwd, env=child_environment(), stdout=io.stdout, stderr=io.stderr)
        return TurnEnd()

    async def _emit(self, io: TurnIO, ticks: int, batch: int) -> None:
        ways = (io.stdout, io.stderr)  # in turn, since what is said the same way is joined into one event
        for _ in range(ticks):
            # The first is committed at once; what is said meanwhile goes together with the next commit.
            for i in range(batch):
                await ways[i % 2](CHUNK)
            for _ in range(min(batch, 2)):
                await self.log.flush()


class Commands:
    """Carries out what comes on stdin."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._host = server.host
        self._prompts = 0
        self._stored: list[Stored] = []

    async def follow(self) -> None:
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := (await lines.readline()).decode().strip():
            command, _, rest = line.partition(" ")
            arguments = json.loads(rest) if rest.startswith("[") else [int(word) for word in rest.split()]
            result = await getattr(self, f"_{command}")(*arguments)
            print("done" if result is None else json.dumps(result), flush=True)

    async def _emit(self, ticks: int, batch: int) -> None:
        await self._turn(["emit", ticks, batch])

    async def _spawn(self, *argv: str) -> None:
        await self._turn(["spawn", argv])

    async def _turn(self, prompt: list[object]) -> None:
        """Run a turn to its end, as if an owner had asked for it."""
        store = self._host.store
        self._prompts += 1
        message = UserMessage(id=f"p{self._prompts}", prompt=json.dumps(prompt))
        async with store.lock:
            session = store.sessions.get(_session(0).session_id) or _session(0)
            step = session.accept(message, by="benchmark", mode="default", now=TIME)
            await store.commit(step, (METADATA, *step.events))
        while store.sessions[session.session_id].running is not None:
            await asyncio.sleep(0.001)

    async def _fill(self, sessions: int, events: int) -> None:
        host = self._host
        for number in range(sessions):
            session = _session(number)
            session_id = session.session_id
            host.sessions.setdefault(session_id, session)
            for start in range(0, events // sessions, FILL):
                await self._commit(session_id, min(FILL, events // sessions - start))
        await self._host.log.flush()
        for stored in self._stored:
            self._host.fanout.window.pos = stored.pos
            self._host.fanout.window.heads[stored.session_id] = stored.seq
        self._stored.clear()

    async def _prepare(self, events: int) -> None:
        """Commit the events that `deliver` publishes next."""
        for start in range(0, events, FILL):
            await self._commit(_session(0).session_id, min(FILL, events - start))
        await self._host.log.flush()

    async def _deliver(self, ticks: int, batch: int) -> dict[str, float]:
        stored, self._stored = self._stored, []
        fanout = self._host.fanout
        writes, began = fanout.writes, time.process_time()
        at = 0
        for _ in range(ticks):
            for event in stored[at : at + batch]:
                fanout.event(event)
            at += batch
            await asyncio.sleep(0)
        return {"writes": fanout.writes - writes, "cpu": time.process_time() - began}

    async def _commit(self, session_id: SessionId, count: int) -> None:
        body = encode(AgentStdout(id="p1", session_id=session_id, chunk=CHUNK))
        self._host.log.write(Unit(self._stored.extend, events=[Draft(session_id, body)] * count))
        await self._host.log.room()


def _session(number: int) -> Session:
    return Session(
        session_id=SessionId(f"remote_20260101000000_{number:08x}"),
        cwd="/",
        created_at=TIME,
        updated_at=TIME,
        agent="benchmark",
        mode="default",
        title=f"session {number}",
    )


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--profile", type=Path)
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    settings = Settings(max_connections=20_000, permission_mode="bypassPermissions", allow_bypass=True)
    agent = ScriptedAgent()
    server = Server(options.workspace, agent, settings)
    agent.log = server.host.log
    async with server:
        print(json.dumps({"port": server.port, "token": server.token}), flush=True)
        profiler = None
        if options.profile:
            import cProfile

            profiler = cProfile.Profile()
            profiler.enable()
        await Commands(server).follow()
        if profiler is not None:
            profiler.disable()
            profiler.dump_stats(options.profile)


if __name__ == "__main__":
    if os.environ.get("PEER_LOOP") == "uvloop":
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
