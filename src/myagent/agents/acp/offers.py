"""What an agent lets its client choose for a session (model, effort, …), beside the mode, which is the host's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from myagent.agents.rendering import JSON
from myagent.agents.rendering.bounds import cut
from myagent.agents.rendering.state import STATE_CHARS, option_values
from myagent.exceptions import MyagentError

SHOWN_VALUES = 12  # of an option, in an error

_BOOLEANS = {"true": True, "on": True, "false": False, "off": False}


class NotOffered(MyagentError):
    """The operator wants an option, or a value of one, that the agent does not have; `offered` says what it has."""

    def __init__(self, wanted: str, offered: Iterable[str]) -> None:
        self.wanted, self.offered = wanted, tuple(offered)
        super().__init__(wanted, self.offered)

    def __str__(self) -> str:
        more = len(self.offered) - SHOWN_VALUES
        shown = [*self.offered[:SHOWN_VALUES], *([f"{more} more"] if more > 0 else [])]
        return f"it does not offer {self.wanted}" + (
            f"; it offers {', '.join(shown)}" if shown else ", nor anything else"
        )


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing to choose. `method` sets it, with its value as the parameter `field`; `names` are what it goes by."""

    names: tuple[str, ...]
    current: Any
    values: tuple[str, ...]
    boolean: bool = False
    method: str = "session/set_config_option"
    field: str = "value"

    def params(self, value: str, *, called: str) -> JSON:
        """What to send, beside the session's id; raises `NotOffered`, in which the offer is `called` so."""
        chosen: Any = _BOOLEANS.get(value) if self.boolean else value
        if chosen is None or (not self.boolean and value not in self.values):
            raise NotOffered(f"{called}={value}", self.values)
        return {self.field: chosen, **({"configId": self.names[0]} if self.field == "value" else {})}

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
            case {"id": str(ident), "type": "boolean"}:
                found.append(Offer((ident,), option.get("currentValue"), ("true", "false"), boolean=True))
            case {"id": str(ident), "options": list()}:
                names = dict.fromkeys((ident, *(str(option[key]) for key in ("category",) if option.get(key))))
                found.append(Offer(tuple(names), option.get("currentValue"), tuple(option_values(option))))
    match result.get("models"):  # of agents before config options: gemini-cli 0.61
        case {"availableModels": list(rows), **rest} if not any("model" in offer.names for offer in found):
            values = tuple(str(row["modelId"]) for row in rows if isinstance(row, dict) and "modelId" in row)
            found.append(
                Offer(("model",), rest.get("currentModelId"), values, method="session/set_model", field="modelId")
            )
    return tuple(found)


def offer_named(offers: Iterable[Offer], name: str) -> Offer:
    """The offer of that id, else the first of that category; raises `NotOffered`."""
    offers = tuple(offers)
    for place in (0, 1):
        for offer in offers:
            if offer.names[place : place + 1] == (name,):
                return offer
    raise NotOffered(f"the option {name}", (offer.names[0] for offer in offers))
