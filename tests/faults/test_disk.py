"""A full disk stops what is new, and nothing else; a log that cannot be trusted is left alone; a clock may jump."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.faults.serving import InProcess, ScriptedAgent, script, stored
from tests.faults.wire import EVENTS, Wire

from myagent.agents.builtin.command import CommandAgent
from myagent.eventlog import LogUnusable, Unit, database
from myagent.eventlog.sqlite import SqliteLog
from myagent.host import permission_requests, prompts, session_store
from myagent.server import Server, Settings
from myagent.server.connection import Connection

SPACE = "3m"
LINES = 400
SETTINGS = Settings(owner_grace=0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A workspace whose state directory is a file system of its own, as small as `SPACE`."""
    state = tmp_path / ".myagent" / "remote"
    state.mkdir(parents=True, mode=0o700)
    state.parent.chmod(0o700)
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SPACE},mode=0700", "tmpfs", str(state)], capture_output=True, check=False
    )
    if mount.returncode != 0:
        pytest.skip(f"mounting a small tmpfs needs root: {mount.stderr.decode().strip()}")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", str(state)], check=True)


def fill(workspace: Path) -> Path:
    """Use up all space; removing the file gives it back."""
    filler = workspace / ".myagent" / "remote" / "filler"
    with open(filler, "wb", buffering=0) as file:
        size = 1 << 20
        while size:
            try:
                os.write(file.fileno(), bytes(size))
            except OSError:
                size //= 2
    return filler


async def out_of_space(workspace: Path) -> list[str]:
    """A disk that is full while a turn runs, and has space again; what was not as promised."""
    wrong: list[str] = []
    async with InProcess(workspace, SETTINGS) as server:
        owner = await Wire.open(server.port, server.token)
        await owner.send("user_message", id="before", prompt=script(lines=4))
        session = (await owner.until("terminal_state"))["sessionId"]
        await owner.send(
            "user_message", id="during", prompt=script(wait=True, lines=LINES, size=1000), sessionId=session
        )
        await owner.until("prompt")
        filler = fill(workspace)
        answer = await owner.answer(await owner.send("user_message", id="refused", prompt=script(lines=1)))
        if answer.get("code") != "disk_full":
            wrong.append(f"a prompt was answered {answer}")
        server.agent.go.set()  # the agent goes on talking: facts
        reader = await Wire.open(server.port, server.token, f"?role=follower&session={session}&after=0")
        if [(await reader.until(each))["id"] for each in ("prompt", "terminal_state", "prompt")] != [
            "before",
            "before",
            "during",
        ]:
            wrong.append("reads did not go on")
        again = await owner.answer(await owner.send("user_message", id="refused", prompt=script(lines=1)))
        if again.get("code") != "disk_full":
            wrong.append(f"a prompt was answered {again}")
        filler.unlink()
        await reader.until("terminal_state", id="during")
        lines = "".join(m["chunk"] for m in reader.messages if m["type"].startswith("agent_") and m["id"] == "during")
        if sorted(int(line[:6]) for line in lines.splitlines()) != list(range(LINES)):
            wrong.append("some of what the agent said is missing")
        while (await owner.answer(await owner.send("user_message", id="refused", prompt=script(lines=1)))).get("code"):
            await asyncio.sleep(0.05)
        await owner.until("terminal_state", id="refused")
        for wire in (owner, reader):
            wire.abort()
        if server.agent.ran != {"before": 1, "during": 1, "refused": 1}:
            wrong.append(f"ran {server.agent.ran}")
        seen = [m["seq"] for m in reader.messages if m["type"] in EVENTS]
    log = await stored(workspace)
    if seen != [event.seq for event in log[session]][: len(seen)] or len(seen) != len(log[session]):
        wrong.append("what was shown is not what is stored")
    return wrong


def test_a_full_disk_refuses_what_is_new_and_keeps_what_is_said(small_disk: Path) -> None:
    assert asyncio.run(out_of_space(small_disk)) == []


