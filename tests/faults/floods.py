"""Hostile strangers and followers, on this machine and bounded: what they make a server hold, and whether its owner
goes on being answered meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.wire import Gone, Wire

MEGABYTE = 1 << 20
MORE_MEMORY = 128  # MB that floods may cost
DESCRIPTORS = 0.8  # of those that the process may have
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


@dataclass
class Target:
    """A server in a process of its own."""

    pid: int
    port: int
    token: str
    invite: str
    session: str

    def resident(self) -> float:
        """MB of memory."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024

    def descriptors(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def most_descriptors(self) -> int:
        lines = Path(f"/proc/{self.pid}/limits").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Max open files")).split()[3])

    def head(self, path: str, token: str | None, *more: str) -> bytes:
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *more]
        if token is not None:
            lines.append(f"Authorization: Bearer {token}")
        return "\r\n".join([*lines, "", ""]).encode()

    def upgrade(self, token: str) -> bytes:
        return self.head(
            "/?role=follower", token, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {KEY}",
        )  # fmt: skip


@asynccontextmanager
async def target(workspace: Path, *bounds: str, files: int | None = None) -> AsyncIterator[Target]:
    """Start a server that may have so many open `files`; `bounds` are replaced (`flooded.py`)."""

    def few() -> None:
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.flooded", str(workspace), *bounds, preexec_fn=few,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert child.stdout is not None and child.stdin is not None
    try:
        told = json.loads(await child.stdout.readline())
        yield Target(child.pid, **told)
    finally:
        child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), 30)
        except TimeoutError:
            child.kill()
            await child.wait()


class Attacker:
    """One socket that sends and never reads, with a small receive buffer."""

    def __init__(self, at: Target, data: bytes) -> None:
        self._at = at
        self._data = data
        self._socket: socket.socket | None = None

    async def strike(self) -> None:
        """Connect, and send as much as is taken within a second."""
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(5):
                await loop.sock_connect(sock, ("127.0.0.1", self._at.port))
                await loop.sock_sendall(sock, self._data)
        self._socket = sock

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


def answered(at: Target) -> bytes:
    """A stranger who is answered, and stays."""
    return at.head("/healthz", None)


def unfinished_request(at: Target) -> bytes:
    """A stranger whose headers do not end: as many as are read, as long as they may be."""
    return at.head("/", None)[:-2] + b"".join(b"X-%d: %b\r\n" % (number, b"x" * 8000) for number in range(110))


def unfinished_message(at: Target) -> bytes:
    """A follower whose message of 1 MiB lacks its last byte."""
    size = MEGABYTE - 1024
    return at.upgrade(at.invite) + b"\x81\xff" + size.to_bytes(8) + b"\0\0\0\0" + b" " * (size - 1)


def unread_page(at: Target) -> bytes:
    """A follower who asks for a page of events and does not read it."""
    return at.head(f"/sessions/{at.session}/events?after=0&wants=updates", at.invite)


def coming_and_going(at: Target) -> bytes:
    """A follower who joins, asks for a whole session again as often as they may, and reads none of it."""
    asked = json.dumps({"type": "resume", "id": "r", "sessionId": at.session, "afterSeq": 0}).encode()
    return at.upgrade(at.invite) + (b"\x81" + bytes([0x80 | len(asked)]) + b"\0\0\0\0" + asked) * 20


Flood = Callable[[Target], bytes]
FLOODS: dict[str, Flood] = {
    "answered": answered,
    "unfinished_request": unfinished_request,
    "unfinished_message": unfinished_message,
    "unread_page": unread_page,
    "coming_and_going": coming_and_going,
}


@dataclass
class Figures:
    """What a flood cost, and how the owner fared in it."""

    before: float = 0.0  # MB
    most: float = 0.0
    descriptors: int = 0
    may_have: int = 0
    acks: list[float] = field(default_factory=list)  # seconds
    refused: list[str] = field(default_factory=list)

    @property
    def more(self) -> float:
        return self.most - self.before

    @property
    def within(self) -> bool:
        return self.more <= MORE_MEMORY and self.descriptors <= DESCRIPTORS * self.may_have and not self.refused

    def __str__(self) -> str:
        acks = sorted(self.acks) or [0.0]
        return (
            f"+{self.more:.0f} MB, {self.descriptors} of {self.may_have} descriptors, owner: {len(self.acks)} acks, "
            f"p50 {acks[len(acks) // 2] * 1000:.1f} ms, p99 {acks[len(acks) * 99 // 100] * 1000:.1f} ms, "
            f"refused {self.refused[:3]}"
        )

    def look(self, at: Target) -> None:
        self.most = max(self.most, at.resident())
        self.descriptors = max(self.descriptors, at.descriptors())


