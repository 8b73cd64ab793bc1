"""What of a directory's own settings can start a program beside an agent, where the agent has no switch against it.

Programs of hooks and MCP servers run with the rights of whoever hosts the agent, and nobody is asked: a repository may
bring them along. Where an agent can be told not to start them, its preset does so; here are the others, whose programs
are named before they start.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from myagent.agents.acp.presets import UNKNOWN, Preset
from myagent.core.display import escape, shorten
from myagent.exceptions import AgentUnavailable

SETTINGS_BYTES = 1 << 20  # of one file; one that is longer is not read, and so may name anything
COMMAND_CHARS = 200  # of a command, as it is shown
SHOWN = 6  # programs in one refusal

NOT_KNOWN = "its own settings in this directory may start programs: not known"


@dataclass(frozen=True, slots=True, order=True)
class Program:
    """Something that an agent would start: `what` it is, in which file, and its whole command line."""

    file: str
    what: str
    command: str

    def __str__(self) -> str:
        return f"{escape(self.file)}: {escape(self.what)}: {escape(shorten(self.command, COMMAND_CHARS))}"


class StartsPrograms(AgentUnavailable):
    """This directory's settings would have the agent start programs, and nobody has accepted that."""

    def __init__(self, agent: str, programs: tuple[Program, ...]) -> None:
        more = len(programs) - SHOWN
        named = "; ".join([*map(str, programs[:SHOWN]), *([f"{more} more"] if more > 0 else [])])
        super().__init__(
            agent,
            f"this directory's settings have it start programs, and nobody would be asked: {named}",
            "look at these files; --trust-directory hosts it all the same",
        )
        self.programs = programs

    def __str__(self) -> str:
        return f"agent {self.agent} cannot run: {self.reason}\n{self.remedy}"


Reader = Callable[[Path], Iterator[tuple[str, str]]]  # of a file's programs: what each is, its command line


def _codex_servers(path: Path) -> Iterator[tuple[str, str]]:
    servers = tomllib.loads(path.read_text()).get("mcp_servers", {})
    for name, server in servers.items():
        if "command" in server:
            yield f"MCP server {name}", shlex.join([str(server["command"]), *map(str, server.get("args", []))])


def _copilot_hooks(path: Path) -> Iterator[tuple[str, str]]:
    events = json.loads(path.read_text()).get("hooks", {})
    for event, hooks in events.items():
        for hook in hooks:
            yield f"hook {event}", str(hook.get("bash") or hook.get("command") or json.dumps(hook))


def _opencode_file(path: Path) -> Iterator[tuple[str, str]]:
    """Of a plug-in that lies in a directory for plug-ins: it is run as it is."""
    yield "plug-in", path.name


def _opencode_named(path: Path) -> Iterator[tuple[str, str]]:
    text = path.read_text()
    try:
        settings = json.loads(text)
    except ValueError:  # it may hold comments
        for named in re.findall(r'"plugins?"\s*:\s*(.*)|(\\u.*)', text):
            yield "plug-ins", "".join(named)
        return
    for named in (*settings.get("plugin", []), *settings.get("plugins", [])):
        yield "plug-in", str(named)


# By preset: files below the directory, or below one above it, and what of them is started.
_SOURCES: Mapping[str, tuple[tuple[str, Reader], ...]] = {
    "codex": ((".codex/config.toml", _codex_servers),),
    "codex-zed": ((".codex/config.toml", _codex_servers),),
    "opencode": (
        (".opencode/plugin/*", _opencode_file),
        (".opencode/plugins/*", _opencode_file),
        *((f"{place}opencode.json{more}", _opencode_named) for place in ("", ".opencode/") for more in ("", "c")),
    ),
    "copilot": (
        (".github/hooks/*.json", _copilot_hooks),
        (".github/copilot/settings.json", _copilot_hooks),
        (".github/copilot/settings.local.json", _copilot_hooks),
    ),
}


def programs(preset: Preset, cwd: Path, env: Mapping[str, str]) -> tuple[Program, ...]:
    """What the settings of this directory, and of those above it, would have the agent start unasked.

    The user's own settings in the home that `env` names are his. A file that cannot be understood may name anything,
    and is a program by itself. Reads files.
    """
    home = Path(env.get("HOME", "/nonexistent"))
    own = {Path(env.get("CODEX_HOME") or home / ".codex").resolve(), (home / ".opencode").resolve()}
    found = {
        program
        for place in (cwd, *cwd.parents)
        for pattern, reader in _SOURCES.get(preset.name, ())
        for path in place.glob(pattern)
        if own.isdisjoint(path.resolve().parents)
        for program in _read(path, cwd, reader)
    }
    return tuple(sorted(found))


def untold(preset: Preset, version: str) -> str:
    """What is to be said of an agent of which it is not known what this directory's settings start; or nothing."""
    known = preset is not UNKNOWN and preset.directory_known and preset.is_verified(version)
    return "" if known else NOT_KNOWN


def _read(path: Path, cwd: Path, reader: Reader) -> tuple[Program, ...]:
    name = str(path.relative_to(cwd)) if path.is_relative_to(cwd) else str(path)
    try:
        if path.stat().st_size > SETTINGS_BYTES:
            return (Program(name, "too long to be read", "unknown"),)
        return tuple(Program(name, what, command) for what, command in reader(path))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        return (Program(name, "cannot be understood", f"{type(error).__name__}"),)
