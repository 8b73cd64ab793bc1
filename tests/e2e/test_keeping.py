"""Sessions as people keep them, over the wire: named, put away, deleted; who may, and what is left of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from puppet import Puppet
from wire import Client, Scene, scene

from myagent.host.slot import Slot

pytestmark = pytest.mark.usefixtures("quiet_log")

BYPASS = {"permissionMode": "bypassPermissions"}
WORDS = "the-words-of-it"


async def begun(here: Scene, owner: Client, prompt: str = f"!echo {WORDS}") -> str:
    return str((await here.turn(owner, prompt, **BYPASS))["sessionId"])


async def do(owner: Client, kind: str, session: str, *, duplicate: bool = False, **fields: Any) -> None:
    await owner.acked(await owner.send(kind, sessionId=session, **fields), duplicate=duplicate)


async def metadata(here: Scene, session: str) -> dict[str, Any] | None:
    _, body = await here.get("/sessions")
    return next((each for each in json.loads(body)["sessions"] if each["sessionId"] == session), None)


def files_with(directory: Path, text: str) -> list[str]:
    return [path.name for path in directory.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


async def audit(here: Scene) -> list[dict[str, Any]]:
    return [json.loads(record) for _, record in await here.server.host.log.read_audit(0, max_bytes=1 << 20)]


async def test_a_name_stands_above_the_title_and_is_told_to_all(tmp_path: Path) -> None:
    async with scene(tmp_path, allow_bypass=True) as here:
        owner, follower = await here.join(), await here.join()
        session = await begun(here, owner)
        await do(owner, "rename", session, title="  release\n notes ")
        await do(owner, "rename", session, title="release notes", duplicate=True)
        told = [each["session"]["title"] for each in await follower.settle() if each["type"] == "session_metadata"]
        assert told[-1] == "release notes"
    async with scene(tmp_path) as here:
        owner = await here.join()
        assert (await metadata(here, session) or {})["title"] == "release notes"
        await do(owner, "rename", session, title="")
        assert (await metadata(here, session) or {})["title"] == f"!echo {WORDS}"


async def test_a_prompt_brings_a_session_back_from_the_archive(tmp_path: Path) -> None:
    async with scene(tmp_path, allow_bypass=True) as here:
        owner = await here.join()
        session = await begun(here, owner)
        await do(owner, "archive", session)
        assert (await metadata(here, session) or {})["archived"] is True
        await do(owner, "archive", session, duplicate=True)
        await do(owner, "archive", session, archived=False)
        assert "archived" not in (await metadata(here, session) or {})
        await do(owner, "archive", session)
        await here.turn(owner, "!echo two", sessionId=session, **BYPASS)
        assert "archived" not in (await metadata(here, session) or {})


async def test_what_is_deleted_is_gone_for_all_from_the_files_and_for_ever(tmp_path: Path) -> None:
    async with scene(tmp_path, allow_bypass=True) as here:
        owner, follower = await here.join(), await here.join()
        opening = await owner.send("user_message", prompt=f"!echo {WORDS}", **BYPASS)
        session = (await owner.until("terminal_state", id=opening))["sessionId"]
        other = await begun(here, owner, "!echo other")
        bound = await here.join(f"?session={session}")
        assert files_with(tmp_path / ".myagent", WORDS)
        message_id = await owner.send("delete", sessionId=session)
        await owner.acked(message_id)
        assert files_with(tmp_path / ".myagent", WORDS) == []
        for each in (follower, bound):
            assert (await each.until("session_deleted"))["sessionId"] == session
        again = {"prompt": f"!echo {WORDS}", **BYPASS}
        for query in (
            {"kind": "user_message", "id": opening, "sessionId": session, **again},
            {"kind": "user_message", "id": opening, **again},
            {"kind": "user_message", "id": "new", "sessionId": session, **again},
            {"kind": "resume", "sessionId": session, "afterSeq": 0},
            {"kind": "cancel", "sessionId": session},
            {"kind": "rename", "sessionId": session, "title": "x"},
            {"kind": "delete", "sessionId": session},
        ):
            await owner.refused(await owner.send(**query), "unknown_session")
        assert (await here.get(f"/sessions/{session}/events"))[0] == 404
        assert await metadata(here, session) is None
        assert await metadata(here, other) is not None
        record = next(each for each in await audit(here) if each["kind"] == "deleted")
        assert (record["session"], record["credential"]) == (session, "owner")
        assert WORDS not in json.dumps(await audit(here))
    async with scene(tmp_path, allow_bypass=True) as here:
        owner = await here.join()
        assert session not in [each["sessionId"] for each in owner.of("welcome")[0]["sessions"]]
        await owner.refused(await owner.send("user_message", id=opening, **again), "unknown_session")
        assert await begun(here, owner, "!echo third") not in (session, other)
        assert files_with(tmp_path / ".myagent", WORDS) == []


async def test_a_session_that_runs_or_waits_cannot_be_deleted(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        session = (await owner.acked(await owner.send("user_message", id="t", prompt="go")))["sessionId"]
        play = await agent.begun()
        error = await owner.refused(await owner.send("delete", sessionId=session), "session_busy")
        assert "cancel it first" in error["message"]
        await play.say("still here\n")
        play.end()
        await owner.until("terminal_state", id="t")
        await do(owner, "delete", session)
        await play.say("late\n")  # what comes after the end is nobody's
        play.io.tell(mode="late")
        assert await metadata(here, session) is None


@pytest.mark.parametrize("kind", ["rename", "archive", "delete"])
async def test_only_the_owner_may(tmp_path: Path, kind: str) -> None:
    async with scene(tmp_path, allow_bypass=True) as here:
        owner, follower = await here.join(), await here.join()
        session = await begun(here, owner)
        await follower.refused(await follower.send(kind, sessionId=session, title="x"), "not_owner")
        assert await metadata(here, session) is not None


async def test_a_process_of_the_agents_may_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(tmp_path, allow_bypass=True) as here:
        owner = await here.join()
        session = await begun(here, owner)
        monkeypatch.setattr(Slot, "confine", lambda _self, _peer: True)
        await owner.refused(await owner.send("delete", sessionId=session), "not_allowed")
        assert await metadata(here, session) is not None


async def test_deleting_makes_room_in_a_log_that_may_not_grow(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent, max_log=1 << 20) as here:
        owner = await here.join()
        session = (await owner.acked(await owner.send("user_message", id="t", prompt="go")))["sessionId"]
        play = await agent.begun()
        said = asyncio.create_task(play.say("x" * (2 << 20)))
        while here.server.host.log.refusing is None:
            await here.server.host.log.flush()
        play.end()
        await owner.until("terminal_state", id="t")
        await owner.refused(await owner.send("user_message", prompt="more"), "disk_full")
        await do(owner, "delete", session)
        await owner.acked(await owner.send("user_message", id="u", prompt="more"))
        (await agent.begun()).end()
        await owner.until("terminal_state", id="u")
        await said  # there was room for what it waited with, which nobody has
