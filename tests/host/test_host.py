"""The host where nothing goes as it should: an agent says what cannot be stored, the disk is full for a while."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.delivery.world import frames_of

from myagent.agents import AgentInfo, ToolCall, Turn, TurnEnd, TurnIO
from myagent.core.messages import Claim, ConnectionId, DecisionBody, PermissionDecision, Release, Scope, UserMessage
from myagent.core.refusals import NotAllowed, NotClaimable, Refused, StaleOwner
from myagent.delivery.cursor import Cursor
from myagent.eventlog.memory import MemoryLog
from myagent.exceptions import MyagentError
from myagent.host.covered_log import CoveredLog
from myagent.host.host import Host
from myagent.settings import Settings

Script = Callable[[Turn, TurnIO], Awaitable[TurnEnd]]


class ScriptedAgent:
    """Runs a function as its turns."""

    info = AgentInfo("scripted")

    def __init__(self, script: Script) -> None:
        self._script = script

    async def start(self) -> None: ...

    async def run(self, turn: Turn, io: TurnIO) -> TurnEnd:
        return await self._script(turn, io)

    async def close(self) -> None: ...


class Client:
    """A connection that reads at once whatever it is sent."""

    paused = False
    socket = -1
    scope: Scope = "owner"
    label = ""
    credential_label = ""
    credential_id = "owner"
    device_id = None
    inside = False

    def __init__(self, host: Host, name: str) -> None:
        self.connection_id = ConnectionId(name)
        self.since = datetime.now(UTC)
        self.shown: set[str] = set()
        self.cursor = Cursor(host.fanout, self, session_id=None)
        self.received: list[dict[str, Any]] = []
        self._news = asyncio.Event()

    def write(self, data: bytes) -> None:
        for payload in frames_of(data):
            self.send(payload)

    def send(self, payload: bytes) -> None:
        self.received.append(json.loads(payload))
        self._news.set()

    def refuse(self, message_id: str | None, refusal: Refused) -> None:
        self.received.append({"type": "error", "id": message_id, "code": refusal.code})
        self._news.set()

    def fence(self) -> None: ...

    def why_inside(self) -> str:
        return "it is" if self.inside else ""

    def still_good(self) -> bool:
        return True

    def fail(self) -> None:
        raise AssertionError("the host failed this connection")

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.received if message["type"] == kind]

    async def news(self) -> None:
        """Return when something more was received."""
        self._news.clear()
        await self._news.wait()

    async def until(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        async with asyncio.timeout(30):  # only so that a broken host fails here, and not never
            while len(found := self.of(kind)) < count:
                self._news.clear()
                await self._news.wait()
        return found


def served(script: Script, tmp_path: Path, what: Callable[[Host, Client], Awaitable[None]]) -> None:
    """Serve a workspace with one owner, do something, and stop."""

    async def serving() -> None:
        host = Host(tmp_path, ScriptedAgent(script), MemoryLog(), Settings())
        await host.start()
        owner = come(host, "owner")
        try:
            await what(host, owner)
        finally:
            await host.stop()
            await host.close()

    asyncio.run(serving())


def come(host: Host, name: str) -> Client:
    client = Client(host, name)
    host.join(client, as_follower=False, after_seq=None, reclaim=None)
    return client


async def help_me(_: Turn, __: TurnIO) -> TurnEnd:
    return TurnEnd()


async def tells_half_a_character(_: Turn, io: TurnIO) -> TurnEnd:
    io.tell(thing="\udcff")
    return TurnEnd()


async def says_half_a_character_in_an_update(_: Turn, io: TurnIO) -> TurnEnd:
    await io.stdout("before")
    await io.stdout("after", update={"thing": "\udcff"})
    return TurnEnd()


async def asks_what_is_no_json(_: Turn, io: TurnIO) -> TurnEnd:
    await io.ask(ToolCall("tool", {"thing": object()}, "text"))
    return TurnEnd()


class Odd(MyagentError):
    def __str__(self) -> str:
        return "no file \udcff"


async def fails_with_half_a_character(_: Turn, __: TurnIO) -> TurnEnd:
    raise Odd


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (tells_half_a_character, "internal error; the server's log has it"),
        (says_half_a_character_in_an_update, "internal error; the server's log has it"),
        (asks_what_is_no_json, "internal error; the server's log has it"),
        (fails_with_half_a_character, "no file ?"),
    ],
)
def test_a_turn_whose_agent_says_what_cannot_be_stored_ends_and_the_next_one_runs(
    script: Script, message: str, tmp_path: Path
) -> None:
    turns = 0

    async def once(turn: Turn, io: TurnIO) -> TurnEnd:
        nonlocal turns
        turns += 1
        return await (script if turns == 1 else help_me)(turn, io)

    async def what(host: Host, owner: Client) -> None:
        host.receive(owner, UserMessage(id="1", prompt="one"))
        (end,) = await owner.until("terminal_state")
        assert (end["stopReason"], end["message"]) == ("failed", message)
        host.receive(owner, UserMessage(id="2", prompt="two", session_id=end["sessionId"]))
        assert (await owner.until("terminal_state", 2))[1]["exitCode"] == 0

    served(once, tmp_path, what)


def test_the_slot_can_be_taken_again_when_the_disk_that_was_full_has_space(tmp_path: Path) -> None:
    async def what(host: Host, owner: Client) -> None:
        assert isinstance(host.log, CoveredLog)
        log = host.log.log
        assert isinstance(log, MemoryLog)
        log.full = True
        host.ownership.epoch = host.ownership.ceiling - 1
        host.receive(owner, Release(id="r"))
        with pytest.raises(NotClaimable, match="no new epoch"):
            host.receive(owner, Claim(id="c"))
        await asyncio.sleep(0)  # the try to reserve more, which fails
        log.full = False
        assert come(host, "second").of("role")[0]["role"] == "follower"
        await asyncio.sleep(0)
        assert come(host, "third").of("role")[0]["role"] == "owner"

    served(help_me, tmp_path, what)


def test_what_waits_when_the_server_stops_leaves_nothing_behind(tmp_path: Path) -> None:
    async def what(host: Host, owner: Client) -> None:
        async with host.store.lock:
            for number in range(3):
                host.receive(owner, UserMessage(id=str(number), prompt="p"))
            await host.store.close()  # a command that was never started would be a warning, and so an error

    served(help_me, tmp_path, what)


async def asks(_: Turn, io: TurnIO) -> TurnEnd:
    answer = await io.ask(ToolCall("tool", {}, "text"))
    return TurnEnd(message=answer.kind)


def test_an_owner_inside_of_the_agent_can_decide_nothing_however_often_it_tries(tmp_path: Path) -> None:
    async def what(host: Host, owner: Client) -> None:
        host.receive(owner, UserMessage(id="1", prompt="p"))
        (asked,) = await owner.until("permission_request")
        request_id = asked["permissionRequestId"]
        decision = PermissionDecision(id="d", permission_request_id=request_id, decision=DecisionBody("allow"))
        owner.inside = True
        with pytest.raises(NotAllowed):
            host.receive(owner, decision)
        for _ in range(2):
            with pytest.raises(StaleOwner):
                host.receive(owner, decision)
        assert owner.of("role")[-1]["role"] == "follower"
        with pytest.raises(NotClaimable):
            host.receive(owner, Claim(id="c"))
        other = come(host, "other")
        host.receive(other, decision)
        assert (await other.until("permission_resolved"))[0]["outcome"] == "allow"

    served(asks, tmp_path, what)
