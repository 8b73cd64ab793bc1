"""Host `claude -p`: the program of Claude Code by itself, asked for leave through its stdio permission protocol.

Each turn is one process, which loads the conversation by its id; so a turn that was cancelled, or a server that was
started again, leaves nothing to be mended. The protocol is the one that Claude's own SDK speaks, and is not documented.

Safe by default: it runs in the mode that asks, without the settings of the directory that it works in, and with rules
that make it ask for every tool that changes something, whatever its user's own settings allow.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from myagent.agents import Agent, AgentInfo, Outside, Turn, TurnEnd, TurnIO, UnaskedCall
from myagent.agents.acp.directory import untold
from myagent.agents.acp.offers import Offer, offer_named
from myagent.agents.acp.presets import CLAUDE_ASKS, Preset, hosted_env, version_of
from myagent.agents.acp.skills import with_skills
from myagent.agents.acp.supervision import PlanUnverified
from myagent.agents.choosing import NotOffered
from myagent.agents.claude.carried import carried_blocks
from myagent.agents.claude.choosing import Choices, Started
from myagent.agents.claude.conversation import Conversation, Running
from myagent.agents.claude.own_turn import OwnTurn
from myagent.agents.claude.stream import end_of
from myagent.agents.claude.talk import ClaudeTalk, Judged, Refused, Taken
from myagent.agents.processes.ndjson import AgentGone, connected
from myagent.agents.rendering import JSON
from myagent.agents.showing import Showing
from myagent.agents.tripwire import OnUnasked, RanUnasked, Tripwire
from myagent.agents.work import Work
from myagent.core.choices import Choice, Value
from myagent.exceptions import AgentUnavailable

START_SECONDS = 60.0  # for the answer to `initialize`; it takes half of one
CANCEL_SECONDS = 5.0  # for a turn to end after an interrupt, before the process is told to go

_STREAM = (
    *("-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"),
    *("--include-partial-messages", "--replay-user-messages", "--permission-prompt-tool", "stdio"),
)
_ASKING = (
    *("--permission-mode", "default", "--setting-sources", "user"),
    *("--settings", json.dumps({"permissions": {"ask": CLAUDE_ASKS}})),
)


class ClaudePrintAgent(Agent):
    """The Agent port over `claude -p`.

    Args:
        argv: The program, and arguments that come before ours.
        options: `model` and `effort`, as it offers them.
        allow_unsupervised: Follow the user's and the directory's settings, which may allow tools without asking.
        on_unasked: As `AcpAgent`.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        preset: Preset,
        env: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
        allow_unsupervised: bool = False,
        on_unasked: OnUnasked | None = None,
        start_seconds: float = START_SECONDS,
        cancel_seconds: float = CANCEL_SECONDS,
    ) -> None:
        self._cwd, self._preset, self._options = cwd, preset, dict(options or {})
        self._env = hosted_env(os.environ, env)
        self._argv = (*argv, *_STREAM)
        self._supervised = not allow_unsupervised
        self._choices = Choices(self._options, self._supervised)
        self._start_seconds, self._cancel_seconds = start_seconds, cancel_seconds
        self._info = AgentInfo(name=preset.name)
        self._verified = False
        self._on_unasked = on_unasked
        self._unasked: set[str] = set()  # sessions in which it ran something that nobody was asked about
        self._work = Work()
        self._outside: Outside | None = None
        self._going_on: dict[str, Conversation] = {}  # between turns, by session: their processes are kept for that
        self._watched: dict[Conversation, asyncio.Task[None]] = {}
        self.tally: Counter[str] = Counter()

    @property
    def info(self) -> AgentInfo:
        return self._info

    async def start(self) -> None:
        """Start it once, to hear what it offers."""
        try:
            talk = await self._open(Started(()), (), _passed_over, _denied)
            try:
                said = await self._initialize(talk)
            finally:
                await talk.close()
        except (AgentGone, Refused) as error:
            raise AgentUnavailable(self._preset.name, str(error).rstrip("."), self._preset.login) from error
        offers = self._choices.offers = _offers(said)
        for name, value in self._options.items():
            try:
                offer_named(offers, name).params(value, called=name)
            except NotOffered as error:
                raise AgentUnavailable(self._preset.name, str(error)) from error
        alone = len(self._argv) - len(_STREAM) == 1
        version = await asyncio.to_thread(version_of, self._argv[0], self._env) if alone else ""
        version = version.partition(" ")[0]
        self._verified = self._preset.is_verified(version)
        asks = "unverified: it may or may not ask (mode default)"
        if not self._supervised:
            asks = "UNSUPERVISED: it may run tools without asking, as its settings say"
        elif self._verified:
            asks = "asks (mode default), as verified with this version"
        chosen = (f"{name}={value}" for name, value in self._options.items())
        note = "; ".join(part for part in (asks, *chosen, untold(self._preset, version)) if part)
        config = [offer.state() | {"value": self._options.get(offer.names[0])} for offer in offers]
        state = {"mode": "default", "config": config, "options": self._choices.told(), "supervision": self._verdict()}
        self._info = AgentInfo(name="Claude Code", version=version, note=note, state=state, takes=("image",))

    def _verdict(self) -> str:
        if not self._supervised or self._unasked:
            return "unsupervised"
        return "verified" if self._verified else "unverified"

    async def run(self, turn: Turn, io: TurnIO) -> TurnEnd:
        return await self._work.run(self._run(turn, io), name=f"claude turn {turn.turn_id}")

    async def close(self) -> None:
        """Stop what runs, and wait until it has ended; idempotent."""
        await self._work.close()
        watches = [*self._watched.values()]
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)
        for conversation in [*self._going_on.values()]:
            await self._close(conversation)

    async def _run(self, turn: Turn, io: TurnIO) -> TurnEnd:
        earlier = turn.agent_session_id
        if turn.mode == "plan" and self._verdict() == "unverified":
            return TurnEnd("failed", 1, str(PlanUnverified(self._preset.name)), earlier)
        if earlier is not None:
            end = await self._answer(turn, io, resume=("--resume", earlier))
            if end is not None:
                return end
            await io.stderr("Claude Code lost its earlier session; this prompt begins a new one\n")
        end = await self._answer(turn, io)
        return end or TurnEnd("failed", 1, "claude ended before it began")

    async def _answer(self, turn: Turn, io: TurnIO, *, resume: tuple[str, ...] = ()) -> TurnEnd | None:
        """Let one process answer the prompt, the one that still goes on if there is one; `None` when it could not begin
        the session that it was to."""
        started = self._choices.start(turn)
        kept = self._going_on.pop(turn.session_id, None)
        if kept is not None and not kept.serves(turn.agent_session_id, started):
            await kept.talk.close()
            kept = None
        conversation = kept or Conversation(turn, None if self._outside is None else self._speaks)
        conversation.turn, conversation.started = turn, started
        running = self._begin(conversation, io)
        failed, showing = running.failed, running.showing
        if kept is None:
            take, may_use = conversation.take, conversation.may_use
            try:
                conversation.talk = await self._open(started, resume, take, may_use, cwd=turn.cwd)
            except AgentUnavailable as error:
                return TurnEnd("failed", 1, str(error), turn.agent_session_id)
        talk, prompted, result = conversation.talk, False, None
        try:
            await conversation.attend(running)
            if kept is None:
                conversation.initialized(await self._initialize(talk))
            options = self._choices.told(turn.choices)
            verdict = self._verdict() if started.asks else "unsupervised"
            io.tell(mode=started.mode, commands=conversation.commands, supervision=verdict, options=options)
            for line in started.said:
                await io.stderr(line)
            prompt, left_out = with_skills(turn, {row["name"] for row in conversation.commands})
            if left_out:
                await io.stderr(left_out)
            prompted = True
            await talk.prompt(prompt, await carried_blocks(turn.content))
            await asyncio.wait({talk.result, failed}, return_when=asyncio.FIRST_COMPLETED)
            await showing.finish()
            if failed.done():
                await self._interrupt(talk)
            result = await (failed if failed.done() else talk.result)
        except (AgentGone, Refused, AgentUnavailable) as error:
            if resume and conversation.session_id is None and talk.has_ended:
                return None
            code = error.exit_code if isinstance(error, AgentGone) else 1
            return TurnEnd("failed", code, str(error), conversation.session_id or turn.agent_session_id)
        except asyncio.CancelledError:
            running.stopping = True
            if prompted:
                await self._interrupt(talk)
            raise
        finally:
            await showing.finish()
            try:
                if result is None or not conversation.goes_on:
                    await talk.close()
                    await showing.close_calls()
            finally:
                conversation.unattend(running)
            if not talk.over.is_set():
                self._keep(conversation)
        return None if resume and conversation.session_id is None else end_of(result)

    # --- what it does by itself --------------------------------------------------------------------------------

    def attend(self, outside: Outside) -> None:
        self._outside = outside

    def _speaks(self, conversation: Conversation) -> None:
        """Have a turn of its own opened for what it says or asks."""
        assert self._outside is not None
        quiet = self._outside.quiet_seconds
        own = OwnTurn(conversation, partial(self._begin, conversation), self._stop, quiet, self._work)
        if own.is_due():
            self._outside.begin(conversation.turn.session_id, own)

    def _keep(self, conversation: Conversation) -> None:
        """Let a process go on until it has nothing more to do, or the next prompt comes."""
        self._going_on[conversation.turn.session_id] = conversation
        if conversation not in self._watched:
            watch = asyncio.create_task(self._watch(conversation), name=f"claude {conversation.turn.session_id}")
            self._watched[conversation] = watch
            watch.add_done_callback(lambda _: self._watched.pop(conversation))

    async def _watch(self, conversation: Conversation) -> None:
        """Close a process that has nothing more to do, if no prompt has taken it."""
        assert self._outside is not None
        over = asyncio.create_task(conversation.talk.over.wait(), name="claude-over")
        over.add_done_callback(lambda _: conversation.heard.set())
        try:
            await conversation.until_over(self._outside.quiet_seconds)
        finally:
            over.cancel()
        if self._going_on.get(conversation.turn.session_id) is conversation:
            await self._close(conversation)

    async def _stop(self, conversation: Conversation) -> None:
        """End what it does by itself, and all that it left running."""
        await self._interrupt(conversation.talk)
        await self._close(conversation)

    async def _close(self, conversation: Conversation) -> None:
        if self._going_on.get(conversation.turn.session_id) is conversation:
            del self._going_on[conversation.turn.session_id]
        await conversation.talk.close()

    def _begin(self, conversation: Conversation, io: TurnIO) -> Running:
        failed: asyncio.Future[JSON] = asyncio.get_running_loop().create_future()
        return Running(io, self._showing(conversation.turn, io, failed, asks=conversation.started.asks), failed)

    def choose(
        self, session_id: str, name: str, value: Value, choices: Sequence[Choice], *, allow_bypass: bool
    ) -> Choice:
        return self._choices.choose(session_id, name, value, choices, allow_bypass=allow_bypass)

    async def apply(self, session_id: str, choice: Choice) -> None:
        """Each turn is started with what was chosen."""

    def _showing(self, turn: Turn, io: TurnIO, failed: asyncio.Future[JSON], *, asks: bool) -> Showing:
        """A turn's side of what is shown; what runs unasked in it is told, where anybody would have been asked."""
        if turn.mode == "bypassPermissions" or not self._supervised or not asks:
            return Showing(io)

        def unasked(call: UnaskedCall) -> None:
            stops = (self._on_unasked or ("stop" if self._verified else "tell")) == "stop"
            self._unasked.add(turn.session_id)
            if stops and not failed.done():
                failed.set_exception(RanUnasked(self._preset.name, call.title))

        return Showing(io, Tripwire(), unasked)

    async def _open(
        self, started: Started, resume: tuple[str, ...], take: Taken, may_use: Judged, *, cwd: Path | None = None
    ) -> ClaudeTalk:
        asking = _ASKING if self._supervised and started.asks else ()
        argv = (*self._argv, *asking, *started.arguments, *resume)
        try:
            child = await connected(argv, cwd=cwd or self._cwd, env=self._env)
        except OSError as error:
            reason = f"{self._argv[0]}: {error.strerror or error}"
            raise AgentUnavailable(self._preset.name, reason, f"install it with: {self._preset.install}") from error
        return ClaudeTalk(child, self.tally, take=take, may_use=may_use)

    async def _initialize(self, talk: ClaudeTalk) -> JSON:
        try:
            async with asyncio.timeout(self._start_seconds):
                return await talk.control({"subtype": "initialize", "hooks": None})
        except TimeoutError:
            reason = f"it did not answer initialize within {self._start_seconds:g} seconds"
            raise AgentUnavailable(self._preset.name, reason) from None

    async def _interrupt(self, talk: ClaudeTalk) -> None:
        """Have it stop by itself, so that it keeps the conversation; `close` sees to one that does not."""
        try:
            async with asyncio.timeout(self._cancel_seconds):
                await talk.control({"subtype": "interrupt"})
                await asyncio.wait({talk.result})
        except (TimeoutError, AgentGone, Refused):
            pass


async def _passed_over(_: JSON) -> bool:
    return False


async def _denied(_: JSON) -> JSON:
    return {"behavior": "deny", "message": "no turn is running"}


def _offers(said: JSON) -> tuple[Offer, ...]:
    """The models that it tells of, and the efforts that any of them has."""
    models = said.get("models")
    rows = [row for row in models if isinstance(row, dict)] if isinstance(models, list) else []
    values = [row[key] for row in rows for key in ("value", "resolvedModel") if isinstance(row.get(key), str)]
    efforts = [effort for row in rows for effort in row.get("supportedEffortLevels") or [] if isinstance(effort, str)]
    found = (("model", values), ("effort", efforts))
    return tuple(Offer((name,), None, tuple(dict.fromkeys(each))) for name, each in found if each)
