"""The latest of each kind of state that an agent tells (mode, commands, settings, usage, title), for latecomers."""

from __future__ import annotations

from typing import Any

from myagent.agents.rendering import JSON
from myagent.agents.rendering.bounds import cut, dicts, trimmed
from myagent.core.display import escape

STATE_ITEMS = 100  # of commands, options, or values of an option kept for latecomers
STATE_CHARS = 120  # of a description kept for latecomers
TITLE_CHARS = 200


def state_of(update: JSON) -> JSON | None:
    """What a state-like update tells, trimmed, as keywords of `TurnIO.tell`; `None` for every other update."""
    match update.get("sessionUpdate"):
        case "available_commands_update":
            return {"commands": commands_state(update.get("availableCommands"))}
        case "config_option_update":
            return {"config": config_state(update.get("configOptions"))}
        case "usage_update":
            return {"usage": {key: update[key] for key in ("used", "size", "cost") if key in update}}
        case "current_mode_update":
            return {"mode": cut(str(update.get("currentModeId")), STATE_CHARS)}
        case "session_info_update":
            title = update.get("title")
            return {"title": cut(title, TITLE_CHARS)} if isinstance(title, str) else {}
        case _:
            return None


def commands_state(commands: Any) -> list[JSON]:
    """The agent's own commands, each with what it is for."""
    kept = []
    for item in dicts(commands)[:STATE_ITEMS]:
        row = {"name": cut(str(item.get("name")), STATE_CHARS)}
        if escape(row["name"]) != row["name"]:  # nobody can type it, nor see what it is
            continue
        if isinstance(item.get("description"), str):
            row["description"] = cut(item["description"], STATE_CHARS)
        match item:  # the protocol's, or claude's
            case {"input": {"hint": str(hint)}} | {"argumentHint": str(hint)} if hint:
                row["hint"] = cut(hint, STATE_CHARS)
        kept.append(row)
    return kept


def config_state(options: Any) -> list[JSON]:
    """The agent's settings with their values, without the prose."""
    return [
        {
            "id": cut(str(item.get("id")), STATE_CHARS),
            "name": cut(str(item.get("name", "")), STATE_CHARS),
            "value": trimmed(item.get("currentValue"), STATE_CHARS),
            "values": [cut(value, STATE_CHARS) for value in option_values(item)[:STATE_ITEMS]],
        }
        for item in dicts(options)[:STATE_ITEMS]
    ]


def option_rows(option: JSON) -> list[JSON]:
    """What a select option offers, each with its `value`, also where they come in groups."""
    rows = dicts(option.get("options"))
    flat = [row for group in rows for row in (dicts(group["options"]) if "options" in group else [group])]
    return [row for row in flat if isinstance(row.get("value"), str)]


def option_values(option: JSON) -> list[str]:
    return [row["value"] for row in option_rows(option)]
