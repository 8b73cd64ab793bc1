"""The real program killed with SIGKILL at random points, and what must be there when it has started again."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.serving import Program
from tests.faults.wire import EVENTS, Gone, Json, Wire

PROMPTS = 4  # submitted in each life of the server
LIVES = 10  # of one workspace: later ones recover a longer log


@dataclass
class Tally:
    """What many kills led to; all but the first four must stay empty."""

    kills: int = 0
    in_recovery: int = 0  # of these, while it started
    acked: int = 0  # prompts
    seen: int = 0  # events
    lost: list[str] = field(default_factory=list)  # acknowledged or seen, and not there after the restart
    unended: list[str] = field(default_factory=list)  # turns or requests without their one end
    twice: list[str] = field(default_factory=list)  # prompts that ran more than once

    @property
    def right(self) -> bool:
        return not (self.lost or self.unended or self.twice)


class Workspace:
    """One workspace, and all that was promised about it."""

    def __init__(self, path: Path, chance: random.Random, tally: Tally, module: tuple[str, ...]) -> None:
        self.path = path
        self.chance = chance
        self.tally = tally
        self.acked: dict[str, str] = {}  # prompt id → session
        self.seen: defaultdict[str, dict[int, bytes]] = defaultdict(dict)
        self.server = Program(path, "--allow-bypass", "--owner-grace", "0", module=module)
        self._number = 0

    async def life(self) -> None:
        """Start, check what is there, work, be killed."""
        await self.server.start()
        wire = await Wire.open(self.server.port, self.server.token)
        await self._check(wire)
        try:
            left = self.chance.randint(0, 60)  # messages until the kill: during an ack, a chunk, a question
            await self._submit(wire)
            while left > 0:
                async with asyncio.timeout(0.5):
                    self._take(await wire.receive_bytes())
                left -= 1
        except TimeoutError:
            pass  # everything has been said
        await self.server.stop(hard=True)
        self.tally.kills += 1
        try:
            while True:  # what was on its way was said, too
                self._take(await wire.receive_bytes())
        except Gone:
            wire.abort()
        if self.chance.random() < 0.4:
            await self.server.spawn()
            await asyncio.sleep(self.chance.uniform(0.1, 0.6))
            await self.server.stop(hard=True)
            self.tally.kills += 1
            self.tally.in_recovery += 1

    async def last_check(self) -> None:
        await self.server.start()
        wire = await Wire.open(self.server.port, self.server.token)
        await self._check(wire)
        for id, session in list(self.acked.items())[-PROMPTS:]:  # a client that did not get its ack sends again
            answer = await wire.answer(
                await wire.send("user_message", id=id, prompt=self._prompt(id), sessionId=session)
            )
            if answer.get("duplicate") is not True:
                self.tally.twice.append(id)
        wire.abort()
        await self.server.stop()
        self._count_runs()

    async def _submit(self, wire: Wire) -> None:
        sessions = list(dict.fromkeys(self.acked.values()))
        for _ in range(PROMPTS):
            self._number += 1
            id = f"p{self._number}"
            session = self.chance.choice([None, *sessions[-2:]])
            fields: Json = {} if session is None else {"sessionId": session}
            mode = self.chance.choice(("bypassPermissions", "bypassPermissions", "default"))
            await wire.send("user_message", id=id, prompt=self._prompt(id), permissionMode=mode, **fields)

    def _prompt(self, id: str) -> str:
        return f"!echo {id} >> ran.txt; for i in 1 2 3 4 5 6 7 8; do echo $i; echo $i >&2; sleep 0.002; done"

    def _take(self, data: bytes) -> None:
        message = json.loads(data)
        if message["type"] == "ack":
            self.acked[message["id"]] = message["sessionId"]
            self.tally.acked += not message["duplicate"]
        elif message["type"] in EVENTS and not message.get("pending"):
            self.seen[message["sessionId"]][message["seq"]] = data
            self.tally.seen += 1

    async def _check(self, wire: Wire) -> None:
        """Hold the log, as a newcomer is sent it, against everything that was said before."""
        tally = self.tally
        for session in wire.welcome["sessions"]:
            if session["state"] == "running" or session["queue"]:
                tally.unended.append(f"{session['sessionId']} is {session['state']}")
        heads = {each["sessionId"]: each["head"] for each in wire.welcome["sessions"]}
        log: dict[str, list[bytes]] = {}
        for session_id in heads:
            await wire.send("resume", id=f"r{session_id}", sessionId=session_id, afterSeq=0)
            events: list[bytes] = []
            while (message := json.loads(data := await wire.receive_bytes()))["type"] != "replayed":
                if message["type"] in EVENTS and message.get("pending"):
                    tally.unended.append(f"{message['permissionRequestId']} is pending")
                elif message["type"] in EVENTS:
                    events.append(data)
            log[session_id] = events
            if [json.loads(each)["seq"] for each in events] != list(range(1, heads[session_id] + 1)):
                tally.lost.append(f"the log of {session_id} has holes")
            await asyncio.sleep(0.02 if len(heads) < 15 else 0.05)
        for session_id, said in self.seen.items():
            events = log.get(session_id, [])
            tally.lost += [f"{session_id} {n}" for n, data in said.items() if n > len(events) or events[n - 1] != data]
        self._check_ends(log)

    def _check_ends(self, log: dict[str, list[bytes]]) -> None:
        ends: Counter[str] = Counter()
        opened: Counter[str] = Counter()
        closed: Counter[str] = Counter()
        for event in (json.loads(each) for events in log.values() for each in events):
            match event["type"]:
                case "terminal_state":
                    ends[event["id"]] += 1
                case "permission_request":
                    opened[event["permissionRequestId"]] += 1
                case "permission_resolved":
                    closed[event["permissionRequestId"]] += 1
        self.tally.unended += [f"turn {id} has {count} ends" for id, count in ends.items() if count != 1]
        self.tally.lost += [f"prompt {id}" for id in self.acked if id not in ends]
        self.tally.unended += [f"request {id}" for id in opened if closed[id] != opened[id]]

    def _count_runs(self) -> None:
        path = self.path / "ran.txt"
        ran = Counter(path.read_text().split()) if path.exists() else Counter()
        self.tally.twice += [id for id, count in ran.items() if count > 1]


async def kill_and_check(directory: Path, kills: int, seed: int, *, module: tuple[str, ...] = ("myagent",)) -> Tally:
    """Kill at least so often; points and prompts come from the seed."""
    tally, chance = Tally(), random.Random(seed)
    while tally.kills < kills:
        path = directory / f"workspace{tally.kills}"
        path.mkdir(parents=True)
        workspace = Workspace(path, chance, tally, module)
        for _ in range(LIVES):
            if tally.kills < kills:
                await workspace.life()
        await workspace.last_check()
    return tally