def test_not_keeping_facts_would_be_found(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: output that finds no space is dropped."""
    write = SqliteLog.write

    def forget_facts(self: SqliteLog, unit: Unit) -> None:
        write(self, replace(unit, fact=unit.fact and bool(unit.sessions)))

    monkeypatch.setattr(SqliteLog, "write", forget_facts)
    assert "some of what the agent said is missing" in asyncio.run(out_of_space(small_disk))


async def test_a_command_can_be_stopped_on_a_full_disk(small_disk: Path) -> None:
    settings = Settings(owner_grace=0, allow_bypass=True)
    async with Server(small_disk, CommandAgent(), settings) as server:
        owner = await Wire.open(server.port, server.token)
        run_away = "!echo $$; while :; do sleep 0.05; done"
        await owner.send("user_message", id="p", prompt=run_away, permissionMode="bypassPermissions")
        said = await owner.until("agent_stdout")
        filler = fill(small_disk)
        await owner.send("user_message", id="q", prompt="help")
        assert (await owner.answer("q"))["code"] == "disk_full"
        answer = await owner.answer(await owner.send("cancel", sessionId=said["sessionId"]))
        assert answer["code"] == "disk_full" and "told to stop" in answer["message"]
        while Path(f"/proc/{int(said['chunk'])}").exists():
            await owner.until("pong", id=await owner.send("ping"))
            await asyncio.sleep(0.05)
        assert not any(each["type"] == "terminal_state" for each in owner.messages)
        filler.unlink()
        assert (await owner.until("terminal_state"))["exitCode"] == 130
        owner.abort()


async def test_a_start_on_a_full_disk_says_so(small_disk: Path) -> None:
    async with InProcess(small_disk, SETTINGS):
        pass
    filler = fill(small_disk)
    with pytest.raises(Exception, match="disk is full"):
        await InProcess(small_disk, SETTINGS).start()
    filler.unlink()
    async with InProcess(small_disk, SETTINGS):
        pass


async def test_a_log_that_is_not_looked_at_first_would_be_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: nobody checks who wrote it."""
    async with InProcess(tmp_path, SETTINGS):
        pass
    path = tmp_path / ".myagent" / "remote" / "sessions.db"
    content = bytearray(path.read_bytes())
    content[60:64] = b"\0\0\0\x09"
    path.write_bytes(content)
    monkeypatch.setattr(database, "_check_kind", lambda *_: None)
    async with InProcess(tmp_path, SETTINGS):
        pass
    assert path.read_bytes() != content


@pytest.mark.parametrize(("offset", "put", "reason"), [(60, b"\0\0\0\x09", "newer"), (0, b"garbage", "not an SQLite")])
async def test_a_log_that_cannot_be_used_is_refused_and_left_alone(
    tmp_path: Path, offset: int, put: bytes, reason: str
) -> None:
    async with InProcess(tmp_path, SETTINGS):
        pass
    path = tmp_path / ".myagent" / "remote" / "sessions.db"
    content = bytearray(path.read_bytes())
    content[offset : offset + len(put)] = put
    path.write_bytes(content)
    before = {each.name: each.stat().st_mtime_ns for each in path.parent.iterdir() if each.name.startswith("sessions")}
    with pytest.raises(LogUnusable, match=reason):
        await Server(tmp_path, ScriptedAgent(), SETTINGS).start()
    assert path.read_bytes() == content
    assert before == {
        each.name: each.stat().st_mtime_ns for each in path.parent.iterdir() if each.name.startswith("sessions")
    }
    path.rename(path.with_name("away"))
    async with InProcess(tmp_path, SETTINGS):  # nothing else was left behind that would be in the way
        pass


class Jumping(datetime):
    """A wall clock that was set."""

    jump = timedelta()

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.now(tz) + cls.jump


@pytest.fixture
def wall_clock(monkeypatch: pytest.MonkeyPatch) -> type[Jumping]:
    """The one that the rooms read; what is measured in seconds goes by the monotonic one."""
    for room in (prompts, session_store, permission_requests):
        monkeypatch.setattr(room, "datetime", Jumping)
    monkeypatch.setattr(Jumping, "jump", timedelta())
    return Jumping


async def decide_after_a_jump(workspace: Path, wall_clock: type[Jumping], years: int) -> list[str]:
    """Set the clock while a request is open, then allow it; how it was resolved."""
    async with InProcess(workspace, SETTINGS) as server, AsyncExitStack() as end:
        owner = await Wire.open(server.port, server.token)
        end.callback(owner.abort)
        await owner.send("user_message", id="p", prompt=script(ask=True, lines=2))
        asked = await owner.until("permission_request")
        wall_clock.jump = timedelta(days=365 * years)
        await owner.send("ping", id="still")
        await owner.until("pong")
        await owner.send(
            "permission_decision", permissionRequestId=asked["permissionRequestId"], decision={"kind": "allow"}
        )
        await owner.until("terminal_state")
        await owner.send("user_message", id="q", prompt=script(lines=2))
        await owner.until("terminal_state", id="q")
        newcomer = await Wire.open(server.port, server.token)
        end.callback(newcomer.abort)
        assert len(newcomer.welcome["sessions"]) == 2
        return [m["outcome"] for m in owner.messages if m["type"] == "permission_resolved"]


@pytest.mark.parametrize("years", [-30, 30])
async def test_the_wall_clock_may_jump(tmp_path: Path, wall_clock: type[Jumping], years: int) -> None:
    assert await decide_after_a_jump(tmp_path, wall_clock, years) == ["allow"]
    async with InProcess(tmp_path, SETTINGS) as server:
        back = await Wire.open(server.port, server.token)
        assert {each["state"] for each in back.welcome["sessions"]} == {"completed"}
        assert datetime.fromisoformat(back.welcome["sessions"][0]["updatedAt"]).tzinfo == UTC
        back.abort()


async def test_expiry_by_the_wall_clock_would_be_found(
    tmp_path: Path, wall_clock: type[Jumping], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: the event loop's clock is the wall's. Nobody is silent for too long, so only expiry shows."""
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: Jumping.now(UTC).timestamp())
    monkeypatch.setattr(Connection, "beat", lambda self, now: None)
    assert await decide_after_a_jump(tmp_path, wall_clock, 30) == ["expired"]
