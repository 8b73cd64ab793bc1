"""A scene with a push service on loopback: an owner whose turn asks, and devices that are called for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from puppet import PATIENCE, Play, Puppet
from tests.push.fake import Browser, Service, push_service
from wire import Client, Scene, scene

from myagent.access.credentials import Credential
from myagent.core.messages import May, SessionId
from myagent.core.ownership import scope_of
from myagent.push.lock_screen import LockScreen


class Stage:
    """A server, a push service, and an owner who has begun a turn."""

    def __init__(self, here: Scene, service: Service, puppet: Puppet) -> None:
        self.here, self.service, self.puppet = here, service, puppet
        self.server = here.server
        self.screen: LockScreen = here.server.lock_screen
        self.screen.door, self.screen.anywhere = service.door(), True

    def enrol(self, may: May = "approve", *, name: str = "phone", session_id: str | None = None) -> tuple[str, str]:
        """A device: its token, and the id of the invite that it came by."""
        invite_id = self.server.invite(may=may, session_id=session_id, uses=5).id
        return self.device(invite_id, may, name=name, session_id=session_id), invite_id

    def device(self, invite_id: str, may: May = "approve", *, name: str, session_id: str | None = None) -> str:
        """The token of one more device of an invite."""
        shown = Credential(invite_id, scope_of(may), SessionId(session_id) if session_id else None)
        return str(self.server.access.exchange(shown, f"nonce-{name}".ljust(22, "0"), name)["token"])

    async def connect(self, token: str) -> Client:
        return await self.here.join(headers={"Authorization": f"Bearer {token}"})

    async def subscribe(self, token: str, browser: Browser, name: str = "phone") -> None:
        """Turn calls on, and go."""
        client = await self.connect(token)
        await client.acked(await client.send("push_on", **browser.subscription(self.service.endpoint(name))))
        await client.leave()

    async def play(self) -> tuple[Client, Play]:
        """An owner, and a turn of theirs that runs."""
        owner = await self.here.join()
        await owner.send("user_message", prompt="go")
        return owner, await self.puppet.begun()

    async def press(self, ticket: str, answer: str, **headers: str) -> tuple[int, str]:
        """What a service worker does when somebody presses."""
        given = {"Origin": f"http://127.0.0.1:{self.server.port}", "Content-Length": "0"}
        given |= {"X-Myagent-Ticket": ticket, "X-Myagent-Answer": answer}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{name}: {value}\r\n" for name, value in given.items() if value]
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        writer.write(f"POST /answer HTTP/1.1\r\nHost: 127.0.0.1:{self.server.port}\r\n{''.join(lines)}\r\n".encode())
        head, _, body = (await asyncio.wait_for(reader.read(), PATIENCE)).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split()[1]), body.decode().strip()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let what is under way go on until something is so."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0)

    async def audit(self) -> list[dict[str, Any]]:
        return [json.loads(record) for _, record in await self.server.host.log.read_audit(0, max_bytes=1 << 24)]


@asynccontextmanager
async def stage(directory: Path, **settings: Any) -> AsyncIterator[Stage]:
    puppet = Puppet()
    async with push_service() as service, scene(directory, puppet, **{"notify_after": 0.0, **settings}) as here:
        yield Stage(here, service, puppet)


async def answered(task: asyncio.Task[Any]) -> Any:
    return await asyncio.wait_for(task, PATIENCE)
