"""Judges a request before anything else happens: the checks of protocol.md section 1, in their order.

Every route comes through `judge`, so none can forget one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from websockets.http11 import Request

from myagent.auth import Authenticator, Credential
from myagent.exceptions import MyagentError

Route = Literal["stream", "page", "healthz", "sessions", "events"]

_EVENTS = re.compile(r"/sessions/([A-Za-z0-9_]{1,64})/events")
_OPEN_ROUTES: tuple[Route, ...] = ("page", "healthz")
_SECRET_PARAMETERS = ("token", "access_token", "auth", "authorization", "key", "ticket")


class Rejected(MyagentError):
    """A request that is not served; the status says why, and the body is the same whatever was wrong within it."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(status, why)
        self.status, self.why = status, why

    def __str__(self) -> str:
        return self.why


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may be served. `credential` is `None` only for routes that need none."""

    route: Route
    credential: Credential | None
    parameters: dict[str, str]
    session_id: str | None = None  # of the path


@dataclass(frozen=True, slots=True)
class Door:
    """What requests are judged by. `names` are hosts that we answer to, lower case, without port."""

    authenticator: Authenticator
    names: frozenset[str]
    allowed_hosts: frozenset[str]
    allowed_origins: frozenset[str]
    port: int
    tls: bool
    wildcard: bool  # listening on every address: any IP literal is a name of ours

    def judge(self, request: Request, *, busy: bool) -> Call:
        """Raises `Rejected`. `busy`: as many requests as may be are being worked on."""
        route, path_session, query = _route(request)
        if request.protocol != "HTTP/1.1":
            raise Rejected(505, "HTTP/1.1 is needed")
        if busy:
            raise Rejected(503, "too many requests at once; try again")
        host = self._check_host(request.headers.get_all("Host"))
        self._check_origin(request.headers.get_all("Origin"), host)
        credential = None
        if route not in _OPEN_ROUTES:
            credential = self._check_credential(request, query)
        parameters = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=32))
        return Call(route, credential, parameters, path_session)

    def _check_host(self, values: Sequence[str]) -> str:
        if len(values) != 1 or not values[0]:
            raise Rejected(400, "one Host header is needed")
        host = values[0].lower()
        name, port = _split_port(host)
        if host in self.allowed_hosts or name in self.allowed_hosts:
            return host
        if port is not None and port != self.port:
            raise Rejected(403, "unknown host")
        if name in self.names or (self.wildcard and _is_address(name)):
            return host
        raise Rejected(403, "unknown host")

    def _check_origin(self, values: Sequence[str], host: str) -> None:
        """A page of ours may connect, and the origins that the operator named; a program sends none."""
        if not values:
            return
        own = f"{'https' if self.tls else 'http'}://{host}"
        if len(values) == 1 and values[0] != "null" and (values[0] == own or values[0] in self.allowed_origins):
            return
        raise Rejected(403, "foreign origin")

    def _check_credential(self, request: Request, query: str) -> Credential:
        names = {name.lower() for name, _ in parse_qsl(query, keep_blank_values=True)}
        headers = [value.encode("latin-1", "replace") for value in request.headers.get_all("Authorization")]
        credential = self.authenticator.check(headers)
        if credential is None or names.intersection(_SECRET_PARAMETERS):
            raise Rejected(401, "a credential is needed")
        return credential


def is_upgrade(request: Request) -> bool:
    """Whether a request means to be a WebSocket; whether it is a valid one is told later."""
    return any("websocket" in value.lower() for value in request.headers.get_all("Upgrade"))


def _route(request: Request) -> tuple[Route, str | None, str]:
    if not request.path.startswith("/") or request.path.startswith("//"):
        raise Rejected(400 if "://" in request.path else 404, "not found")
    parts = urlsplit(request.path)
    path = parts.path
    if path == "/":
        route: Route = "stream" if is_upgrade(request) else "page"
    elif path == "/healthz":
        route = "healthz"
    elif path == "/sessions":
        route = "sessions"
    elif matched := _EVENTS.fullmatch(path):
        if request.method != "GET":
            raise Rejected(405, "GET only")
        return "events", unquote(matched.group(1)), parts.query
    else:
        raise Rejected(404, "not found")
    if request.method != "GET":
        raise Rejected(405, "GET only")
    return route, None, parts.query


def _split_port(host: str) -> tuple[str, int | None]:
    matched = re.fullmatch(r"(\[[0-9a-f:.]+\]|[^:\[\]]*)(?::(\d{1,5}))?", host)
    if matched is None:
        raise Rejected(400, "malformed Host header")
    return matched.group(1), int(matched.group(2)) if matched.group(2) else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
