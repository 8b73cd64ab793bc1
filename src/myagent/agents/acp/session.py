"""One session of an ACP agent: what it is set to, what it said while nobody listened, and the turn that runs in it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path

from myagent.agents import Answer, TurnIO
from myagent.agents.acp.modes import Modes
from myagent.agents.acp.offers import Offer, offers_of
from myagent.agents.rendering import JSON, config_state
from myagent.agents.showing import Showing

REPLAY_QUIET_SECONDS = 0.1  # without an update after session/load: gemini-cli answers first and replays after
REPLAY_SECONDS = 5.0  # for a replay to become quiet


@dataclass(slots=True)
class Running:
    """A turn between its prompt and its end. `failed` is set when the host's side of it fails."""

    io: TurnIO
    showing: Showing
    failed: asyncio.Future[None]
    asks: set[asyncio.Task[Answer]] = field(default_factory=set)
    stopping: bool = False

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
    replaying: bool = False
    heard: asyncio.Event = field(default_factory=asyncio.Event)  # an update came
    running: Running | None = None
    unasked: bool = False  # it ran something that nobody was asked about
    standing: bool = False  # a human chose an answer of the agent's that allows more than one call

    def settle(self, result: JSON) -> None:
        """Take over what the answer to session/new or session/load says of the session."""
        self.modes = Modes.of(result)
        self.offers = offers_of(result)
        if self.modes is not None:
            self.state["mode"] = self.modes.current
        if isinstance(result.get("configOptions"), list):
            self.state["config"] = config_state(result["configOptions"])
        elif self.offers:
            self.state["config"] = [offer.state() for offer in self.offers]

    def chose(self, offer: Offer, value: object, result: JSON) -> None:
        """Take over that an offer was set; `result` is the agent's answer, which may tell all of them anew."""
        if isinstance(result.get("configOptions"), list):
            self.offers = offers_of(result)
            self.state["config"] = config_state(result["configOptions"])
            return
        self.offers = tuple(replace(each, current=value) if each is offer else each for each in self.offers)
        for row in self.state["config"]:
            if row["id"] == offer.names[0]:
                row["value"] = value

    def follow(self, update: JSON) -> None:
        """Notice that the agent changed its mode by itself; the next turn changes it back."""
        if self.modes is None:
            return
        if update.get("sessionUpdate") == "current_mode_update":
            self.modes.current = str(update.get("currentModeId"))
        elif (modes := Modes.of({"configOptions": update.get("configOptions")})) is not None:
            self.modes.current = modes.current
            self.state["mode"] = modes.current

    async def quiet(self) -> None:
        """Return when the agent has said nothing of this session for a moment."""
        try:
            async with asyncio.timeout(REPLAY_SECONDS):
                while True:
                    self.heard.clear()
                    await asyncio.wait_for(self.heard.wait(), REPLAY_QUIET_SECONDS)
        except TimeoutError:
            return
