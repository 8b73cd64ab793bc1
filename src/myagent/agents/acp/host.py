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
from typing import Any

from myagent.agents import Agent, AgentInfo, Outside, Turn, TurnEnd, TurnIO, UnaskedCall
from myagent.agents.acp.agent_turn import end_of
from myagent.agents.acp.asking import permission
from myagent.agents.acp.carried import prompt_blocks
from myagent.agents.acp.choosing import Choices
from myagent.agents.acp.elicitation import elicited
from myagent.agents.acp.operator import NOTHING_SAID, Operator
from myagent.agents.acp.own_turn import OwnTurn
from myagent.agents.acp.presets import UNKNOWN, Preset
from myagent.agents.acp.process import START_SECONDS, Process
from myagent.agents.acp.resting import IDLE_SECONDS
from myagent.agents.acp.rpc import AUTH_REQUIRED, METHOD_NOT_FOUND, Connection, RpcError
from myagent.agents.acp.session import Running, Session
from myagent.agents.acp.sessions import Sessions
from myagent.agents.acp.skills import with_skills
from myagent.agents.acp.supervision import Supervision
from myagent.agents.processes.ndjson import AgentGone
from myagent.agents.rendering import JSON
from myagent.agents.rendering.bounds import fit
from myagent.agents.rendering.state import state_of
from myagent.agents.showing import Showing
from myagent.agents.tripwire import OnUnasked, RanUnasked, Tripwire
from myagent.core.choices import Choice, Value
from myagent.core.messages import PermissionMode
from myagent.exceptions import AgentUnavailable

logger = logging.getLogger(__name__)

CANCEL_SECONDS = 5.0  # for a prompt to end after session/cancel, before the agent is killed
LATE_UPDATES = 200  # said between turns, kept for the next one, where the host opens none for them
ATTENDED_UPDATES = 10_000  # where it does, until it has


