"""Random schedules of kills (SIGKILL) and cuts between a host, the engine, two relays and their followers.

All are real programs. What happens to whom is a pure function of the seed; how the machine interleaves it is not. Who
drives comes through a relay, mostly. Each follower writes down what it was sent, and is judged by the host's log, as in
the delivery suite.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import signal
import sys
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.faults.followers import Driver, Follower, Verdict
from tests.faults.proxy import Proxy
from tests.faults.serving import stored
from tests.relay.engine import NatsServer

PATIENCE = 60.0  # seconds for everybody to have seen everything; who needs longer is stuck
NAME = "team/web"
ASKS_NOBODY = ("--allow-bypass", "--permission-mode", "bypassPermissions")
KINDS = ("kill host", "kill engine", "kill relay", "cut host", "cut relay", "cut follower", "hole host", "hole relay")


class Running:
    """One of our programs, killed and started again in the same place and at the same port."""

    def __init__(self, directory: Path, *arguments: str, ready: str) -> None:
        self._directory = directory
        self._arguments = arguments
        self._ready = ready
        self._process: asyncio.subprocess.Process | None = None
        self._draining: asyncio.Task[bytes] | None = None
        self.port = 0

    async def start(self) -> None:
        self._directory.mkdir(exist_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "myagent", "remote", *self._arguments, "--port", str(self.port),
            cwd=self._directory, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        assert self._process.stdout is not None
        said = ""
        while not re.search(self._ready, said):
            line = (await asyncio.wait_for(self._process.stdout.readline(), PATIENCE)).decode()
            assert line, said
            said += line
        found = re.search(r"listening ws://127\.0\.0\.1:(\d+)", said)
        assert found is not None, said
        self.port = int(found[1])
        self._draining = asyncio.create_task(self._process.stdout.read())

    async def stop(self, number: int = signal.SIGKILL) -> None:
        if self._process is not None and self._draining is not None:
            process, self._process = self._process, None
            process.send_signal(number)
            try:
                await asyncio.wait_for(process.wait(), PATIENCE)
            finally:
                if process.returncode is None:  # it does not stop when it is told to, which fails the schedule
                    process.kill()
                await self._draining

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


@dataclass
class Outcome:
    seed: int
    verdict: Verdict
    done: Counter[str] = field(default_factory=Counter)
    reconnects: int = 0
    breaks: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)  # prompts that ran more than once
    stuck: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        return not (self.verdict.faults or self.breaks or self.twice or self.stuck)


async def play(seed: int, directory: Path) -> Outcome:
    """Have a few turns while things are killed and cut, then let everybody catch up."""
    chance = random.Random(seed)
    directory.mkdir(parents=True, exist_ok=True)
    workspace = directory / "host"
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(NatsServer(directory / "nats"))
        links = [await stack.enter_async_context(Proxy(nats.port)) for _ in range(3)]
        publish = ("--publish", f"nats://127.0.0.1:{links[0].port}", "--name", NAME, "--name-wait", *ASKS_NOBODY)
        host = await stack.enter_async_context(Running(workspace, "serve", *publish, ready="published as"))
        relays = [
            await stack.enter_async_context(
                Running(directory / f"relay{n}", "relay", "--nats", f"nats://127.0.0.1:{link.port}", ready="listening")
            )
            for n, link in enumerate(links[1:])
        ]
        token = (workspace / ".myagent/remote/auth.json").read_text().split('"token":"')[1].split('"')[0]
        proxies = [await stack.enter_async_context(Proxy(each.port)) for each in (*relays, *relays, host, host)]
        followers = [Follower(f"follower {n}", each, lambda: token, _nothing) for n, each in enumerate(proxies[:5])]
        for each in followers[:4]:
            each.path = f"{NAME}/"
        driver = teller = Driver(proxies[5], lambda: token, _nothing)
        if chance.random() < 0.7:  # who drives comes through a relay as well
            driver = Driver(proxies[0], lambda: token, _nothing)
            driver.path = f"{NAME}/"
        outcome = Outcome(seed, Verdict())
        tasks = [asyncio.create_task(each.live(), name=each.name) for each in followers]

        async def fault(kind: str) -> None:
            what, whom = kind.split()
            number = chance.randrange(2)
            wait = chance.choice((0.0, 0.05, 0.3, 1.0))
            if kind == "kill engine":
                nats.kill()
                await asyncio.sleep(wait)
                await nats.start()
            elif what == "kill":
                killed = host if whom == "host" else relays[number]
                ready, killed._ready = killed._ready, "listening"
                await killed.stop()
                await asyncio.sleep(wait)
                await killed.start()
                killed._ready = ready
            else:
                proxy = links[0] if whom == "host" else links[1 + number]
                proxy = proxies[chance.randrange(6)] if whom == "follower" else proxy
                if what == "hole":
                    proxy.black_hole()
                    await asyncio.sleep(wait)
                    proxy.heal()
                else:
                    chance.choice((proxy.cut, proxy.reset))()

        async def break_things() -> None:
            for _ in range(chance.randint(2, 5)):
                await asyncio.sleep(chance.random() * 0.8)
                kind = chance.choice(KINDS)
                await fault(kind)
                outcome.done[kind] += 1

        breaking = asyncio.create_task(break_things(), name="faults")
        session: str | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                for number in range(chance.randint(2, 4)):
                    lines = chance.randrange(20, 300)
                    step = "echo $i; echo $i >&2; sleep 0.002; i=$((i+1))"
                    prompt = f"!echo p{number} >> ran.txt; i=0; while [ $i -lt {lines} ]; do {step}; done"
                    session = await driver.turn(prompt, id=f"p{number}", session=session)
                await breaking
                await driver.close()
                heads = await teller.heads()
                while not all(each.has(heads) for each in followers):
                    await asyncio.sleep(0.02)
        except TimeoutError:
            outcome.stuck = ["somebody"]
        finally:
            for task in (breaking, *tasks):
                task.cancel()
            await asyncio.gather(breaking, *tasks, return_exceptions=True)
            await driver.close()
            await teller.close()
            await host.stop(signal.SIGTERM)
        log = await stored(workspace)
        outcome.verdict = sum((each.judge(log) for each in followers), Verdict())
        outcome.breaks = [found for each in followers for found in each.breaks]
        outcome.reconnects = sum(each.connections - 1 for each in followers)
        ran = Counter((workspace / "ran.txt").read_text().split())
        outcome.twice = [name for name, count in ran.items() if count > 1]
        with contextlib.suppress(ProcessLookupError):
            for each in relays:
                await each.stop()
        return outcome


def _nothing() -> None:
    """Nobody counts."""
