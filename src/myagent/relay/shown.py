"""One name as a relay serves it: its mirror, who may come in, and what is asked of it over HTTP and WebSockets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
from websockets.http11 import Request

from myagent.access.credentials import Credential
from myagent.access.tickets import Tickets
from myagent.core.messages import SessionId
from myagent.eventlog import LogRefused
from myagent.eventlog.sqlite import SqliteLog
from myagent.host.peer import Peer
from myagent.relay.ending import end
from myagent.relay.engine import Engine, EngineAway, Kept, NobodyThere
from myagent.relay.forwarding import Forwarding
from myagent.relay.judged import JudgedAccess, Unjudged
from myagent.relay.mirror import Mirror
from myagent.relay.subjects import EVENTS, STATE, TAKEN, access, events, state
from myagent.relay.words import Question, SessionState, Use, Verdict, read
from myagent.server.acceptor import Acceptor
from myagent.server.admission import Admission, Rejected
from myagent.server.connection import Connection
from myagent.server.http import Answers, rejection
from myagent.server.metrics import MeasuredLog
from myagent.server.places import Places
from myagent.server.rate_limit import network
from myagent.server.upgrade import Upgrades
from myagent.settings import Settings

IDLE_SECONDS = 2.0  # after which the stream is looked at although nothing was told of it
RETRY_SECONDS = 0.2
MISSING_SECONDS = 5.0  # for which the stream has not what is told of a session, until that counts as gone
QUESTIONS = 64  # to one host at a time; more are turned away
OFFLINE = "the host is away, and has not said yet whether this credential is good"

_USES: dict[str, Use] = {"stream": "join", "ticket": "join", "sessions": "read", "events": "read"}
_log = logging.getLogger(__name__)


class Shown:
    """A `Listener` for the connections that name it. `make_admission`: by what requests are judged, but for who asks
    and under which path. `forwards_as`: what the relay is called in links to hosts; `None`: it only shows."""

    def __init__(
        self, name: str, directory: Path, engine: Engine, acceptor: Acceptor, settings: Settings,
        make_admission: Callable[[Shown], Admission], *, forwards_as: str | None,
    ) -> None:  # fmt: skip
        self.name = name
        self.settings = replace(settings, base_path=f"{settings.base_path}/{name}")
        self.host = Mirror(name, directory, lambda path: SqliteLog(path, synchronous="NORMAL"), self.settings)
        self.access = JudgedAccess(asyncio.get_running_loop().time)
        self.tickets = Tickets()
        if forwards_as is not None:
            self.host.forwarding = Forwarding(
                name, engine, forwards_as, self.host, self._digest_of, heartbeat=settings.heartbeat
            )
        self.alive_until = 0.0  # of the loop's clock: the host's lease was seen to hold
        self._engine = engine
        self._acceptor = acceptor
        self._make_admission = make_admission
        self._wake = asyncio.Event()
        self._questions = 0
        self._at_end = asyncio.get_running_loop().time()  # when the stream was read to its end last
        self._following: asyncio.Task[None] | None = None
        self._upgrades: Upgrades
        self._answers: Answers
        self._admission: Admission
        self._missing: dict[SessionId, float] = {}  # since when: what is told of them is ahead of the events
        self._untold: dict[SessionId, float] = {}  # since when: their events are ahead of what is told

    @property
    def places(self) -> Places:
        return self._acceptor.places

    @property
    def incoming(self) -> memoryview:
        return self._acceptor.incoming

    def opened(self, connection: Connection) -> None:
        self._acceptor.opened(connection)

    def stays(self, connection: Connection) -> None:
        self._acceptor.stays(connection)

    def closed(self, connection: Connection) -> None:
        self._acceptor.closed(connection)

    def still_good(self, credential: Credential) -> bool:
        return self.access.judged.still_good(credential)

    async def start(self) -> None:
        await self.host.start(MeasuredLog)
        measures = self.host.log
        assert isinstance(measures, MeasuredLog)
        measures.gauges |= {
            "host_online": ("Whether the host holds its name.", lambda: float(self.host.offline_since is None)),
            "relay_lag_events": ("Events that the host has told of and that are not here.", lambda: self.host.behind),
            "relay_lag_seconds": ("Since when the stream could not be read to its end.", self._lag_seconds),
        }
        self._upgrades = Upgrades(self.host, self.access, self.places)
        self._answers = Answers(self.host, self.settings, access=self.access, tickets=self.tickets, measures=measures)
        self._admission = self._make_admission(self)
        self._following = asyncio.get_running_loop().create_task(self._follow(), name=f"follow {self.name}")

    def _digest_of(self, peer: Peer) -> bytes | None:
        return self.access.judged.digest_of(peer.credential_id, peer.device_id)

    def _lag_seconds(self) -> float:
        return max(0.0, asyncio.get_running_loop().time() - self._at_end - 2 * IDLE_SECONDS)

    async def close(self) -> None:
        await end(self._following)
        await self.host.close()

    def wake(self) -> None:
        """There is something new in the engine."""
        self._wake.set()

    # --- requests -------------------------------------------------------------------------------------------------

    def requested(self, connection: Connection, request: Request) -> None:
        (address, _), _ = connection.addresses
        try:
            self._judged(connection, request, address)
        except Unjudged as unjudged:
            work = self._ask_first(connection, request, address, unjudged.digest)
            self._acceptor.work(connection, asyncio.get_running_loop().create_task(work, name=f"ask {self.name}"))
        except Rejected as rejected:
            connection.respond(rejection(rejected), key=network(address))

    def _judged(self, connection: Connection, request: Request, address: str) -> None:
        """Raises `Rejected`, `Unjudged`."""
        call = self._admission.judge(request, address)
        if call.route == "stream":
            self._upgrades.accept(connection, request, call)
            return
        work = self._acceptor.answer(connection, call, self._answers)
        self._acceptor.work(connection, asyncio.get_running_loop().create_task(work, name=f"GET {call.route}"))

    async def _ask_first(self, connection: Connection, request: Request, address: str, digest: bytes) -> None:
        try:
            await self._ask(digest, self._use_of(request), network(address))
            self._judged(connection, request, address)
        except Unjudged:  # many came with an invite that is counted, and one of them had what was granted
            connection.respond(rejection(Rejected(503, "try again")), key=network(address))
        except Rejected as rejected:
            connection.respond(rejection(rejected), key=network(address))

    def _use_of(self, request: Request) -> Use:
        path = request.path.partition("?")[0].removeprefix(self.settings.base_path)
        route = "stream" if path == "/" else path.rpartition("/")[2]
        return _USES.get(route, "look")

    async def _ask(self, digest: bytes, use: Use, where: str) -> None:
        """Have a credential judged by the host. Raises `Rejected` where it cannot be, and was not before."""
        if self._questions >= QUESTIONS:
            raise Rejected(503, "too many requests at once; try again")
        self._questions += 1
        try:
            asked = msgspec.json.encode(Question(digest.hex(), use, where))
            verdict = msgspec.json.decode(await self._engine.ask(access(self.name), asked), type=Verdict)
            self.access.judged.take(digest, verdict, used=use != "look")
        except (EngineAway, NobodyThere, msgspec.DecodeError):
            if not self.access.judged.believe(digest):
                raise Rejected(503, OFFLINE, retry_after=5) from None
        finally:
            self._questions -= 1

    async def look_again(self) -> None:
        """Ask about everybody who was let in, and close whoever is no longer good."""
        self.access.judged.stale()
        here = {peer.credential_id for peer in self.host.peers.values()}
        try:
            for digest in self.access.judged.good(here):
                await self._ask(digest, "look", "")
        except Rejected:
            pass  # the host is away: they are asked about when it is back
        self.close_ended()

    def close_ended(self) -> None:
        """Close who may not be here any more; called at least twice a second."""
        for peer in list(self.host.peers.values()):
            if not peer.still_good() and isinstance(peer, Connection):
                self.host.leave(peer, clean=True)
                self.tickets.forget(peer.credential_id)
                peer.close(4401, "the credential was revoked or has expired")

    # --- the stream -----------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Take what the host publishes, for as long as the relay runs."""
        while True:
            self._wake.clear()
            try:
                while found := await self._engine.fetch(EVENTS, events(self.name), self.host.copy.number):
                    await self._know_sessions(found)
                    await self.host.copy.take(found)
                    await self.host.log.room()
                self._at_end = asyncio.get_running_loop().time()
                await self._take_states()
                self.host.save()
            except EngineAway:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            except (LogRefused, OSError) as error:
                _log.error("the copy of %s cannot be written: %s", self.name, error)
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                await self._look_for_a_shorter_stream()

    async def _know_sessions(self, messages: list[Kept]) -> None:
        """Have every session listed of which an event has come. The host told of it before. Raises `EngineAway`."""
        come = {SessionId(each.subject.rpartition(".")[2]) for each in messages} - self.host.sessions.keys() - {TAKEN}
        for session_id in come:
            kept = await self._engine.fetch(STATE, state(self.name, "session", session_id), 0)
            told = read(kept[-1].data, SessionState) if kept else None
            if isinstance(told, SessionState):
                self.host.know(told)
                continue
            now = asyncio.get_running_loop().time()
            if now - self._untold.setdefault(session_id, now) < MISSING_SECONDS:
                raise EngineAway  # a replica may be behind: it is looked for again
            _log.warning("nothing is told of session %s of %s", session_id, self.name)

    async def _look_for_a_shorter_stream(self) -> None:
        """A stream that ends before what we have read was made anew, or has lost its end: it is read from the start,
        and what we have is taken no second time."""
        try:
            last = await self._engine.last_seen(events(self.name))
        except EngineAway:
            return
        if last is None or last.number < self.host.copy.number:
            self.host.copy.number = 0

    async def _take_states(self) -> None:
        waiting = self.host.take_states()
        now = asyncio.get_running_loop().time()
        self._missing = {each: self._missing.get(each, now) for each in waiting}
        for session_id, since in self._missing.items():
            if now - since < MISSING_SECONDS:
                continue
            last = await self._engine.last_seen(events(self.name, session_id))
            if last is None or last.number <= self.host.copy.number:
                await self.host.miss(session_id)
        if self._missing:
            self.host.take_states()
