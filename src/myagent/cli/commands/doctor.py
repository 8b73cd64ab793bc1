"""`myagent remote doctor`: says who can reach a server, and tries the known attacks on it; one line each."""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import ssl
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from myagent.access import asking
from myagent.access.registry import AskStatus, ListInvites
from myagent.access.state_directory import StateDir
from myagent.agents.processes.process import NotStarted, child_environment
from myagent.agents.processes.process import run as run_process
from myagent.cli import target
from myagent.cli.terminal.output import put, say
from myagent.client.address import Address
from myagent.client.errors import CannotConnect
from myagent.client.here import reachable, served_workspace
from myagent.client.trust import why_untrusted
from myagent.client.way_out import reach
from myagent.core.display import escape
from myagent.exceptions import MyagentError

SECONDS = 5.0  # for one answer
ANSWER_BYTES = 4096

State = Literal["safe", "OPEN", "note"]

_UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
_MODES = {
    "auth.json": 0o077,
    "invites.json": 0o077,
    "push.json": 0o077,
    "sessions.db": 0o077,
    "words.db": 0o077,
    "control.sock": 0o077,
    "server.lock": 0o077,
    "processes.json": 0o077,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was tried, and what came of it."""

    state: State
    what: str
    result: str

    def __str__(self) -> str:
        return f"{self.state:<5} {self.what}: {escape(self.result)}"


class Prober:
    """Sends single requests to one server, each on a connection of its own."""

    def __init__(self, address: Address) -> None:
        self._address = address
        # What is asked here is what the server does; the client checks certificates. No secret is sent unverified.
        self._any = ssl.create_default_context()
        self._any.check_hostname = False
        self._any.verify_mode = ssl.CERT_NONE
        self._verified = address.tls or ssl.create_default_context()

    def status(self, path: str = "/", *, secret: bool = False, plain: bool = False, **headers: str | None) -> int:
        """The status of the answer to an upgrade request, 0 if there was none. `secret`: something of it is."""
        given: dict[str, str | None] = {"Host": self._host, **_UPGRADE}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{name}: {value}" for name, value in given.items() if value is not None]
        request = "\r\n".join([f"GET {self._address.path}{path} HTTP/1.1", *lines, "", ""]).encode("latin-1")
        try:
            with self._connect(secret=secret, plain=plain) as connection:
                connection.sendall(request)
                answer = connection.recv(ANSWER_BYTES)
        except ConnectionRefusedError:
            raise CannotConnect(str(self._address), "no server is listening there") from None
        except (ConnectionError, TimeoutError):
            return 0
        except ssl.SSLCertVerificationError as error:
            raise CannotConnect(str(self._address), why_untrusted(self._address, error)) from None
        except OSError as error:
            raise CannotConnect(str(self._address), (error.strerror or str(error)).lower()) from None
        words = answer.split(None, 2)
        return int(words[1]) if answer.startswith(b"HTTP/1.1 ") and words[1].isdigit() else 0

    @property
    def _host(self) -> str:
        return self._address.place

    def _connect(self, *, secret: bool, plain: bool) -> socket.socket:
        connection = reach(self._address, SECONDS)
        if not self._address.secure or plain:
            return connection
        context = self._verified if secret else self._any
        return context.wrap_socket(connection, server_hostname=self._address.host)


def run(arguments: argparse.Namespace) -> int:
    try:
        findings = list(_examine(arguments))
    except MyagentError as error:
        say(str(error))
        return target.exit_code(error)
    put("\n".join(map(str, findings)) + "\n")
    opened = sum(each.state == "OPEN" for each in findings)
    put(f"{opened} open\n" if opened else "nothing is open that is known of\n")
    return 1 if opened else 0


def _examine(arguments: argparse.Namespace) -> Iterator[Finding]:
    directory = _state_directory()
    served = asking.ask(directory, AskStatus()) if directory is not None else None
    given = (arguments.remote, arguments.url, arguments.host, arguments.port) != (None, None, None, None)
    address = (
        target.trusted(arguments, reachable(served)) if served is not None and not given else target.address(arguments)
    )
    address.check_plain(allowed=arguments.insecure_plain)
    token = target.token(arguments, address)
    here = served if served is not None and served["port"] == address.port else None
    yield from _reach(address, here)
    if directory is not None and here is not None:
        yield from _credentials(directory)
        yield from _files(directory)
        yield Finding("note", "wall between agent and server", here.get("wall", "unknown: an older server"))
    if directory is not None:
        yield from _history(directory.parent.parent)
    yield from _attacks(Prober(address), token, address)


def _state_directory() -> Path | None:
    workspace = served_workspace(Path.cwd(), target.tell_untrusted)
    return None if workspace is None else StateDir(workspace).path


def _reach(address: Address, served: dict[str, Any] | None) -> Iterator[Finding]:
    host = served["host"] if served is not None else address.host
    local = Address(host, address.port, address.secure).loopback
    who = "this machine alone" if local else "whoever reaches this address over the network"
    yield Finding("note", "reach", f"{who} ({host}, port {address.port})")
    if address.secure:
        yield Finding("safe", "transport", "TLS")
    elif local:
        yield Finding("safe", "transport", "plain, within this machine")
    else:
        yield Finding(
            "OPEN", "transport", "plain ws:// beyond this machine: tokens and sessions can be read on the way"
        )
    for origin in served["allowedOrigins"] if served is not None else ():
        yield Finding("note", "origin", f"pages of {origin} may connect with a credential")


def _credentials(directory: Path) -> Iterator[Finding]:
    yield Finding("note", "role owner", "whoever has the owner token; the first of them to connect drives")
    answer = asking.ask(directory, ListInvites()) or {"invites": []}
    for invite in answer["invites"]:
        what = f"session {invite['sessionId']}" if invite["sessionId"] else "all sessions"
        until = f"until {invite['expiresAt']}, connected now: {invite['connections']}"
        yield Finding("note", "role follower", f"whoever has invite {invite['id']} {invite['label']}: {what}, {until}")
    if not answer["invites"]:
        yield Finding("note", "role follower", "nobody else: there is no invite")


def _files(directory: Path) -> Iterator[Finding]:
    for path, others in ((directory, 0o022), *((directory / name, bits) for name, bits in _MODES.items())):
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            continue
        mode = stat.S_IMODE(status.st_mode)
        private = not mode & others and status.st_uid == os.geteuid() and not stat.S_ISLNK(status.st_mode)
        yield Finding("safe" if private else "OPEN", f"file {path.name}", f"mode {mode:04o}")


def _history(workspace: Path) -> Iterator[Finding]:
    """Whether what must stay here has been committed."""
    said: list[str] = []

    async def hear(text: str) -> None:
        said.append(text)

    argv = [
        "git",
        "--no-pager",
        "-c",
        "core.fsmonitor=false",
        "log",
        "--all",
        "-n",
        "1",
        "--format=%h",
        "--",
        ".myagent",
    ]
    env = {**child_environment(), "GIT_OPTIONAL_LOCKS": "0"}
    try:
        code = asyncio.run(run_process(argv, cwd=workspace, env=env, stdout=hear, stderr=hear))
    except NotStarted:  # no git: then no history that we could read
        return
    if code == 0 and said:
        commit = "".join(said).split()[0]
        yield Finding(
            "OPEN", "git history", f"commit {commit} has .myagent: whoever has a clone has what was in it; run "
            "`myagent remote token rotate` and `myagent remote revoke --all`, and take it out of the history",
        )  # fmt: skip
    elif code == 0:
        yield Finding("safe", "git history", "it has no .myagent")


def _attacks(prober: Prober, token: str, address: Address) -> Iterator[Finding]:
    bearer = f"Bearer {token}"
    answered = prober.status("/sessions", secret=True, Authorization=bearer)
    if answered != 200:
        raise CannotConnect(str(address), f"to the token it answers {answered}, and not 200 as a myagent server does")
    tries: list[tuple[str, tuple[int, ...], Callable[[], int]]] = [
        ("no token", (401,), prober.status),
        ("a wrong token", (401, 429), lambda: prober.status(Authorization=f"Bearer {'x' * 43}")),
        ("the token in the query", (401, 429), lambda: prober.status(f"/?token={'x' * 43}")),
        (
            "the right token with another in the query", (401, 429),
            lambda: prober.status("/?token=x", secret=True, Authorization=bearer),
        ),
        ("a token as subprotocol", (401, 429), lambda: prober.status(Sec_WebSocket_Protocol=f"bearer.{'x' * 43}")),
        (
            "a page of another site, with the right token", (403,),
            lambda: prober.status(secret=True, Authorization=bearer, Origin="https://attacker.example"),
        ),
        (
            "a sandboxed page, with the right token", (403,),
            lambda: prober.status(secret=True, Authorization=bearer, Origin="null"),
        ),
        (
            "a rebound name (DNS), with the right token", (403,),
            lambda: prober.status(secret=True, Authorization=bearer, Host=f"attacker.example:{address.port}"),
        ),
        ("the list of sessions without a token", (401,), lambda: prober.status("/sessions")),
        ("a ticket without a token", (401, 404), lambda: prober.status("/ticket")),
    ]  # fmt: skip
    if address.secure:
        tries.append(("plain HTTP on the TLS port", (0, 400), lambda: prober.status(plain=True)))
    for what, expected, attempt in tries:
        status = attempt()
        result = f"answered {status}" if status else "no answer"
        yield Finding("safe" if status in expected else "OPEN", what, result)
