"""The host's side: what is committed goes to the engine, in order, while the name is ours.

A publisher is a cursor into the log, like any connection: nobody waits for it, and where it stands it asks the event
stream itself. What is stored there is stored only if the last message under the name is the one that we know: whoever
takes the name writes one of its own first, and so ends what an earlier holder still sends.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from myagent.core.codec import encode
from myagent.core.messages import OwnerChanged, OwnerInfo, SessionId
from myagent.eventlog import LogRefused, Stored
from myagent.host.host import Host
from myagent.relay.doorkeeper import Doorkeeper
from myagent.relay.ending import end
from myagent.relay.engine import Engine, EngineAway, EngineUnusable, Fenced, Kept, check_installed
from myagent.relay.lease import SECONDS, Lease
from myagent.relay.seats import Seats
from myagent.relay.subjects import TAKEN, check_name, events, moved, revoked, state
from myagent.relay.words import HostState, SessionState

if TYPE_CHECKING:
    from myagent.access.registry import Access
    from myagent.server.server import Server

PAGE_BYTES = 256 << 10  # of events in one batch; JetStream takes up to 1,000 messages in one
PAGE_EVENTS = 500
LOOKS = 32  # requests at once, when it is asked where each session stands
RETRY_SECONDS = 0.5
CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 2.0  # for what is left, when the server stops
OVERHEAD_BYTES = 4096  # of the engine's largest message, for what is not the event

_OUTPUT = (b'{"type":"agent_stdout"', b'{"type":"agent_stderr"')
_SEQ = re.compile(rb',"seq":(\d+)}$')
_log = logging.getLogger(__name__)


class Publisher:
    """Publishes one host. `say` is told, in a line for a human, when it begins and when the name is lost.

    Made before anything begins, so that what can never be is told in time (`BadName`, `EngineUnusable`). With `wait`, a
    name that another host has is taken when it is free again; else it is not tried again before the next start.
    """

    def __init__(
        self, host: Host, access: Access, engine: Engine, name: str, *,
        say: Callable[[str], None], wait: bool = False, replicas: int = 1, lease_seconds: float = SECONDS,
    ) -> None:  # fmt: skip
        check_installed()
        self.name = check_name(name)
        self.published: dict[str, int] = {}  # session → its last event that the stream has
        self._host = host
        self._engine = engine
        self._say = say
        self._wait = wait
        self._replicas = replicas
        self._lease_seconds = lease_seconds
        self._lease = Lease(engine, name, seconds=lease_seconds)
        self._doorkeeper = Doorkeeper(access, engine, name, lambda: self._lease.held)
        counted = self._doorkeeper.was_counted
        self.seats = Seats(host, access, engine, name, ours=lambda: self._lease.held, counted=counted)
        self._wake = asyncio.Event()
        self._behind_since: float | None = None  # of the event loop's clock
        self._last = 0  # number of the last message under our name
        self._told: dict[str, bytes] = {}  # subject → the state that was published last
        self._looked = -1  # index of the window up to which states were looked at
        self._task: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None

    @property
    def publishing(self) -> bool:
        return self._lease.held and self._last > 0

    @property
    def behind(self) -> int:
        """Events that are committed and not published."""
        heads = self._host.fanout.window.heads
        return sum(max(0, head - self.published.get(each, 0)) for each, head in heads.items())

    @property
    def behind_seconds(self) -> float:
        """For how long there has been something that is committed and not published."""
        since = self._behind_since
        return 0.0 if since is None or not self.behind else asyncio.get_running_loop().time() - since

    def _flushed(self) -> None:
        if self._behind_since is None:
            self._behind_since = asyncio.get_running_loop().time()
        self._wake.set()

    def start(self) -> None:
        """Begin, with a host that was started; nothing waits for the engine."""
        self._host.fanout.on_flush = self._flushed
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"publish {self.name}")
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """It does not end by itself but where the name is another's: then that was said."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("publishing as %s has ended; the sessions go on: %s", self.name, error, exc_info=error)

    async def close(self) -> None:
        """Publish what is left, as far as that goes at once, and give the name back."""
        self._host.fanout.on_flush = _nothing
        await end(self._task, self._renewing)
        self._doorkeeper.close()
        if self._engine.connected:
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    if self.publishing:
                        await self._publish()
            except (EngineAway, Fenced, LogRefused, TimeoutError):
                pass  # what is left is published after the next start
        await self.seats.close()
        if self._engine.connected:
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._lease.let_go()
            except (EngineAway, TimeoutError):
                pass  # it runs out
        await self._engine.close()

    def revoked(self) -> None:
        """Credentials have ended: relays ask again at once."""
        self._host.store.spawn(self._tell_revoked(), "tell relays")

    async def _tell_revoked(self) -> None:
        try:
            await self._engine.tell(revoked(self.name), b"")
        except EngineAway:
            pass  # they ask when they are back

    # --- the loop -------------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        """Returns when there is an engine that can be used."""
        said = ""
        while True:
            try:
                await self._engine.connect()
                await self._engine.ensure_streams(self._lease_seconds, self._replicas)
                return
            except (EngineUnusable, EngineAway) as error:
                await self._engine.close()
                if str(error) not in ("", said):
                    said = str(error)
                    self._say(f"not published: {said}; it is tried again")
            await asyncio.sleep(CONNECT_SECONDS)

    async def _run(self) -> None:
        await self._connect()
        said = ""
        while True:
            try:
                await self._engine.ensure_streams(self._lease_seconds, self._replicas)  # they may have been lost
                if not await self._lease.take():
                    if said != "lost":
                        self._say(f"the name {self.name} is another host's: this one goes on unpublished")
                        said = "lost"
                    if not self._wait:
                        return
                    await asyncio.sleep(self._lease.wait)
                    continue
                await self._take_over()
                if said != "published":
                    self._say(f"published as {self.name}")
                    said = "published"
                await self._while_ours()
            except (EngineAway, EngineUnusable):
                await asyncio.sleep(RETRY_SECONDS)
            except Fenced:  # the next look at the lease says whose it is
                self.seats.lost()
                await asyncio.sleep(RETRY_SECONDS)

    async def _take_over(self) -> None:
        """Make the name's place in the stream ours, and see where each session stands in it."""
        await self._doorkeeper.open()
        await self.seats.open()
        before = await self._engine.last(events(self.name))
        mark = [(events(self.name, TAKEN), b"")]
        self._last = await self._engine.append(self.name, mark, last=0 if before is None else before.number)
        self.published = {}
        limit = asyncio.Semaphore(LOOKS)

        async def look(session_id: str) -> None:
            async with limit:
                self.published[session_id] = _seq_of(await self._engine.last(events(self.name, session_id)))

        async with asyncio.TaskGroup() as group:
            for session_id in list(self._host.fanout.window.heads):
                group.create_task(look(session_id))
        for session_id, seq in self.published.items():
            if seq > self._host.fanout.window.heads.get(session_id, 0):
                _log.error("the stream has later events of session %s than this host: they are not its own", session_id)
        self._told, self._looked = {}, -1

    async def _while_ours(self) -> None:
        """Raises `EngineAway`, `Fenced`."""
        self._renewing = asyncio.get_running_loop().create_task(self._renew(), name=f"renew {self.name}")
        self._wake.set()
        try:
            while True:
                waking = asyncio.ensure_future(self._wake.wait())
                await asyncio.wait({waking, self._renewing}, return_when=asyncio.FIRST_COMPLETED)
                waking.cancel()
                if self._renewing.done():
                    self._renewing.result()
                    raise Fenced
                self._wake.clear()
                await self._publish()
        finally:
            self._renewing.cancel()

    async def _renew(self) -> None:
        """Returns when the name is lost. Raises `EngineAway` when it cannot be told any more."""
        while True:
            await asyncio.sleep(self._lease.wait)
            try:
                if not await self._lease.take():
                    return
            except EngineAway:
                if not self._lease.held:
                    raise

    async def _publish(self) -> None:
        """All that is new. Raises `EngineAway`, `Fenced`."""
        more = True
        while more:
            more = False
            for session_id, head in list(self._host.fanout.window.heads.items()):
                if head > self.published.get(session_id, 0):
                    await self._publish_page(session_id, head)
                    more = True
            await self._publish_states()  # also while there is always more
        self._behind_since = None

    async def _publish_page(self, session_id: str, head: int) -> None:
        after = self.published.get(session_id, 0)
        if state(self.name, "session", session_id) not in self._told:
            await self._tell_session(session_id)  # first: relays show no event of a session that they cannot list
        rows = await self._host.log.read_session(session_id, after, until_seq=head, max_bytes=PAGE_BYTES)
        rows = rows[:PAGE_EVENTS]
        most = self._engine.max_payload - OVERHEAD_BYTES
        messages = [message for row in rows if len(message := _message(row)) <= most]
        if len(messages) < len(rows):
            _log.error("an event of session %s is larger than NATS takes (max_payload): relays tell a gap", session_id)
        if messages:
            subject = events(self.name, session_id)
            self._last = await self._engine.append(
                self.name, [(subject, message) for message in messages], last=self._last
            )
            await self._engine.tell(moved(self.name), b"%d" % self._last)
        self.published[session_id] = rows[-1].seq if rows else head  # retention took the rest: whoever reads on sees it
        if any(not row.body.startswith(_OUTPUT) for row in rows):  # what is open and what runs is another now
            await self._tell_session(session_id)

    async def _publish_states(self) -> None:
        host, window = self._host, self._host.fanout.window
        looked, self._looked = self._looked, window.next
        changed = [kind for kind, (index, _) in window.latest.items() if index >= looked]
        if looked < 0:
            changed = ["owner", *(f"session {session_id}" for session_id in host.sessions)]
        if "owner" in changed or "presence" in changed:
            owner = host.ownership.owner
            told = window.latest.get("owner")
            await self._tell_state(
                state(self.name, "host"),
                encode(
                    HostState(
                        host.ownership.epoch,
                        OwnerInfo(owner.connection_id, owner.label) if owner else None,
                        "joined" if told is None else _why(told[1].plain),
                        host.ownership.followers,
                    )
                ),
            )
        for kind in changed:
            what, _, session_id = kind.partition(" ")
            if what == "session":
                await self._tell_session(session_id)

    async def _tell_session(self, session_id: str) -> None:
        session = self._host.sessions.get(SessionId(session_id))
        if session is not None:
            latest = SessionState(self.published.get(session_id, 0), session)
            told = self._host.redactor.encoded(encode(latest))
            await self._tell_state(state(self.name, "session", session_id), told)

    async def _tell_state(self, subject: str, data: bytes) -> None:
        if self._told.get(subject) != data:
            await self._engine.keep(subject, data)
            await self._engine.tell(moved(self.name), b"state")
            self._told[subject] = data


