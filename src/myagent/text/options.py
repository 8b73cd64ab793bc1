"""What an agent offers to be chosen for a session, in words that are safe for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from myagent.core.messages import Metadata, OptionSet
from myagent.text.wording import name_line, one_line, whole_line

GUARDED = "may act unasked"


@dataclass(frozen=True, slots=True)
class Value:
    """One value of an option; `needs_bypass`: the agent may come to act unasked by it."""

    value: str | bool
    name: str
    needs_bypass: bool = False

    def __str__(self) -> str:
        written = written_value(self.value)
        name = f" ({self.name})" if self.name and self.name.casefold() != written.casefold() else ""
        return f"{written}{name}{f': {GUARDED}' if self.needs_bypass else ''}"


@dataclass(frozen=True, slots=True)
class Option:
    """One thing to choose; `option_id` goes back as it came, the rest is for humans."""

    option_id: str
    name: str
    category: str
    current: str | bool | None
    values: tuple[Value, ...]

    def __str__(self) -> str:
        current = "" if self.current is None else written_value(self.current)
        return f"{whole_line(self.option_id)}={current} ({one_line(self.name)})"


def offered(metadata: Metadata | None) -> list[Option]:
    """What a session's agent offers; rows of another shape are passed over."""
    rows = ((metadata.agent_state or {}) if metadata is not None else {}).get("options")
    return [option for row in (rows if isinstance(rows, list) else []) if (option := _option(row)) is not None]


def named(options: list[Option], name: str) -> Option | None:
    """The option of that id, else the first of that category."""
    by_id = (each for each in options if each.option_id == name)
    return next(by_id, next((each for each in options if each.category == name), None))


def lines(options: list[Option]) -> Iterator[str]:
    """Each option, with its values."""
    for option in options:
        yield str(option)
        yield f"  {', '.join(map(str, option.values))}"


def written_value(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else whole_line(value)


def told(event: OptionSet) -> str:
    """What is said of a choice."""
    why = f": {one_line(event.reason)}" if event.reason else ""
    guarded = "; the agent may act unasked" if event.guarded else ""
    chosen = f"{whole_line(event.option_id)}={written_value(event.value)}"
    return f"{chosen} chosen by {name_line(event.by)}{why}{guarded}"


def _option(row: Any) -> Option | None:
    match row:
        case {"id": str(option_id), "value": current, "values": list(rows)}:
            values = tuple(_values(rows))
            known = current if isinstance(current, str | bool) else None
            return Option(option_id, str(row.get("name") or option_id), str(row.get("category") or ""), known, values)
        case _:
            return None


def _values(rows: list[Any]) -> Iterator[Value]:
    for row in rows:
        match row:
            case {"value": (str() | bool()) as value}:
                yield Value(value, one_line(str(row.get("name") or "")), row.get("guarded") is True)
