"""Which MCP servers the operator wants: named as a command, an address, or a file that lists them.

What a directory brings with it is not started because it lies there. A file or a program inside the workspace may have
come with a repository, so those need the operator's word (`--trust-directory`), with which `.mcp.json` counts as well.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from myagent.exceptions import AgentUnavailable

DIRECTORY_FILE = ".mcp.json"
FILE_BYTES = 1 << 20
SERVERS = 32

_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_NAMED = re.compile(r"([A-Za-z0-9_-]{1,32})=(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET = re.compile(r"key|token|secret|password|auth|credential", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class McpServer:
    """One server: a command that is started, or an address. `cwd` is `None` for a directory of its own, empty."""

    name: str
    argv: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: Path | None = None
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def shown(self) -> str:
        """What it is, for a human; without its secrets."""
        if self.url:
            return f"{urlsplit(self.url).scheme}://{urlsplit(self.url).netloc}"
        return shlex.join(self.argv)

    @property
    def secrets(self) -> tuple[str, ...]:
        named = [value for name, value in self.env.items() if _SECRET.search(name)]
        return (*named, *self.headers.values())


class McpUnusable(AgentUnavailable):
    """The operator named a server that cannot be used."""

    def __init__(self, what: str, reason: str, remedy: str = "") -> None:
        super().__init__("model", f"MCP server {what}: {reason}", remedy)


def mcp_servers(
    wanted: Sequence[str], workspace: Path, env: Mapping[str, str], *, trust_directory: bool
) -> tuple[McpServer, ...]:
    """The servers that are meant, each by a name of its own. Reads files, and starts nothing.

    Args:
        wanted: `FILE.json`, `http(s)://…` or a command line, each of the last two with or without `NAME=` before it.
        env: Where `${NAME}` in the operator's files is looked up; our own names (`MYAGENT_…`) are not.

    Raises `McpUnusable`.
    """
    root = workspace.resolve()
    found: list[McpServer] = []
    if trust_directory and (root / DIRECTORY_FILE).is_file():
        found += _of_file(root / DIRECTORY_FILE, root, {})
    for each in wanted:
        text = each.strip()
        if text.endswith(".json") and Path(text).expanduser().is_file():
            path = Path(text).expanduser().resolve()
            if path.is_relative_to(root) and not trust_directory:
                raise McpUnusable(text, "the file lies in the directory itself", "--trust-directory takes it")
            found += _of_file(path, path.parent, env)
        else:
            found.append(_of_text(text))
    names = [server.name for server in found]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise McpUnusable(", ".join(sorted(doubled)), "there are several of that name", "write NAME=COMMAND")
    if len(found) > SERVERS:
        raise McpUnusable(found[-1].name, f"there are more than {SERVERS}")
    if not trust_directory:
        for server in found:
            _refuse_inside(server, root)
    return tuple(found)


def _of_text(text: str) -> McpServer:
    named = _NAMED.fullmatch(text)
    name, rest = (named[1], named[2].strip()) if named else ("", text)
    if rest.startswith(("http://", "https://")):
        return _address(name or re.sub(r"\W", "-", urlsplit(rest).hostname or "")[:32], rest, {})
    try:
        argv = tuple(shlex.split(rest))
    except ValueError as error:
        raise McpUnusable(text, f"is no command line ({error})") from error
    if not argv:
        raise McpUnusable(text, "nothing is named", "name a command, an address, or a file that ends in .json")
    return McpServer(name or re.sub(r"[^A-Za-z0-9_-]", "-", Path(argv[0]).name)[:32], argv)


def _of_file(path: Path, base: Path, env: Mapping[str, str]) -> list[McpServer]:
    """The servers of a file in the form that most programs have for it: `{"mcpServers": {NAME: {…}}}`."""
    try:
        data = path.read_bytes()
        listed = json.loads(data) if len(data) <= FILE_BYTES else None
    except (OSError, ValueError, RecursionError) as error:
        raise McpUnusable(str(path), f"cannot be read: {error}") from error
    servers = listed.get("mcpServers") if isinstance(listed, dict) else None
    if not isinstance(servers, dict):
        raise McpUnusable(str(path), 'has no "mcpServers"')
    return [_entry(name, entry, base, env) for name, entry in servers.items() if not _is_off(entry)]


def _is_off(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.get("disabled") is True


def _entry(name: str, entry: Any, base: Path, env: Mapping[str, str]) -> McpServer:
    def filled(text: str) -> str:
        return _VARIABLE.sub(lambda each: "" if each[1].startswith("MYAGENT_") else env.get(each[1], ""), text)

    if not _NAME.fullmatch(name):
        raise McpUnusable(name[:40], "a name has letters, digits, - and _, and at most 32 of them")
    match entry:
        case {"url": str(url)}:
            return _address(name, url, {key: filled(value) for key, value in _texts(name, entry, "headers").items()})
        case {"command": str(command)} if command:
            arguments = entry.get("args", [])
            if not isinstance(arguments, list) or not all(isinstance(each, str) for each in arguments):
                raise McpUnusable(name, "its args are no list of texts")
            cwd = entry.get("cwd")
            more = {key: filled(value) for key, value in _texts(name, entry, "env").items()}
            where = base / os.path.expanduser(cwd) if isinstance(cwd, str) else None
            return McpServer(name, (command, *map(filled, arguments)), more, where)
        case _:
            raise McpUnusable(name, "has neither a command nor a url")


def _texts(name: str, entry: Mapping[str, Any], key: str) -> dict[str, str]:
    value = entry.get(key, {})
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise McpUnusable(name, f"its {key} are no texts")
    return value


def _address(name: str, url: str, headers: Mapping[str, str]) -> McpServer:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise McpUnusable(name, "its url is no address (a password belongs into a header)")
    return McpServer(name, url=url, headers=headers)


def _refuse_inside(server: McpServer, root: Path) -> None:
    """Nothing that lies in the workspace: the program, a script that it is given, or the directory that it runs in."""
    places = [server.cwd] if server.cwd is not None else []
    for place, word in enumerate(server.argv):
        if os.sep in word or place == 0:
            path = Path(os.path.expanduser(word))
            if path.is_absolute() and path.is_file():
                places.append(path)
            elif (place == 0 and os.sep in word) or (place > 0 and (root / path).is_file()):
                raise McpUnusable(server.name, f"{word} is looked for in the directory itself", "write its whole path")
    if any(place.resolve().is_relative_to(root) for place in places):
        raise McpUnusable(server.name, "it lies in the directory itself", "--trust-directory takes it")
