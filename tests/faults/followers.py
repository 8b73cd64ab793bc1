"""Followers that come back after every drop and write down what they were sent; and the judge of what they wrote."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Self

from tests.faults.proxy import Proxy
from tests.faults.wire import EVENTS, Gone, Wire

from myagent.client import Message, connect
from myagent.client.incoming import place, read
from myagent.eventlog import Stored

PAUSE = 0.01  # seconds between two attempts to connect


@dataclass
class Verdict:
    """What was found wrong, in numbers of events; all zero is right."""

    events: int = 0  # that should have been seen, over all followers
    lost: int = 0
    doubled: int = 0
    reordered: int = 0
    altered: int = 0  # replayed and live bytes are not the same

    def __add__(self, other: Self) -> Verdict:
        return Verdict(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    @property
    def faults(self) -> int:
        return self.lost + self.doubled + self.reordered + self.altered


def judge(seen: list[tuple[int, object]], log: list[Stored], as_seen: Callable[[bytes], object]) -> Verdict:
    """Hold what one follower wrote down of one session against the log."""
    right = {event.seq: as_seen(event.body) for event in log}
    seqs = [seq for seq, _ in seen]
    known = set(seqs)
    return Verdict(
        events=len(log),
        lost=len(right.keys() - known),
        doubled=len(seqs) - len(known),
        reordered=sum(1 for one, next_ in itertools.pairwise(seqs) if next_ < one),
        altered=sum(1 for seq, what in seen if right.get(seq) != what),
    )


class Follower:
    """A raw client behind a proxy. It trusts its own list alone: after a drop it asks for what follows its last event,
    with `resume`, or in the URL when it watches one session only.

    What a connection sends must be one contiguous rising run of each session: `breaks` counts where not.
    """

    def __init__(self, name: str, proxy: Proxy, token: Callable[[], str], on_event: Callable[[], None]) -> None:
        self.name = name
        self.proxy = proxy
        self.path = ""  # of the workspace, with a slash at its end, where a relay shows several
        self.session: str | None = None  # set: watch only this one, and resume in the URL
        self.seen: defaultdict[str, list[tuple[int, object]]] = defaultdict(list)
        self.connections = 0
        self.breaks: list[str] = []
        self.reading = asyncio.Event()
        self.reading.set()
        self._token = token
        self._on_event = on_event

    async def live(self) -> None:
        """Watch, until cancelled."""
        while True:
            try:
                await self._watch()
            except Gone:
                await asyncio.sleep(PAUSE)

    def judge(self, log: dict[str, list[Stored]]) -> Verdict:
        return sum((judge(self.seen[each], log[each], bytes) for each in self._watched(log)), Verdict())

    def has(self, heads: dict[str, int]) -> bool:
        """Whether it has seen everything up to these heads."""
        return all(self._last(session) >= heads[session] for session in self._watched(heads))

    def _watched(self, sessions: dict[str, object] | dict[str, int] | dict[str, list[Stored]]) -> list[str]:
        return [each for each in sessions if self.session in (None, each)]

    def _last(self, session: str) -> int:
        return self.seen[session][-1][0] if self.seen[session] else 0

    async def _watch(self) -> None:
        query, only = f"{self.path}?role=follower", self.session
        if only is not None:
            query += f"&session={only}&after={self._last(only)}"
        wire = await Wire.open(self.proxy.port, self._token(), query, buffer=16 * 1024)
        self.connections += 1
        try:
            at = {each["sessionId"]: int(each["head"]) for each in wire.welcome["sessions"]}
            asked: dict[str, str] = {}  # resumes that were not acknowledged yet: until then the run is the old one
            if only is not None:
                at[only] = self._last(only)
            else:
                for session in at:
                    if at[session] != self._last(session):
                        asked[await wire.send("resume", sessionId=session, afterSeq=self._last(session))] = session
            while True:
                await self.reading.wait()
                self._take(await wire.receive_bytes(), at, asked)
        finally:
            wire.abort()

    def _take(self, data: bytes, at: dict[str, int], asked: dict[str, str]) -> None:
        message = json.loads(data)
        if message["type"] == "ack" and message["id"] in asked:
            session = asked.pop(message["id"])
            at[session] = self._last(session)
        elif message["type"] in EVENTS and not message.get("pending"):
            session, seq = message["sessionId"], message["seq"]
            if seq != at.get(session, 0) + 1:
                self.breaks.append(f"{self.name}: {seq} after {at.get(session, 0)} in {session}")
            at[session] = seq
            if session not in asked.values():
                self.seen[session].append((seq, data))
                self._on_event()
        elif message["type"] in ("gap", "error"):
            self.breaks.append(f"{self.name}: {message}")


class OurClient:
    """The product's own client behind a proxy, reconnecting by itself; what it shows is written down."""

    def __init__(self, proxy: Proxy, token: Callable[[], str], on_event: Callable[[], None]) -> None:
        self.name = "our client"
        self.proxy = proxy
        self.seen: defaultdict[str, list[tuple[int, object]]] = defaultdict(list)
        self.breaks: list[str] = []
        self.reading = asyncio.Event()
        self.reading.set()
        self._token = token
        self._on_event = on_event

    async def live(self) -> None:
        client = connect(
            f"ws://127.0.0.1:{self.proxy.port}",
            token=self._token(),
            role="follower",
            reconnect=True,
            backoff=lambda attempt: PAUSE,
            heartbeat=0.5,
        )
        async with client:
            async for message in client:
                where = place(message)
                if where is not None:
                    self.seen[where[0]].append((where[1], message))
                    self._on_event()
                await self.reading.wait()

    def judge(self, log: dict[str, list[Stored]]) -> Verdict:
        return sum((judge(self.seen[each], log[each], _as_shown) for each in log), Verdict())

    def has(self, heads: dict[str, int]) -> bool:
        return all((self.seen[each][-1][0] if self.seen[each] else 0) >= heads[each] for each in heads)


