"""The listener: accepts connections, answers HTTP, hands WebSockets to the host, and stops without losing anything."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import http
import itertools
import logging
import os
import secrets
import socket
import ssl
from dataclasses import asdict
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from myagent.access.credentials import OWNER, Credential
from myagent.access.invites import DEFAULT_LIFETIME
from myagent.access.registry import Access, CreateInvite, Invitation, RevokeInvites
from myagent.access.state_directory import StateDir
from myagent.access.tickets import SECONDS as TICKET_SECONDS
from myagent.access.tickets import Tickets, TicketsFull
from myagent.agents import Agent
from myagent.agents.processes import confinement, kept
from myagent.agents.processes.ledger import Ledger
from myagent.core.codec import encode
from myagent.core.messages import ConnectionId, SessionId
from myagent.eventlog import EventLog, with_update
from myagent.eventlog.sqlite import SqliteLog
from myagent.exceptions import MyagentError
from myagent.host.host import Host
from myagent.host.peer import clean_label
from myagent.server import process_origin
from myagent.server.addresses import ANYWHERE, Page, bracketed, find_page, is_loopback
from myagent.server.admission import NO_CREDENTIAL, Admission, Call, Rejected
from myagent.server.connection import Connection, Identity
from myagent.server.control import ControlSocket
from myagent.server.metrics import METRICS_TYPE, MeasuredLog
from myagent.server.rate_limit import Failures
from myagent.server.static import PAGE_POLICY, page_files
from myagent.server.tls import QUEUE, TlsListener, stop_listening
from myagent.settings import Settings

__all__ = ["CannotListen", "ExposedPlain", "Server", "Settings"]

BEATS = 10  # looks at every connection in one heartbeat interval
PENDING_SOCKETS = 512  # that have not sent a whole request, or as many as may connect; one more drops the oldest
REQUESTS = 64  # HTTP requests being worked on at a time
OWNER_PLACES = 4  # of the connections, kept for owner scope so that followers cannot lock it out
READ_BYTES = 64 * 1024  # at a time from one connection
SEND_BUFFER = 128 * 1024  # bytes of each connection that the kernel holds; Linux doubles it for its own use
PAGE_BYTES = 1 << 20  # of events in one answer
PAGE_EVENTS = 10_000
EXPIRY_SECONDS = 0.5  # between two looks for expired invites: their connections are closed within a second
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"
SEEN_LOOKS = 120  # after which it is stored when invites were seen last

_log = logging.getLogger(__name__)


class CannotListen(MyagentError):
    """The address cannot be listened on."""

    def __init__(self, host: str, port: int, reason: str, remedy: str) -> None:
        super().__init__(host, port, reason, remedy)
        self.host, self.port, self.reason, self.remedy = host, port, reason, remedy

    def __str__(self) -> str:
        return f"cannot listen on {self.host}:{self.port}: {self.reason}; {self.remedy}"


class ExposedPlain(MyagentError):
    """Listening beyond this machine without TLS would send tokens and sessions in the clear."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.host = host

    def __str__(self) -> str:
        return (
            f"{self.host} can be reached from other machines, and without TLS everybody on the way reads the token; "
            "give --tls-cert and --tls-key, or --insecure-plain if a proxy or tunnel of yours encrypts"
        )


