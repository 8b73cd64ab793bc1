"""What the tests of access share: an operator who asks the running server, and HTTP requests with any credential."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from raw import Answer, Raw, request
from wire import Scene

from myagent.access import asking
from myagent.access.registry import AnyRequest, CreateInvite
from myagent.server import Server


async def ask(server: Server, what: AnyRequest) -> Any:
    """Ask over the control channel, as another program does."""
    return await asyncio.to_thread(asking.ask, server.auth_path.parent, what)


async def invite(server: Server, *, lifetime: float = 3600.0, **more: Any) -> tuple[str, dict[str, str]]:
    """Make an invite; its id, and the headers that show it."""
    made = await ask(server, CreateInvite(lifetime=lifetime, **more))
    return made["id"], bearer(made["token"])


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def knock(server: Server, target: str = "/", *, drop: tuple[str, ...] = (), **headers: str) -> Answer:
    """One upgrade request on a connection of its own, and its answer."""
    async with Raw(server) as raw:
        await raw.send(request(server, target=target, drop=drop, **headers))
        return await raw.answer()


async def get(scene: Scene, path: str, credential: dict[str, str]) -> Answer:
    """One plain GET."""
    async with Raw(scene.server) as raw:
        drop = ("Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version")
        await raw.send(request(scene.server, target=path, drop=drop, **credential))
        return await raw.answer()


def unlike(answer: Answer) -> Answer:
    """An answer without what is different in every answer: the time."""
    return Answer(answer.status, tuple(each for each in answer.headers if each[0] != "date"), answer.body)


async def trail(here: Scene) -> list[dict[str, Any]]:
    """What has been recorded in the audit so far."""
    await here.server.host.log.flush()
    return [json.loads(record) for _, record in await here.server.host.log.read_audit(0, max_bytes=1 << 24)]


def of(records: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [each for each in records if each["kind"] in kinds]
