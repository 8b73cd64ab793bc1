"""The sessions of one agent process: opened, closed when idle, had again, and found by whose they are."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from pathlib import Path

from myagent.agents import Turn, TurnIO
from myagent.agents.acp.process import Process
from myagent.agents.acp.resting import Resting
from myagent.agents.acp.rpc import AUTH_REQUIRED, Connection, RpcError
from myagent.agents.acp.session import Session
from myagent.agents.acp.supervision import Supervision
from myagent.agents.processes.ndjson import AgentGone
from myagent.agents.rendering import JSON
from myagent.exceptions import AgentUnavailable

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 10.0  # for an answer to session/close

# How an earlier session can be had again, in the order in which that is tried: with or without all of it being told
# again. Of one that this process knows nothing needs to be told; of others the long way is the one that more agents
# can go.
_CLOSED_BY_US = ("session/resume", "session/load")
_OF_ANOTHER_PROCESS = ("session/load", "session/resume")


class Sessions:
    """What the process at hand has open. `spare` was opened by the start, for the first new session."""

    def __init__(self, rules: Supervision, cwd: Path, *, idle_seconds: float) -> None:
        self._rules, self._cwd = rules, cwd
        self._ours: dict[str, Session] = {}  # by the id of our session
        self._by_agent_id: dict[str, Session] = {}
        self._opening = 0  # session/new in flight: updates may name a session before its id is known to us
        self._distrusted: set[str] = set()  # those of earlier processes that were seen to act unasked
        self._resting = Resting(idle_seconds, self._close)
        self._process: Process | None = None
        self.spare: Session | None = None
        self._latest: Session | None = None  # what any other session is taken to offer

    def ours(self, session_id: str) -> Session | None:
        """What is at hand of a session of ours."""
        return self._ours.get(session_id)

    def like(self, session_id: str) -> Session | None:
        """One that offers what a session of ours offers, also where that is not at hand."""
        return self._ours.get(session_id) or self.spare or self._latest

    def drop(self, session_id: str) -> None:
        """The agent has deleted its session of one of ours."""
        if (session := self._ours.pop(session_id, None)) is not None:
            self._by_agent_id.pop(session.agent_id, None)

    def forget(self) -> None:
        """The process is another one, or none."""
        self._resting.stop()
        self._distrusted |= {session.agent_id for session in self._ours.values() if session.unasked}
        self._ours.clear()
        self._by_agent_id.clear()
        self.spare = None

    def rest(self, session: Session, process: Process) -> None:
        """No turn runs in it any more: it is closed after a while, if the agent can do that and have it again."""
        again = process.methods & {*_CLOSED_BY_US}
        if again and "session/close" in process.methods and process.connection is not None:
            self._process = process
            self._resting.rest(session)

    def is_busy(self) -> bool:
        """Whether a turn runs in one of them."""
        return any(session.running for session in self._ours.values())

    def commands(self) -> set[str]:
        """What the agent offers as `/NAME`, in any session: it tells a new one a moment after that has begun."""
        told = (session.state.get("commands", []) for session in self._by_agent_id.values())
        return {row["name"] for rows in told for row in rows}

    def named(self, params: JSON) -> Session | None:
        """The session that a message of the agent is about."""
        agent_id = params.get("sessionId")
        if isinstance(agent_id, str) and agent_id not in self._by_agent_id and self._opening:
            self._by_agent_id[agent_id] = Session(agent_id, self._cwd)
        return self._by_agent_id.get(agent_id) if isinstance(agent_id, str) else None

    async def of_turn(self, process: Process, connection: Connection, turn: Turn, io: TurnIO) -> Session:
        """The ACP session of our session: the one at hand, else the earlier one had again, else a new one."""
        session = self._ours.get(turn.session_id)
        if session is not None:
            await self._resting.wake(session)
            if session.is_closed:
                session = await self._again(process, connection, session, io, _CLOSED_BY_US)
        elif turn.agent_session_id is not None:
            earlier = Session(turn.agent_session_id, turn.cwd, unasked=turn.agent_session_id in self._distrusted)
            session = await self._again(process, connection, earlier, io, _OF_ANOTHER_PROCESS)
        if session is None and self.spare is not None and self.spare.cwd == turn.cwd:
            session, self.spare = self.spare, None
            await self._resting.wake(session)
        if session is None or session.is_closed:
            session = await self.new(process, connection, turn.cwd)
        self._ours[turn.session_id] = session
        session.ours, session.mode = turn.session_id, turn.mode
        return session

    async def new(self, process: Process, connection: Connection, cwd: Path) -> Session:
        """A session that nobody has used yet, set to what the operator chose."""
        self._rules.check_directory(cwd, process.own_env)
        self._opening += 1
        try:
            result = await process.call(connection, "session/new", self._rules.opening(cwd))
        finally:
            self._opening -= 1
        agent_id = result.get("sessionId")
        if not isinstance(agent_id, str):
            raise AgentUnavailable(self._rules.label, "its answer to session/new has no sessionId")
        session = self._by_agent_id.setdefault(agent_id, Session(agent_id, cwd))
        session.settle(result)
        await self._rules.choose(session, partial(process.call, connection))
        session.opened()
        self._latest = session
        return session

    async def _again(
        self, process: Process, connection: Connection, session: Session, io: TurnIO, ways: tuple[str, ...]
    ) -> Session | None:
        """An earlier session of the agent's; `None`, having said why, when it cannot be had any more."""
        name = process.info.name
        ways = tuple(way for way in ways if way in process.methods)
        if not ways:
            await io.stderr(f"{name} cannot load its earlier session; this prompt begins a new one\n")
            return None
        self._rules.check_directory(session.cwd, process.own_env)
        self._by_agent_id[session.agent_id] = session
        for way in ways:
            session.replaying = True
            try:
                params = {"sessionId": session.agent_id, **self._rules.opening(session.cwd)}
                result = await process.call(connection, way, params)
                if way == "session/load":
                    await session.quiet()
                break
            except RpcError as error:
                if error.code == AUTH_REQUIRED or way == ways[-1]:
                    del self._by_agent_id[session.agent_id]
                if error.code == AUTH_REQUIRED:
                    raise
                said = error
            finally:
                session.replaying = False
        else:
            await io.stderr(f"{name} lost its earlier session ({said}); this prompt begins a new one\n")
            return None
        session.is_closed = False
        session.settle(result)
        await self._rules.choose(session, partial(process.call, connection))
        session.opened()
        self._latest = session
        return session

    async def _close(self, session: Session) -> None:
        """Close an idle session, as far as the agent goes along."""
        connection = self._process.connection if self._process is not None else None
        if connection is None or connection.ending or session.running is not None:
            return
        if session is self.spare:
            self.spare = None
        session.is_closed = True  # from here on: what becomes of a request that is not answered is not known
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await connection.request("session/close", {"sessionId": session.agent_id})
        except RpcError as error:
            logger.debug("%s: session/close was refused: %s", self._rules.label, error)
            session.is_closed = False
        except (AgentGone, TimeoutError) as error:
            logger.debug("%s: session/close was not answered: %s", self._rules.label, error)
