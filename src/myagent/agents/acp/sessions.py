"""The sessions of one agent process: opened, loaded again, and found by whose they are."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from myagent.agents import Turn, TurnIO
from myagent.agents.acp.process import Process
from myagent.agents.acp.rpc import AUTH_REQUIRED, Connection, RpcError
from myagent.agents.acp.session import Session
from myagent.agents.acp.supervision import Supervision
from myagent.agents.rendering import JSON
from myagent.exceptions import AgentUnavailable


class Sessions:
    """What the process at hand has open. `spare` was opened by the start, for the first new session."""

    def __init__(self, rules: Supervision, cwd: Path) -> None:
        self._rules, self._cwd = rules, cwd
        self._ours: dict[str, Session] = {}  # by the id of our session
        self._by_agent_id: dict[str, Session] = {}
        self._opening = 0  # session/new in flight: updates may name a session before its id is known to us
        self.spare: Session | None = None

    def forget(self) -> None:
        """The process is another one."""
        self._ours.clear()
        self._by_agent_id.clear()
        self.spare = None

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
        """The ACP session of our session: the one at hand, else the earlier one loaded, else a new one."""
        session = self._ours.get(turn.session_id)
        if session is None and turn.agent_session_id is not None:
            session = await self._load(process, connection, turn.agent_session_id, turn.cwd, io)
        if session is None and self.spare is not None and self.spare.cwd == turn.cwd:
            session, self.spare = self.spare, None
        if session is None:
            session = await self.new(process, connection, turn.cwd)
        self._ours[turn.session_id] = session
        return session

    async def new(self, process: Process, connection: Connection, cwd: Path) -> Session:
        """A session that nobody has used yet, set to what the operator chose."""
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
        return session

    async def _load(
        self, process: Process, connection: Connection, agent_id: str, cwd: Path, io: TurnIO
    ) -> Session | None:
        """The agent's earlier session; `None`, having said why, when it cannot be had any more."""
        name = process.info.name
        if not process.can_load:
            await io.stderr(f"{name} cannot load its earlier session; this prompt begins a new one\n")
            return None
        session = self._by_agent_id[agent_id] = Session(agent_id, cwd, replaying=True)
        try:
            params = {"sessionId": agent_id, **self._rules.opening(cwd)}
            result = await process.call(connection, "session/load", params)
            await session.quiet()
        except RpcError as error:
            del self._by_agent_id[agent_id]
            if error.code == AUTH_REQUIRED:
                raise
            await io.stderr(f"{name} lost its earlier session ({error}); this prompt begins a new one\n")
            return None
        session.replaying = False
        session.settle(result)
        await self._rules.choose(session, partial(process.call, connection))
        return session
