"""Judges a request before anything else happens: the checks of protocol.md section 1, in their order.

Every route comes through `judge`, so none can forget one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote

from websockets.http11 import Request

from myagent.access.credentials import Credential
from myagent.access.decision_tickets import DecisionTickets, Leave
from myagent.access.registry import Access
from myagent.access.tickets import Tickets
from myagent.core.messages import SessionId
from myagent.exceptions import MyagentError
from myagent.server.addresses import is_loopback
from myagent.server.rate_limit import Failures, network
from myagent.server.static import page_files

Route = Literal[
    "stream", "page", "healthz", "metrics", "sessions", "events", "blob", "ticket", "device", "acp", "answer"
]

SUBPROTOCOL = "myagent.v1"
NONCE_HEADER = "X-Myagent-Device"
NAME_HEADER = "X-Myagent-Device-Name"  # percent-encoded UTF-8
DECISION_TICKET_HEADER = "X-Myagent-Ticket"
DECISION_HEADER = "X-Myagent-Answer"  # `allow` or `deny`, as the ticket says

_EVENTS = re.compile(r"/sessions/([A-Za-z0-9_]{1,64})/events")
_BLOB = re.compile(r"/sessions/([A-Za-z0-9_]{1,64})/blobs(?:/[0-9a-f]{64})?")
_NONCE = re.compile(r"[A-Za-z0-9_-]{22,128}")  # 128 bits at least
READING_ROUTES: tuple[Route, ...] = ("sessions", "events", "blob")  # what an invite is used by without a WebSocket
_OPEN_ROUTES: tuple[Route, ...] = ("page", "healthz")
_TICKET = "ticket."
_LONG_TOKEN = re.compile(r"(?:.*\.)?[A-Za-z0-9_-]{43,}")  # a subprotocol that may be a secret in the wrong place
_SECRET_PARAMETERS = ("token", "access_token", "auth", "authorization", "key", "ticket")


PARAMETERS = 32  # in one query; the contract has four
ACP_WEBSOCKET = "the Agent Client Protocol is spoken here over WebSocket alone: GET with Upgrade: websocket"
POST_ONLY = "POST only"
NO_CREDENTIAL = "a credential is needed"  # whatever is wrong with it

NOT_STORED = "nothing can be stored now; try again"


class Rejected(MyagentError):
    """A request that is not served; the status says why, and the body is the same whatever was wrong within it."""

    def __init__(self, status: int, why: str, retry_after: int = 1) -> None:
        super().__init__(status, why, retry_after)
        self.status, self.why, self.retry_after = status, why, retry_after  # seconds, with 429 and 503

    def __str__(self) -> str:
        return self.why


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may be served. `credential` is `None` only for routes that need none."""

    route: Route
    credential: Credential | None
    parameters: dict[str, str]
    session_id: str | None = None  # of the path
    path: str = "/"  # without the base path
    network: str = ""  # where it came from
    nonce: str = ""  # that a device has chosen, of `/device`
    device_name: str = ""  # what it calls itself; as it was sent
    takes_gzip: bool = False
    leave: Leave | None = None  # for the one answer that `/answer` gives


