"""The relay: one address at which every workspace that is published can be watched, each under its name."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec
from websockets.http11 import Request, Response

from myagent.access.credentials import Credential
from myagent.exceptions import MyagentError
from myagent.relay.ending import end
from myagent.relay.engine import Engine, EngineAway
from myagent.relay.fleet import fleet_answer
from myagent.relay.lease import FREE, SECONDS, Held
from myagent.relay.shown import Shown
from myagent.relay.subjects import NAMES, STATE, is_name, name_of, told
from myagent.relay.words import HostState, SessionState, read
from myagent.server.acceptor import Acceptor
from myagent.server.addresses import ANYWHERE, bracketed
from myagent.server.admission import Admission, Rejected, is_upgrade
from myagent.server.connection import Connection
from myagent.server.http import rejection
from myagent.server.rate_limit import Failures, network
from myagent.server.workspace import Workspace
from myagent.settings import Settings

if TYPE_CHECKING:
    from nats.aio.msg import Msg

LOOK_SECONDS = 0.5  # between two looks at who may stay
RETRY_SECONDS = 0.5
REJUDGE_LOOKS = 10  # of these, after which the host is asked about everybody who is here
NO_WORKSPACE = (
    "this is a relay, and no workspace that it shows is called so: the address needs a name, as in /team/web/"
)
NAMES_SHOWN = 1000  # workspaces of one relay: each has a log of its own

_log = logging.getLogger(__name__)


class Relay:
    """Shows what hosts publish: `async with Relay(["nats://…"], Path("copies")) as relay: print(relay.url)`.

    `directory` is where the copies are; it can be deleted while no relay runs. With `watch_only` nothing that is sent
    goes to a host. Raises `MyagentError` subclasses from
    `start`: `EngineUnusable`, `CannotListen`, `ExposedPlain`, `FileUnusable`.
    """

    def __init__(
        self, nats: list[str], directory: Path, settings: Settings | None = None, *,
        watch_only: bool = False, lease_seconds: float = SECONDS,
    ) -> None:  # fmt: skip
        self.settings = settings or Settings()
        self.acceptor = Acceptor(self.settings, lambda: self)
        self.shown: dict[str, Shown] = {}
        self.on_name: Callable[[str], None] = lambda name: None  # told of each that appears
        self._directory = directory
        self._engine = Engine(nats, name="myagent relay")
        self._id = secrets.token_hex(16)
        self._watch_only = watch_only
        self._lease_seconds = lease_seconds
        self._failures = Failures(self.settings.wrong_credentials)
        self._wake = asyncio.Event()
        self._number = 0  # of the last message of the state stream that was taken
        self._tasks: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._looks = 0
        self._closed = False

    @property
    def url(self) -> str:
        return self.acceptor.url

    @property
    def port(self) -> int:
        return self.acceptor.port

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Returns when connections are taken, and what is published already is listed."""
        self.acceptor.load()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        await self.acceptor.listen()
        try:
            await self._engine.connect()
            await self._engine.hear("myagent.*.moved", self._moved)
            await self._engine.hear("myagent.*.revoked", self._revoked)
            await self._engine.hear(told("*", self._id), self._told)
            await self._engine.hear(f"$KV.{NAMES}.>", self._lease_seen)
            try:
                await self._take_states()
            except EngineAway:
                self._wake.set()  # no host has made the streams yet
            await self.acceptor.begin()
        except BaseException:
            self.acceptor.abandon()
            await self._close_shown()
            raise
        self._engine.on_connected = self._connected
        self._spawn(self._follow_states(), "follow states")
        self._look()

    async def close(self) -> None:
        """Stop: 1001 to all, everything let go. Idempotent."""
        if self._closed:
            return
        self._closed = True
        await self.acceptor.stop()
        if self._timer is not None:
            self._timer.cancel()
        await end(*self._tasks)
        await self.acceptor.close()
        await self._close_shown()

    async def _close_shown(self) -> None:
        for shown in self.shown.values():
            await shown.close()
        await self._engine.close()

    # --- a `Listener` until it is known which workspace is meant --------------------------------------------------

    @property
    def host(self) -> Workspace:
        raise AssertionError("no connection joins before its workspace is known")

    @property
    def places(self) -> Any:
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
        return False

    def requested(self, connection: Connection, request: Request) -> None:
        """Give it to the workspace that its path names: the longest name that fits."""
        self.acceptor.asked(connection)
        path = request.path.partition("?")[0].removeprefix(self.settings.base_path)
        parts = path.strip("/").split("/")
        for count in range(len(parts), 0, -1):
            shown = self.shown.get("/".join(parts[:count]))
            if shown is not None:
                connection.pass_to(shown)
                shown.requested(connection, request)
                return
        (address, _), _ = connection.addresses
        connection.respond(self._answer(path, request), key=network(address))

    def _answer(self, path: str, request: Request) -> Response:
        """What is asked of the relay itself, or of a workspace that it does not show."""
        if path == "/healthz" and request.method == "GET":
            return rejection(Rejected(200, "ok"))
        if is_upgrade(request):
            return rejection(Rejected(404, NO_WORKSPACE))
        return fleet_answer(path, request) or rejection(Rejected(404, NO_WORKSPACE))

    def _make_admission(self, shown: Shown) -> Admission:
        host = self.settings.host.lower()
        return Admission(
            access=shown.access,
            tickets=shown.tickets,
            failures=self._failures,
            names=frozenset({host, bracketed(host), "localhost", "127.0.0.1", "[::1]"}),
            allowed_hosts=frozenset(each.lower() for each in self.settings.allowed_hosts),
            allowed_origins=frozenset(self.settings.allowed_origins),
            port=self.port,
            tls=self.acceptor.tls,
            wildcard=host in ANYWHERE,
            base_path=shown.settings.base_path,
            open_metrics=self.settings.open_metrics,
        )

    # --- what the engine tells ------------------------------------------------------------------------------------

    def _spawn(self, work: Any, name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _connected(self) -> None:
        """The connection was gone for a while: what was told meanwhile is looked up, and all that is the latest."""
        self._number = 0
        self._wake.set()
        for shown in self.shown.values():
            shown.wake()
            self._spawn(shown.look_again(), "look again")

    async def _moved(self, message: Msg) -> None:
        shown = self.shown.get(name_of(message.subject))
        if bytes(message.data) == b"state" or shown is None:
            self._wake.set()
        else:
            shown.wake()

    async def _revoked(self, message: Msg) -> None:
        shown = self.shown.get(name_of(message.subject))
        if shown is not None:
            self._spawn(shown.look_again(), "look again")

    async def _told(self, message: Msg) -> None:
        shown = self.shown.get(name_of(message.subject))
        if shown is not None and shown.host.forwarding is not None:
            shown.host.forwarding.heard(bytes(message.data))

    async def _lease_seen(self, message: Msg) -> None:
        self._lease_said(name_of(message.subject), bytes(message.data))

    def _lease_said(self, name: str, data: bytes) -> None:
        shown = self.shown.get(name)
        if shown is None:
            return
        try:
            free = msgspec.json.decode(data, type=Held).holder == FREE
        except msgspec.DecodeError:
            return
        now = asyncio.get_running_loop().time()
        back = not free and now >= shown.alive_until
        shown.alive_until = 0.0 if free else now + self._lease_seconds
        shown.host.host_is(online=not free)
        if back and self._timer is not None:
            self._spawn(shown.look_again(), "look again")

    async def _take_leases(self) -> None:
        """See which hosts are there, without waiting for their next renewal. Raises `EngineAway`."""
        for kept in await self._engine.fetch(f"KV_{NAMES}", f"$KV.{NAMES}.>", 0):
            self._lease_said(name_of(kept.subject), kept.data)

    async def _follow_states(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._lease_seconds):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self._take_states()
            except EngineAway:
                await asyncio.sleep(RETRY_SECONDS)
                self._wake.set()

    async def _take_states(self) -> None:
        """Take the latest of every host. Raises `EngineAway`."""
        known = len(self.shown)
        while found := await self._engine.fetch(STATE, "myagent.*.state.>", self._number):
            for kept in found:
                name = name_of(kept.subject)
                if name and (shown := await self._show(name)) is not None:
                    kind = kept.subject.split(".")[3]
                    told = read(kept.data, HostState if kind == "host" else SessionState)
                    if isinstance(told, HostState):
                        shown.host.host_told(told)
                    elif isinstance(told, SessionState):
                        shown.host.session_told(told)
                    shown.wake()
                self._number = kept.number
        if len(self.shown) > known:
            await self._take_leases()

    async def _show(self, name: str) -> Shown | None:
        """The workspace of a name, from its first appearance on; `None` if it cannot be shown."""
        shown = self.shown.get(name)
        if shown is not None or not is_name(name) or len(self.shown) >= NAMES_SHOWN:
            return shown
        shown = Shown(
            name, self._directory / name, self._engine, self.acceptor, self.settings, self._make_admission,
            forwards_as=None if self._watch_only else self._id,
        )  # fmt: skip
        try:
            await shown.start()
        except MyagentError as error:
            _log.error("%s is not shown: %s", name, error)
            return None
        self.shown[name] = shown
        self.on_name(name)
        return shown

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        self._looks += 1
        for shown in self.shown.values():
            if now >= shown.alive_until:
                shown.host.host_is(online=False)
            shown.close_ended()
            shown.host.seat_all()
            if self._looks % REJUDGE_LOOKS == 0 and shown.host.peers and not shown.host.offline_since:
                self._spawn(shown.look_again(), "look again")
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
