"""The server of the directory here: whether one runs, where it listens, and the token that it keeps there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from myagent.access.asking import ask
from myagent.access.credentials import load_owner_token
from myagent.access.registry import AskStatus
from myagent.access.state_directory import why_untrusted
from myagent.client.address import Address
from myagent.client.errors import ClientError
from myagent.exceptions import MyagentError

AUTH_FILE = Path(".myagent") / "remote" / "auth.json"
ANYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- how to reach here what listens everywhere


class NoServerHere(ClientError):
    """No server runs in the directory here, or above; no token was shown to anybody."""

    transient = True  # one may be started again, at another port

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.directory = directory

    def __str__(self) -> str:
        return (
            f"no server runs in {self.directory} or above it: start one with `myagent serve`, or say which with --url"
        )


def find(start: Path) -> tuple[Address, str]:
    """Where the server of a directory, or of the nearest one above, listens, and its owner token.

    Blocks. Raises `NoServerHere`; `NoAnswer` or `Declined` from a server that runs and does not say; `UnsafeState` for
    an auth file that others can read.
    """
    workspace = served_workspace(start)
    served = None if workspace is None else ask((workspace / AUTH_FILE).parent, AskStatus())
    if workspace is None or served is None:
        raise NoServerHere(start)
    return reachable(served), load_owner_token(workspace / AUTH_FILE)


def served_workspace(start: Path, tell: Callable[[Path, str], object] = lambda *_: None) -> Path | None:
    """A directory, or the nearest one above, that has been served by this user. `tell` is called for one that others
    may have planted, with the reason; it is passed over."""
    for each in (start, *start.parents):
        if os.path.lexists(each / AUTH_FILE):
            why = why_untrusted(each)
            if not why:
                return each
            tell(each, why)
    return None


def status(workspace: Path) -> dict[str, Any] | None:
    """What the server of a workspace says of itself, if it runs and can be asked."""
    try:
        told: dict[str, Any] | None = ask((workspace / AUTH_FILE).parent, AskStatus())
    except MyagentError:
        return None
    return told


def reachable(served: dict[str, Any]) -> Address:
    """Where a server of this machine is reached from here, by what it says of itself."""
    host = ANYWHERE.get(served["host"], served["host"])
    return Address(host, served["port"], served["tls"])
