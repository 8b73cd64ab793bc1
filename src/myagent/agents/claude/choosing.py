"""What an owner chooses for a session of `claude -p`: its model, its effort, its mode; each turn is started with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from myagent.agents import Turn
from myagent.agents.acp.offers import Offer, offer_named
from myagent.agents.choosing import NeedsBypass, NotOffered
from myagent.agents.rendering import JSON
from myagent.core.choices import Choice, Described, Value

MODES = ("default", "plan", "acceptEdits", "bypassPermissions")
ASKING = frozenset(("default",))  # what its plan mode does was not verified

_MODE = Offer(("mode",), "default", MODES, category="mode", title="Mode")


@dataclass(frozen=True, slots=True)
class Started:
    """How a turn is started: with which arguments; `asks`: so that it asks; and what of the choices does not hold."""

    arguments: tuple[str, ...]
    asks: bool = True
    mode: str = "default"
    said: tuple[str, ...] = ()


@dataclass(slots=True)
class Choices:
    """`given` is what the operator chose; `offers` what claude told, `supervised` whether it is had to ask."""

    given: Mapping[str, str]
    supervised: bool
    offers: tuple[Offer, ...] = field(default=())

    def told(self, choices: Sequence[Choice] = ()) -> list[JSON]:
        """As `agentState.options`."""
        chosen = {each.option_id: each.value for each in choices}
        rows = (offer.told(self._describe(offer)) for offer in self._all())
        return [row | {"value": chosen.get(row["id"], row["value"])} for row in rows]

    def choose(
        self, session_id: str, name: str, value: Value, choices: Sequence[Choice], *, allow_bypass: bool
    ) -> Choice:
        offer = offer_named(self._all(), name)
        value = offer.value_of(value, called=name)
        guarded = self._describe(offer).guards(value)
        if guarded and not allow_bypass:
            raise NeedsBypass(name, value)
        return Choice(offer.option_id, value, offer.current, guarded)

    def start(self, turn: Turn) -> Started:
        """How to start a turn; what the turn's own mode says stands above a chosen one."""
        chosen: dict[str, str] = dict(self.given)
        mode, said = "default", []
        for choice in turn.choices:
            named = f"{choice.option_id}={choice.value}"
            try:
                offer = offer_named(self._all(), choice.option_id)
                value = str(offer.value_of(choice.value, called=offer.option_id))
            except NotOffered:
                said.append(f"{named}, which was chosen, is no longer offered\n")
                continue
            if self._describe(offer).guards(value) and not turn.allow_bypass:
                said.append(f"{named}, which was chosen, needs a server that was started with --allow-bypass\n")
            elif offer.category == "mode":
                mode = value if turn.mode == "default" else mode
            else:
                chosen[offer.option_id] = value
        arguments = tuple(part for name, value in chosen.items() for part in (f"--{name}", value))
        if mode in ASKING:
            return Started(arguments, said=tuple(said))
        sources = ("--setting-sources", "user")
        return Started(("--permission-mode", mode, *sources, *arguments), asks=False, mode=mode, said=tuple(said))

    def _all(self) -> list[Offer]:
        """What it offers, with what each is before anybody chose: as the operator said, else its own first."""
        mode = [_MODE] if self.supervised else []
        known = (replace(each, current=self.given.get(each.option_id, each.values[0])) for each in self.offers)
        return [*mode, *known]

    def _describe(self, offer: Offer) -> Described:
        return offer.described(ASKING, offer.current)