@dataclass(frozen=True, slots=True)
class Admission:
    """What requests are judged by. `names` are hosts that we answer to, lower case, without port."""

    access: Access
    tickets: Tickets
    failures: Failures
    names: frozenset[str]
    allowed_hosts: frozenset[str]
    allowed_origins: frozenset[str]
    port: int
    tls: bool
    wildcard: bool  # listening on every address: any IP literal is a name of ours
    base_path: str = ""  # may stand before every path, for a proxy that leaves its prefix there
    open_metrics: bool = False  # no credential is needed for them
    leaves: DecisionTickets | None = None  # what `/answer` is good for; `None`: there is no such route

    def judge(self, request: Request, address: str) -> Call:
        """Raises `Rejected`. `address` is the other side's."""
        route, path, path_session, query = _route(request, self.base_path)
        if request.protocol != "HTTP/1.1":
            raise Rejected(505, "HTTP/1.1 is needed")
        host = self._check_host(request.headers.get_all("Host"))
        self._check_origin(request.headers.get_all("Origin"), host)
        if route == "answer":
            leave = self._check_leave(request, address)
            return Call(route, leave.credential, {}, network=network(address), leave=leave)
        credential = None
        if route not in _OPEN_ROUTES and not (route == "metrics" and self.open_metrics):
            credential = self._check_credential(request, route, query, address)
        if route == "acp" and not is_upgrade(request):
            raise Rejected(426, ACP_WEBSOCKET)
        if route in ("stream", "acp") and request.headers.get_all("Sec-WebSocket-Version") != ["13"]:
            raise Rejected(426, "WebSocket version 13 is needed")
        nonce = _nonce(request) if route == "device" else ""
        if route == "device" and not nonce:
            raise Rejected(400, f"one {NONCE_HEADER} header with 22 to 128 characters is needed")
        names = request.headers.get_all(NAME_HEADER) if route == "device" else []
        name = unquote(names[0], errors="replace") if len(names) == 1 else ""
        gzip = takes_gzip(request)
        return Call(route, credential, _parameters(query), path_session, path, network(address), nonce, name, gzip)

    def _check_host(self, values: Sequence[str]) -> str:
        if len(values) != 1 or not values[0]:
            raise Rejected(400, "one Host header is needed")
        host = values[0].lower()
        name, port = _split_port(host)
        if host in self.allowed_hosts or name in self.allowed_hosts:
            return host
        if port is not None and port != self.port and not is_loopback(name):  # a tunnel to us has a port of its own
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

    def _check_credential(self, request: Request, route: Route, query: str, address: str) -> Credential:
        """A right credential passes whatever was wrong before; wrong ones are slowed down."""
        names = {name.lower() for name, _ in parse_qsl(query, keep_blank_values=True)}
        headers = [value.encode("latin-1", "replace") for value in request.headers.get_all("Authorization")]
        offered = _subprotocols(request) if route in ("stream", "acp") else []
        tickets = [each for each in offered if each.startswith(_TICKET)] if route == "stream" else []
        if tickets:
            credential = self._redeem(request, offered, tickets, headers)
        else:
            returns = self._returns(request, route, address)
            credential = self.access.authenticator.check(headers, returns, enrols=route == "device")
        misplaced = names.intersection(_SECRET_PARAMETERS) or any(
            _LONG_TOKEN.fullmatch(each) for each in offered if each not in tickets
        )
        if credential is not None and not misplaced:
            return credential
        if headers or tickets or misplaced:
            wait = self.failures.add(address)
            if wait is not None:
                raise Rejected(429, "too many wrong credentials", retry_after=wait)
        raise Rejected(401, NO_CREDENTIAL)

    def _check_leave(self, request: Request, address: str) -> Leave:
        """A decision ticket comes from a page of ours, alone, with the answer that it is for, and is then spent."""
        if self.leaves is None:
            raise Rejected(404, "not found")
        site = request.headers.get_all("Sec-Fetch-Site")  # which browsers say, and nobody need
        if not request.headers.get_all("Origin") or site not in ([], ["same-origin"]):
            raise Rejected(403, "a ticket needs an origin")
        tickets, answers = (request.headers.get_all(name) for name in (DECISION_TICKET_HEADER, DECISION_HEADER))
        leave = self.leaves.redeem(tickets[0], answers[0]) if len(tickets) == len(answers) == 1 else None
        if leave is not None and self.access.authenticator.still_good(leave.credential):
            return leave
        if tickets and (wait := self.failures.add(address)) is not None:
            raise Rejected(429, "too many wrong credentials", retry_after=wait)
        raise Rejected(401, NO_CREDENTIAL)

    def _returns(self, request: Request, route: Route, address: str) -> Callable[[str], bool]:
        """Tells whether who shows a spent invite has taken one of its uses before, for what they ask now."""
        readers, reader = self.access.readers, network(address)
        if route == "device":
            nonce = _nonce(request)
            return lambda invite_id: bool(nonce) and self.access.invites.has_exchanged(invite_id, nonce)
        if route in READING_ROUTES:
            return lambda invite_id: readers.is_here(invite_id, reader)
        return lambda invite_id: readers.may_join(invite_id, reader)

    def _redeem(
        self, request: Request, offered: list[str], tickets: list[str], headers: Sequence[bytes]
    ) -> Credential | None:
        """A ticket is a browser's: it comes with an `Origin`, alone, and beside our subprotocol."""
        if not request.headers.get_all("Origin"):
            raise Rejected(403, "a ticket needs an origin")
        if headers or len(tickets) != 1 or SUBPROTOCOL not in offered:
            return None
        credential = self.tickets.redeem(tickets[0].removeprefix(_TICKET))
        good = credential is not None and self.access.authenticator.still_good(credential)
        return credential if good else None


