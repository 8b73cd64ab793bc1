"""A peer in Python: plain `websockets` with its `broadcast`, or aiohttp with `send_str`.

emit TICKS BATCH: that many messages to everybody in each turn of the event loop.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

SESSION = "remote_20260101000000_abcdef01"
READY = json.dumps({"type": "ready", "protocolVersion": 1}, separators=(",", ":"))
ROLE = json.dumps({"type": "role", "role": "follower"}, separators=(",", ":"))
EXPECTED = f"Bearer {os.environ['PEER_TOKEN']}"

Broadcast = Callable[[str], Awaitable[None]]


async def serve_websockets() -> tuple[int, Broadcast]:
    import websockets

    clients: set[Any] = set()

    def check(connection: Any, request: Any) -> Any:
        if request.headers.get("Authorization") != EXPECTED:
            return connection.respond(401, "no\n")
        return None

    async def handle(client: Any) -> None:
        await client.send(READY)
        await client.send(ROLE)
        clients.add(client)
        try:
            await client.wait_closed()
        finally:
            clients.discard(client)

    server = await websockets.serve(
        handle, "127.0.0.1", 0, compression=None, process_request=check, ping_interval=None, backlog=1024
    )

    async def broadcast(text: str) -> None:
        websockets.broadcast(clients, text)

    return next(iter(server.sockets)).getsockname()[1], broadcast


async def serve_aiohttp() -> tuple[int, Broadcast]:
    from aiohttp import web

    clients: set[Any] = set()

    async def handle(request: Any) -> Any:
        if request.headers.get("Authorization") != EXPECTED:
            raise web.HTTPUnauthorized
        client = web.WebSocketResponse(compress=False)
        await client.prepare(request)
        await client.send_str(READY)
        await client.send_str(ROLE)
        clients.add(client)
        try:
            async for _ in client:
                pass
        finally:
            clients.discard(client)
        return client

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()

    async def broadcast(text: str) -> None:
        for client in clients:
            await client.send_str(text)

    return runner.addresses[0][1], broadcast


async def main(kind: str) -> None:
    port, broadcast = await (serve_websockets() if kind == "websockets" else serve_aiohttp())
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    print(json.dumps({"port": port}), flush=True)
    seq = 0
    while line := (await lines.readline()).split():
        for _ in range(int(line[1])):
            for _ in range(int(line[2])):
                seq += 1
                event = {"type": "agent_stdout", "id": "p1", "sessionId": SESSION, "chunk": "hello hello hello"}
                await broadcast(json.dumps({**event, "seq": seq}, separators=(",", ":")))
            await asyncio.sleep(0)
        print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
