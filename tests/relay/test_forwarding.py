"""What is sent through a relay is decided by the host, and answered as if it had come to the host itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.faults.serving import script as prompt
from tests.relay.engine import NatsServer, needs_engine
from tests.relay.scene import Hosted, bearer, host, next_of, relay, until
from websockets.asyncio.client import ClientConnection, connect

from myagent.relay.relay import Relay

pytestmark = needs_engine


def drive(url: str, token: str, **headers: str) -> Any:
    return connect(url, additional_headers={**bearer(token), **headers}, max_size=None)


@asynccontextmanager
async def a_relay(tmp_path: Path, **how: Any) -> AsyncIterator[tuple[Hosted, Relay, str]]:
    """A host that has published, a relay that shows it, and the address there."""
    async with (
        NatsServer(tmp_path / "nats") as nats,
        host(tmp_path / "host", nats.url()) as hosted,
        relay(tmp_path / "copies", nats.url(), **how) as shown,
    ):
        await until(lambda: "team/web" in shown.shown and not shown.shown["team/web"].host.offline_since)
        yield hosted, shown, f"{shown.url}/team/web/"


async def ask(socket: ClientConnection, kind: str, answer: str = "ack", **fields: Any) -> dict[str, Any]:
    """Send a message, and return its answer."""
    await socket.send(json.dumps({"type": kind, "id": fields.pop("id", kind), **fields}))
    return await next_of(socket, answer)


def test_the_first_who_comes_owns_and_has_a_turn(tmp_path: Path) -> None:
    async def script() -> None:
        async with a_relay(tmp_path) as (hosted, _, url), drive(url, hosted.server.token) as owner:
            first = [json.loads(await owner.recv()) for _ in range(3)]
            assert [each["type"] for each in first] == ["ready", "role", "welcome"]
            assert first[1]["role"] == "owner"
            assert first[2]["owner"]["connectionId"] == first[2]["connectionId"] and first[2]["reclaimToken"]
            assert (await ask(owner, "user_message", prompt=prompt(lines=3)))["duplicate"] is False
            assert (await next_of(owner, "terminal_state"))["id"] == "user_message"
            assert (await ask(owner, "user_message", prompt=prompt(lines=3)))["duplicate"] is True
            assert sum(hosted.agent.ran.values()) == 1
            assert (await ask(owner, "who", "connections"))["connections"][0]["role"] == "owner"
            async with drive(url, hosted.server.token) as second, drive(hosted.server.url, hosted.server.token) as near:
                assert [(await next_of(each, "role"))["role"] for each in (second, near)] == ["follower", "follower"]
                assert (await ask(second, "cancel", "error", sessionId="s"))["code"] == "not_owner"
                heir = (await next_of(near, "welcome"))["connectionId"]
                assert (await ask(owner, "handover", to=heir))["duplicate"] is False
                assert (await next_of(owner, "role"))["role"] == "follower"
                assert (await next_of(near, "role"))["role"] == "owner"
                assert (await ask(owner, "release", "error"))["code"] == "stale_owner"

    asyncio.run(script())