def known_session(sessions: Container[SessionId], session_id: str | None, credential: Credential) -> SessionId | None:
    """The session that is asked for, or the only one that the credential shows; others are not there for it."""
    wanted = credential.session_id if session_id is None else SessionId(session_id)
    if wanted is not None and (wanted not in sessions or credential.session_id not in (None, wanted)):
        raise Rejected(404, "no such session")
    return wanted


def number(parameters: dict[str, str], name: str) -> int | None:
    """A parameter that is a whole number, or `None` where it is not given. Raises `Rejected`."""
    text = parameters.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise Rejected(400, f"`{name}` is not a number")
    return int(text)


def _subprotocols(request: Request) -> list[str]:
    values = ",".join(request.headers.get_all("Sec-WebSocket-Protocol"))
    return [each.strip() for each in values.split(",") if each.strip()]


def is_upgrade(request: Request) -> bool:
    """Whether a request means to be a WebSocket; whether it is a valid one is told later."""
    return any("websocket" in value.lower() for value in request.headers.get_all("Upgrade"))


def _route(request: Request, base_path: str) -> tuple[Route, str, str | None, str]:
    if not request.path.startswith("/") or request.path.startswith("//"):
        raise Rejected(400 if "://" in request.path else 404, "not found")
    path, _, query = request.path.partition("?")  # `urlsplit` would drop tabs, and find a host behind them
    if base_path and path.startswith(f"{base_path}/"):
        path = path.removeprefix(base_path)
    if path == "/":
        route: Route = "stream" if is_upgrade(request) else "page"
    elif path in page_files() or (base_path and path == base_path):  # the latter is answered with where the page is
        route = "page"
    elif path == "/healthz":
        route = "healthz"
    elif path == "/metrics":
        route = "metrics"
    elif path == "/sessions":
        route = "sessions"
    elif path == "/ticket":
        route = "ticket"
    elif path == "/device":
        route = "device"
    elif path == "/answer":
        if request.method != "POST":
            raise Rejected(405, POST_ONLY)
        return "answer", path, None, query
    elif path == "/acp":
        if request.method != "GET":
            raise Rejected(405, ACP_WEBSOCKET)
        route = "acp"
    elif matched := _EVENTS.fullmatch(path) or _BLOB.fullmatch(path):
        if request.method != "GET":
            raise Rejected(405, "GET only")
        return "events" if path.endswith("/events") else "blob", path, unquote(matched.group(1)), query
    else:
        raise Rejected(404, "not found")
    if request.method != "GET":
        raise Rejected(405, "GET only")
    return route, path, None, query


def _nonce(request: Request) -> str:
    """What a device has chosen, empty if it is none."""
    values = request.headers.get_all(NONCE_HEADER)
    return values[0] if len(values) == 1 and _NONCE.fullmatch(values[0]) else ""


def takes_gzip(request: Request) -> bool:
    """Whether `gzip` stands among the encodings, and is not refused by a weight of zero."""
    offered = ",".join(request.headers.get_all("Accept-Encoding")).lower().split(",")
    named = [each.replace(" ", "").partition(";") for each in offered]
    return any(name == "gzip" and not re.fullmatch(r"q=0(\.0*)?", weight) for name, _, weight in named)


def _parameters(query: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(query, keep_blank_values=True, max_num_fields=PARAMETERS))
    except ValueError:
        raise Rejected(400, "too many parameters") from None


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
