"""Which server the command line means, and with which token."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from myagent import remotes
from myagent.auth import load_owner_token
from myagent.cli.remote import DEFAULT_HOST, DEFAULT_PORT
from myagent.client.errors import BadUrl
from myagent.exceptions import MyagentError

URL_VARIABLE = "MYAGENT_REMOTE_URL"
TOKEN_VARIABLE = "MYAGENT_REMOTE_TOKEN"  # noqa: S105 -- its name, not its value
AUTH_FILE = Path(".myagent") / "remote" / "auth.json"


class NoToken(MyagentError):
    def __str__(self) -> str:
        return (
            f"no token: give --remote (after `myagent remote login`), set {TOKEN_VARIABLE}, "
            "or run this in the directory that is served (it has .myagent/remote/auth.json)"
        )


def url(arguments: argparse.Namespace) -> str:
    """The server's URL; ends the program with a usage error where the arguments contradict each other.

    Raises what `remotes.load` does.
    """
    by_parts = arguments.host is not None or arguments.port is not None
    if (arguments.url is not None) + by_parts + (arguments.remote is not None) > 1:
        arguments.usage_error("give --remote, or --url, or --host and --port: one of them")
    if arguments.remote is not None:
        return remotes.load(arguments.remote).url
    if arguments.url is not None:
        return str(arguments.url)
    if not by_parts and (given := os.environ.get(URL_VARIABLE)):
        return given
    host = arguments.host or DEFAULT_HOST
    port = DEFAULT_PORT if arguments.port is None else arguments.port
    return f"ws://{f'[{host}]' if ':' in host else host}:{port}"


def token(arguments: argparse.Namespace) -> str:
    """Raises `NoToken`, `UnsafeState` for an auth file that others can read, and what `remotes.token` does."""
    if arguments.token is not None:
        return str(arguments.token)
    if arguments.remote is not None:
        return remotes.token(arguments.remote, remotes.load(arguments.remote))
    if given := os.environ.get(TOKEN_VARIABLE):
        return given
    here = Path.cwd()
    for directory in (here, *here.parents):
        if os.path.lexists(directory / AUTH_FILE):
            return load_owner_token(directory / AUTH_FILE)
    raise NoToken


def exit_code(error: MyagentError) -> int:
    """2 where what was given cannot mean a server; 3 where it cannot be reached, or does not allow it."""
    return 2 if isinstance(error, BadUrl | remotes.BadName) else 3
