"""Which server the command line means, and with which token."""

from __future__ import annotations

import argparse
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

from myagent.access.credentials import load_owner_token
from myagent.access.registry import AskStatus
from myagent.cli.arguments.parsing import DEFAULT_HOST, DEFAULT_PORT
from myagent.client import remotes
from myagent.client.address import Address, parse_link
from myagent.client.errors import BadCa, BadUrl, Refused
from myagent.client.trust import trusting
from myagent.exceptions import MyagentError
from myagent.server import control

URL_VARIABLE = "MYAGENT_REMOTE_URL"
CA_VARIABLE = "MYAGENT_REMOTE_CA"
TOKEN_VARIABLE = "MYAGENT_REMOTE_TOKEN"  # noqa: S105 -- its name, not its value
AUTH_FILE = Path(".myagent") / "remote" / "auth.json"
_ANYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- how to reach here what listens everywhere


class NoToken(MyagentError):
    def __str__(self) -> str:
        return (
            f"no token: give --remote (after `myagent remote login`), set {TOKEN_VARIABLE}, "
            "or run this in the directory that is served (it has .myagent/remote/auth.json)"
        )


class NotItsServer(MyagentError):
    """The token that was found here is that of another server."""

    def __init__(self, path: Path, asked: Address, served: Address | None) -> None:
        super().__init__(path, asked, served)
        self.path, self.asked, self.served = path, asked, served

    def __str__(self) -> str:
        owner = f"the server at {self.served}" if self.served else "a server on this machine"
        return (
            f"the token in {self.path} is that of {owner}, and is not sent to {self.asked}; for that one, give "
            f"--token, set {TOKEN_VARIABLE}, or keep its token with `myagent remote login` and give --remote"
        )


def url(arguments: argparse.Namespace) -> str:
    """The server's URL; ends the program with a usage error where the arguments contradict each other.

    Raises what `remotes.load` does.
    """
    by_parts = arguments.host is not None or arguments.port is not None
    given = _given(arguments)
    if (given is not None) + by_parts + (arguments.remote is not None) > 1:
        arguments.usage_error("give --remote, or --url, or --host and --port: one of them")
    if arguments.remote is not None:
        return remotes.load(arguments.remote).url
    if given is not None:
        return given
    if not by_parts and (found := os.environ.get(URL_VARIABLE) or _served_here()):
        return found
    host = arguments.host or DEFAULT_HOST
    port = DEFAULT_PORT if arguments.port is None else arguments.port
    return f"ws://{f'[{host}]' if ':' in host else host}:{port}"


def address(arguments: argparse.Namespace) -> Address:
    """Where the server is, and whom to trust to be it. Raises as `url` does, `BadUrl` and `BadCa`."""
    return trusted(arguments, parse_link(url(arguments))[0])


def _given(arguments: argparse.Namespace) -> str | None:
    """The address or link that was given as such."""
    link, url = getattr(arguments, "link", None), getattr(arguments, "url", None)
    if link is not None and url is not None:
        arguments.usage_error("give LINK or --url, not both")
    return link or url


def _token_in_link(arguments: argparse.Namespace) -> str | None:
    """Raises `BadUrl`."""
    by_parts = getattr(arguments, "host", None) is not None or getattr(arguments, "port", None) is not None
    text = _given(arguments) or (None if by_parts else os.environ.get(URL_VARIABLE))
    return parse_link(text)[1] if text and arguments.remote is None else None


def trusted(arguments: argparse.Namespace, found: Address) -> Address:
    """An address with whom to trust: of --ca, else of a connection by name, else of the environment. Raises `BadCa`."""
    if arguments.ca is not None and not found.secure:
        arguments.usage_error("--ca is for wss://: over ws:// no certificate is shown")
    path = arguments.ca
    if path is None:
        named = arguments.remote
        path = (os.environ.get(CA_VARIABLE) or None) if named is None else remotes.load(named).ca
    return replace(found, tls=trusting(path)) if path is not None and found.secure else found


def token(arguments: argparse.Namespace, address: Address) -> str:
    """What to show to the server at an address. The token of the directory here is for this machine
    and for the server that holds it.

    Raises `NoToken`, `NotItsServer`, `UnsafeState` for an auth file that others can read, and as `remotes.token` does.
    """
    in_link = _token_in_link(arguments)
    if arguments.token is not None:
        if in_link is not None:
            arguments.usage_error("there is a token in the link already: leave --token out")
        return str(arguments.token)
    if in_link is not None:
        return in_link
    if arguments.remote is not None:
        return remotes.token(arguments.remote, remotes.load(arguments.remote))
    if given := os.environ.get(TOKEN_VARIABLE):
        return given
    path = _auth_file()
    if path is None:
        raise NoToken
    _check_same(path, address)
    return load_owner_token(path)


def reachable(served: dict[str, Any]) -> Address:
    """Where a server of this machine is reached from here, by what it says of itself."""
    host = _ANYWHERE.get(served["host"], served["host"])
    return Address(host, served["port"], served["tls"])


def _check_same(path: Path, asked: Address) -> None:
    """Raises `NotItsServer` unless an address is on this machine alone (a tunnel or a proxy may listen there), or that
    of the server whose token this is: the one that runs here, as it says itself over its control channel."""
    if asked.loopback:
        return
    served = _status(path)
    if served is None:
        raise NotItsServer(path, asked, None)
    listens = reachable(served)
    same_host = asked.host == listens.host or (served["host"] in _ANYWHERE and _is_here(asked))
    names = [str(name).lower() for name in served["allowedHosts"]]  # a proxy's, perhaps: with a port of its own
    if not (asked.host in names or (same_host and asked.port == listens.port)):
        raise NotItsServer(path, asked, listens)


def _status(path: Path) -> dict[str, Any] | None:
    """What the server that has made an auth file says of itself, if it runs and can be asked."""
    try:
        status: dict[str, Any] | None = control.ask(path.parent, AskStatus())
    except MyagentError:
        return None
    return status


def _served_here() -> str | None:
    """The address of the server of the directory here, if one runs."""
    path = _auth_file()
    status = None if path is None else _status(path)
    return None if status is None else str(reachable(status))


def _auth_file() -> Path | None:
    """That of the directory here, or of the nearest one above that has one."""
    here = Path.cwd()
    return next((path for each in (here, *here.parents) if os.path.lexists(path := each / AUTH_FILE)), None)


def _is_here(address: Address) -> bool:
    """Whether an IP address is one of this machine's: whatever is not cannot be bound."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        socket.inet_pton(family, address.host)
        with socket.socket(family, socket.SOCK_DGRAM) as bound:
            bound.bind((address.host, 0))
    except OSError:
        return False
    return True


def told(error: MyagentError, arguments: argparse.Namespace) -> str:
    """What a failure is told as: of a wrong token that was found in a file, with the file."""
    given = arguments.token is not None or arguments.remote is not None or os.environ.get(TOKEN_VARIABLE)
    given = given or _token_in_link(arguments)
    if isinstance(error, Refused) and error.status == 401 and not given:
        return f"{error}; the token is that of {_auth_file()}"
    return str(error)


def exit_code(error: MyagentError) -> int:
    """2 where what was given cannot mean a server; 3 where it cannot be reached, or does not allow it."""
    return 2 if isinstance(error, BadUrl | BadCa | remotes.BadName) else 3
