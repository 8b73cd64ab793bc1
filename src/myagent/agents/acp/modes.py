"""The permission modes of an agent's session, and which of them is meant by ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from myagent.agents.acp.presets import UNKNOWN, Preset
from myagent.agents.rendering.bounds import cut
from myagent.agents.rendering.state import STATE_CHARS
from myagent.core.messages import PermissionMode

# Ids under which agents that we do not know offer a mode that asks: ACP's own example, then what most agents use.
ASKING_IDS = ("ask", "default", "manual")


@dataclass(slots=True)
class Modes:
    """The permission modes of an agent's session: from `modes`, or from the config option whose category is mode."""

    current: str
    available: tuple[str, ...]
    config_id: str | None = None  # set with `session/set_config_option`; `None`: with `session/set_mode`
    labels: tuple[str, ...] = ()  # of `available`, for humans

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> Modes | None:
        """The modes in the result of `session/new` or `session/load`; `None` for an agent without any."""
        match result.get("modes"):
            case {"currentModeId": str(current), "availableModes": list(rows)} if rows:
                return cls._of(current, rows, "id", None)
        options = result.get("configOptions")
        for option in options if isinstance(options, list) else []:
            match option:
                case {"category": "mode", "id": str(ident), "currentValue": str(current), "options": list(rows)}:
                    return cls._of(current, rows, "value", ident)
        return None

    @classmethod
    def _of(cls, current: str, rows: list[Any], key: str, config_id: str | None) -> Modes:
        rows = [row for row in rows if isinstance(row, dict)]
        labels = tuple(cut(str(row.get("name", "")), STATE_CHARS) for row in rows)
        return cls(current, tuple(str(row.get(key)) for row in rows), config_id, labels)

    def asks(self, preset: Preset) -> frozenset[str]:
        """Those of which is known that the agent asks in them, or changes nothing."""
        known = (self.wanted("default", preset), self._first(preset.plan))
        return frozenset(mode for mode in known if mode is not None)

    def wanted(self, mode: PermissionMode, preset: Preset) -> str | None:
        """The agent's mode for ours; `None` when no mode that asks is known, and so none may be used."""
        asking = self._first(preset.asking, *(ASKING_IDS if preset.name == UNKNOWN.name else ()))
        match mode:
            case "plan":
                # Without one of its own it asks, and the host denies.
                return self._first(preset.plan) or asking
            case "bypassPermissions":
                # Without one of its own it asks, and the host allows.
                return self._first(preset.bypass) or asking
            case _:
                return asking

    def planning(self) -> str | None:
        """The mode that the agent itself takes for planning: `plan`, or an address that ends so (copilot)."""
        return next((mode for mode in self.available if re.split(r"[#/]", mode)[-1] == "plan"), None)

    def _first(self, *candidates: str | None) -> str | None:
        return next((mode for mode in candidates if mode is not None and mode in self.available), None)
