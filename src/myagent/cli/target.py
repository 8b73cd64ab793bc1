"""Which server the command line means, and with which token."""

from __future__ import annotations

import argparse
import getpass
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

from myagent.access.credentials import load_owner_token
from myagent.access.tokens import read_id
from myagent.cli.arguments.parsing import DEFAULT_HOST, DEFAULT_PORT
from myagent.cli.device import own_token
from myagent.cli.terminal.output import say
from myagent.client import remotes
from myagent.client.address import Address, parse_link
from myagent.client.errors import BadCa, BadUrl, Refused
from myagent.client.here import ANYWHERE, AUTH_FILE, NoServerHere, reachable, served_workspace, status
from myagent.client.listeners import stranger_at
from myagent.client.trust import trusting
from myagent.exceptions import MyagentError

URL_VARIABLE = "MYAGENT_REMOTE_URL"
CA_VARIABLE = "MYAGENT_REMOTE_CA"
TOKEN_VARIABLE = "MYAGENT_REMOTE_TOKEN"  # noqa: S105 -- its name, not its value


class NoToken(MyagentError):
    """Nothing here says which server is meant (`address` is none), or only its address."""

    def __init__(self, address: str | None) -> None:
        super().__init__(address)
        self.address = address

    def __str__(self) -> str:
        lacks = (
            "no server is known here: start one with `myagent remote serve`, or"
            if self.address is None
            else "no token:"
        )
        return (
            f"{lacks} give --remote (after `myagent remote login`), set {TOKEN_VARIABLE}, "
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


class NotItsAddress(MyagentError):
    """The environment's token came with another address."""

    def __init__(self, named: Address, asked: Address) -> None:
        super().__init__(named, asked)
        self.named, self.asked = named, asked

    def __str__(self) -> str:
        return (
            f"the token of {TOKEN_VARIABLE} came with {URL_VARIABLE}={self.named}, and is not sent to {self.asked}; "
            "for that one, give --token, or keep its token with `myagent remote login` and give --remote"
        )


class StrangersServer(MyagentError):
    """At the usual address, which nobody named, another user of this machine listens."""

    def __init__(self, asked: Address, user: int) -> None:
        super().__init__(asked, user)
        self.asked, self.user = asked, user

    def __str__(self) -> str:
        return (
            f"no server runs here, and the one at {self.asked} is another user's (uid {self.user}): the token is not "
            "sent there; if it is the one that you mean, name it with --url"
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


def locating(arguments: argparse.Namespace) -> Callable[[], tuple[Address, str]] | None:
    """What looks up where the directory's server is now, and its token, if that is which server is meant: one that is
    started again may listen elsewhere. `None` where somebody said which. Raises `NoServerHere`, and as `token` does."""
    here = Path.cwd()
    if not _is_served(arguments):
        return None

    def locate() -> tuple[Address, str]:
        found = _served_here()
        if found is None:
            raise NoServerHere(here)
        where = trusted(arguments, parse_link(found)[0])
        where.check_plain(allowed=arguments.insecure_plain)
        return where, token(arguments, where)

    return locate


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
    """What to show to the server at an address: of an invite, what it was exchanged for. Asks the server for that, once
    it is clear that a token may travel there.

    Raises `NoToken`, `NotItsServer`, `StrangersServer`, `UnsafeState` for an auth file that others can read,
    `PlainToken`, and as `remotes.token` and `own_token` do.
    """
    found = _token(arguments, address)
    if read_id(found) is not None:
        address.check_plain(allowed=arguments.insecure_plain)
    return own_token(address, found)


def _token(arguments: argparse.Namespace, address: Address) -> str:
    """The token that was given. That of the directory here is for this machine and for the server that holds it."""
    in_link = _token_in_link(arguments)
    if arguments.token is not None:
        if in_link is not None:
            arguments.usage_error("there is a token in the link already: leave --token out")
        _check_ours(arguments, address, served=_is_served(arguments))
        return str(arguments.token)
    if in_link is not None:
        return in_link
    if arguments.remote is not None:
        return remotes.token(arguments.remote, remotes.load(arguments.remote))
    path = _auth_file()
    is_served = _is_served(arguments)
    given = os.environ.get(TOKEN_VARIABLE)
    if given and not is_served:  # what was found in a directory is no place for a token of the environment's
        link = os.environ.get(URL_VARIABLE)
        named = parse_link(link)[0] if link else address
        if (named.secure, named.host, named.port) != (address.secure, address.host, address.port):
            raise NotItsAddress(named, address)
        _check_ours(arguments, address, served=is_served)
        return given
    if path is None:
        raise NoToken(arguments.url or os.environ.get(URL_VARIABLE))
    if not (is_served or _is_named(arguments)):
        raise NoServerHere(path.parents[2])
    _check_same(path, address)
    return load_owner_token(path)


def _is_named(arguments: argparse.Namespace) -> bool:
    """Whether somebody said which server."""
    given = [getattr(arguments, name, None) for name in ("link", "url", "host", "port")]
    return any(each is not None for each in given) or bool(os.environ.get(URL_VARIABLE))


def _is_served(arguments: argparse.Namespace) -> bool:
    """Whether nobody said which server, and one runs for this directory."""
    return not _is_named(arguments) and arguments.remote is None and _served_here() is not None


def _check_ours(arguments: argparse.Namespace, asked: Address, *, served: bool) -> None:
    """Raises `StrangersServer` for the usual address, which was not named, if it is not this user's to listen there."""
    if not _is_named(arguments) and arguments.remote is None and not served:
        user = stranger_at(asked.port)
        if user is not None:
            raise StrangersServer(asked, user)


def _check_same(path: Path, asked: Address) -> None:
    """Raises `NotItsServer` unless an address is on this machine alone (a tunnel or a proxy may listen there), or that
    of the server whose token this is: the one that runs here, as it says itself over its control channel."""
    if asked.loopback:
        return
    served = status(path.parents[2])
    if served is None:
        raise NotItsServer(path, asked, None)
    listens = reachable(served)
    same_host = asked.host == listens.host or (served["host"] in ANYWHERE and _is_here(asked))
    names = [str(name).lower() for name in served["allowedHosts"]]  # a proxy's, perhaps: with a port of its own
    if not (asked.host in names or (same_host and asked.port == listens.port)):
        raise NotItsServer(path, asked, listens)


def _served_here() -> str | None:
    """The address of the server of the directory here, if one runs."""
    workspace = served_workspace(Path.cwd(), tell_untrusted)
    served = None if workspace is None else status(workspace)
    return None if served is None else str(reachable(served))


def _auth_file() -> Path | None:
    """That of the directory here, or of the nearest one above that has one and can be trusted."""
    workspace = served_workspace(Path.cwd(), tell_untrusted)
    return None if workspace is None else workspace / AUTH_FILE


@cache
def tell_untrusted(workspace: Path, why: str) -> None:
    say(f"not believed: {workspace / AUTH_FILE.parent}, because {why}")


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


def label(arguments: argparse.Namespace) -> str:
    """What others see of this client: as given, else the user and the machine."""
    if arguments.label is not None:
        return str(arguments.label)
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname().partition('.')[0]}"