class Server:
    """Serves one workspace: `async with Server(Path("."), CommandAgent()) as server: print(server.url)`.

    The owner token is in `<workspace>/.myagent/remote/auth.json`, made on first use. Raises `MyagentError` subclasses
    from `start`, each with one clear line: `UnsafeState`, `AlreadyServed`, `ExposedPlain`, `CannotListen`,
    `LogUnusable`, `AgentUnavailable`.
    """

    def __init__(
        self, workspace: Path, agent: Agent, settings: Settings | None = None, log: EventLog | None = None
    ) -> None:
        self.settings = settings or Settings()
        self.workspace = workspace.resolve()
        self.port = self.settings.port
        self._state = StateDir(self.workspace)
        self._access = Access(self._state.path)
        self._control = ControlSocket(self._state.path, self._access.answer, self._trusts)
        self._tickets = Tickets()
        self.auth_path = self._access.auth_path
        self._measures = MeasuredLog(log or SqliteLog(self._state.path / "sessions.db"))
        self.host = Host(self.workspace, agent, self._measures, self.settings)
        self._tls: ssl.SSLContext | None = None
        self._server: asyncio.Server | None = None
        self._tls_listener: TlsListener | None = None  # accepts in the server's place
        self.incoming = memoryview(bytearray(READ_BYTES))
        self._connections: set[Connection] = set()
        self._empty = asyncio.Event()  # no connections are left, while the server closes
        self._pending: dict[Connection, None] = {}  # oldest first: no whole request has come yet
        self._working: dict[Connection, asyncio.Task[None]] = {}
        self._boot = secrets.token_hex(4)  # sets its connections apart from those of earlier servers
        self._numbers = itertools.count(1)
        self._beat_timer: asyncio.TimerHandle | None = None
        self._expiry_timer: asyncio.TimerHandle | None = None
        self._expiry_looks = 0
        self._resources = contextlib.ExitStack()  # what is let go when it is closed
        self._started = self._closed = False

    @property
    def token(self) -> str:
        """The owner token."""
        return self._access.token

    @property
    def url(self) -> str:
        """Where clients connect: `ws://host:port`, `wss://` with TLS."""
        return f"{'wss' if self._tls else 'ws'}://{bracketed(self.settings.host)}:{self.port}"

    @property
    def page(self) -> Page:
        """Where others open the page, as far as the settings and this machine's network tell."""
        return find_page(self.settings, self.port)

    def invite(
        self,
        *,
        label: str = "",
        session_id: str | None = None,
        lifetime: float = DEFAULT_LIFETIME,
        uses: int | None = None,
    ) -> Invitation:
        """Let somebody watch, and never drive: all sessions or one, for `lifetime` seconds, on as many connections as
        they like or `uses`. Its `link` opens the page; both that and its token are told here and never again.

        Raises `BadRequest`, `InvitesFull`, `NotStored`.
        """
        made = self._access.answer(CreateInvite(lifetime=lifetime, label=label, session_id=session_id, uses=uses))
        return Invitation(made["id"], made["token"], made["expiresAt"], self.page.link(made["token"]))

    def revoke(self, *invite_ids: str) -> None:
        """End invites, and the connections that were made with them. Raises `BadRequest`, `NotStored`."""
        self._access.answer(RevokeInvites(invite_ids=list(invite_ids)))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen; returns when connections are taken."""
        self._tls = self._load_tls()
        if self._tls is None and not self.settings.insecure_plain and not is_loopback(self.settings.host):
            raise ExposedPlain(self.settings.host)
        self._state.open()
        try:
            self._resources.enter_context(kept.holding())
            for path in self._access.load(set_aside=True):
                _log.warning(
                    "%s was not made by this user on this machine: it is not used, a new one is made; "
                    "if it is yours (a backup, a moved directory): myagent remote adopt, while no server runs", path,
                )  # fmt: skip
            self.host.redactor.register(self.token)
            await self._listen()  # first, so that a port in use is told before anything is recovered
            await self.host.start(survivors=self._end_survivors())
            self._admission = self._make_admission()
            assert self._server is not None
            self._govern()
            await self._control.open()
            if self._tls is None:
                await self._server.start_serving()
            else:
                timeout = self.settings.handshake_timeout
                self._tls_listener = TlsListener(self._server, lambda: Connection(self), self._tls, timeout)
        except BaseException:
            if self._server is not None:
                self._server.close()
            await self._control.close()
            await self.host.abandon()
            self._resources.close()
            self._state.close()
            raise
        self._started = True
        self._beat()
        self._look_for_expired()

    async def close(self) -> None:
        """Stop: no new connections, turns ended and stored, 1001 to all, everything let go. Idempotent."""
        if self._closed or not self._started:
            return
        self._closed = True
        assert self._server is not None
        if self._tls_listener is not None:
            await self._tls_listener.stop()
        await stop_listening(self._server)
        await self._control.close()
        for timer in (self._beat_timer, self._expiry_timer):
            if timer is not None:
                timer.cancel()
        await self.host.stop()
        for connection in list(self._connections):
            if connection in self._pending or connection in self._working:
                connection.abort()
            else:
                connection.close(1001, "the server is stopping")
        if self._connections:
            self._empty.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), self.settings.close_timeout)
        for connection in list(self._connections):
            connection.abort()
        await self.host.close()
        self._save_seen()
        self._resources.close()
        self._state.close()

    def _end_survivors(self) -> int:
        """End what agents of an earlier server have left running, and have what ours start written down."""
        ledger = Ledger(self._state.path / "processes.json")
        self._resources.callback(ledger.close)
        try:
            ended = ledger.open()
        except OSError as error:
            _log.warning("what agents start cannot be written down: %s", error.strerror or error)
            return 0
        if ended:
            _log.warning("processes of agents that outlived an earlier server were ended: %d", ended)
        return ended

    # --- for connections ------------------------------------------------------------------------------------------

    def opened(self, connection: Connection) -> None:
        self._connections.add(connection)
        if self._closed:  # it was accepted just before; `close` has not seen it
            connection.abort()
            return
        self._pending[connection] = None
        if len(self._pending) > max(PENDING_SOCKETS, self.settings.max_connections):
            next(iter(self._pending)).abort()

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()
        self._pending.pop(connection, None)
        task = self._working.pop(connection, None)
        if task is not None:
            task.cancel()

    def requested(self, connection: Connection, request: Request) -> None:
        self._pending.pop(connection, None)
        try:
            (address, _), _ = connection.addresses
            call = self._admission.judge(request, address, busy=len(self._working) >= REQUESTS)
            if call.route == "stream":
                self._stream(connection, request, call)
                return
        except Rejected as rejected:
            connection.respond(_rejection(rejected))
            return
        task = asyncio.get_running_loop().create_task(self._answer(connection, call), name=f"GET {call.route}")
        self._working[connection] = task

    def _stream(self, connection: Connection, request: Request, call: Call) -> None:
        assert call.credential is not None
        self._check_places(call.credential)
        session_id = self._known_session(call.parameters.get("session"), call.credential)
        after_seq = _number(call.parameters, "after")
        if after_seq is not None and (
            session_id is None or after_seq > self.host.fanout.window.heads.get(session_id, 0)
        ):
            raise Rejected(400, "`after` needs `session`, and cannot be beyond its head")
        reclaim = request.headers.get_all("X-Myagent-Reclaim")
        self._use(call.credential)
        connection.become(
            Identity(
                connection_id=ConnectionId(f"c_{self._boot}{next(self._numbers):04x}"),
                credential_id=call.credential.credential_id,
                scope=call.credential.scope,
                label=clean_label(self.host.redactor.text(call.parameters.get("label", ""))),
                since=datetime.now(UTC),
                session_id=session_id,
            )
        )
        connection.accept(
            request,
            as_follower=call.parameters.get("role") == "follower",
            after_seq=after_seq,
            reclaim=reclaim[0] if len(reclaim) == 1 else None,
        )

    def _check_places(self, credential: Credential) -> None:
        kept = OWNER_PLACES if credential.scope != "owner" else 0
        if len(self.host.peers) >= max(1, self.settings.max_connections - kept):
            raise Rejected(503, "all places are taken")

    def _known_session(self, session_id: str | None, credential: Credential) -> SessionId | None:
        """The session that is asked for, or the only one that the credential shows; others are not there for it."""
        wanted = credential.session_id if session_id is None else SessionId(session_id)
        if wanted is not None and (wanted not in self.host.sessions or credential.session_id not in (None, wanted)):
            raise Rejected(404, "no such session")
        return wanted

    def _use(self, credential: Credential) -> None:
        """Count a connection against an invite that is good for so many."""
        if credential.credential_id == OWNER:
            return
        try:
            if not self._access.invites.use(credential.credential_id):
                raise Rejected(401, NO_CREDENTIAL)
        except OSError:
            raise Rejected(503, "nothing can be stored now; try again") from None

    # --- plain HTTP -----------------------------------------------------------------------------------------------

    async def _answer(self, connection: Connection, call: Call) -> None:
        try:
            response = await self._response(call)
            if call.credential is not None and not self._access.authenticator.still_good(call.credential):
                raise Rejected(401, NO_CREDENTIAL)
        except Rejected as rejected:
            response = _rejection(rejected)
        except Exception:
            _log.exception("GET %s failed", call.route)
            response = _rejection(Rejected(500, "internal error"))
        self._working.pop(connection, None)
        connection.respond(response)

    async def _response(self, call: Call) -> Response:
        match call.route:
            case "healthz":
                return _response(200, b"ok\n", "text/plain; charset=utf-8")
            case "sessions":
                assert call.credential is not None
                sessions = self.host.list_sessions(only=call.credential.session_id)
                return _response(200, encode({"sessions": sessions}), "application/json")
            case "events":
                return await self._events(call)
            case "ticket":
                return self._ticket(call)
            case "metrics":
                if call.credential is not None and call.credential.scope != "owner":
                    raise Rejected(403, "owner only")
                return _response(200, await self._measures.exposition(self.host), METRICS_TYPE)
            case _:
                return self._page(call.path)

    def _page(self, path: str) -> Response:
        """A file of the page, which has relative addresses in it and so must be at a path that ends in a slash."""
        if path == self.settings.base_path:
            return _response(308, b"", "text/plain; charset=utf-8", Location=f"{path}/")
        file = page_files()[path]
        own = {"Cross_Origin_Opener_Policy": "same-origin"}
        return _response(200, file.body, file.content_type, policy=PAGE_POLICY, **own)

    def _ticket(self, call: Call) -> Response:
        assert call.credential is not None
        try:
            ticket = self._tickets.issue(call.credential)
        except TicketsFull as error:
            raise Rejected(503, str(error)) from None
        return _response(200, encode({"ticket": ticket, "expiresIn": int(TICKET_SECONDS)}), "application/json")

    async def _events(self, call: Call) -> Response:
        """A page of events, one a line: after a `seq` from there on, before one the last of those. With
        `wants=updates`, with their structured updates."""
        assert call.credential is not None
        session_id = self._known_session(call.session_id, call.credential)
        assert session_id is not None
        head = self.host.fanout.window.heads.get(session_id, 0)
        limit = _number(call.parameters, "limit")
        limit = PAGE_EVENTS if limit is None else min(limit, PAGE_EVENTS)
        before, after = _number(call.parameters, "before"), _number(call.parameters, "after")
        if before is not None and after is not None:
            raise Rejected(400, "give `after` or `before`, not both")
        log = self.host.log
        if before is not None:
            rows = await log.read_back(session_id, min(before, head + 1), limit=limit, max_bytes=PAGE_BYTES)
        else:
            first = after or 0
            until = min(head, first + limit)
            rows = []
            if first < until:
                rows = await log.read_session(session_id, first, until_seq=until, max_bytes=PAGE_BYTES)
        updates = call.parameters.get("wants") == "updates"
        lines = (with_update(row.body, row.update) if updates else row.body for row in rows)
        return _response(200, b"".join(line + b"\n" for line in lines), "application/x-ndjson")

    # --- starting -------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: Connection(self),
                self.settings.host,
                self.settings.port,
                backlog=QUEUE,
                start_serving=False,
            )
        except (OSError, OverflowError) as error:
            in_use = getattr(error, "errno", None) == errno.EADDRINUSE
            reason = "the port is in use" if in_use else getattr(error, "strerror", None) or "no such address"
            remedy = (
                "stop what listens there, or choose another --port" if in_use else "choose another --host or --port"
            )
            raise CannotListen(self.settings.host, self.settings.port, reason, remedy) from None
        for listening in self._server.sockets:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self.port = self._server.sockets[0].getsockname()[1]

    def _load_tls(self) -> ssl.SSLContext | None:
        cert, key = self.settings.tls_cert, self.settings.tls_key
        if cert is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(cert, key)
        except (OSError, ssl.SSLError) as error:
            raise CannotListen(
                self.settings.host, self.settings.port, f"the TLS certificate is unusable ({error.strerror or error})",
                "check --tls-cert and --tls-key",
            ) from None  # fmt: skip
        return context

    def _make_admission(self) -> Admission:
        host = self.settings.host.lower()
        names = {host, bracketed(host), "localhost", "127.0.0.1", "[::1]"}
        return Admission(
            authenticator=self._access.authenticator,
            tickets=self._tickets,
            failures=Failures(self.settings.wrong_credentials),
            names=frozenset(names),
            allowed_hosts=frozenset(each.lower() for each in self.settings.allowed_hosts),
            allowed_origins=frozenset(self.settings.allowed_origins),
            port=self.port,
            tls=self._tls is not None,
            wildcard=host in ANYWHERE,
            base_path=self.settings.base_path,
            open_metrics=self.settings.open_metrics,
        )

    # --- credentials ----------------------------------------------------------------------------------------------

    def _govern(self) -> None:
        """Let changes of who may connect reach those who are connected."""
        access = self._access
        access.knows_session = lambda session_id: session_id in self.host.sessions
        access.connected = lambda credential_id: len(self._connected(credential_id))
        access.end = self._end
        access.rotated = self._rotated
        access.record = self.host.record
        access.status = self._status

    def _trusts(self, pid: int) -> bool:
        inside = process_origin.is_inside(pid)
        if inside:
            _log.warning("process %d of the agent tried to ask for access", pid)
            self.host.record("inside", {"pid": pid, "tried": "control"})
        return not inside

    def _connected(self, credential_id: str) -> list[Connection]:
        seated = self.host.peers
        return [
            connection for connection in self._connections if connection.is_seated
            and connection.connection_id in seated and connection.credential_id == credential_id
        ]  # fmt: skip

    def _end(self, credential_id: str, why: str) -> None:
        """Close all connections of a credential. The slot that one held is free at once: nobody may reclaim it."""
        self._tickets.forget(credential_id)
        for connection in self._connected(credential_id):
            self.host.leave(connection, clean=True)
            connection.close(4401, f"the credential was {why}" if why == "revoked" else f"the credential has {why}")

    def _rotated(self, old: str, new: str) -> None:
        self.host.redactor.register(new)
        self.host.redactor.forget(old)

    def _look_for_expired(self) -> None:
        try:
            self._access.expire()
        except OSError as error:
            _log.warning("an invite has expired, but that could not be stored: %s", error.strerror)
        self._expiry_looks += 1
        if self._expiry_looks % SEEN_LOOKS == 0:
            self._save_seen()
        self._expiry_timer = asyncio.get_running_loop().call_later(EXPIRY_SECONDS, self._look_for_expired)

    def _save_seen(self) -> None:
        try:
            self._access.invites.save()
        except OSError as error:
            _log.warning("when invites were last seen could not be stored: %s", error.strerror)

    def _status(self) -> dict[str, Any]:
        owner = self.host.ownership.owner
        return {
            "url": self.url,
            "page": asdict(self.page),
            "host": self.settings.host,
            "port": self.port,
            "tls": self._tls is not None,
            "allowedHosts": list(self.settings.allowed_hosts),
            "allowedOrigins": list(self.settings.allowed_origins),
            "owner": owner.connection_id if owner else None,
            "connections": len(self.host.peers),
            "pid": os.getpid(),
            "wall": confinement.chosen.wall,
        }

    def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = now - self._beat_timer.when() if self._beat_timer is not None else 0.0
        for connection in list(self._connections):
            if late > self.settings.heartbeat:  # the process was stopped, or the machine had no time for it
                connection.excuse(late)
            connection.beat(now)
        self._beat_timer = loop.call_later(self.settings.heartbeat / BEATS, self._beat)


def _number(parameters: dict[str, str], name: str) -> int | None:
    text = parameters.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise Rejected(400, f"`{name}` is not a number")
    return int(text)


def _response(status: int, body: bytes, content_type: str, *, policy: str = DATA_POLICY, **extra: str) -> Response:
    headers = Headers(
        [
            ("Date", formatdate(usegmt=True)),
            ("Connection", "close"),
            ("Content-Length", str(len(body))),
            ("Content-Type", content_type),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Content-Security-Policy", policy),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            *((name.replace("_", "-"), value) for name, value in extra.items()),
        ]
    )
    return Response(status, http.HTTPStatus(status).phrase, headers, body)


def _rejection(rejected: Rejected) -> Response:
    body = f"{rejected}\n".encode()
    extra = {}
    if rejected.status == 401:
        extra["WWW_Authenticate"] = 'Bearer realm="myagent-remote"'
    if rejected.status == 405:
        extra["Allow"] = "GET"
    if rejected.status == 426:
        extra["Sec_WebSocket_Version"] = "13"
    if rejected.status in (429, 503):
        extra["Retry_After"] = str(rejected.retry_after)
    return _response(rejected.status, body, "text/plain; charset=utf-8", **extra)
