"""A log without space: what is new is refused, but what runs can be stopped, and all of it is told later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from puppet import Play, Puppet
from wire import Client, Scene, decide

from myagent.core.messages import SessionId
from myagent.eventlog.memory import MemoryLog
from myagent.host.running_turn import GATHER_BYTES
from myagent.host.turns import Turns
from myagent.server import Server, Settings

pytestmark = pytest.mark.usefixtures("quiet_log")

STOPPED = "the agent was told to stop"
TOLD_NO = "the agent was told no"


class Full:
    """A server on a log in memory, which can be full; its owner and a turn that runs."""

    def __init__(self, here: Scene, log: MemoryLog, agent: Puppet) -> None:
        self.here, self.log, self.agent = here, log, agent
        self.owner: Client
        self.play: Play
        self.session = ""

    async def begin(self) -> None:
        self.owner = await self.here.join()
        acked = await self.owner.acked(await self.owner.send("user_message", id="runs", prompt="run away"))
        self.session = acked["sessionId"]
        self.play = await self.agent.begun()

    async def refuse(self, kind: str, **fields: Any) -> str:
        """Send what must be refused for want of space; what is said about it."""
        return await self.refused(await self.owner.send(kind, **fields))

    async def refused(self, message_id: str) -> str:
        return str((await self.owner.refused(message_id, "disk_full"))["message"])

    async def cancel(self) -> str:
        return await self.refuse("cancel", sessionId=self.session, turnId="runs")


@asynccontextmanager
async def full_log(workspace: Path, **settings: Any) -> AsyncIterator[Full]:
    log, agent = MemoryLog(), Puppet()
    async with Server(workspace, agent, Settings(**settings), log) as server, AsyncExitStack() as stack:
        scene = Full(Scene(server, stack), log, agent)
        await scene.begin()
        try:
            yield scene
        finally:
            log.full = False


@pytest.mark.parametrize("known", [True, False], ids=["known to be full", "found to be full"])
async def test_a_turn_is_stopped_at_once_and_its_end_is_told_when_there_is_space(tmp_path: Path, known: bool) -> None:
    async with full_log(tmp_path) as scene:
        owner = scene.owner
        scene.log.full = True
        if known:
            assert "nothing was stored" in await scene.refuse("user_message", prompt="more")
        assert STOPPED in await scene.cancel()
        await scene.play.cancelled.wait()
        assert not [each for each in await owner.settle() if each["type"] == "terminal_state"]
        assert "nothing was stored" in await scene.cancel()  # nothing runs any more
        scene.log.full = False
        end = await owner.until("terminal_state")
        assert (end["id"], end["exitCode"], end["stopReason"]) == ("runs", 130, "cancelled")
        assert [b'"kind":"cancel"' in record for record in scene.log.audit].count(True) == 1
        await owner.acked(await owner.send("user_message", prompt="again", sessionId=scene.session))
        (await scene.agent.begun()).end()
        assert (await owner.until("terminal_state"))["exitCode"] == 0


async def test_a_cancel_that_waits_behind_what_waits_for_space_stops_the_turn_too(tmp_path: Path) -> None:
    async with full_log(tmp_path) as scene:
        store = scene.here.server.host.store
        async with store.lock:  # as the end of another turn
            message_id = await scene.owner.send("cancel", sessionId=scene.session)
            await scene.owner.settle()
            assert not scene.play.cancelled.is_set()
            scene.log.full = True
            store.record("any", {})
            store.write_records()
            assert STOPPED in await scene.refused(message_id)
            await scene.play.cancelled.wait()
        scene.log.full = False
        assert (await scene.owner.until("terminal_state"))["stopReason"] == "cancelled"


async def test_without_halt_a_turn_would_run_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    monkeypatch.setattr(Turns, "halt", lambda *_: None)
    async with full_log(tmp_path) as scene:
        scene.log.full = True
        assert STOPPED not in await scene.cancel()
        await scene.owner.settle()
        assert not scene.play.cancelled.is_set()
        scene.play.end()


async def test_only_the_turn_that_is_named_is_stopped(tmp_path: Path) -> None:
    async with full_log(tmp_path) as scene:
        scene.log.full = True
        await scene.refuse("user_message", prompt="more")
        refused = await scene.refuse("cancel", sessionId=scene.session, turnId="another")
        assert STOPPED not in refused
        await scene.owner.settle()
        assert not scene.play.cancelled.is_set()
        scene.play.end()


async def test_an_agent_hears_no_at_once_and_all_hear_of_it_when_there_is_space(tmp_path: Path) -> None:
    async with full_log(tmp_path) as scene:
        owner = scene.owner
        asking = scene.play.ask()
        request = await owner.until("permission_request")
        scene.log.full = True
        assert "nothing was stored" in await scene.refused(await decide(owner, request, "allow"))
        wrong = {"kind": "deny", "digest": "0" * 64}
        wrong_id = await owner.send(
            "permission_decision", permissionRequestId=request["permissionRequestId"], decision=wrong
        )
        await owner.refused(wrong_id, "digest_mismatch")
        assert not asking.done()
        assert TOLD_NO in await scene.refused(await decide(owner, request, "deny", reason="not that"))
        answer = await asking
        assert (answer.kind, answer.reason) == ("deny", "not that")
        assert TOLD_NO in await scene.refused(await decide(owner, request, "deny"))
        assert "nothing was stored" in await scene.refused(await decide(owner, request, "allow"))
        assert not [each for each in await owner.settle() if each["type"] == "permission_resolved"]
        scene.log.full = False
        resolved = await owner.until("permission_resolved")
        assert (resolved["outcome"], resolved["reason"]) == ("deny", "not that")
        await owner.refused(await decide(owner, request, "allow"), "already_resolved")
        await owner.acked(await decide(owner, request, "deny"), duplicate=True)
        scene.play.end()


async def test_a_decision_that_waited_cannot_overtake_a_denial(tmp_path: Path) -> None:
    """An `allow` that was taken up before the disk was full is not stored after the agent was told no."""
    async with full_log(tmp_path) as scene:
        store, owner = scene.here.server.host.store, scene.owner
        asking = scene.play.ask()
        request = await owner.until("permission_request")
        async with store.lock:
            allowed = await decide(owner, request, "allow")
            await owner.settle()
            scene.log.full = True
            store.record("any", {})
            store.write_records()
            denied = await decide(owner, request, "deny")
            assert TOLD_NO in await scene.refused(denied)
            scene.log.full = False
        answered = await owner.until("error", id=allowed)
        assert answered["code"] == "already_resolved"
        assert (await asking).kind == "deny"
        assert (await owner.until("permission_resolved"))["outcome"] == "deny"
        scene.play.end()


async def test_what_an_absent_owner_left_is_interrupted_without_space(tmp_path: Path) -> None:
    async with full_log(tmp_path, on_owner_leave="interrupt", owner_grace=0) as scene:
        watcher = await scene.here.join()
        await scene.owner.acked(
            await scene.owner.send("user_message", id="waits", prompt="next", sessionId=scene.session)
        )
        scene.log.full = True
        assert "nothing was stored" in await scene.refuse("user_message", prompt="more")
        await scene.owner.leave()
        await scene.play.cancelled.wait()
        scene.log.full = False
        ends = [(await watcher.until("terminal_state"))["id"] for _ in range(2)]
        assert ends == ["waits", "runs"] and scene.agent.runs == 1


async def test_what_was_held_back_does_not_keep_a_turn_from_ending(tmp_path: Path) -> None:
    """The redactor keeps the tail of a text until it knows what follows; the queue before it is full."""
    async with full_log(tmp_path) as scene:
        scene.log.full = True
        flooding = asyncio.create_task(_flood(scene.play))
        running = scene.here.server.host._turns._running[SessionId(scene.session)]
        while running._size <= GATHER_BYTES:
            await asyncio.sleep(0)
        assert STOPPED in await scene.cancel()
        await scene.play.cancelled.wait()
        assert (await running.end).message == "cancelled"
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
        scene.log.full = False
        assert (await scene.owner.until("terminal_state"))["message"] == "cancelled"


async def _flood(play: Play) -> None:
    while True:
        await play.say("x" * 50_000 + " sk-")
