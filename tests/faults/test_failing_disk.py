"""A disk that fails for good: the server says so and ends, and the next one tells how the turns ended."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.eventlog.watched_disk import Sync, watched
from tests.faults.serving import READY_SECONDS, InProcess, Program, script, stored
from tests.faults.wire import Wire

from myagent.host.session_store import SessionStore
from myagent.server import Settings

SETTINGS = Settings(owner_grace=0)


async def failure_of_a_disk(workspace: Path) -> tuple[bool, list[str]]:
    """A disk that fails as a turn ends: whether whoever runs the server hears of it, and how the turn ended, as it is
    stored after a restart."""
    with watched() as disk:
        async with InProcess(workspace, SETTINGS) as server:
            host, told = server.server.host, asyncio.Event()
            host.on_failure = told.set
            owner = await Wire.open(server.port, server.token)
            await owner.send("user_message", id="p", prompt=script(wait=True))
            await owner.until("prompt")
            disk.failing[Sync] = sqlite3.SQLITE_IOERR_FSYNC
            server.agent.go.set()
            while host.log.refusing is None:
                await asyncio.sleep(0.01)  # a ping for each look would soon be over the rate of messages
            assert (await owner.answer(await owner.send("user_message", prompt="{}")))["code"] == "internal"
            reader = await Wire.open(server.port, server.token, "?role=follower")
            assert [each["state"] for each in reader.welcome["sessions"]] == ["running"]  # as it is stored
            heard = told.is_set()
            for wire in (owner, reader):
                wire.abort()
        disk.failing.clear()
    async with InProcess(workspace, SETTINGS) as server:
        owner = await Wire.open(server.port, server.token)
        assert [each["state"] for each in owner.welcome["sessions"]] != ["running"]
        owner.abort()
    bodies = [json.loads(event.body) for events in (await stored(workspace)).values() for event in events]
    return heard, [each["stopReason"] for each in bodies if each["type"] == "terminal_state"]


def test_a_disk_that_fails_is_told_and_the_next_start_ends_the_turn(tmp_path: Path) -> None:
    heard, ends = asyncio.run(failure_of_a_disk(tmp_path))
    # What was being written as the disk failed may be found on it after all.
    assert heard and len(ends) == 1 and ends[0] in ("interrupted", "end_turn")


def test_a_failure_that_nobody_hears_of_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    monkeypatch.setattr(SessionStore, "lost", lambda *_: None)
    heard, _ = asyncio.run(failure_of_a_disk(tmp_path))
    assert not heard


async def test_the_program_ends_and_says_why_and_starts_again(tmp_path: Path) -> None:
    bypass = ("--allow-bypass", "--permission-mode", "bypassPermissions")
    server = await Program(tmp_path, *bypass).start()
    try:
        owner = await Wire.open(server.port, server.token)
        await owner.send("user_message", id="p", prompt="!while ! test -e go; do sleep 0.05; done")
        await owner.until("prompt")
        with closing(sqlite3.connect(tmp_path / ".myagent/remote/sessions.db")) as foreign, foreign:
            foreign.execute("INSERT INTO events SELECT max(pos) + 1, session, max(seq) + 1, body, NULL FROM events")
        (tmp_path / "go").touch()
        said, _ = await asyncio.wait_for(server.process.communicate(), READY_SECONDS)
        owner.abort()
        assert server.process.returncode == 3
        assert b"[remote] the event log failed and takes no more writes: another program has written to it" in said
        assert b"Traceback" not in said
    finally:
        await server.stop(hard=True)
    server = await Program(tmp_path, *bypass).start()
    try:
        owner = await Wire.open(server.port, server.token)
        (session,) = owner.welcome["sessions"]
        assert (session["state"], session["lastExitCode"]) == ("failed", 1)
        await owner.send("user_message", id="q", prompt="help", sessionId=session["sessionId"])
        assert (await owner.until("terminal_state"))["exitCode"] == 0
        owner.abort()
    finally:
        await server.stop()
