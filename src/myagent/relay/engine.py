"""The engine as hosts and relays use it: NATS with JetStream, asked for little, each thing with its own failure."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from myagent.exceptions import MyagentError
from myagent.extras import install
from myagent.relay.subjects import EVENTS, events, streams

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

NATS_VARIABLE = "MYAGENT_RELAY_NATS"
REQUEST_SECONDS = 4.0  # for an answer of the engine, or of a host
CLOSE_SECONDS = 2.0
PAGE_MESSAGES = 500  # of one fetch
PAGE_BYTES = 1 << 20
LEAST_PAYLOAD = 4 << 20  # that the engine must take in one message: the largest event, and its update
RECONNECT_SECONDS = 0.5
SINGLY = 8  # messages that are stored one after the other (0.4 ms each); a batch takes 12 ms, but takes hundreds
_WRONG_SEQUENCE = (10071, 10164)  # JSStreamWrongLastSequenceErrF, JSStreamWrongLastSequenceConstantErr
_NOTHING_FOUND = 10037  # JSNoMessageFoundErr
_NAME_IN_USE = 10058  # JSStreamNameExistErr

_log = logging.getLogger(__name__)


class EngineUnusable(MyagentError):
    """The engine cannot be used, and no waiting helps."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return f"NATS cannot be used: {self.why}"


class EngineAway(MyagentError):
    """The engine does not answer now. What was asked may have been done, or not."""

    def __str__(self) -> str:
        return "NATS does not answer"


class NobodyThere(MyagentError):
    """Nobody listens on a subject that was asked: the host is not connected to the engine."""

    def __str__(self) -> str:
        return "the host is not connected"


class Fenced(MyagentError):
    """Somebody else has written what only we may write: the name is no longer ours."""

    def __str__(self) -> str:
        return "another host publishes under this name"


@dataclass(frozen=True, slots=True)
class Kept:
    """A message of a stream; `number` is its place there."""

    subject: str
    number: int
    data: bytes


def nats_urls(given: Sequence[str]) -> list[str]:
    """Those of a command line, else those of the environment."""
    return list(given) or os.environ.get(NATS_VARIABLE, "").split()


def check_installed() -> None:
    """Raises `EngineUnusable` where the extra is missing."""
    try:
        import nats  # noqa: F401
    except ImportError:
        raise EngineUnusable(f"it needs the package nats-py: {install('relay')}") from None


