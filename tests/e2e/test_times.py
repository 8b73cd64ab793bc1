"""The time of an event on the wire: the same live, after a restart and over HTTP; old events have none."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest
from wire import scene

pytestmark = pytest.mark.usefixtures("quiet_log")

BYPASS = {"permissionMode": "bypassPermissions"}


async def test_every_event_has_the_time_at_which_it_was_accepted(tmp_path: Path) -> None:
    before = time.time_ns() // 1_000_000
    async with scene(tmp_path, allow_bypass=True) as here:
        owner = await here.join()
        session = (await here.turn(owner, "!echo one", **BYPASS))["sessionId"]
        live = dict(here.known)
        times = [event["at"] for event in await here.events(session)]
        assert len(times) >= 3
        assert [before, *times, time.time_ns() // 1_000_000] == sorted([before, *times, time.time_ns() // 1_000_000])
    async with scene(tmp_path) as here:
        here.known.update(live)  # what comes is held to these bytes
        assert [event["at"] for event in await here.events(session)] == times


async def test_events_that_an_older_server_stored_have_none_and_are_shown_as_they_are(tmp_path: Path) -> None:
    async with scene(tmp_path, allow_bypass=True) as here:
        session = (await here.turn(await here.join(), "!echo one", **BYPASS))["sessionId"]
    with sqlite3.connect(tmp_path / ".myagent/remote/sessions.db") as log:  # as such a server left it
        for pos, body in log.execute("SELECT pos, body FROM events").fetchall():
            head, _, tail = body.rpartition(b',"at":')
            log.execute("UPDATE events SET body = ? WHERE pos = ?", (head + tail[13:], pos))
    async with scene(tmp_path, allow_bypass=True) as here:
        old = await here.events(session)
        assert [event["seq"] for event in old] == list(range(1, len(old) + 1))
        assert not any("at" in event for event in old)
        await here.turn(await here.join(), "!echo two", sessionId=session, **BYPASS)
        assert all("at" in event for event in await here.events(session, f"?after={len(old)}"))
