"""What retention dropped is told, exactly: never skipped, and never said of what is still there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.faults.proxy import Proxy
from tests.faults.serving import LOCAL, InProcess, script
from tests.faults.wire import EVENTS, Json, Wire

from myagent.delivery.fanout import Fanout
from myagent.server import Settings

KEEP = 40


def runs(messages: list[Json], session: str, after: int = 0) -> tuple[list[int], list[int]]:
    """What was seen and what was told to be gone, which together must be one run."""
    seen: list[int] = []
    gone: list[int] = []
    at = after
    for message in messages:
        if message.get("sessionId") != session or message.get("pending"):
            continue
        if message["type"] == "gap":
            assert message["from"] == at + 1 <= message["to"], f"{message} after {at}"
            gone += range(message["from"], message["to"] + 1)
            at = message["to"]
        elif message["type"] in EVENTS:
            assert message["seq"] == at + 1, f"{message['seq']} after {at}, and nobody said so"
            seen.append(message["seq"])
            at = message["seq"]
    return seen, gone


async def retained(directory: Path) -> None:
    """Three turns past a follower that does not read for a while, then one that comes late."""
    settings = Settings(allowed_hosts=LOCAL, retain_events=KEEP, owner_grace=0, stall_timeout=60)
    async with InProcess(directory, settings) as server, Proxy(server.port, buffer=8192) as proxy:
        # Small, so that what a stalled reader missed is no longer in memory either.
        server.server.host.fanout.window.window_bytes = 64 * 1024
        owner = await Wire.open(server.port, server.token)
        slow = await Wire.open(proxy.port, server.token, buffer=8192)
        session, fields = "", dict[str, str]()
        for number in range(3):
            await owner.send("user_message", id=f"p{number}", prompt=script(lines=150, size=4000), **fields)
            end = await owner.until("terminal_state")
            session = str(end["sessionId"])
            fields = {"sessionId": session}
        head = int(end["seq"])
        await owner.until("session_metadata")
        while not slow.messages or slow.messages[-1].get("seq") != head:
            await slow.receive()
        late = await Wire.open(server.port, server.token, f"?session={session}&after=0")
        while late.messages[-1].get("seq") != head:
            await late.receive()
        back = await Wire.open(server.port, server.token)
        await back.send("resume", id="r", sessionId=session, afterSeq=5)
        await back.until("replayed")
        for wire in (owner, slow, late, back):
            wire.abort()
    seen, gone = runs(owner.messages, session)  # on a busy machine, who reads can be late, too
    assert sorted(seen + gone) == list(range(1, head + 1)) and len(seen) > KEEP
    seen, gone = runs(slow.messages, session)
    assert sorted(seen + gone) == list(range(1, head + 1)) and gone
    for messages, after in ((late.messages, 0), (back.messages, 5)):
        seen, gone = runs(messages, session, after)
        assert gone == list(range(after + 1, seen[0])) and seen == list(range(seen[0], head + 1))
        assert KEEP <= len(seen) < 2 * KEEP + 1


def test_what_is_gone_is_told_exactly(tmp_path: Path) -> None:
    asyncio.run(retained(tmp_path))


def test_passing_over_it_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: delivery that does not count what each cursor has seen."""
    make = Fanout.__init__
    monkeypatch.setattr(Fanout, "__init__", lambda self, window, log, *, announce_gaps, **more: make(self, window, log, **more))
    with pytest.raises(AssertionError, match="nobody said so"):
        asyncio.run(retained(tmp_path))
