"""Which server the command line means, and with which token."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from myagent.auth import load_owner_token
from myagent.cli.remote import DEFAULT_HOST, DEFAULT_PORT
from myagent.exceptions import MyagentError

TOKEN_VARIABLE = "MYAGENT_REMOTE_TOKEN"  # noqa: S105 -- its name, not its value
AUTH_FILE = Path(".myagent") / "remote" / "auth.json"


class NoToken(MyagentError):
    def __str__(self) -> str:
        return (
            f"no token: give --token, set {TOKEN_VARIABLE}, "
            "or run this in the directory that is served (it has .myagent/remote/auth.json)"
        )


def url(arguments: argparse.Namespace) -> str:
    """The server's URL; ends the program with a usage error where the arguments contradict each other."""
    if arguments.url is not None:
        if arguments.host is not None or arguments.port is not None:
            arguments.usage_error("give --url, or --host and --port, not both")
        return str(arguments.url)
    host = arguments.host or DEFAULT_HOST
    port = DEFAULT_PORT if arguments.port is None else arguments.port
    return f"ws://{f'[{host}]' if ':' in host else host}:{port}"


def token(arguments: argparse.Namespace) -> str:
    """Raises `NoToken`, and `UnsafeState` for an auth file that others can read."""
    if arguments.token is not None:
        return str(arguments.token)
    if given := os.environ.get(TOKEN_VARIABLE):
        return given
    here = Path.cwd()
    for directory in (here, *here.parents):
        if os.path.lexists(directory / AUTH_FILE):
            return load_owner_token(directory / AUTH_FILE)
    raise NoToken
