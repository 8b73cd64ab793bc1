"""Owners that die without a word, owners that come back, owners that are out of date: what becomes of the slot."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.proxy import Proxy
from tests.faults.serving import LOCAL, InProcess, script
from tests.faults.wire import Gone, Wire

from myagent.client import Client, connect
from myagent.server import Settings

FOUND_WITHIN = 11.0  # seconds, with the default settings: two heartbeats and the close timeout
WRITES = 12  # that a stale owner has on its way
MANY_WRITES = 200  # ten times as many as the errors that a connection may get in 10 s


async def seconds_to_find(directory: Path, settings: Settings, chance: random.Random, *, busy: bool) -> float:
    """How long a follower waits for the news that an owner in a black hole is gone: no FIN, no RST. `busy`: while the
    agent says much."""
    loop = asyncio.get_running_loop()
    async with (
        InProcess(directory, settings) as server,
        Proxy(server.port, buffer=16 * 1024) as proxy,
        AsyncExitStack() as end,
    ):
        owner = await Wire.open(proxy.port, server.token)
        end.callback(owner.abort)
        follower = await Wire.open(server.port, server.token)
        end.callback(follower.abort)
        reading = asyncio.create_task(_read(owner))
        if busy:
            await owner.send("user_message", prompt=script(lines=100_000, size=500, pace=0.02))
        watching = asyncio.create_task(follower.until("owner_changed", owner=None))
        try:
            # Anywhere between two pings.
            await asyncio.sleep(chance.uniform(0, 2 * settings.heartbeat))
            proxy.black_hole()
            began = loop.time()
            await watching
            took = loop.time() - began
            # Free means that the next one has it.
            heir = await Wire.open(server.port, server.token)
            heir.abort()
            assert heir.role == "owner"
        finally:
            for task in (reading, watching):
                task.cancel()
            await asyncio.gather(reading, watching, return_exceptions=True)
    return took


async def times_to_find(directory: Path, count: int, *, together: int = 25) -> list[float]:
    """How long it took for each of so many, sorted; with the default settings."""
    chance, settings, took = random.Random(), Settings(allowed_hosts=LOCAL), []
    for first in range(0, count, together):
        places = [directory / str(number) for number in range(first, first + together)]
        for place in places:
            place.mkdir(parents=True)
        took += await asyncio.gather(*(seconds_to_find(each, settings, chance, busy=False) for each in places))
    return sorted(took)


async def _read(wire: Wire) -> None:
    while True:
        await wire.receive_bytes()


@dataclass
class Stale:
    takeovers: int = 0
    writes: int = 0
    refused: int = 0  # with `stale_owner`
    effects: int = 0
    other: list[str] = field(default_factory=list)  # answers that are neither


async def stale_writes(directory: Path, takeovers: int, writes: int = WRITES) -> Stale:
    """An owner's writes wait in a black hole while another connection reclaims the slot; then they arrive."""
    tally = Stale()
    async with InProcess(directory, Settings(allowed_hosts=LOCAL, heartbeat=60)) as server:
        for number in range(takeovers):
            async with Proxy(server.port) as proxy:
                owner = await Wire.open(proxy.port, server.token)
                assert owner.role == "owner"
                await owner.hello()
                proxy.black_hole()
                for write in range(writes):
                    await owner.send("user_message", id=f"stale{number}-{write}", prompt=script(lines=1))
                heir = await Wire.open(server.port, server.token, reclaim=owner.welcome["reclaimToken"])
                assert heir.role == "owner"
                proxy.heal()
                try:
                    while True:
                        message = await owner.receive()
                        if message["type"] in ("ack", "error"):
                            tally.refused += message.get("code") == "stale_owner"
                            tally.other += [str(message)] if message.get("code") != "stale_owner" else []
                except Gone as gone:
                    if gone.code != 4409:
                        tally.other.append(f"closed with {gone.code}")
                tally.takeovers += 1
                tally.writes += writes
                # What was accepted before this has run when this has.
                await heir.send("user_message", id=f"heir{number}", prompt=script(lines=1))
                await heir.until("terminal_state", id=f"heir{number}")
                await heir.close()  # its slot is free at once
    tally.effects = sum(count for id, count in server.agent.ran.items() if id.startswith("stale"))
    return tally


@asynccontextmanager
async def crowd(server: InProcess, proxy: Proxy, followers: int) -> AsyncIterator[tuple[Client, list[Client]]]:
    """Our client as the owner, and as followers, each reconnecting; the owner is the slowest to come back."""

    def client(wait: float) -> Client:
        url = f"ws://127.0.0.1:{proxy.port}"
        return connect(
            url, token=server.token, reconnect=True, backoff=lambda attempt: wait, label="owner" if wait else ""
        )

    async def watch(one: Client) -> None:
        async for _ in one:
            pass

    async with client(0.3) as owner:
        watching = [client(0.0) for _ in range(followers)]
        for each in watching:
            await each.__aenter__()
        tasks = [asyncio.create_task(watch(each)) for each in (owner, *watching)]
        try:
            yield owner, watching
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for each in watching:
                await each.close()


async def owner_after_a_restart(directory: Path, followers: int) -> tuple[str | None, int]:
    """The role that the former owner has when all are back, and how many of the others own."""
    settings = Settings(allowed_hosts=LOCAL, max_connections=2 * followers + 8)
    async with (
        InProcess(directory, settings) as server,
        Proxy(server.port) as proxy,
        crowd(server, proxy, followers) as (owner, watching),
    ):
        await server.stop()
        await server.start()
        proxy.target = server.port
        everybody = (owner, *watching)
        async with asyncio.timeout(20):
            while not (
                len(server.server.host.peers) == len(everybody)
                and all(each.state.name not in ("reconnecting", "connecting") for each in everybody)
            ):
                await asyncio.sleep(0.02)
        return owner.role, sum(each.role == "owner" for each in watching)
