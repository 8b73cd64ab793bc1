"""A host that publishes, relays that show it, and followers of either: what tests of this room are made of."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.faults.serving import ScriptedAgent, script
from tests.relay.engine import PATIENCE
from websockets.asyncio.client import ClientConnection, connect

from myagent.relay.engine import Engine
from myagent.relay.publisher import Publisher, publish
from myagent.relay.relay import Relay
from myagent.server import Server, Settings

LEASE_SECONDS = 3.0


class Hosted:
    """A server, and its publisher."""

    def __init__(self, server: Server, publisher: Publisher, agent: ScriptedAgent) -> None:
        self.server, self.publisher, self.agent = server, publisher, agent
        self.said: list[str] = []

    async def turn(self, *, session: str | None = None, id: str = "t", **steps: Any) -> str:
        """Have a turn, wait for its end; the session."""
        async with connect(self.server.url, additional_headers=bearer(self.server.token)) as owner:
            message = {"type": "user_message", "id": id, "prompt": script(**steps)}
            await owner.send(json.dumps(message if session is None else {**message, "sessionId": session}))
            async with asyncio.timeout(PATIENCE):
                async for text in owner:
                    told = json.loads(text)
                    if told["type"] == "terminal_state":
                        return str(told["sessionId"])
        raise AssertionError("the turn did not end")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def host(
    directory: Path, nats: str, name: str = "team/web", *,
    wait: bool = False, settings: Settings | None = None, agent: ScriptedAgent | None = None,
) -> AsyncIterator[Hosted]:  # fmt: skip
    directory.mkdir(exist_ok=True)
    agent = agent or ScriptedAgent()
    server = Server(directory, agent, settings)
    hosted: Hosted
    publisher = Publisher(
        server.host, server.access, Engine([nats], name="a host"), name,
        say=lambda line: hosted.said.append(line), wait=wait, lease_seconds=LEASE_SECONDS,
    )  # fmt: skip
    hosted = Hosted(server, publisher, agent)
    async with server:
        publish(server, publisher)
        yield hosted


@asynccontextmanager
async def relay(
    directory: Path, nats: str, settings: Settings | None = None, *, watch_only: bool = False
) -> AsyncIterator[Relay]:
    async with Relay([nats], directory, settings, watch_only=watch_only, lease_seconds=LEASE_SECONDS) as made:
        yield made


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


async def events(url: str, token: str, session: str, *, upto: int, wants: bool = False) -> list[bytes]:
    """The events of a session, over a WebSocket from its beginning, up to a seq: the frames as they came."""
    found: list[bytes] = []
    async with asyncio.timeout(PATIENCE), follow(url, token, session=session, after=0) as socket:
        if wants:
            await socket.send('{"type":"hello","id":"h","client":{"name":"test"},"wants":["updates"]}')
        async for text in socket:
            told = json.loads(text)
            if "seq" in told and not told.get("pending"):
                found.append(text.encode() if isinstance(text, str) else text)
                if told["seq"] == upto:
                    return found
    raise AssertionError("closed before its time")


def drive(url: str, token: str, **headers: str) -> Any:
    """A connection that takes what its credential may have."""
    return connect(url, additional_headers={**bearer(token), **headers}, max_size=None)


async def ask(socket: ClientConnection, kind: str, answer: str = "ack", **fields: Any) -> dict[str, Any]:
    """Send a message, and return its answer."""
    await socket.send(json.dumps({"type": kind, "id": fields.pop("id", kind), **fields}))
    return await next_of(socket, answer)


def shows(made: Relay, name: str = "team/web") -> bool:
    """Whether a relay shows a host that is there."""
    return name in made.shown and not made.shown[name].host.offline_since


def follow(url: str, token: str, **query: Any) -> Any:
    asked = "&".join(f"{name}={value}" for name, value in {"role": "follower", **query}.items())
    return connect(f"{url}/?{asked}", additional_headers=bearer(token), max_size=None)


async def get(url: str, token: str, path: str) -> tuple[int, bytes]:
    """An HTTP request beside the event loop."""

    def ask() -> tuple[int, bytes]:
        request = urllib.request.Request(url.replace("ws", "http", 1) + path, headers=bearer(token))
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    return await asyncio.to_thread(ask)


async def next_of(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of a type."""
    async with asyncio.timeout(PATIENCE):
        async for text in socket:
            told: dict[str, Any] = json.loads(text)
            if told["type"] == kind:
                return told
    raise AssertionError(f"closed before {kind}")