class Engine:
    """One connection, which comes back by itself. `on_connected` is called each time that it does."""

    def __init__(self, urls: Sequence[str], *, name: str) -> None:
        self._urls = list(urls)
        self._name = name
        self._connection: Client | None = None
        self.on_connected: Callable[[], None] = lambda: None

    async def connect(self) -> None:
        """Raises `EngineUnusable` where it is not there, says no, or takes too small messages."""
        check_installed()
        import nats
        from nats.errors import Error

        async def failed(error: Exception) -> None:
            _log.warning("NATS: %s", str(error).removeprefix("nats: "))

        async def again() -> None:
            self.on_connected()

        try:
            self._connection = await nats.connect(
                self._urls, name=self._name, error_cb=failed, reconnected_cb=again, allow_reconnect=True,
                max_reconnect_attempts=-1, reconnect_time_wait=RECONNECT_SECONDS, connect_timeout=REQUEST_SECONDS,
                ping_interval=5, max_outstanding_pings=2, pending_size=64 << 20,
            )  # fmt: skip
        except (OSError, Error, TimeoutError) as error:
            raise EngineUnusable(str(error).removeprefix("nats: ") or type(error).__name__) from None
        if self._client.max_payload < LEAST_PAYLOAD:
            await self.close()
            raise EngineUnusable(f"it takes {self._client.max_payload:,} bytes a message: set max_payload to 8MB")

    @property
    def connected(self) -> bool:
        return self._connection is not None and self._connection.is_connected

    @property
    def max_payload(self) -> int:
        return self._client.max_payload

    @property
    def _client(self) -> Client:
        """Raises `EngineAway` where there was no connection yet."""
        if self._connection is None:
            raise EngineAway
        return self._connection

    async def close(self) -> None:
        """Idempotent, whatever state the connection is in."""
        if self._connection is None:
            return
        from nats.errors import Error

        connection, self._connection = self._connection, None
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await connection.close()
        except (Error, OSError, TimeoutError) as error:  # it was cut just now
            _log.debug("NATS: %s", error)

    async def ensure_streams(self, lease_seconds: float, replicas: int) -> None:
        """Make what is not there yet; what is there stays as it is. Raises `EngineUnusable`, `EngineAway`."""
        for stream in streams(lease_seconds, replicas):
            found = await self.api(f"STREAM.INFO.{stream['name']}", {})
            if "error" not in found:
                self._check_stream(stream, found["config"])
                continue
            made = await self.api(f"STREAM.CREATE.{stream['name']}", stream)
            if "error" in made and made["error"].get("err_code") != _NAME_IN_USE:  # another host was faster
                raise EngineUnusable(f"stream {stream['name']}: {made['error'].get('description')}")

    def _check_stream(self, wanted: dict[str, Any], found: dict[str, Any]) -> None:
        """Of one that was there: what all of this rests on."""
        for key in ("allow_atomic", "allow_direct", "max_msgs_per_subject"):
            if key in wanted and found.get(key) != wanted[key]:
                raise EngineUnusable(f"stream {wanted['name']} was made without {key}: {wanted[key]}")

    async def api(self, what: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask JetStream. Raises `EngineAway`."""
        answer = await self.ask(f"$JS.API.{what}", msgspec.json.encode(body))
        found: dict[str, Any] = msgspec.json.decode(answer)
        return found

    async def ask(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> bytes:
        """A request, and its answer. Raises `EngineAway`, `NobodyThere`."""
        from nats.errors import Error, NoRespondersError

        if not self._client.is_connected:
            raise EngineAway
        try:
            answer = await self._client.request(subject, data, timeout=REQUEST_SECONDS, headers=headers)
        except NoRespondersError:
            raise NobodyThere from None
        except (Error, TimeoutError, OSError):
            raise EngineAway from None
        return bytes(answer.data)

    async def tell(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        """Publish what nobody acknowledges. Raises `EngineAway`, `EngineUnusable` where it is too large."""
        from nats.errors import Error

        if not self._client.is_connected:
            raise EngineAway
        if len(data) > self.max_payload:
            raise EngineUnusable(f"it takes {self.max_payload:,} bytes a message, and this one has {len(data):,}")
        try:
            await self._client.publish(subject, data, headers=headers)
        except (Error, OSError):
            raise EngineAway from None

    async def hear(self, subject: str, heard: Callable[[Msg], Awaitable[None]]) -> None:
        """Call `heard` for whatever is published there, from now on, also after a reconnection. Raises `EngineAway`."""
        from nats.errors import Error

        try:
            await self._client.subscribe(subject, cb=heard)
            await self._client.flush()
        except (Error, OSError, TimeoutError):
            raise EngineAway from None

    # --- what is stored -------------------------------------------------------------------------------------------

    async def keep(self, subject: str, data: bytes, *, last: int | None = None) -> int:
        """Store one message; its number. `last`: only if the subject's last message has this number, 0 for none.
        Raises `Fenced`, `EngineAway`."""
        headers = None if last is None else {"Nats-Expected-Last-Subject-Sequence": str(last)}
        return _number(await self._stored(subject, data, headers))

    async def append(self, name: str, messages: Sequence[tuple[str, bytes]], *, last: int) -> int:
        """Store messages of a workspace, in order, if the last one under its name has the number `last`; returns the
        number of the last one now. Where it raises, those at the front may be stored. Raises `Fenced`, `EngineAway`."""
        if len(messages) <= SINGLY:
            for subject, data in messages:
                last = _number(await self._stored(subject, data, _fence(name, last)))
            return last
        batch = secrets.token_hex(8)
        for place, (subject, data) in enumerate(messages, 1):
            headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(place)}
            if place == 1:
                headers |= _fence(name, last)
            if place < len(messages):
                await self.tell(subject, data, headers)
            else:
                headers["Nats-Batch-Commit"] = "1"
                return _number(await self._stored(subject, data, headers))
        return last

    async def _stored(self, subject: str, data: bytes, headers: dict[str, str] | None) -> bytes:
        try:
            return await self.ask(subject, data, headers)
        except NobodyThere:  # JetStream is starting, or has no leader
            raise EngineAway from None

    async def last(self, subject: str, *, stream: str = EVENTS) -> Kept | None:
        """The last message of a subject, which may have wildcards, as its stream's leader knows it. Raises
        `EngineAway`."""
        found = await self.api(f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject})
        if "message" in found:
            message = found["message"]
            return Kept(message["subject"], message["seq"], base64.b64decode(message.get("data", "")))
        if found["error"].get("err_code") != _NOTHING_FOUND:
            raise EngineAway
        return None

    async def last_seen(self, subject: str) -> Kept | None:
        """The same as one of its replicas knows it, which may be behind. Raises `EngineAway`."""
        async with self._inbox() as (inbox, answers):
            await self.tell_for(f"$JS.API.DIRECT.GET.{EVENTS}", {"last_by_subj": subject}, inbox)
            return _kept(await answers())

    async def fetch(self, stream: str, subject: str, after: int) -> list[Kept]:
        """The messages of a subject after a number of its stream, as many as one page has. Raises `EngineAway`."""
        asked = {"seq": after + 1, "batch": PAGE_MESSAGES, "max_bytes": PAGE_BYTES, "next_by_subj": subject}
        found: list[Kept] = []
        async with self._inbox() as (inbox, answers):
            await self.tell_for(f"$JS.API.DIRECT.GET.{stream}", asked, inbox)
            while (kept := _kept(await answers())) is not None:
                found.append(kept)
        return found

    async def tell_for(self, subject: str, body: dict[str, Any], inbox: str) -> None:
        """A request that is answered with several messages, at `inbox`. Raises `EngineAway`."""
        from nats.errors import Error

        if not self._client.is_connected:
            raise EngineAway
        try:
            await self._client.publish(subject, msgspec.json.encode(body), reply=inbox)
        except (Error, OSError):
            raise EngineAway from None

    @asynccontextmanager
    async def _inbox(self) -> AsyncIterator[tuple[str, Callable[[], Awaitable[Msg]]]]:
        from nats.errors import Error

        inbox = self._client.new_inbox()
        arrived: asyncio.Queue[Msg] = asyncio.Queue()
        try:
            subscription = await self._client.subscribe(inbox, cb=arrived.put)
        except (Error, OSError):
            raise EngineAway from None

        async def next_one() -> Msg:
            try:
                async with asyncio.timeout(REQUEST_SECONDS):
                    return await arrived.get()
            except TimeoutError:
                raise EngineAway from None

        try:
            yield inbox, next_one
        finally:
            try:
                await subscription.unsubscribe()
            except (Error, OSError):
                pass  # the connection is gone, and the subscription with it


def _kept(message: Msg) -> Kept | None:
    """A message of a stream as a direct get answers it; `None` for what says that there are no more."""
    headers = message.headers or {}
    status = headers.get("Status")
    if status in ("404", "204"):
        return None
    if status is not None or "Nats-Sequence" not in headers:
        raise EngineAway
    return Kept(headers["Nats-Subject"], int(headers["Nats-Sequence"]), bytes(message.data))


def _fence(name: str, last: int) -> dict[str, str]:
    """Has a message stored only if `last` is the number of the last one under its name."""
    return {
        "Nats-Expected-Last-Subject-Sequence": str(last),
        "Nats-Expected-Last-Subject-Sequence-Subject": events(name),
    }


def _number(answer: bytes) -> int:
    """What JetStream says to a message that was to be stored."""
    said: dict[str, Any] = msgspec.json.decode(answer)
    if "error" not in said:
        return int(said["seq"])
    if said["error"].get("err_code") in _WRONG_SEQUENCE:
        raise Fenced
    _log.warning("NATS did not store: %s", said["error"].get("description"))
    raise EngineAway
