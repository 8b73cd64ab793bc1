"""Search over all sessions: for whoever may drive, of all that is stored, and of nothing that was deleted."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from wire import Scene, scene

from myagent.host import searching

pytestmark = pytest.mark.usefixtures("quiet_log")

BYPASS = {"permissionMode": "bypassPermissions"}


async def search(here: Scene, words: str, query: str = "") -> dict[str, Any]:
    status, body = await here.get(f"/sessions?search={quote(words)}{query}")
    assert status == 200, body
    told: dict[str, Any] = json.loads(body)
    return told


async def hits(here: Scene, words: str) -> set[str]:
    told = await search(here, words)
    assert told["complete"]
    assert {hit["sessionId"] for hit in told["hits"]} == {each["sessionId"] for each in told["sessions"]}
    return {hit["sessionId"] for hit in told["hits"]}


async def test_what_was_said_is_found_at_once_and_after_a_restart(tmp_path: Path) -> None:
    async with scene(tmp_path, allow_bypass=True) as here:
        owner = await here.join()
        first = (await here.turn(owner, "!echo the first walrus", **BYPASS))["sessionId"]
        second = (await here.turn(owner, "!echo the second walrus", **BYPASS))["sessionId"]
        assert await hits(here, "walrus") == {first, second}
        told = await search(here, "FIRST wal")
        assert {hit["sessionId"] for hit in told["hits"]} == {first}
        (event,) = [each for each in await here.events(first) if each["seq"] == told["hits"][0]["seq"]]
        assert told["hits"][0]["at"] == event["at"]
        assert "first walrus" in told["hits"][0]["text"]
        assert len((await search(here, "walrus", "&limit=1"))["hits"]) == 1
        assert await hits(here, "wallaby") == set()
    async with scene(tmp_path) as here:
        assert await hits(here, "walrus") == {first, second}
    (tmp_path / ".myagent/remote/words.db").unlink()
    async with scene(tmp_path) as here:
        assert await hits(here, "walrus") == {first, second}


async def test_it_is_made_by_itself_when_nobody_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "IDLE_SECONDS", 0.01)
    async with scene(tmp_path, allow_bypass=True) as here:
        await here.turn(await here.join(), "!echo walrus", **BYPASS)
        search = here.server._search
        async with asyncio.timeout(30):
            while search._pos < here.server.host.fanout.window.pos:
                await asyncio.sleep(0)


async def test_what_was_deleted_is_not_found_nor_left_in_the_index(tmp_path: Path) -> None:
    path = tmp_path / ".myagent/remote/words.db"
    async with scene(tmp_path, allow_bypass=True) as here:
        owner = await here.join()
        gone = (await here.turn(owner, "!echo the gone walrus", **BYPASS))["sessionId"]
        kept = (await here.turn(owner, "!echo the kept walrus", **BYPASS))["sessionId"]
        assert await hits(here, "walrus") == {gone, kept}
        assert b"gone walrus" in path.read_bytes()
        await owner.acked(await owner.send("delete", sessionId=gone))
        assert b"gone walrus" not in path.read_bytes()
        assert await hits(here, "walrus") == {kept}


async def test_a_crash_before_the_index_forgot_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(_: object) -> None: ...

    async with scene(tmp_path, allow_bypass=True) as here:
        here.server.host.store.erases.clear()
        owner = await here.join()
        gone = (await here.turn(owner, "!echo the gone walrus", **BYPASS))["sessionId"]
        await hits(here, "walrus")
        await owner.acked(await owner.send("delete", sessionId=gone))
        assert await hits(here, "walrus") == set()
    async with scene(tmp_path) as here:
        assert b"gone walrus" not in (tmp_path / ".myagent/remote/words.db").read_bytes()
        assert await hits(here, "walrus") == set()


async def test_only_who_may_drive_and_sees_all_may_search(tmp_path: Path) -> None:
    async with scene(tmp_path, allow_bypass=True) as here:
        session = (await here.turn(await here.join(), "!echo walrus", **BYPASS))["sessionId"]
        for bound in (None, session):
            invitation = here.server.invite(session_id=bound)
            reader, writer = await asyncio.open_connection("127.0.0.1", here.server.port)
            writer.write(
                f"GET /sessions?search=walrus HTTP/1.1\r\nHost: 127.0.0.1:{here.server.port}\r\n"
                f"Authorization: Bearer {invitation.token}\r\n\r\n".encode()
            )
            assert (await reader.read()).startswith(b"HTTP/1.1 403 ")
            writer.close()


async def test_where_events_are_dropped_there_is_no_search(tmp_path: Path) -> None:
    async with scene(tmp_path, retain_events=10) as here:
        assert (await here.get("/sessions?search=x"))[0] == 404
        assert not (tmp_path / ".myagent/remote/words.db").exists()
