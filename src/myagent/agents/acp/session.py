"""One session of an ACP agent: what it is set to, what it said while nobody listened, and the turn that runs in it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from myagent.agents import TurnIO
from myagent.agents.acp.modes import Modes
from myagent.agents.acp.offers import Offer, offers_of
from myagent.agents.rendering import JSON
from myagent.agents.rendering.bounds import cut, dicts
from myagent.agents.rendering.state import STATE_CHARS, config_state, state_of
from myagent.agents.showing import Showing
from myagent.core.choices import Value
from myagent.core.messages import PermissionMode

REPLAY_QUIET_SECONDS = 0.1  # without an update after session/load: gemini-cli answers first and replays after
REPLAY_SECONDS = 5.0  # for a replay to become quiet


@dataclass(slots=True)
class Running:
    """A turn between its prompt and its end. `failed` is set when the host's side of it fails."""

    io: TurnIO
    showing: Showing
    failed: asyncio.Future[None]
    asks: set[asyncio.Task[Any]] = field(default_factory=set)
    stopping: bool = False
    idle: bool = False  # the agent said that it has nothing more to do

    async def take(self, update: JSON) -> bool:
        """Say an update; whether there was text in it."""
        self.idle = update.get("sessionUpdate") == "state_update" and update.get("state") == "idle"
        return await self.showing.show(update)

    def fail(self, error: BaseException) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)


@dataclass(slots=True)
class Session:
    """An ACP session. `state` is what latecomers are told; `late` what was said while no turn ran."""

    agent_id: str
    cwd: Path
    modes: Modes | None = None
    offers: tuple[Offer, ...] = ()
    state: JSON = field(default_factory=dict)
    late: list[JSON] = field(default_factory=list)
    lost: int = 0  # updates between turns that were too many to be kept
    ours: str | None = None  # the id of our session
    mode: PermissionMode = "default"  # of its last turn
    calls: dict[str, JSON] = field(default_factory=dict)  # tool calls that were open when their turn ended
    asking: int = 0  # requests for permission that wait for a turn to be shown in
    attended: asyncio.Event = field(default_factory=asyncio.Event)  # a turn runs and all that was `late` is shown
    replaying: bool = False
    heard: asyncio.Event = field(default_factory=asyncio.Event)  # an update came
    running: Running | None = None
    used_at: float = 0.0  # when anybody last said something in it, on the event loop's clock
    is_closed: bool = False  # by us, as nobody used it: to be resumed
    mode_options: set[str] = field(default_factory=set)  # ids of options that say the mode
    unasked: bool = False  # it ran something that nobody was asked about
    standing: bool = False  # a human chose an answer of the agent's that allows more than one call
    before: dict[str, Value] = field(default_factory=dict)  # what each option was before an owner chose
    turn_mode: PermissionMode | None = None  # of the last turn
    unguarded: str = ""  # a choice that is in force by which it may act unasked
    setting: tuple[str, Value] | None = None  # what we are having it set right now

    async def attend(self, running: Running) -> None:
        """Let a turn have what is said here from now on, after what was said before it."""
        self.running, showing = running, running.showing
        showing.carry(self.calls)
        if self.lost:
            await showing.line(f"{self.lost} updates between turns were too many to be kept")
            self.lost = 0
        while self.late:
            await running.take(self.late[0])
            del self.late[0]
        self.attended.set()

    def unattend(self, running: Running) -> None:
        """The turn is over."""
        self.calls = running.showing.open_calls()
        self.running = None
        self.attended.set()  # whoever waits looks again
        self.attended.clear()

    def used(self) -> None:
        self.used_at = asyncio.get_running_loop().time()

    def settle(self, result: JSON) -> None:
        """Take over what the answer to session/new or session/load says of the session."""
        self.modes = Modes.of(result)
        self.offers = offers_of(result)
        if isinstance(result.get("configOptions"), list):
            self._configure(result["configOptions"])
        elif self.offers:
            self.state["config"] = [offer.state() for offer in self.offers]
        if self.modes is not None:
            self.set_mode(self.modes.current)

    def set_mode(self, mode: str) -> None:
        """Take over which mode it is in, also where its options show one as well (qwen-code, mistral-vibe)."""
        if self.modes is not None:
            self.modes.current = mode
        self.state["mode"] = cut(mode, STATE_CHARS)
        if "config" in self.state:
            self.state["config"] = [self._with_mode(row, mode) for row in self.state["config"]]

    def _with_mode(self, row: JSON, mode: str) -> JSON:
        return {**row, "value": mode} if row["id"] in self.mode_options and mode in row["values"] else row

    def chose(self, offer: Offer, value: object, result: JSON) -> None:
        """Take over that an offer was set; `result` is the agent's answer, which may tell all of them anew."""
        if isinstance(result.get("configOptions"), list):
            self.offers = offers_of(result)
            self._configure(result["configOptions"])
            if self.modes is not None:
                self.set_mode(self.modes.current)
            return
        self.offers = tuple(replace(each, current=value) if each is offer else each for each in self.offers)
        for row in self.state["config"]:
            if row["id"] == offer.names[0]:
                row["value"] = value

    def opened(self) -> None:
        """Remember what its options are before an owner chooses."""
        for offer in self.offers:
            if isinstance(offer.current, str | bool):
                self.before.setdefault(offer.option_id, offer.current)

    def follow(self, update: JSON) -> JSON:
        """Take over what an update tells of its state; what is to be told of that. An agent that changed its mode by
        itself is changed back by the next turn."""
        state = state_of(update) or {}
        self.state |= state
        if "config" in state:
            self._configure(update.get("configOptions"))
            kept = (each for each in self.offers if each.method != "session/set_config_option")
            self.offers = (*offers_of(update), *kept)
            if (modes := Modes.of({"configOptions": update.get("configOptions")})) is not None:
                self.set_mode(modes.current)
        elif "mode" in state:
            self.set_mode(str(update.get("currentModeId")))
        if not state.keys() & {"mode", "config"}:
            return state
        return {key: self.state[key] for key in ("mode", "config") if key in self.state}

    def _configure(self, options: Any) -> None:
        self.state["config"] = config_state(options)
        self.mode_options = {str(row.get("id")) for row in dicts(options) if row.get("category") == "mode"}

    async def quiet(self) -> None:
        """Return when the agent has said nothing of this session for a moment."""
        try:
            async with asyncio.timeout(REPLAY_SECONDS):
                while True:
                    self.heard.clear()
                    await asyncio.wait_for(self.heard.wait(), REPLAY_QUIET_SECONDS)
        except TimeoutError:
            return
