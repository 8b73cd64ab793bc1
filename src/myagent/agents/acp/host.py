"""Host any agent that speaks the Agent Client Protocol (version 1) on its stdin and stdout.

One agent process serves all sessions of the workspace, each with an ACP session of its own; it starts with the server,
and again with the next prompt when it died. The agent does its own reading and writing: we offer it neither files nor
terminals, so `session/request_permission` is the only thing that it may ask of us.

Safe by default: before every prompt the session is put into the mode that the turn asks for, which for `default` is
one that asks. An agent for which no such mode is known is refused, unless the operator accepted that.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from myagent import __version__
from myagent.agents import Agent, AgentInfo, Answer, ToolCall, Turn, TurnEnd, TurnIO, UnaskedCall
from myagent.agents.acp.agent_turn import end_of
from myagent.agents.acp.presets import UNKNOWN, Preset, recognised
from myagent.agents.acp.rpc import AUTH_REQUIRED, INVALID_PARAMS, METHOD_NOT_FOUND, Connection, RpcError
from myagent.agents.acp.session import Running, Session
from myagent.agents.acp.skills import with_skills
from myagent.agents.acp.supervision import Supervision
from myagent.agents.processes.ndjson import AgentGone
from myagent.agents.rendering import JSON, fit, options_of, state_of, trimmed
from myagent.agents.showing import Showing
from myagent.agents.tripwire import OnUnasked, RanUnasked, Tripwire
from myagent.core.messages import Option
from myagent.core.permissions import allowed_once
from myagent.exceptions import AgentUnavailable

logger = logging.getLogger(__name__)

ACP_VERSION = 1
START_SECONDS = 60.0  # for an answer to anything but a prompt; opencode takes 3 on two busy cores
CANCEL_SECONDS = 5.0  # for a prompt to end after session/cancel, before the agent is killed
LATE_UPDATES = 200  # said between turns, kept for the next one

_NOBODY = Answer("cancelled")
_CANCELLED: JSON = {"outcome": {"outcome": "cancelled"}}


class AcpAgent(Agent):
    """The Agent port over ACP.

    Args:
        argv: The command; without a `preset`, what it says of itself chooses one.
        env: Variables for the agent on top of the inherited ones.
        allow_unsupervised: Host it also when it may run tools without asking.
        on_unasked: What happens when it runs something that nobody was asked about: everybody is told, and `stop` ends
            the turn; `None` is `stop` for an agent that was verified to ask, else `tell`.
        options: What to choose of what each session offers (model, effort, …), by id or category.

    `tally` counts what became of every line of the agent: response; answered, refused (its requests); rendered, passed
    (no text, but the structured update), state, replayed, late, dropped, logged (of no session),
    ignored (of a session that is not ours) (its notifications); garbage.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        preset: Preset = UNKNOWN,
        env: Mapping[str, str] | None = None,
        allow_unsupervised: bool = False,
        options: Mapping[str, str] | None = None,
        on_unasked: OnUnasked | None = None,
        start_seconds: float = START_SECONDS,
        cancel_seconds: float = CANCEL_SECONDS,
    ) -> None:
        self._argv, self._cwd, self._own_env = tuple(argv), cwd, dict(env or {})
        self._start_seconds, self._cancel_seconds = start_seconds, cancel_seconds
        self._label = preset.name if preset is not UNKNOWN else Path(argv[0]).name
        self._rules = Supervision(
            self._label, preset, options or {}, allow_unsupervised=allow_unsupervised, on_unasked=on_unasked
        )
        self._info = AgentInfo(name=self._label)
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._can_load = False
        self._files: TemporaryDirectory[str] | None = None
        self._login = ""  # how to sign in, for a human
        self._sessions: dict[str, Session] = {}  # by the id of our session
        self._by_agent_id: dict[str, Session] = {}
        self._opening = 0  # session/new in flight: updates may name a session before its id is known to us
        self._spare: Session | None = None  # opened by `start`, for the first new session
        self.tally: Counter[str] = Counter()

    @property
    def info(self) -> AgentInfo:
        return self._info

    async def start(self) -> None:
        """Start it, open a session, and see that it asks."""
        try:
            connection = await self._connected()
            session = await self._new(connection, self._cwd)
            await self._rules.supervise(session, "default", partial(self._call, connection))
        except BaseException as error:
            await self.close()
            if isinstance(error, (AgentGone, RpcError)):
                raise self._unavailable(error) from error
            raise
        self._spare = session
        self._info = AgentInfo(
            name=self._info.name,
            version=self._info.version,
            note=self._rules.note(session, self._rules.env(self._own_env)),
            state={key: session.state[key] for key in ("mode", "config") if key in session.state}
            | {"supervision": self._rules.verdict(session)},
        )

    async def run(self, turn: Turn, io: TurnIO) -> TurnEnd:
        try:
            connection = await self._connected()
            session = await self._session(connection, turn, io)
            await self._rules.supervise(session, turn.mode, partial(self._call, connection))
        except (AgentGone, RpcError, AgentUnavailable) as error:
            return self._failed(error, turn.agent_session_id)
        text, left_out = with_skills(turn, self._commands())
        running = session.running = self._begin(session, turn, io)
        prompt = asyncio.create_task(
            connection.request(
                "session/prompt",
                {"sessionId": session.agent_id, "prompt": [{"type": "text", "text": text}]},
            ),
            name=f"acp-prompt-{turn.turn_id}",
        )
        try:
            io.tell(**session.state, supervision=self._rules.verdict(session))
            if turn.mode == "plan" and self._rules.verdict(session) != "verified":
                await io.stderr("plan mode: whether this agent changes nothing in it was not verified\n")
            if left_out:
                await io.stderr(left_out)
            for update in session.late:
                await running.showing.show(update)
            session.late.clear()
            await asyncio.wait({prompt, running.failed}, return_when=asyncio.FIRST_COMPLETED)
            if running.failed.done():
                running.failed.result()
            result = prompt.result()
            await running.showing.finish()
            if running.failed.done():
                running.failed.result()
        except (AgentGone, RpcError) as error:
            await running.showing.close_calls()
            return self._failed(error, session.agent_id)
        finally:
            try:
                await running.showing.finish()
                if not prompt.done() or running.failed.done():
                    await self._stop(connection, session, running, prompt)
            finally:
                session.running = None
                running.failed.cancel()
                for ask in running.asks:
                    ask.cancel()
        reason = result.get("stopReason") if isinstance(result, dict) else None
        if reason != "end_turn":
            await running.showing.close_calls()
        return end_of(result, session.agent_id)

    def _begin(self, session: Session, turn: Turn, io: TurnIO) -> Running:
        """A turn that is about to be prompted; what runs unasked in it is told, where anybody would have been asked."""
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if turn.mode == "bypassPermissions" or self._rules.why_unsupervised(session) not in (
            None,
            ", as it did before",
        ):
            return Running(io, Showing(io), failed)

        def unasked(call: UnaskedCall) -> None:
            if call.standing and not call.swapped:
                return
            session.unasked = True
            if self._rules.stops() and not failed.done():
                failed.set_exception(RanUnasked(self._label, call.title))

        tripwire = Tripwire(sandboxed=self._rules.preset.sandboxed, standing=session.standing)
        return Running(io, Showing(io, tripwire, unasked), failed)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
        files, self._files = self._files, None
        if files is not None:
            files.cleanup()

    # --- starting ----------------------------------------------------------------------------------------------

    async def _connected(self) -> Connection:
        """The running agent; starts it when there is none."""
        async with self._connecting:
            if self._connection is not None and self._connection.ending:
                await self.close()
            if self._connection is None:
                self._sessions.clear()
                self._by_agent_id.clear()
                self._spare = None
                connection = await self._open()
                try:
                    if await self._initialize(connection):
                        await connection.close()
                        connection = await self._open()
                        await self._initialize(connection)
                except BaseException:
                    await connection.close()
                    raise
                self._connection = connection
            return self._connection

    async def _open(self) -> Connection:
        try:
            return await Connection.open(
                self._argv,
                cwd=self._cwd,
                env=self._env(),
                on_notification=self._notified,
                on_request=self._requested,
                tally=self.tally,
            )
        except OSError as error:
            remedy = f"install it with: {self._rules.preset.install}" if self._rules.preset.install else ""
            raise AgentUnavailable(self._label, f"{self._argv[0]}: {error.strerror or error}", remedy) from error

    def _env(self) -> dict[str, str]:
        """The environment of a process that is about to start, and the files that it names, written anew: qwen-code
        changes its own."""
        if not self._rules.preset.files:
            return self._rules.env(self._own_env)
        if self._files is None:
            self._files = TemporaryDirectory(prefix="myagent-")
        return self._rules.env(self._rules.write_files(Path(self._files.name)) | self._own_env)

    async def _initialize(self, connection: Connection) -> bool:
        """Get to know the agent and sign in; true when it must be started again, with what its preset sets."""
        before = self._rules.env(self._own_env)
        result = await self._call(
            connection,
            "initialize",
            {
                "protocolVersion": ACP_VERSION,
                "clientCapabilities": {},
                "clientInfo": {"name": "myagent", "title": "myagent", "version": __version__},
            },
        )
        version = result.get("protocolVersion")
        if version != ACP_VERSION:
            raise AgentUnavailable(self._label, f"it speaks ACP version {version}, and this is version {ACP_VERSION}")
        said = result.get("agentInfo")
        said = said if isinstance(said, dict) else {}
        if self._rules.preset is UNKNOWN:
            self._rules.preset = recognised(str(said.get("name")))
            if self._rules.env(self._own_env) != before or self._rules.preset.files:
                return True
        capabilities = result.get("agentCapabilities")
        self._can_load = isinstance(capabilities, dict) and capabilities.get("loadSession") is True
        name = str(said.get("title") or said.get("name") or self._label)
        self._info = AgentInfo(name=trimmed(name, 100), version=trimmed(str(said.get("version", "")), 100))
        self._rules.version = self._info.version
        methods = result.get("authMethods")
        methods = [row for row in methods if isinstance(row, dict)] if isinstance(methods, list) else []
        self._login = self._rules.preset.login or "; or ".join(
            str(row.get("description") or row.get("name") or row.get("id")) for row in methods
        )
        method = self._rules.preset.auth_method(before, [str(row.get("id")) for row in methods])
        if method is not None:
            await self._call(connection, "authenticate", {"methodId": method})
        return False

    async def _call(self, connection: Connection, method: str, params: JSON) -> JSON:
        """A request with a time limit, for everything but prompts."""
        try:
            async with asyncio.timeout(self._start_seconds):
                result = await connection.request(method, params)
        except TimeoutError:
            if not any(session.running for session in self._sessions.values()):
                connection.kill(f"it did not answer {method}")  # the next prompt starts another one
            raise AgentUnavailable(
                self._label, f"it did not answer {method} within {self._start_seconds:g} seconds"
            ) from None
        return result if isinstance(result, dict) else {}

    # --- sessions ----------------------------------------------------------------------------------------------

    async def _session(self, connection: Connection, turn: Turn, io: TurnIO) -> Session:
        """The ACP session of our session: the one at hand, else the earlier one loaded, else a new one."""
        session = self._sessions.get(turn.session_id)
        if session is None and turn.agent_session_id is not None:
            session = await self._load(connection, turn.agent_session_id, turn.cwd, io)
        if session is None and self._spare is not None and self._spare.cwd == turn.cwd:
            session, self._spare = self._spare, None
        if session is None:
            session = await self._new(connection, turn.cwd)
        self._sessions[turn.session_id] = session
        return session

    def _commands(self) -> set[str]:
        """What it offers as `/NAME`, in any session: it tells a new one a moment after that has begun."""
        told = (session.state.get("commands", []) for session in self._by_agent_id.values())
        return {row["name"] for rows in told for row in rows}

    async def _new(self, connection: Connection, cwd: Path) -> Session:
        self._opening += 1
        try:
            result = await self._call(connection, "session/new", self._rules.opening(cwd))
        finally:
            self._opening -= 1
        agent_id = result.get("sessionId")
        if not isinstance(agent_id, str):
            raise AgentUnavailable(self._label, "its answer to session/new has no sessionId")
        session = self._by_agent_id.setdefault(agent_id, Session(agent_id, cwd))
        session.settle(result)
        await self._rules.choose(session, partial(self._call, connection))
        return session

    async def _load(self, connection: Connection, agent_id: str, cwd: Path, io: TurnIO) -> Session | None:
        """The agent's earlier session; `None`, having said why, when it cannot be had any more."""
        if not self._can_load:
            await io.stderr(f"{self._info.name} cannot load its earlier session; this prompt begins a new one\n")
            return None
        session = self._by_agent_id[agent_id] = Session(agent_id, cwd, replaying=True)
        try:
            params = {"sessionId": agent_id, **self._rules.opening(cwd)}
            result = await self._call(connection, "session/load", params)
            await session.quiet()
        except RpcError as error:
            del self._by_agent_id[agent_id]
            if error.code == AUTH_REQUIRED:
                raise
            await io.stderr(f"{self._info.name} lost its earlier session ({error}); this prompt begins a new one\n")
            return None
        session.replaying = False
        session.settle(result)
        await self._rules.choose(session, partial(self._call, connection))
        return session

    # --- what the agent sends ----------------------------------------------------------------------------------

    async def _notified(self, method: str, params: JSON) -> None:
        session = self._named(params)
        update = params.get("update")
        if session is None:
            self.tally["ignored" if "sessionId" in params else "logged"] += 1
            logger.debug("%s: %s is for no session of ours: %.500s", self._label, method, params)
        elif method == "session/update" and isinstance(update, dict):
            await self._updated(session, update)
        else:
            await self._updated(session, {"sessionUpdate": "_notification", "method": method, "params": params})

    def _named(self, params: JSON) -> Session | None:
        agent_id = params.get("sessionId")
        if isinstance(agent_id, str) and agent_id not in self._by_agent_id and self._opening:
            self._by_agent_id[agent_id] = Session(agent_id, self._cwd)
        return self._by_agent_id.get(agent_id) if isinstance(agent_id, str) else None

    async def _updated(self, session: Session, update: JSON) -> None:
        session.heard.set()
        state, running = state_of(update), session.running
        if state is not None:
            self.tally["state"] += 1
            session.state |= state
            before = session.modes.current if session.modes else None
            session.follow(update)
            if running is not None:
                running.io.tell(**state)
                if session.modes is not None and session.modes.current != before:
                    await running.showing.line(f"the agent changed its mode: {before} → {session.modes.current}")
        elif session.replaying:
            self.tally["replayed"] += 1
        elif running is not None:
            try:
                shown = await running.showing.show(update)
                self.tally["rendered" if shown else "passed"] += 1
            except Exception as error:  # the host's side failed: the turn ends with it, in `run`
                running.fail(error)
        elif len(session.late) < LATE_UPDATES:
            self.tally["late"] += 1
            session.late.append(fit(update))
        else:
            self.tally["dropped"] += 1

    async def _requested(self, method: str, params: JSON) -> Any:
        if method != "session/request_permission":
            raise RpcError(METHOD_NOT_FOUND, f"method not found: {method[:100]}")
        session, call = self._named(params), params.get("toolCall")
        options = options_of(params)
        if not isinstance(call, dict) or not options:
            raise RpcError(INVALID_PARAMS, "a permission request has a toolCall and options")
        running = session.running if session is not None else None
        if running is None or running.stopping:
            return _CANCELLED  # nobody is left who could be asked
        # Made now: the call is asked about as it was sent, and goes on changing.
        ask = asyncio.create_task(_ask(running.io, running.showing.asked(call, options)))
        running.asks.add(ask)
        await asyncio.wait({ask})
        running.asks.discard(ask)
        if ask.cancelled():
            running.showing.answered(call, _NOBODY)
            return _CANCELLED
        if (error := ask.exception()) is not None:
            running.showing.answered(call, _NOBODY)
            running.fail(error)
            return _CANCELLED
        answer = ask.result()
        chosen = chosen_option(answer, options)
        always = any(each.option_id == chosen and each.kind != "allow_once" for each in options)
        running.showing.answered(call, answer if chosen is not None else _NOBODY, always=always)
        if session is not None and always and answer.kind == "allow":
            session.standing = True
        if answer.kind in ("deny", "expired"):  # ACP has no place for the reason
            await running.io.stderr(f"{answer.refusal}\n")
        elif answer.kind == "allow" and chosen is None:
            await running.io.stderr("not allowed: the agent offers no approval for this time only; choose an option\n")
        if chosen is None:
            return _CANCELLED
        return {"outcome": {"outcome": "selected", "optionId": chosen}}

    # --- ending ------------------------------------------------------------------------------------------------

    async def _stop(
        self, connection: Connection, session: Session, running: Running, prompt: asyncio.Task[Any]
    ) -> None:
        """End a turn early: tell the agent, take back what it asked, and kill it when it does not stop."""
        running.stopping = True
        prompt.add_done_callback(_seen)
        try:
            async with asyncio.timeout(self._cancel_seconds):
                await connection.notify("session/cancel", {"sessionId": session.agent_id})
                for ask in running.asks:
                    ask.cancel()
                await asyncio.wait({prompt})
        except (TimeoutError, AgentGone):
            pass  # seen to below
        finally:
            if not prompt.done():
                connection.kill(f"it did not end its turn within {self._cancel_seconds:g} seconds of session/cancel")
        await running.showing.close_calls()

    def _failed(self, error: AgentGone | RpcError | AgentUnavailable, agent_session_id: str | None) -> TurnEnd:
        exit_code = error.exit_code if isinstance(error, AgentGone) else 1
        if isinstance(error, RpcError) and error.code == AUTH_REQUIRED:
            error = self._unavailable(error)
        said = f"the agent answered with an error: {error}" if isinstance(error, RpcError) else str(error)
        return TurnEnd("failed", exit_code, said, agent_session_id)

    def _unavailable(self, error: AgentGone | RpcError) -> AgentUnavailable:
        remedy = self._rules.preset.note
        if isinstance(error, RpcError) and error.code == AUTH_REQUIRED:
            remedy = f"sign in first: {self._login}" if self._login else "sign in first"
        return AgentUnavailable(self._label, str(error).rstrip("."), remedy)


async def _ask(io: TurnIO, call: ToolCall) -> Answer:
    return await io.ask(call)


def chosen_option(answer: Answer, options: tuple[Option, ...]) -> str | None:
    """The option that says what was decided, by kind (ids differ from agent to agent); `None` where there is none.

    An approval is never made wider than it was given: one without an `option_id` allows this one time. Where several
    options do that, they are a choice, and one that nobody made is none.
    """
    if answer.kind == "cancelled":
        return None
    verb = "allow" if answer.kind == "allow" else "reject"
    fitting = {option.option_id: option.kind for option in options if option.kind.startswith(f"{verb}_")}
    if answer.option_id in fitting:
        return answer.option_id
    if verb == "allow" and len(allowed_once(options)) > 1:
        return None
    kinds = ("allow_once",) if verb == "allow" else ("reject_once", "reject_always")
    return next((ident for kind in kinds for ident, its in fitting.items() if its == kind), None)


def _seen(task: asyncio.Task[Any]) -> None:
    """Mark a task's error as known: whoever awaited it has left."""
    if not task.cancelled():
        task.exception()
