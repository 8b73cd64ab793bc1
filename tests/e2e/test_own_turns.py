"""Turns of the agent's own, through the real server: an agent that goes on after its turn has ended."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from serving import process
from wire import Client, Scene, decide, scene

from myagent.agents.acp.host import AcpAgent
from myagent.agents.acp.session import Session
from myagent.agents.acp.sessions import Sessions

BACKGROUND = str(Path(__file__).parents[1] / "agents" / "background_agent.py")
NEVER = "600"  # seconds without a word: these agents say when they are idle


class Orders:
    """What the agent is told to do, in order, in no turn of ours."""

    def __init__(self, path: Path) -> None:
        self._path = path
        os.mkfifo(path)

    async def __call__(self, *orders: dict[str, Any]) -> None:
        text = "".join(json.dumps(order) + "\n" for order in orders)
        await asyncio.to_thread(self._path.write_text, text)


@asynccontextmanager
async def background(tmp_path: Path, quiet: str = NEVER) -> AsyncIterator[tuple[Scene, Orders]]:
    orders = Orders(tmp_path / "orders")
    (tmp_path / "work").mkdir()
    agent = ("--", sys.executable, "-I", BACKGROUND, str(tmp_path / "orders"))
    async with process(tmp_path / "work", "--activity-quiet", quiet, *agent) as (_, here):
        yield here, orders


def said(client: Client, turn_id: str) -> str:
    return "".join(each["chunk"] for each in client.of("agent_stdout") if each["id"] == turn_id)


async def heard(client: Client, turn_id: str, text: str) -> None:
    """Read on until a turn has said something."""
    while text not in said(client, turn_id):
        await client.next()


async def test_what_an_agent_does_after_its_turn_is_a_turn_that_all_see_live(tmp_path: Path) -> None:
    """It speaks, runs a tool and asks, with no prompt; it is asked, answered once, and ends once."""
    async with background(tmp_path) as (here, orders):
        owner, follower = await here.join(), await here.join()
        end = await here.turn(owner, "go")
        await orders(
            {"do": "say", "text": "a command has ended. "},
            {"do": "call", "id": "c", "title": "late tool"},
            {"do": "ask", "id": "c", "title": "late write"},
        )
        begun = await owner.until("activity", sessionId=end["sessionId"])
        assert begun["origin"] == "agent" and begun["id"] not in ("", end["id"])
        request = await owner.until("permission_request", id=begun["id"])
        assert owner.of("session_metadata")[-1]["session"]["state"] == "running"
        await decide(owner, request, "allow")
        await heard(owner, begun["id"], "[yes]")
        await orders({"do": "end_call", "id": "c"}, {"do": "idle"})
        ended = await owner.until("terminal_state", id=begun["id"])
        assert (ended["exitCode"], ended["stopReason"]) == (0, "end_turn")
        assert said(owner, begun["id"]) == "a command has ended. \n[yes]"
        await follower.until("terminal_state", id=begun["id"])
        assert follower.of("activity") == owner.of("activity")
        assert said(follower, begun["id"]) == said(owner, begun["id"])
        assert (await owner.until("session_metadata"))["session"]["state"] == "completed"
        assert said(owner, end["id"]) == "in bg-0"  # nothing of it came into the turn before


async def of_their_own_sessions(tmp_path: Path) -> None:
    """While an own turn of one session waits for an answer, what the agent says of another is the other's."""
    orders = Orders(tmp_path / "orders")
    agent = AcpAgent((sys.executable, "-I", BACKGROUND, str(tmp_path / "orders")), cwd=tmp_path)
    async with scene(tmp_path, agent, activity_quiet=600.0) as here:
        owner = await here.join()
        first, second = await here.turn(owner, "one"), await here.turn(owner, "two")
        assert first["sessionId"] != second["sessionId"]
        await orders({"do": "ask", "id": "a", "title": "of two", "session": 1})
        of_second = await owner.until("activity", sessionId=second["sessionId"])
        await owner.until("permission_request", id=of_second["id"])
        await orders({"do": "say", "text": "of one", "session": 0}, {"do": "idle", "session": 0})
        while "of one" not in "".join(each["chunk"] for each in owner.of("agent_stdout")):
            await owner.next()
        assert said(owner, of_second["id"]) == ""
        of_first = owner.of("activity")[-1]
        assert (of_first["sessionId"], said(owner, of_first["id"])) == (first["sessionId"], "of one")
        await owner.until("terminal_state", id=of_first["id"])


