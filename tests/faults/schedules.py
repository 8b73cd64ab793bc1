"""Random fault schedules: one owner, followers behind bad networks, a server that restarts; all out of one seed.

What happens, to whom, and at which event is a pure function of the seed. How the machine interleaves it is not.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.followers import Driver, Follower, OurClient, Verdict
from tests.faults.proxy import Proxy
from tests.faults.serving import LOCAL, InProcess, Program, script, stored

from myagent.server import Settings

PATIENCE = 60.0  # seconds for everybody to have seen everything; who needs longer is stuck
FAULTS = (
    "cut", "reset", "half_close_up", "half_close_down", "black_hole", "trickle", "stall", "cut_down", "cut_up",
    "restart",
)  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """At the `at`th event that anybody sees, `kind` begins for a follower; it is over `lasts` events later."""

    at: int
    kind: str
    whom: int
    lasts: int
    count: int  # bytes, for a cut after so many


@dataclass(frozen=True)
class Schedule:
    seed: int
    turns: tuple[tuple[int, int, int, float], ...]  # which session, lines, characters of each, seconds between some
    faults: tuple[Fault, ...]

    @classmethod
    def of(cls, seed: int, *, followers: int, program: bool = False) -> Schedule:
        """The real program joins more output into one event, so there are fewer; it is restarted at least once."""
        chance = random.Random(seed)
        turns = tuple(
            (
                chance.randrange(2),
                chance.randrange(1, 200),
                chance.choice((10, 200, 3000)),
                chance.choice((0, 0, 0.001)),
            )
            for _ in range(chance.randint(2, 4))
        )
        end = (1 if program else 4) * sum(lines for _, lines, _, _ in turns)  # everybody's events count
        kinds = [chance.choice(FAULTS) for _ in range(chance.randint(2, 8))]
        faults = [
            Fault(
                at=chance.randrange(1, end),
                kind=kind,
                whom=chance.randrange(followers + 1),  # the last one is the owner
                lasts=chance.randrange(1, end),
                count=chance.randrange(300, 60_000),
            )
            for kind in ([*kinds, "restart"] if program else kinds)
        ]
        return cls(seed, turns, tuple(sorted(faults, key=lambda fault: fault.at)))


@dataclass
class Outcome:
    verdict: Verdict
    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    reconnects: int = 0
    breaks: list[str] = field(default_factory=list)  # of what one connection was sent
    twice: list[str] = field(default_factory=list)  # prompts that ran more than once
    unacked: int = 0  # prompts that were acknowledged and are not in the log

    @property
    def right(self) -> bool:
        return not (self.verdict.faults or self.breaks or self.twice or self.unacked)


class Play:
    """One schedule being played on a server that was started; the last proxy is the owner's."""

    def __init__(self, schedule: Schedule, server: InProcess | Program, proxies: list[Proxy]) -> None:
        self.schedule = schedule
        self.server = server
        self.proxies = proxies
        self._events = 0
        self._moved = asyncio.Event()
        self._ended = False
        *watching, last, owning = proxies

        def token() -> str:
            return server.token

        self.raw = [Follower(f"follower {n}", proxy, token, self._seen) for n, proxy in enumerate(watching)]
        self.followers: list[Follower | OurClient] = [*self.raw, OurClient(last, token, self._seen)]
        self.driver = Driver(owning, token, self._seen)
        self.done: Counter[str] = Counter()

    async def play(self) -> Outcome:
        tasks = [asyncio.create_task(each.live(), name=each.name) for each in self.followers]
        tasks.append(asyncio.create_task(self._break_things(), name="faults"))
        work = asyncio.create_task(self._work(), name="owner")
        try:
            async with asyncio.timeout(PATIENCE):
                # Whoever fails (our client, on finding events missing) fails the schedule.
                await asyncio.wait([work, *tasks[:-1]], return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    for task in tasks[:-1]:
                        if task.done():
                            task.result()
                await work
        except TimeoutError:
            pass  # stuck: the log says what they have not seen
        finally:
            for task in (work, *tasks):
                task.cancel()
            failures = await asyncio.gather(work, *tasks, return_exceptions=True)
            await self.driver.close()
            await self.server.stop()
        for failure in failures:
            if isinstance(failure, Exception):
                raise failure
        return await self._outcome()

    async def _work(self) -> None:
        sessions: dict[int, str] = {}
        for number, (which, lines, size, pace) in enumerate(self.schedule.turns):
            prompt = self._prompt(number, lines, size, pace)
            id = f"p{number}"
            sessions[which] = await self.driver.turn(prompt, id=id, session=sessions.get(which))
            if number == 0:
                self.raw[0].session = sessions[which]  # from its next connection on it watches one, by URL
        self._ended = True
        self._moved.set()
        while True:
            heads = await self.driver.heads()
            if all(each.has(heads) for each in self.followers):
                return
            await asyncio.sleep(0.02)

    def _prompt(self, number: int, lines: int, size: int, pace: float) -> str:
        if isinstance(self.server, InProcess):
            return script(lines=lines, size=size, pace=pace)
        step = f"echo $i {'x' * size}; echo $i >&2; {'sleep 0.001;' if pace else ''} i=$((i+1))"
        return f"!echo p{number} >> ran.txt; i=0; while [ $i -lt {lines} ]; do {step}; done"

    def _seen(self) -> None:
        self._events += 1
        self._moved.set()

    async def _break_things(self) -> None:
        over: list[tuple[int, Fault]] = []
        for fault in self.schedule.faults:
            for end, earlier in [each for each in over if each[0] <= fault.at]:
                await self._reached(end)
                self._heal(earlier)
                over.remove((end, earlier))
            await self._reached(fault.at)
            self.done[fault.kind] += 1
            await self._begin(fault)
            over.append((fault.at + fault.lasts, fault))
        for end, fault in sorted(over, key=lambda each: each[0]):
            await self._reached(end)
            self._heal(fault)

    async def _reached(self, count: int) -> None:
        """Wait for so many events; when the work is done, for no more."""
        while self._events < count and not self._ended:
            self._moved.clear()
            try:
                # With all readers stalled nothing moves: then the next thing happens.
                await asyncio.wait_for(self._moved.wait(), 0.5)
            except TimeoutError:
                return

    async def _begin(self, fault: Fault) -> None:
        proxy = self.proxies[fault.whom]
        match fault.kind:
            case "cut":
                proxy.cut()
            case "reset":
                proxy.reset()
            case "half_close_up":
                proxy.half_close("up")
            case "half_close_down":
                proxy.half_close("down")
            case "black_hole":
                proxy.black_hole()
            case "trickle":
                proxy.trickle()
            case "stall" if fault.whom < len(self.followers):
                self.followers[fault.whom].reading.clear()
            case "cut_down":
                proxy.cut_after("down", fault.count)
            case "cut_up":
                proxy.cut_after("up", fault.count // 50)
            case "restart":
                await self.server.stop(hard=isinstance(self.server, Program) and fault.count % 2 == 0)
                await self.server.start()
                for each in self.proxies:
                    each.target = self.server.port

    def _heal(self, fault: Fault) -> None:
        self.proxies[fault.whom].heal()
        if fault.whom < len(self.followers):
            self.followers[fault.whom].reading.set()

    async def _outcome(self) -> Outcome:
        log = await stored(self.server.workspace)
        if isinstance(self.server, InProcess):
            ran = self.server.agent.ran
        else:
            written = self.server.workspace / "ran.txt"
            ran = Counter(written.read_text().split()) if written.exists() else Counter()
        prompts = {
            id for id, session in self.driver.acked.items() for e in log[session] if b'"%b"' % id.encode() in e.body
        }
        return Outcome(
            verdict=sum((each.judge(log) for each in self.followers), Verdict()),
            seed=self.schedule.seed,
            faults=self.done,
            reconnects=sum(each.connections - 1 for each in self.raw),
            breaks=[each for follower in self.followers for each in follower.breaks],
            twice=[id for id, count in ran.items() if count > 1],
            unacked=len(self.driver.acked.keys() - prompts),
        )


async def play(seed: int, workspace: Path, *, program: bool = False, server: InProcess | None = None) -> Outcome:
    """Play the schedule of a seed, on a server in this process or on the real program."""
    workspace.mkdir(exist_ok=True)
    settings = Settings(
        allowed_hosts=LOCAL, heartbeat=0.5, stall_timeout=1.5, close_timeout=0.2, owner_grace=0.2, max_connections=64
    )
    subject: InProcess | Program = server or InProcess(workspace, settings)
    if program:
        subject = Program(workspace, "--allow-bypass", "--permission-mode", "bypassPermissions", "--owner-grace", "0")
    await subject.start()
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(Proxy(subject.port, buffer=16 * 1024)) for _ in range(5)]
        schedule = Schedule.of(seed, followers=4, program=program)
        return await Play(schedule, subject, proxies).play()