def _message(stored: Stored) -> bytes:
    """An event as it travels: the stored bytes, in which there is no newline; then one, and its update."""
    return stored.body if stored.update is None else b"%b\n%b" % (stored.body, stored.update)


def _seq_of(kept: Kept | None) -> int:
    matched = _SEQ.search(kept.data.partition(b"\n")[0]) if kept is not None else None
    return int(matched[1]) if matched else 0


def _why(frame: bytes) -> str:
    """Why the slot moved, of the message that told it."""
    return msgspec.json.decode(frame[frame.index(b"{") :], type=OwnerChanged).why


def _nothing() -> None:
    """Nobody is to be woken."""


def publish(server: Server, publisher: Publisher) -> None:
    """Publish what a server keeps, which was started, until it is closed; then also how its turns ended."""
    publisher.seats.has_room = lambda credential: server.places.has_seat(credential, len(server.host.peers))
    publisher.start()
    server.on_ended = publisher.revoked
    server.on_stopped = publisher.close
    server.measures.gauges |= {
        "published": ("Whether the name is ours, and published.", lambda: float(publisher.publishing)),
        "far_connections": ("Connections that relays vouch for.", lambda: publisher.seats.count),
        "publish_lag_events": ("Events that are stored and not published.", lambda: publisher.behind),
        "publish_lag_seconds": ("Since when there is one.", lambda: publisher.behind_seconds),
    }
