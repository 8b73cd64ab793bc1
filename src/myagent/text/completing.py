"""What somebody may mean who types `/` at the beginning of a prompt (a command of the agent's) or `@` (a file)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from myagent.text.wording import one_line, whole_line

SHOWN = 6

_COMMAND = re.compile(r"/(\S*)\Z")
_FILE = re.compile(r"(?:^|\s)@(\S*)\Z")
_MENTION = re.compile(r"(?:^|\s)@(\S+)")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is being typed: `part` is what there is of it."""

    kind: Literal["command", "file"]
    part: str


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that may be meant: what is put in, and how it is shown."""

    text: str
    shown: str


def wanted(before: str) -> Wanted | None:
    """What is being typed where `before` is all that stands before the cursor."""
    if (found := _COMMAND.fullmatch(before)) is not None:
        return Wanted("command", found[1])
    if (found := _FILE.search(before)) is not None:
        return Wanted("file", found[1])
    return None


def command_rows(commands: Any, part: str) -> list[Row]:
    """The agent's commands (`agentState.commands`) that begin with what was typed, then those that have it."""
    known = [each for each in commands if isinstance(each, Mapping)] if isinstance(commands, list) else []
    folded = part.casefold()
    meant = [each for each in known if folded in (name := str(each.get("name", ""))).casefold() and _is_plain(name)]
    meant.sort(key=lambda each: not str(each["name"]).casefold().startswith(folded))
    return [Row(str(each["name"]), _shown(each)) for each in meant[:SHOWN]]


def _shown(command: Mapping[str, Any]) -> str:
    hint, says = command.get("hint"), command.get("description")
    name = f"/{command['name']}" + (f" {hint}" if hint else "")
    return one_line(f"{name} – {says}" if says else name)


def file_rows(paths: Iterable[str]) -> list[Row]:
    return [Row(path, one_line(path)) for path in paths if _is_plain(path)][:SHOWN]


def _is_plain(name: str) -> bool:
    """Whether it can be put into what somebody types: it drives no terminal, and is what it looks like."""
    return whole_line(name) == name


def mentions(prompt: str, known: Collection[str]) -> list[str]:
    """The paths that a prompt names with `@`, of those that were offered."""
    return [path for path in dict.fromkeys(_MENTION.findall(prompt)) if path in known]
