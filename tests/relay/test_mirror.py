"""The mirror of a workspace by itself, without an engine: in which order what may come, and what is told then."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.host.test_host import Client, come

from myagent.core.messages import SessionId
from myagent.core.session import Session
from myagent.eventlog.memory import MemoryLog
from myagent.relay.mirror import Mirror
from myagent.relay.words import SessionState
from myagent.settings import Settings

SESSION = Session(
    session_id=SessionId("remote_20260101120000_0a1b2c3d"), cwd="/w", created_at="2026-01-01T12:00:00.000Z",
    updated_at="2026-01-01T12:00:00.000Z", agent="a", mode="default",
)  # fmt: skip


def mirrored(tmp_path: Path) -> list[str]:
    """The sessions that somebody is told of who came before the first, which is listed and then told as it was."""

    async def script() -> list[str]:
        mirror = Mirror("team/web", tmp_path / "copy", lambda _: MemoryLog(), Settings())
        await mirror.start()
        watcher: Client = come(mirror, "watcher")  # type: ignore[arg-type]
        told = SessionState(0, SESSION)
        mirror.know(told)
        mirror.session_told(told)
        assert mirror.take_states() == []
        mirror.fanout.flush()
        await mirror.close()
        return [each["session"]["sessionId"] for each in watcher.of("session_metadata")]

    return asyncio.run(script())


def test_a_session_that_changes_no_more_after_it_was_listed_is_told_to_who_was_there(tmp_path: Path) -> None:
    """As where a relay is slow: a session's first state is also its last."""
    assert mirrored(tmp_path) == [SESSION.session_id]


def test_control_one_that_takes_what_it_lists_for_told_would_tell_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Mirror.know

    def forgets(self: Mirror, told: SessionState) -> None:
        known(self, told)
        self._listed.clear()

    monkeypatch.setattr(Mirror, "know", forgets)
    assert mirrored(tmp_path) == []