async def test_it_is_attributed_by_the_agents_own_session(tmp_path: Path) -> None:
    await of_their_own_sessions(tmp_path)


async def test_a_prompt_waits_for_what_was_asked_and_for_nothing_else(tmp_path: Path) -> None:
    async with background(tmp_path) as (here, orders):
        owner = await here.join()
        end = await here.turn(owner, "go")
        session = end["sessionId"]
        await orders({"do": "say", "text": "busy "})
        busy = await owner.until("activity")
        await heard(owner, busy["id"], "busy ")
        after = await here.turn(owner, "next", sessionId=session)  # no `idle`, and it would be quiet in ten minutes
        assert [each["id"] for each in owner.of("terminal_state")] == [end["id"], busy["id"], after["id"]]

        await orders({"do": "ask", "id": "a", "title": "write"})
        asking = await owner.until("activity")
        request = await owner.until("permission_request", id=asking["id"])
        waits = await owner.send("user_message", prompt="and then", sessionId=session)
        await owner.acked(waits)
        await owner.settle()
        assert not [each for each in owner.of("prompt") if each["id"] == waits]
        await decide(owner, request, "deny")
        await owner.until("terminal_state", id=asking["id"])
        await owner.until("terminal_state", id=waits)
        assert "[no]" in said(owner, asking["id"]) + said(owner, waits)


async def test_it_is_cancelled_like_any_turn_and_its_requests_with_it(tmp_path: Path) -> None:
    async with background(tmp_path) as (here, orders):
        owner = await here.join()
        end = await here.turn(owner, "go")
        await orders({"do": "call", "id": "c", "title": "long"}, {"do": "ask", "id": "c", "title": "write"})
        begun = await owner.until("activity")
        await owner.until("permission_request", id=begun["id"])
        await owner.send("cancel", sessionId=end["sessionId"], turnId=begun["id"])
        ended = await owner.until("terminal_state", id=begun["id"])
        assert (ended["exitCode"], ended["stopReason"]) == (130, "cancelled")
        assert [each["outcome"] for each in owner.of("permission_resolved")] == ["cancelled"]
        again = await owner.until("activity")  # what it says of having been told to stop
        await heard(owner, again["id"], "[told to stop]")


async def test_without_a_word_it_ends_and_an_agent_that_dies_is_told_of(tmp_path: Path) -> None:
    async with background(tmp_path, quiet="0.05") as (here, orders):
        owner = await here.join()
        await here.turn(owner, "go")
        await orders({"do": "say", "text": "one"})
        quiet = await owner.until("activity")
        assert (await owner.until("terminal_state", id=quiet["id"]))["exitCode"] == 0
    (tmp_path / "again").mkdir()
    async with background(tmp_path / "again") as (here, orders):
        owner = await here.join()
        await here.turn(owner, "go")
        await orders({"do": "say", "text": "one"})
        dies = await owner.until("activity")
        await orders({"do": "die"})
        ended = await owner.until("terminal_state", id=dies["id"])
        assert ended["stopReason"] == "failed" and ended["message"]


async def test_a_server_that_is_started_again_says_that_it_was_interrupted(tmp_path: Path) -> None:
    async with background(tmp_path) as (here, orders):
        owner = await here.join()
        end = await here.turn(owner, "go")
        await orders({"do": "ask", "id": "c", "title": "write"})
        begun = await owner.until("activity")
        await owner.until("permission_request", id=begun["id"])
        here.server.process.kill()  # type: ignore[attr-defined]
        await owner.closed()
    async with process(tmp_path / "work") as (_, here):
        status, body = await here.get(f"/sessions/{end['sessionId']}/events")
        events = [json.loads(line) for line in body.splitlines()]
        own = [each["type"] for each in events if each["id"] == begun["id"]]
        assert status == 200 and own == ["activity", "permission_request", "permission_resolved", "terminal_state"]
        assert events[-1]["stopReason"] == "interrupted"


async def test_attribution_to_whatever_runs_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: an adapter that gives what it hears to the session in which something runs."""
    named = Sessions.named

    def busy_first(self: Sessions, params: dict[str, Any]) -> Session | None:
        return next((each for each in self._ours.values() if each.running), None) or named(self, params)

    monkeypatch.setattr(Sessions, "named", busy_first)
    with pytest.raises(AssertionError):
        await of_their_own_sessions(tmp_path)
