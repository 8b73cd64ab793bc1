"""A long turn of the event loop is seen, and told by a server's metrics."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from myagent.agents.builtin.command import CommandAgent
from myagent.server import Server, Settings
from myagent.server.loop_time import LOOK_SECONDS, LoopTime


async def test_a_turn_that_holds_the_loop_is_seen(tmp_path: Path) -> None:
    async with Server(tmp_path, CommandAgent(), Settings(port=0)) as server:
        before = server._measures.loop.longest
        until = time.monotonic() + before + 3 * LOOK_SECONDS
        while time.monotonic() < until:  # what this is about
            pass
        while server._measures.loop.longest == before:
            await asyncio.sleep(0.01)
        assert server._measures.loop.longest >= before + LOOK_SECONDS
        assert b"myagent_loop_longest_turn_seconds" in await server._measures.exposition(server.host)


async def test_a_watch_that_was_stopped_looks_no_more() -> None:
    watch = LoopTime()
    watch.start()
    watch.stop()
    assert watch._timer is not None and watch._timer.cancelled()
