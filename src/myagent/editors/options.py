"""What the agent offers to be chosen for a session, as editors know it: config options."""

from __future__ import annotations

from typing import Any

from myagent.core.messages import Metadata, SessionId, SetOption
from myagent.editors.rpc import INVALID_PARAMS, JSON, RpcError

GUARDED = "the agent may act without asking by it, which the server must allow"


def config_options(session: Metadata | None, *, switches: bool, chosen: tuple[str, Any] | None = None) -> list[JSON]:
    """All of them, with one perhaps `chosen` (its id and value) already. `switches`: the editor knows booleans."""
    told = (session.agent_state or {}).get("options") if session is not None else None
    found = []
    for row in told if isinstance(told, list) else []:
        option = _option(row) if isinstance(row, dict) else None
        if option is None or (option["type"] == "boolean" and not switches):
            continue
        if chosen is not None and option["id"] == chosen[0]:
            option["currentValue"] = chosen[1]
        found.append(option)
    return found


def _option(row: JSON) -> JSON | None:
    """One row; `None` for what an editor cannot be shown."""
    option_id, name, category, value = (row.get(key) for key in ("id", "name", "category", "value"))
    if not (isinstance(option_id, str) and isinstance(name, str)):
        return None
    option: JSON = {"id": option_id, "name": name} | ({"category": category} if category else {})
    if row.get("type") == "boolean":
        return option | {"type": "boolean", "currentValue": value is True}
    values = row.get("values")
    rows = [_value(each) for each in (values if isinstance(values, list) else []) if isinstance(each.get("value"), str)]
    if not rows:
        return None
    known = any(each["value"] == value for each in rows)
    return option | {"type": "select", "currentValue": value if known else rows[0]["value"], "options": rows}


def _value(row: JSON) -> JSON:
    told = {"value": row["value"], "name": str(row.get("name") or row["value"])}
    return told | ({"description": GUARDED} if row.get("guarded") else {})


def choice(params: JSON, options: list[JSON], session_id: SessionId, command_id: str) -> SetOption:
    """What `session/set_config_option` asks for. Raises `RpcError`."""
    option = next((each for each in options if each["id"] == params.get("configId")), None)
    if option is None:
        known = ", ".join(each["id"] for each in options) or "none"
        raise RpcError(INVALID_PARAMS, f"this session has no such option; there are: {known}")
    value: Any = params.get("value")
    values = [True, False] if option["type"] == "boolean" else [each["value"] for each in option["options"]]
    if not any(value is each or (isinstance(value, str) and value == each) for each in values):
        raise RpcError(INVALID_PARAMS, f"the option {option['id']} has no such value")
    return SetOption(id=command_id, session_id=session_id, name=option["id"], value=value)
