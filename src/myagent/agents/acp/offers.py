"""What an agent lets its client choose for a session (model, effort, …), beside the mode, which is the host's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from myagent.agents.acp.modes import Modes
from myagent.agents.choosing import NotOffered
from myagent.agents.rendering import JSON
from myagent.agents.rendering.bounds import cut, dicts
from myagent.agents.rendering.state import STATE_CHARS, STATE_ITEMS, option_rows
from myagent.core.choices import Described, Value

_BOOLEANS = {"true": True, "on": True, "false": False, "off": False}


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing to choose. `method` sets it, with its value as the parameter `field`; `names` are what it goes by.
    `title` and `labels` (one for each of `values`) are for humans."""

    names: tuple[str, ...]
    current: Any
    values: tuple[str, ...]
    boolean: bool = False
    method: str = "session/set_config_option"
    field: str = "value"
    category: str | None = None
    title: str = ""
    labels: tuple[str, ...] = ()

    @property
    def option_id(self) -> str:
        return self.names[0]

    def value_of(self, given: Value, *, called: str) -> Value:
        """The value that somebody names; raises `NotOffered`, in which the offer is `called` so."""
        chosen = _BOOLEANS.get(str(given).lower()) if self.boolean else given
        if not isinstance(chosen, bool if self.boolean else str) or (not self.boolean and chosen not in self.values):
            raise NotOffered(f"{called}={given}", self.values)
        return chosen

    def params(self, value: Value, *, called: str) -> JSON:
        """What to send, beside the session's id. Raises as `value_of`."""
        chosen = self.value_of(value, called=called)
        told = {"configId": self.option_id} if self.field == "value" else {}
        return {self.field: chosen, **told, **({"type": "boolean"} if self.boolean else {})}

    def label(self, value: Value) -> str:
        return dict(zip(self.values, self.labels, strict=False)).get(str(value), "")

    def described(self, asks: Iterable[str], before: Value | None) -> Described:
        return Described((*self.names, self.title), self.category, frozenset(asks), before)

    def told(self, describes: Described) -> JSON:
        """As `agentState.options` tells it: what can be chosen, and what of it is guarded."""
        values: list[Value] = [True, False] if self.boolean else list(self.values[:STATE_ITEMS])
        rows = [
            {"value": value if isinstance(value, bool) else cut(value, STATE_CHARS), "name": self.label(value)}
            | ({"guarded": True} if describes.guards(value, self.label(value)) else {})
            for value in values
        ]
        return {
            "id": cut(self.option_id, STATE_CHARS),
            "name": self.title or cut(self.option_id, STATE_CHARS),
            "category": self.category or "",
            "type": "boolean" if self.boolean else "select",
            "value": self.current,
            "values": rows,
        }

    def state(self) -> JSON:
        """As `rendering.state.config_state` makes it of a config option."""
        name = cut(self.names[0], STATE_CHARS)
        return {
            "id": name,
            "name": name,
            "value": self.current,
            "values": [cut(row, STATE_CHARS) for row in self.values],
        }


def offers_of(result: Mapping[str, Any]) -> tuple[Offer, ...]:
    """What the result of session/new, session/load or session/set_config_option offers, without the mode."""
    found = []
    options = result.get("configOptions")
    for option in options if isinstance(options, list) else []:
        match option:
            case {"category": "mode"}:
                continue
            case {"id": str(ident)}:
                found += _offer(ident, option)
    match result.get("models"):  # of agents before config options: gemini-cli 0.61
        case {"availableModels": list(rows), **rest} if not any("model" in offer.names for offer in found):
            values = tuple(str(row["modelId"]) for row in rows if isinstance(row, dict) and "modelId" in row)
            labels = tuple(cut(str(row.get("name", "")), STATE_CHARS) for row in dicts(rows) if "modelId" in row)
            model = Offer(("model",), rest.get("currentModelId"), values, category="model", title="Model")
            found.append(replace(model, method="session/set_model", field="modelId", labels=labels))
    return tuple(found)


def mode_offer(modes: Modes) -> Offer:
    """The modes as one thing to choose."""
    if modes.config_id is None:
        offer = Offer(("mode",), modes.current, modes.available, method="session/set_mode", field="modeId")
    else:
        offer = Offer(tuple(dict.fromkeys((modes.config_id, "mode"))), modes.current, modes.available)
    return replace(offer, category="mode", title="Mode", labels=modes.labels)


def _offer(ident: str, option: JSON) -> list[Offer]:
    category = option["category"] if isinstance(option.get("category"), str) else None
    names = tuple(dict.fromkeys((ident, category))) if category else (ident,)
    title = cut(str(option.get("name", "")), STATE_CHARS)
    if option.get("type") == "boolean":
        switch = Offer(names, option.get("currentValue"), ("true", "false"), boolean=True)
        return [replace(switch, category=category, title=title)]
    if not isinstance(option.get("options"), list):
        return []
    rows = option_rows(option)
    labels = tuple(cut(str(row.get("name", "")), STATE_CHARS) for row in rows)
    select = Offer(names, option.get("currentValue"), tuple(row["value"] for row in rows))
    return [replace(select, category=category, title=title, labels=labels)]


def offer_named(offers: Iterable[Offer], name: str) -> Offer:
    """The offer of that id, else the first of that category; raises `NotOffered`."""
    offers = tuple(offers)
    for place in (0, 1):
        for offer in offers:
            if offer.names[place : place + 1] == (name,):
                return offer
    raise NotOffered(f"the option {name}", (offer.names[0] for offer in offers))
