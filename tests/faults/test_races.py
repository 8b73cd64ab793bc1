"""What happens while a commit is on its way, or while the server stops: moments that are hard to hit from outside."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.faults.proxy import Proxy
from tests.faults.serving import LOCAL, InProcess, ScriptedAgent, script, stored
from tests.faults.wire import Gone, Wire

from myagent.eventlog import Unit
from myagent.eventlog.sqlite import SqliteLog
from myagent.server import Server, Settings
from myagent.server.connection import Connection
from myagent.server.heartbeat import Heartbeat


class HeldLog(SqliteLog):
    """Holds back, from a question on, everything that is to be stored, until it is let go."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.holding = asyncio.Event()
        self.held: list[Unit] | None = None

    def write(self, unit: Unit) -> None:
        asks = any(b'"permission_request"' in draft.body for draft in unit.events)
        if asks and not self.holding.is_set():
            self.held = []
            self.holding.set()
        if self.held is None:
            super().write(unit)
        else:
            self.held.append(unit)

    def let_go(self) -> None:
        assert self.held is not None
        units, self.held = self.held, None
        for unit in units:
            super().write(unit)


async def ends(directory: Path) -> list[tuple[str, str]]:
    """Requests, their resolutions and the ends of turns, in the order of the log."""
    log = [json.loads(each.body) for events in (await stored(directory)).values() for each in events]
    found = [(each["type"], each.get("outcome") or each.get("stopReason") or "") for each in log]
    return [each for each in found if each[0] != "prompt"]


@pytest.mark.parametrize("what", ["the server stops", "the owner leaves"])
async def test_a_question_that_is_just_being_stored_is_resolved_too(tmp_path: Path, what: str) -> None:
    state = tmp_path / ".myagent" / "remote"
    state.mkdir(parents=True, mode=0o700)
    state.parent.chmod(0o700)
    log, agent = HeldLog(state / "sessions.db"), ScriptedAgent()
    server = Server(tmp_path, agent, Settings(owner_grace=0, on_owner_leave="deny"), log)
    await server.start()
    owner = await Wire.open(server.port, server.token)
    await owner.send("user_message", id="p", prompt=script(ask=True))
    await log.holding.wait()
    if what == "the server stops":
        stopping = asyncio.create_task(server.close())
        while not all(running.end.done() for running in server.host._turns._running.values()):
            await asyncio.sleep(0)
        for _ in range(20):  # turns of the loop, in which whoever does not wait for the commit would go on
            await asyncio.sleep(0)
        log.let_go()
        await stopping
        end = ("terminal_state", "interrupted")
    else:
        follower = await Wire.open(server.port, server.token)
        await owner.close()
        log.let_go()
        await follower.until("terminal_state")
        follower.abort()
        await server.close()
        end = ("terminal_state", "end_turn")
    owner.abort()
    outcome = "cancelled" if what == "the server stops" else "deny"
    assert await ends(tmp_path) == [("permission_request", ""), ("permission_resolved", outcome), end]
    assert agent.allowed == {}


async def test_a_prompt_that_is_accepted_while_the_server_stops_does_not_run(tmp_path: Path) -> None:
    class SlowToClose(ScriptedAgent):
        async def close(self) -> None:
            closing.set()
            await self.go.wait()

    closing, agent = asyncio.Event(), SlowToClose()
    server = await InProcess(tmp_path, Settings(), agent).start()
    owner = await Wire.open(server.port, server.token)
    stopping = asyncio.create_task(server.stop())
    await closing.wait()
    answer = await owner.answer(await owner.send("user_message", id="late", prompt=script(lines=1)))
    agent.go.set()
    await stopping
    owner.abort()
    assert answer["type"] == "ack"
    assert agent.ran == {}
    assert await ends(tmp_path) == [("terminal_state", "interrupted")]


async def test_turns_that_end_while_the_server_stops_do_not_keep_it_from_stopping(tmp_path: Path) -> None:
    agent = ScriptedAgent()
    server = await InProcess(tmp_path, Settings(), agent).start()
    owner = await Wire.open(server.port, server.token)
    for number in range(8):
        await owner.send("user_message", id=f"p{number}", prompt=script(lines=20 + number, size=3000))
        await owner.until("prompt", id=f"p{number}")
    await server.stop()
    owner.abort()
    finished = [kind for kind in await ends(tmp_path) if kind[0] == "terminal_state"]
    assert len(finished) == 8


async def stand_still(directory: Path) -> list[str]:
    """Stop the server three times for many heartbeats; the roles of its clients then. Raises `Gone`."""
    async with InProcess(directory, Settings(heartbeat=0.2)) as server, AsyncExitStack() as end:
        wires = [await Wire.open(server.port, server.token) for _ in range(2)]
        for wire in wires:
            end.callback(wire.abort)
        for _ in range(3):
            time.sleep(1.0)
            for wire in wires:
                await wire.until("pong", id=await wire.send("ping"))
        return [wire.role for wire in wires]


async def test_a_server_that_stood_still_does_not_blame_its_clients(tmp_path: Path) -> None:
    """Their signs of life wait to be read, or were not asked for: a stopped process, a machine that swaps."""
    assert await stand_still(tmp_path) == ["owner", "follower"]


async def test_blaming_the_clients_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    monkeypatch.setattr(Connection, "excuse", lambda self, seconds: None)
    with pytest.raises(Gone):
        await stand_still(tmp_path)


@pytest.mark.parametrize("unacknowledged", [False, True], ids=["a dead program", "a dead machine"])
async def test_a_follower_who_dies_without_a_word_leaves_no_connection_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unacknowledged: bool
) -> None:
    """Pings that nobody takes are no sign of life. The proxy's kernel acknowledges what it gets, as that of a machine
    whose program hangs does; for a machine that is gone, what the kernel says of it is replaced: ever more unsent."""
    if unacknowledged:
        unsent = itertools.count(20)
        monkeypatch.setattr(Heartbeat, "_in_kernel", lambda self: next(unsent))
    settings = Settings(allowed_hosts=LOCAL, heartbeat=0.1, stall_timeout=0.5, close_timeout=0.1)
    async with InProcess(tmp_path, settings) as server, Proxy(server.port) as proxy:
        dead = await Wire.open(proxy.port, server.token, "?role=follower")
        proxy.black_hole()
        async with asyncio.timeout(10):
            while server.server.host.peers or server.server.acceptor.connections:
                await asyncio.sleep(0.01)
        dead.abort()
