"""A log that has grown as large as it may takes nothing new, and still stores how what runs has ended."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from puppet import PATIENCE
from wire import scene

from myagent.agents.builtin.command import CommandAgent

pytestmark = pytest.mark.usefixtures("quiet_log")

QUOTA = 2 << 20
SLACK = 3 << 20  # bytes that are under way when it is seen: the queue, a batch, what an agent had said already


def size(workspace: Path) -> int:
    return (workspace / ".myagent" / "remote" / "sessions.db").stat().st_size


async def yes(workspace: Path, max_log: int | None, seconds: float) -> tuple[int, bool]:
    """Let an agent print without end, until it is held back or for some time; then stop it, and look whether that was
    stored. The bytes of the log, and whether new prompts were refused."""
    async with scene(
        workspace, CommandAgent(), permission_mode="bypassPermissions", allow_bypass=True, max_log=max_log
    ) as here:
        owner, log = await here.join(), here.server.host.log
        acked = await owner.acked(await owner.send("user_message", id="yes", prompt="!yes no space is left"))
        session = acked["sessionId"]
        deadline = asyncio.get_running_loop().time() + seconds
        while log.refusing is None and asyncio.get_running_loop().time() < deadline:
            await owner.next()
        full = log.refusing is not None
        message_id = await owner.send("cancel", sessionId=session)
        while (message := await owner.next())["type"] != "terminal_state":
            if message["type"] == "error":
                assert (message["id"], message["code"]) == (message_id, "disk_full")
        assert message["stopReason"] == "cancelled"
        if full:
            await owner.refused(await owner.send("user_message", prompt="help", sessionId=session), "disk_full")
        await here.server.host.log.flush()
    return size(workspace), full


async def test_an_agent_that_prints_without_end_does_not_fill_the_disk(tmp_path: Path) -> None:
    stored, full = await yes(tmp_path, QUOTA, PATIENCE)
    assert full and stored < QUOTA + SLACK
    # A new server on the same log starts, shows what there is, and takes nothing new before it may have more.
    async with scene(tmp_path, max_log=QUOTA) as here:
        owner = await here.join()
        assert [each["state"] for each in owner.welcome["sessions"]] != ["running"]
        await owner.refused(await owner.send("user_message", prompt="help"), "disk_full")
    async with scene(tmp_path, max_log=64 << 20) as here:
        owner = await here.join()
        assert (await here.turn(owner, "help"))["exitCode"] == 0


async def test_without_a_quota_it_would(tmp_path: Path) -> None:
    """Negative control."""
    stored, full = await yes(tmp_path, None, 3.0)
    assert not full and stored > QUOTA + SLACK
