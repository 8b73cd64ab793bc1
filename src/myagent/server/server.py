"""The listener: starts, takes connections, judges their requests, and stops without losing anything."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from websockets.http11 import Request

from myagent.access.credentials import Credential
from myagent.access.invites import DEFAULT_LIFETIME, PAIRED_LIFETIME
from myagent.access.registry import Access, CreateInvite, Invitation, RevokeInvites
from myagent.access.state_directory import StateDir
from myagent.access.tickets import Tickets
from myagent.agents import Agent
from myagent.agents.processes import confinement, kept
from myagent.agents.processes.ledger import Ledger
from myagent.core.messages import May
from myagent.core.ownership import scope_of
from myagent.eventlog import EventLog
from myagent.eventlog.blobs import Blobs
from myagent.eventlog.sqlite import SqliteLog
from myagent.eventlog.words import WordIndex
from myagent.host.host import Host
from myagent.host.peer import Peer
from myagent.host.searching import Searching
from myagent.push.lock_screen import LockScreen
from myagent.server import process_origin
from myagent.server.acceptor import Acceptor
from myagent.server.addresses import ANYWHERE, Page, bracketed, find_page
from myagent.server.admission import Admission, Rejected
from myagent.server.answering import Pressed
from myagent.server.connection import Connection
from myagent.server.control import ControlSocket
from myagent.server.http import Answers, rejection
from myagent.server.listening import CannotListen, ExposedPlain
from myagent.server.metrics import MeasuredLog
from myagent.server.places import Places
from myagent.server.rate_limit import Failures, network
from myagent.server.upgrade import Upgrades
from myagent.settings import Settings

__all__ = ["CannotListen", "ExposedPlain", "Server", "Settings"]

EXPIRY_SECONDS = 0.5  # between two looks for expired invites: their connections are closed within a second
SEEN_LOOKS = 120  # after which it is stored when invites were seen last

_log = logging.getLogger(__name__)


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
        self.acceptor = Acceptor(self.settings, lambda: self)
        self._state = StateDir(self.workspace)
        self._access = Access(self._state.path)
        self._control = ControlSocket(self._state.path, self._access.answer, self._trusts)
        self._tickets = Tickets()
        self.auth_path = self._access.auth_path
        self._measures = MeasuredLog(log or SqliteLog(self._state.path / "sessions.db", quota=self.settings.max_log))
        self.host = Host(self.workspace, agent, self._measures, self.settings)
        searches = log is None and self.settings.retain_events is None  # words of what was dropped would stay
        self._search = Searching(self.host, WordIndex(self._state.path / "words.db") if searches else None)
        self.host.rules = self._access.rules
        limits = self.settings.limits
        self.host.blobs = Blobs(self._state.path / "blobs", session_bytes=limits.content_bytes)
        self.lock_screen = LockScreen(self.host, self._access)
        self.host.calls = self.lock_screen
        self._upgrades = Upgrades(self.host, self._access, self.places)
        self._answers = Answers(
            self.host,
            self.settings,
            access=self._access,
            tickets=self._tickets,
            measures=self._measures,
            search=self._search,
            blobs=self.host.blobs,
        )
        self._expiry_timer: asyncio.TimerHandle | None = None
        self._expiry_looks = 0
        self._resources = contextlib.ExitStack()  # what is let go when it is closed
        self._started = self._closed = False
        self.on_ended: Callable[[], None] = lambda: None  # called when credentials were revoked or have expired
        self.on_stopped: Callable[[], Awaitable[None]] | None = None  # awaited when the last event was stored
        self.on_wrong_credential: Callable[[str], None] = lambda _: None  # gets the address that it came from

    @property
    def token(self) -> str:
        """The owner token."""
        return self._access.token

    @property
    def measures(self) -> MeasuredLog:
        """What `/metrics` tells."""
        return self._measures

    @property
    def access(self) -> Access:
        """Who may connect."""
        return self._access

    @property
    def port(self) -> int:
        return self.acceptor.port

    @property
    def url(self) -> str:
        """Where clients connect: `ws://host:port`, `wss://` with TLS."""
        return self.acceptor.url

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
        may: May = "watch",
    ) -> Invitation:
        """Let somebody watch, or more, as `may` says: all sessions or one, for `lifetime` seconds, on as many devices
        as they like or `uses`. Its `link` opens the page; both that and its token are told here and never again.

        Raises `BadRequest`, `InvitesFull`, `NotStored`.
        """
        wanted = CreateInvite(lifetime=lifetime, label=label, session_id=session_id, uses=uses, scope=scope_of(may))
        made = self._access.answer(wanted)
        return Invitation(made["id"], made["token"], made["expiresAt"], self.page.link(made["token"]))

    def pair(self, may: May = "drive", *, label: str = "", lifetime: float = PAIRED_LIFETIME) -> Invitation:
        """Let one device enrol within `ENROL_SECONDS`, which may then come back for `lifetime` seconds.

        Raises `BadRequest`, `InvitesFull`, `NotStored`.
        """
        made = self._access.answer(CreateInvite(lifetime=lifetime, label=label, scope=scope_of(may), pairs=True))
        return Invitation(made["id"], made["token"], made["expiresAt"], self.page.pairing_link(made["token"]))

    def invite_label(self, invite_id: str) -> str:
        """What an invite was named; of one that there is no more, nothing."""
        return self._access.invites.label(invite_id)

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
        self.acceptor.load()
        self._state.open()
        try:
            with contextlib.suppress(OSError):  # whoever wants to start something is told why it cannot be
                self._resources.enter_context(kept.holding())
            for path in self._access.load(set_aside=True):
                _log.warning(
                    "%s was not made by this user on this machine: it is not used, a new one is made; "
                    "if it is yours (a backup, a moved directory): myagent remote adopt, while no server runs", path,
                )  # fmt: skip
            self.host.redactor.register(self.token)
            # First, so that a port in use is told before anything is recovered.
            await self.acceptor.listen()
            await self.host.start(survivors=self._end_survivors())
            await self._search.start()
            self._admission = self._make_admission()
            self._govern()
            await self._control.open()
            await self.acceptor.begin()
        except BaseException:
            self.acceptor.abandon()
            await self._control.close()
            await self._search.close()
            await self.host.abandon()
            self._resources.close()
            self._state.close()
            raise
        self._started = True
        self._measures.loop.start()
        self._look_for_expired()

    async def close(self) -> None:
        """Stop: no new connections, turns ended and stored, 1001 to all, everything let go. Idempotent."""
        if self._closed or not self._started:
            return
        self._closed = True
        await self.acceptor.stop()
        await self._control.close()
        self._measures.loop.stop()
        if self._expiry_timer is not None:
            self._expiry_timer.cancel()
        await self.host.stop()
        if self.on_stopped is not None:
            await self.on_stopped()
        await self.acceptor.close()
        await self.lock_screen.finish()
        await self._search.close()
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

    @property
    def places(self) -> Places:
        return self.acceptor.places

    @property
    def incoming(self) -> memoryview:
        return self.acceptor.incoming

    def opened(self, connection: Connection) -> None:
        self.acceptor.opened(connection)

    def stays(self, connection: Connection) -> None:
        self.acceptor.stays(connection)

    def closed(self, connection: Connection) -> None:
        self.acceptor.closed(connection)

    def still_good(self, credential: Credential) -> bool:
        return self._access.authenticator.still_good(credential)

    def requested(self, connection: Connection, request: Request) -> None:
        (address, _), _ = connection.addresses
        self.acceptor.asked(connection)
        try:
            call = self._admission.judge(request, address)
            if call.route in ("stream", "acp"):
                self._upgrades.accept(connection, request, call)
                return
        except Rejected as rejected:
            connection.respond(rejection(rejected), key=network(address))
            return
        answers = Pressed(self.lock_screen, connection) if call.route == "answer" else self._answers
        answering = self.acceptor.answer(connection, call, answers)
        self.acceptor.work(connection, asyncio.get_running_loop().create_task(answering, name=f"GET {call.route}"))

    # --- starting -------------------------------------------------------------------------------------------------

    def _make_admission(self) -> Admission:
        host = self.settings.host.lower()
        names = {host, bracketed(host), "localhost", "127.0.0.1", "[::1]"}
        return Admission(
            access=self._access,
            tickets=self._tickets,
            failures=Failures(self.settings.wrong_credentials, told=lambda address: self.on_wrong_credential(address)),
            names=frozenset(names),
            allowed_hosts=frozenset(each.lower() for each in self.settings.allowed_hosts),
            allowed_origins=frozenset(self.settings.allowed_origins),
            port=self.port,
            tls=self.acceptor.tls,
            wildcard=host in ANYWHERE,
            base_path=self.settings.base_path,
            open_metrics=self.settings.open_metrics,
            leaves=self.lock_screen.tickets,
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

    def _connected(self, credential_id: str) -> list[Peer]:
        """Also those that are connected to a relay."""
        here = self.host.peers.values()
        return [peer for peer in here if credential_id in (peer.credential_id, peer.device_id)]

    def _end(self, credential_id: str, why: str) -> None:
        """Close all connections of a credential, or of a device. The slot that one held is free at once: nobody may
        reclaim it."""
        self._tickets.forget(credential_id)
        self.host.credential_ended(credential_id)
        self.lock_screen.credential_ended(credential_id)
        self.on_ended()
        for peer in self._connected(credential_id):
            self.host.leave(peer, clean=True)
            peer.close(4401, f"the credential was {why}" if why == "revoked" else f"the credential has {why}")

    def _rotated(self, old: str, new: str) -> None:
        self.host.redactor.register(new)
        self.host.redactor.forget(old)

    def _look_for_expired(self) -> None:
        try:
            self._access.expire()
        except OSError as error:
            _log.warning("an invite has expired, but that could not be stored: %s", error.strerror)
        self.host.look_at_log()
        self._state.tend()
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
            "tls": self.acceptor.tls,
            "allowedHosts": list(self.settings.allowed_hosts),
            "allowedOrigins": list(self.settings.allowed_origins),
            "owner": owner.connection_id if owner else None,
            "connections": len(self.host.peers),
            "pid": os.getpid(),
            "wall": confinement.chosen.wall,
        }