class AcpAgent(Agent):
    """The Agent port over ACP.

    Args:
        argv: The command; without a `preset`, what it says of itself chooses one.
        env: Variables for the agent on top of the inherited ones.
        allow_unsupervised: Host it also when it may run tools without asking.
        on_unasked: What happens when it runs something that nobody was asked about: everybody is told, and `stop` ends
            the turn; `None` is `stop` for an agent that was verified to ask, else `tell`.
        options: What to choose of what each session offers (model, effort, …), by id or category.
        idle_seconds: After so long without a word its sessions are closed, where it can have them again; 0: never.
        operator: What he says of the agent's modes and signing in, and which programs of the directory may start.

    `tally` counts what became of every line of the agent: response; answered, refused, taken back (its requests);
    rendered, passed (no text, but the structured update), state, replayed, late, dropped, logged (of no session),
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
        idle_seconds: float = IDLE_SECONDS,
        operator: Operator = NOTHING_SAID,
        start_seconds: float = START_SECONDS,
        cancel_seconds: float = CANCEL_SECONDS,
    ) -> None:
        self._cancel_seconds = cancel_seconds
        self._label = preset.name if preset is not UNKNOWN else Path(argv[0]).name
        self._rules = Supervision(
            self._label,
            preset,
            options or {},
            allow_unsupervised=allow_unsupervised,
            on_unasked=on_unasked,
            operator=operator,
        )
        self.tally: Counter[str] = Counter()
        self._outside: Outside | None = None
        self._cwd = cwd
        self._sessions = Sessions(self._rules, cwd, idle_seconds=idle_seconds)
        self._process = Process(
            argv,
            self._rules,
            cwd=cwd,
            env=env or {},
            start_seconds=start_seconds,
            tally=self.tally,
            is_busy=self._sessions.is_busy,
            started=self._sessions.forget,
            on_notification=self._notified,
            on_request=self._requested,
        )
        self._choices = Choices(self._rules, self._sessions, self._process)

    @property
    def info(self) -> AgentInfo:
        return self._process.info

    async def start(self) -> None:
        """Start it, open a session, and see that it asks."""
        try:
            connection = await self._process.connected()
            session = await self._sessions.new(self._process, connection, self._cwd)
            await self._rules.supervise(session, "default", partial(self._process.call, connection))
        except BaseException as error:
            await self.close()
            if isinstance(error, (AgentGone, RpcError)):
                raise self._process.unavailable(error) from error
            raise
        self._sessions.spare = session
        self._sessions.rest(session, self._process)
        self._process.info = AgentInfo(
            name=self._process.info.name,
            version=self._process.info.version,
            takes=self._process.info.takes,
            note=self._rules.note(session, self._process.env()),
            state={key: session.state[key] for key in ("mode", "config") if key in session.state}
            | ({"options": options} if (options := self._choices.told(session)) else {})
            | {"supervision": self._rules.verdict(session)},
        )

    async def run(self, turn: Turn, io: TurnIO) -> TurnEnd:
        try:
            connection = await self._process.connected()
            session = await self._sessions.of_turn(self._process, connection, turn, io)
            not_held = await self._choices.before_prompt(session, turn, partial(self._process.call, connection))
        except (AgentGone, RpcError, AgentUnavailable) as error:
            return self._failed(error, turn.agent_session_id)
        text, left_out = with_skills(turn, self._sessions.commands())
        blocks = await prompt_blocks(text, turn.content)
        running = session.running = self._begin(session, turn.mode, io, text)
        prompt = asyncio.create_task(
            connection.request(
                "session/prompt",
                {"sessionId": session.agent_id, "prompt": blocks},
            ),
            name=f"acp-prompt-{turn.turn_id}",
        )
        try:
            io.tell(
                **session.state, supervision=self._rules.verdict(session), options=self._choices.told(session) or None
            )
            for line in not_held:
                await io.stderr(line)
            if turn.mode == "plan" and self._rules.verdict(session) != "verified":
                await io.stderr("plan mode: whether this agent changes nothing in it was not verified\n")
            if left_out:
                await io.stderr(left_out)
            await session.attend(running)
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
                session.unattend(running)
                running.failed.cancel()
                for ask in running.asks:
                    ask.cancel()
                self._sessions.rest(session, self._process)
                self._speaks(session)
        reason = result.get("stopReason") if isinstance(result, dict) else None
        if reason != "end_turn":
            await running.showing.close_calls()
        return end_of(result, session.agent_id)

    def _begin(self, session: Session, mode: PermissionMode, io: TurnIO, prompt: str = "") -> Running:
        """A turn that is about to begin; what runs unasked in it is told, where anybody would have been asked."""
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if mode == "bypassPermissions" or self._rules.why_unsupervised(session) not in (
            None,
            ", as it did before",
        ):
            return Running(io, Showing(io, prompt=prompt), failed)

        def unasked(call: UnaskedCall) -> None:
            if call.standing and not call.swapped:
                return
            session.unasked = True
            if self._rules.stops() and not failed.done():
                failed.set_exception(RanUnasked(self._label, call.title))

        tripwire = Tripwire(sandboxed=self._rules.preset.sandboxed, standing=session.standing)
        return Running(io, Showing(io, tripwire, unasked, prompt=prompt), failed)

    def choose(
        self, session_id: str, name: str, value: Value, choices: Sequence[Choice], *, allow_bypass: bool
    ) -> Choice:
        return self._choices.choose(session_id, name, value, choices, allow_bypass=allow_bypass)

    async def apply(self, session_id: str, choice: Choice) -> None:
        await self._choices.apply(session_id, choice)

    async def forget_session(self, session_id: str, agent_session_id: str | None) -> None:
        """Have the agent delete its side of a session of ours, where it can. Raises `AgentUnavailable`."""
        session = self._sessions.ours(session_id)
        agent_id = session.agent_id if session is not None else agent_session_id
        connection = await self._process.connected()
        if agent_id is None or "session/delete" not in self._process.methods:
            return
        try:
            await self._process.call(connection, "session/delete", {"sessionId": agent_id})
        except (AgentGone, RpcError) as error:
            raise self._process.unavailable(error) from error
        self._sessions.drop(session_id)

    async def close(self) -> None:
        self._sessions.forget()
        await self._process.close()

    # --- what the agent sends ----------------------------------------------------------------------------------

    async def _notified(self, method: str, params: JSON) -> None:
        session = self._sessions.named(params)
        update = params.get("update")
        if session is None:
            self.tally["ignored" if "sessionId" in params else "logged"] += 1
            logger.debug("%s: %s is for no session of ours: %.500s", self._label, method, params)
        elif method == "session/update" and isinstance(update, dict):
            await self._updated(session, update)
        else:
            await self._updated(session, {"sessionUpdate": "_notification", "method": method, "params": params})

    async def _updated(self, session: Session, update: JSON) -> None:
        session.heard.set()
        session.used()
        running = session.running
        if state_of(update) is not None:
            self.tally["state"] += 1
            before, offers = session.modes.current if session.modes else None, session.offers
            state = session.follow(update)
            if running is not None:
                if state.keys() & {"mode", "config"}:
                    state = {**state, "options": self._choices.told(session)}
                running.io.tell(**state)
                now = session.modes.current if session.modes is not None else before
                if now != before and (session.setting is None or session.setting[1] != now):
                    await running.showing.line(f"the agent changed its mode: {before} → {now}")
                for line in self._choices.changed_itself(session, offers):
                    await running.showing.line(line)
        elif session.replaying:
            self.tally["replayed"] += 1
        else:
            await self._told(session, update)

    async def _told(self, session: Session, update: JSON) -> None:
        """Show what is no state in the turn that runs, else keep it for the next one."""
        while (running := session.running) is not None and not session.attended.is_set():
            await session.attended.wait()  # what was said before comes first
        if running is not None:
            try:
                shown = await running.take(update)
                self.tally["rendered" if shown else "passed"] += 1
            except Exception as error:  # the host's side failed: the turn ends with it, in `run`
                running.fail(error)
        elif len(session.late) < (LATE_UPDATES if self._outside is None else ATTENDED_UPDATES):
            self.tally["late"] += 1
            session.late.append(fit(update))
            self._speaks(session)
        else:
            self.tally["dropped"] += 1
            session.lost += 1

    async def _requested(self, method: str, params: JSON) -> Any:
        if method == "elicitation/create":
            return await elicited(self._sessions.named(params), params, self._attended)
        if method != "session/request_permission":
            raise RpcError(METHOD_NOT_FOUND, f"method not found: {method[:100]}")
        return await permission(self._sessions.named(params), params, self._attended)

    # --- what it does by itself --------------------------------------------------------------------------------

    def attend(self, outside: Outside) -> None:
        self._outside = outside

    def _speaks(self, session: Session) -> None:
        """Have a turn of its own opened, if it has something to say that nobody is there to hear."""
        connection = self._process.connection
        if self._outside is None or session.ours is None or connection is None or session.running is not None:
            return
        own = OwnTurn(session, connection, partial(self._begin, session, session.mode), self._outside.quiet_seconds)
        if own.is_due():
            self._outside.begin(session.ours, own)

    async def _attended(self, session: Session) -> None:
        """Return when a turn runs that can show a request, if there is to be one."""
        if self._outside is None or session.ours is None or (session.running and session.running.stopping):
            return
        session.asking += 1
        try:
            while not session.attended.is_set():
                self._speaks(session)
                await session.attended.wait()
                if session.running is not None:
                    return
        finally:
            session.asking -= 1

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
            error = self._process.unavailable(error)
        said = f"the agent answered with an error: {error}" if isinstance(error, RpcError) else str(error)
        return TurnEnd("failed", exit_code, said, agent_session_id)


def _seen(task: asyncio.Task[Any]) -> None:
    """Mark a task's error as known: whoever awaited it has left."""
    if not task.cancelled():
        task.exception()
