"""Delivery without sockets or clocks: random readers of the real cursors over the log in memory; seeds replay exactly.

What a reader is handed must be, of each session, one contiguous rising run, in which only what retention has really
dropped is missing, and said to be.
"""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field

from myagent.core.messages import SessionId
from myagent.delivery.cursor import Cursor
from myagent.delivery.fanout import Fanout
from myagent.delivery.window import Window
from myagent.eventlog import Draft, Stored, Unit
from myagent.eventlog.memory import MemoryLog

SESSIONS = ("a", "b", "c")
WINDOW_BYTES = 6000  # small, so that readers fall below it
STEPS = 120


@dataclass
class Findings:
    """What was wrong; nothing of it is right."""

    delivered: int = 0
    gaps: int = 0
    wrong: list[str] = field(default_factory=list)


class Reader:
    """A connection's outgoing side that is full whenever the simulation says so."""

    def __init__(self, fanout: Fanout, only: str | None, found: Findings, bodies: dict[tuple[str, int], bytes]) -> None:
        self.paused = False
        self.socket = -1
        self.full = False
        self.at: dict[str, int] = dict(fanout.window.heads)  # the last seq that it was handed, or told to be gone
        self._found = found
        self._bodies = bodies
        self.cursor = Cursor(fanout, self, session_id=SessionId(only) if only else None)
        self.only = only

    def write(self, data: bytes) -> None:
        while data:
            size, head = data[1], 2
            if size == 126:
                size, head = int.from_bytes(data[2:4]), 4
            elif size == 127:
                size, head = int.from_bytes(data[2:10]), 10
            self._take(data[head : head + size])
            data = data[head + size :]
        if self.full and not self.paused:
            self.paused = True
            self.cursor.hold()

    def fail(self) -> None:
        self._found.wrong.append("a cursor gave up")

    def drain(self) -> None:
        self.full = False
        if self.paused:
            self.paused = False
            self.cursor.pump()

    def _take(self, body: bytes) -> None:
        message = json.loads(body)
        session = message.get("sessionId")
        if message["type"] == "gap":
            if message["from"] != self.at.get(session, 0) + 1:
                self._found.wrong.append(f"a gap from {message['from']} after {self.at.get(session, 0)} in {session}")
            self._found.gaps += message["to"] - message["from"] + 1
            self.at[session] = message["to"]
        elif message["type"] == "opening":
            self.at[session] = message["after"]
        elif message["type"] == "event":
            if message["seq"] != self.at.get(session, 0) + 1:
                self._found.wrong.append(f"{message['seq']} after {self.at.get(session, 0)} in {session}")
            if body != self._bodies[session, message["seq"]]:
                self._found.wrong.append(f"other bytes for {message['seq']} in {session}")
            self.at[session] = message["seq"]
            self._found.delivered += 1


async def simulate(seed: int, *, keep: int | None = None) -> Findings:
    """One random history; `keep`: the last events of each session that retention leaves."""
    chance = random.Random(seed)
    log, found = MemoryLog(), Findings()
    opened = await log.open()
    fanout = Fanout(
        Window(dict(opened.heads), opened.pos, window_bytes=WINDOW_BYTES), log, announce_gaps=keep is not None
    )
    bodies: dict[tuple[str, int], bytes] = {}
    readers: list[Reader] = []

    def published(stored: list[Stored]) -> None:
        for event in stored:
            bodies[event.session_id, event.seq] = event.body
            fanout.event(event)

    def publish() -> None:
        drafts = []
        for _ in range(chance.choice((1, 1, 2, 9, 40))):
            session = chance.choice(SESSIONS)
            drafts.append(
                Draft(
                    session,
                    b'{"type":"event","sessionId":"%b","x":"%b"}'
                    % (session.encode(), b"x" * chance.choice((0, 80, 400))),
                )
            )
        log.write(Unit(published, events=drafts, fact=True))

    def resume(reader: Reader) -> None:
        session = reader.only or chance.choice(SESSIONS)
        after = chance.randint(0, fanout.window.heads.get(session, 0))
        opening = json.dumps({"type": "opening", "sessionId": session, "after": after}).encode()
        reader.cursor.replay(SessionId(session), after, opening=b"\x81\x7e" + len(opening).to_bytes(2) + opening)

    for _ in range(STEPS):
        match chance.choice(
            ("publish", "publish", "join", "leave", "full", "full", "drain", "resume", "state", "retain")
        ):
            case "publish":
                publish()
            case "join" if len(readers) < 6:
                reader = Reader(fanout, chance.choice((None, None, *SESSIONS)), found, bodies)
                readers.append(reader)
                reader.cursor.start()
            case "leave" if readers:
                readers.pop(chance.randrange(len(readers))).cursor.drop()
            case "full" if readers:
                chance.choice(readers).full = True
            case "drain" if readers:
                chance.choice(readers).drain()
            case "resume" if readers:
                resume(chance.choice(readers))
            case "state":
                fanout.state(b'{"type":"state"}', kind="state")
            case "retain" if keep is not None:
                await log.retain(keep)
        for _ in range(chance.choice((0, 0, 1, 3))):
            await asyncio.sleep(0)
    while not all(_arrived(reader, fanout) for reader in readers):
        for reader in readers:
            reader.drain()
        before = found.delivered + found.gaps
        for _ in range(50):
            await asyncio.sleep(0)
        if found.delivered + found.gaps == before and not all(_arrived(reader, fanout) for reader in readers):
            found.wrong.append("somebody got stuck")
            break
    await fanout.close()
    await log.close()
    return found


def _arrived(reader: Reader, fanout: Fanout) -> bool:
    heads = fanout.window.heads
    return all(reader.at.get(each, 0) >= heads[each] for each in heads if reader.only in (None, each))


def count_wrong(seeds: range, *, keep: int | None = None) -> tuple[Findings, list[int]]:
    """Everything that was found over many histories, and the seeds in which it was."""
    every, bad = Findings(), []
    for seed in seeds:
        found = asyncio.run(simulate(seed, keep=keep))
        every.delivered += found.delivered
        every.gaps += found.gaps
        every.wrong += [f"seed {seed}: {each}" for each in found.wrong]
        if found.wrong:
            bad.append(seed)
    return every, bad
