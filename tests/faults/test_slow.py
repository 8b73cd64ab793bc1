"""A reader that stops costs a cursor and what one write left over; it misses nothing, and nobody else notices."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.faults.followers import Follower
from tests.faults.proxy import Proxy
from tests.faults.serving import LOCAL, InProcess, script, stored
from tests.faults.slow import BOUND, PATIENT, flood, memory_of_a_flood
from tests.faults.wire import Gone, Wire

from myagent.server import Settings, listening
from myagent.server.connection import Connection
from myagent.server.heartbeat import Heartbeat


def test_readers_that_never_read_cost_no_more_than_a_slice_each(tmp_path: Path) -> None:
    worst, verdict, left = asyncio.run(flood(tmp_path, 20, 600, PATIENT))
    assert 0 < worst <= BOUND
    assert verdict.faults == 0 and verdict.events > 600
    assert left == 20


def test_buffers_without_a_bound_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: nobody listens when the transport says that it is full."""
    monkeypatch.setattr(Connection, "pause_writing", lambda self: None)
    try:
        worst, _, _ = asyncio.run(flood(tmp_path, 3, 200, PATIENT))
    except ValueError:  # on a busy machine the owner, too, is written to past what waits: its frames are no frames
        return
    assert worst > BOUND


async def test_a_reader_without_any_progress_is_dropped_and_misses_nothing_when_it_resumes(tmp_path: Path) -> None:
    settings = Settings(allowed_hosts=LOCAL, heartbeat=0.5, stall_timeout=0.6, close_timeout=0.2)
    async with InProcess(tmp_path, settings) as server, Proxy(server.port, buffer=8192) as proxy:
        owner = await Wire.open(server.port, server.token)
        stopped = Follower("stopped", proxy, lambda: server.token, lambda: None)
        watching = asyncio.create_task(stopped.live())
        while len(server.server.host.peers) < 2:
            await asyncio.sleep(0.01)
        stopped.reading.clear()
        await owner.send("user_message", prompt=script(lines=200, size=10_000))
        end = await owner.until("terminal_state")
        while len(server.server.host.peers) > 1:  # the owner, who reads, stays
            await _answer_pings(owner)
        stopped.reading.set()
        while not stopped.has({end["sessionId"]: end["seq"]}):
            await _answer_pings(owner)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        owner.abort()
    assert stopped.connections == 2 and stopped.breaks == []
    assert stopped.judge(await stored(tmp_path)).faults == 0


async def test_one_that_reads_again_too_late_is_told_why(tmp_path: Path) -> None:
    """4408, when that can still be written: it reads just as it is dropped."""
    settings = Settings(heartbeat=0.5, stall_timeout=0.5, close_timeout=5.0)
    async with InProcess(tmp_path, settings) as server:
        owner = await Wire.open(server.port, server.token)
        slow = await Wire.open(server.port, server.token, buffer=4096)
        await owner.send("user_message", prompt=script(lines=100, size=10_000))
        await owner.until("terminal_state")
        while len(server.server.host.peers) > 1:
            await _answer_pings(owner)
        with pytest.raises(Gone) as gone:
            await slow.until("never")
        owner.abort()
    assert gone.value.code == 4408


@pytest.mark.parametrize("role", ["follower", "owner"])
async def test_one_that_reads_little_by_little_lives(
    tmp_path: Path, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seqs, head = await read_little_by_little(tmp_path, role, monkeypatch)
    assert seqs == list(range(1, head + 1))


async def test_not_looking_at_what_it_takes_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: that bytes are taken is no sign of life."""
    monkeypatch.setattr(Heartbeat, "_watch_progress", lambda self, now, *, paused, silent: None)
    with pytest.raises(Gone):
        await read_little_by_little(tmp_path, "follower", monkeypatch)


async def read_little_by_little(directory: Path, role: str, monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], int]:
    """A slow reader, for much longer than two heartbeats, in which it cannot be pinged and has nothing to say: what it
    has seen, and the last that there was. Raises `Gone`."""
    if role == "owner":  # whose pings must get through: within two heartbeats it takes what the kernel holds
        monkeypatch.setattr(listening, "SEND_BUFFER", 8192)
    settings = Settings(allowed_hosts=LOCAL, heartbeat=0.4, stall_timeout=1.5, close_timeout=0.2)
    loop = asyncio.get_running_loop()
    async with (
        InProcess(directory, settings) as server,
        Proxy(server.port, buffer=8192) as proxy,
        AsyncExitStack() as end,
    ):
        first, second = (proxy.port, server.port) if role == "owner" else (server.port, proxy.port)
        owner = await Wire.open(first, server.token)
        end.callback(owner.abort)
        follower = await Wire.open(second, server.token, "?role=follower")
        end.callback(follower.abort)
        slow, quick = (owner, follower) if role == "owner" else (follower, owner)
        proxy.trickle()
        began = loop.time()
        await owner.send("user_message", prompt=script(lines=45, size=10_000))
        reading = asyncio.create_task(quick.until("never"))
        try:
            last = await slow.until("terminal_state")
            assert loop.time() - began > 4 * settings.heartbeat, "it was not slow"
            proxy.heal()
            await slow.hello()  # and still does
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        return [m["seq"] for m in slow.messages if "seq" in m], last["seq"]


async def _answer_pings(wire: Wire) -> None:
    """Read for a moment: a client that does not read does not answer pings either."""
    try:
        await asyncio.wait_for(wire.receive(), 0.02)
    except TimeoutError:
        pass


@pytest.mark.long
def test_the_real_program_keeps_its_memory(tmp_path: Path) -> None:
    before, after = asyncio.run(memory_of_a_flood(tmp_path, 20, megabytes=200))
    print(f"20 readers that never read, 200 MB: {before >> 20} → {after >> 20} MiB")
    assert after - before < 64 << 20