async def owner_lives(at: Target, figures: Figures, ended: asyncio.Event) -> None:
    """An owner who is connected submits turns, and gets tickets and new connections, for as long as it is flooded."""
    owner = await Wire.open(at.port, at.token)
    figures.before = at.resident()
    answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def read() -> None:
        try:
            while True:
                message = await owner.receive()
                if message["type"] in ("ack", "error"):
                    answers.put_nowait(message)
        except Gone as gone:
            answers.put_nowait({"type": "error", "code": "gone", "message": str(gone)})

    reading = asyncio.create_task(read())
    try:
        while not ended.is_set():
            began = time.monotonic()
            await owner.send("user_message", id=f"{began}", prompt="{}", sessionId=at.session)
            message = await answers.get()
            figures.acks.append(time.monotonic() - began)
            if message["type"] == "error" and message["code"] != "queue_full":
                figures.refused.append(str(message))
            if message.get("code") == "gone":
                return
            status = await ask(at, "/ticket")
            if status != 200:
                figures.refused.append(f"/ticket {status}")
            await asyncio.sleep(0.02)
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        owner.abort()


async def ask(at: Target, path: str) -> int:
    """The status of an owner's request; 0 if the connection is ended without an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
    try:
        writer.write(at.head(path, at.token))
        return int((await asyncio.wait_for(reader.readline(), 30)).split()[1])
    except (OSError, IndexError):
        return 0
    finally:
        writer.close()


async def settled(at: Target, figures: Figures) -> None:
    """Look on until the server takes no more: for half a second its memory and its descriptors have stayed the same."""
    same, last = 0, (0, 0)
    for _ in range(400):
        figures.look(at)
        now = round(at.resident()), at.descriptors()
        same, last = (same + 1, now) if now == last else (0, now)
        if same == 10:
            return
        await asyncio.sleep(0.05)


async def flood(at: Target, kinds: Sequence[str], each: int, *, rounds: int = 1) -> Figures:
    """Let a process of its own strike with `each` sockets of every kind, some at a time, all of which stay open to the
    end of the round; and see how the owner fares."""
    figures, ended = Figures(may_have=at.most_descriptors()), asyncio.Event()

    async def watch() -> None:
        while not ended.is_set():
            figures.look(at)
            await asyncio.sleep(0.01)

    watching = asyncio.create_task(watch())
    living = asyncio.create_task(owner_lives(at, figures, ended))
    while len(figures.acks) < 3 and not living.done():
        await asyncio.sleep(0.01)
    attackers = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.floods", json.dumps(asdict(at)), str(each), str(rounds), *kinds,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    try:
        assert await attackers.wait() == 0
    finally:
        ended.set()
        if attackers.returncode is None:
            attackers.kill()
    await asyncio.gather(living, watching)
    return figures


async def strike(at: Target, kinds: Sequence[Flood], each: int, parallel: int = 64) -> None:
    """One round."""
    turns, unseen = asyncio.Semaphore(parallel), Figures()

    async def one(attacker: Attacker) -> None:
        async with turns:
            await attacker.strike()

    async with AsyncExitStack() as stack:
        striking: list[Awaitable[None]] = []
        for number in range(each * len(kinds)):
            attacker = Attacker(at, kinds[number % len(kinds)](at))
            stack.callback(attacker.close)
            striking.append(one(attacker))
        await asyncio.gather(*striking)
        await settled(at, unseen)


async def main(told: str, each: str, rounds: str, *kinds: str) -> None:
    for _ in range(int(rounds)):
        await strike(Target(**json.loads(told)), [FLOODS[kind] for kind in kinds], int(each))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
