"""Readers that do not read: raw sockets that join and then take nothing, and what the server holds for them."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from pathlib import Path

import psutil
from tests.faults.followers import Follower, Verdict
from tests.faults.proxy import Proxy
from tests.faults.serving import LOCAL, InProcess, Program, script, stored
from tests.faults.wire import Wire

from myagent.delivery.window import SLICE_BYTES
from myagent.server import Settings
from myagent.server.connection import Connection

FRAME_BYTES = 64 * 1024  # the largest that an output chunk makes
MEASURED_BYTES = 14 * 1024  # of an output event in these tests


def dead_reader(port: int, token: str) -> socket.socket:
    """A follower that has sent its request and never reads anything."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port))
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(
        f"GET /?role=follower HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
        f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        .encode()
    )  # fmt: skip
    sock.setblocking(False)
    return sock


def held(connection: Connection) -> int:
    """Bytes that wait in memory for one connection."""
    return connection._transport.get_write_buffer_size() + len(connection._outbox)


async def flood(directory: Path, readers: int, lines: int, settings: Settings) -> tuple[int, Verdict, int]:
    """Much output past readers that never read: the most that was held for one of them, what a follower that does
    read has seen wrong, and how many of the dead are still connected at the end."""
    async with InProcess(directory, settings) as server, Proxy(server.port) as proxy:
        owner = await Wire.open(server.port, server.token)
        good = Follower("good", proxy, lambda: server.token, lambda: None)
        watching = asyncio.create_task(good.live())
        socks = [dead_reader(server.port, server.token) for _ in range(readers)]
        while len(server.server.host.peers) < readers + 2:
            await asyncio.sleep(0.01)
        worst = 0
        await owner.send("user_message", prompt=script(lines=lines, size=MEASURED_BYTES, pace=0.001))
        try:
            while (message := await owner.receive())["type"] != "terminal_state":
                worst = max(worst, *(held(each) for each in server.server.acceptor.connections))
            while not good.has({message["sessionId"]: message["seq"]}):
                await asyncio.sleep(0.01)
            left = len(server.server.host.peers) - 2
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            for sock in socks:
                sock.close()
            owner.abort()
    assert good.breaks == []
    return worst, good.judge(await stored(directory)), left


BOUND = SLICE_BYTES + FRAME_BYTES
PATIENT = Settings(allowed_hosts=LOCAL, stall_timeout=120.0)


async def memory_of_a_flood(directory: Path, readers: int, *, megabytes: int) -> tuple[int, int]:
    """Resident bytes of the real program before and after so much output, with readers that never read."""
    program = await Program(directory, "--allow-bypass", "--permission-mode", "bypassPermissions").start()
    owner = await Wire.open(program.port, program.token)
    socks = [dead_reader(program.port, program.token) for _ in range(readers)]
    process = psutil.Process(program.process.pid)
    try:
        await owner.send("user_message", prompt="!head -c 1000000 /dev/zero | tr '\\0' x")
        await owner.until("terminal_state")
        before, worst = process.memory_info().rss, 0
        await owner.send("user_message", prompt=f"!head -c {megabytes}000000 /dev/zero | tr '\\0' x")
        while (await owner.receive())["type"] != "terminal_state":
            owner.messages.clear()
            worst = max(worst, process.memory_info().rss)
    finally:
        for sock in socks:
            sock.close()
        owner.abort()
        await program.stop()
    return before, worst