def _as_shown(body: bytes) -> Message:
    return read(body)


class Driver:
    """The owner: submits prompts one after the other, sends each again under the same id until it is acknowledged,
    and returns when its turn has ended."""

    def __init__(self, proxy: Proxy, token: Callable[[], str], on_event: Callable[[], None]) -> None:
        self.proxy = proxy
        self.path = ""  # as of a follower
        self._token = token
        self._on_event = on_event
        self._wire: Wire | None = None
        self.acked: dict[str, str] = {}  # prompt id → session

    async def turn(self, prompt: str, *, id: str, session: str | None) -> str:
        """Have a prompt run, or be interrupted; returns its session."""
        while True:
            try:
                wire = self._wire or await self._connect()
                fields = {"sessionId": session} if session is not None else {}
                answer = await wire.answer(await wire.send("user_message", id=id, prompt=prompt, **fields))
                if answer["type"] == "error":  # the slot is not free yet
                    await self._drop()
                    continue
                session = str(answer["sessionId"])
                self.acked[id] = session
                await self._ended(wire, id, session, replay=answer["duplicate"])
                return session
            except Gone:
                await self._drop()

    async def heads(self) -> dict[str, int]:
        """Where every session ends, as the server tells a newcomer."""
        while True:
            await self._drop()
            with contextlib.suppress(Gone):
                wire = await self._connect()
                return {each["sessionId"]: each["head"] for each in wire.welcome["sessions"]}

    async def close(self) -> None:
        if self._wire is not None:
            self._wire.abort()

    async def _ended(self, wire: Wire, id: str, session: str, *, replay: bool) -> None:
        if replay:  # it may have ended while we were away
            await wire.send("resume", sessionId=session, afterSeq=0)
        while True:
            message = await wire.receive()
            if message["type"] in EVENTS:
                self._on_event()
            if message["type"] == "terminal_state" and message["id"] == id:
                return

    async def _connect(self) -> Wire:
        self._wire = await Wire.open(self.proxy.port, self._token(), self.path)
        return self._wire

    async def _drop(self) -> None:
        if self._wire is not None:
            self._wire.abort()
            self._wire = None
        await asyncio.sleep(PAUSE)
