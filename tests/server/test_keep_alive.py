"""Plain HTTP: whoever says that they will ask again may, one request after the other, and nobody gets more by it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from puppet import PATIENCE
from wire import Scene, scene

from myagent.server.places import Crowd

KEEP = "Connection: keep-alive"


class Asking:
    """One TCP connection that asks over HTTP."""

    def __init__(self, served: Scene) -> None:
        self._served = served

    async def __aenter__(self) -> Asking:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._served.server.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    def head(self, path: str, *lines: str) -> bytes:
        host = f"Host: 127.0.0.1:{self._served.server.port}"
        return "\r\n".join([f"GET {path} HTTP/1.1", host, *lines, "", ""]).encode()

    async def ask(self, path: str, *lines: str, behind: bytes = b"") -> tuple[int, str, bytes]:
        """Status, what is said of the connection, body."""
        self.writer.write(self.head(path, *lines) + behind)
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)).decode()
        headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        body = await asyncio.wait_for(self.reader.readexactly(int(headers["content-length"])), PATIENCE)
        return int(head.split()[1]), headers["connection"], body

    async def rest(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(), PATIENCE)


async def test_one_connection_asks_for_all_of_the_page(tmp_path: Path) -> None:
    async with scene(tmp_path) as served, Asking(served) as asking:
        bearer = f"Authorization: Bearer {served.server.token}"
        for path, more in (
            ("/", ""),
            ("/app.js", ""),
            ("/sessions", bearer),
            ("/ticket", bearer),
            ("/healthz", ""),
        ) * 3:
            status, stays, body = await asking.ask(path, KEEP, *([more] if more else []))
            assert (status, stays) == (200, "keep-alive")
            assert body
        assert len(served.server.acceptor.connections) == 1


async def test_a_kept_connection_may_become_a_websocket(tmp_path: Path) -> None:
    async with scene(tmp_path) as served, Asking(served) as asking:
        await asking.ask("/", KEEP)
        upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
        asking.writer.write(asking.head("/", *upgrade, key, f"Authorization: Bearer {served.server.token}"))
        head = await asyncio.wait_for(asking.reader.readuntil(b"\r\n\r\n"), PATIENCE)
        assert head.startswith(b"HTTP/1.1 101")


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        ("/", []),
        ("/", ["Connection: close"]),
        ("/", ["Connection: keep-alive, close"]),
        ("/nothing", [KEEP]),
        ("/sessions", [KEEP]),
        ("/", [KEEP, "Content-Length: 0"]),
    ],
)
async def test_everybody_else_is_answered_once(tmp_path: Path, path: str, lines: list[str]) -> None:
    """Who does not say that they will ask again, who is refused, whose request may have a body."""
    async with scene(tmp_path) as served, Asking(served) as asking:
        _, stays, _ = await asking.ask(path, *lines)
        assert stays == "close"
        assert await asking.rest() == b""


async def test_what_comes_before_the_answer_is_no_request(tmp_path: Path) -> None:
    """Nothing can be smuggled behind a request: one that does not wait is answered, alone, and closed."""
    async with scene(tmp_path) as served, Asking(served) as asking:
        _, stays, _ = await asking.ask("/healthz", KEEP, behind=asking.head("/sessions", KEEP))
        assert stays == "close"
        assert await asking.rest() == b""


async def test_a_kept_connection_that_asks_no_more_is_closed_in_time(tmp_path: Path) -> None:
    async with scene(tmp_path, handshake_timeout=0.2) as served, Asking(served) as asking:
        await asking.ask("/", KEEP)
        try:
            assert await asking.rest() == b""
        except ConnectionResetError:
            pass


async def test_kept_connections_are_counted_like_those_that_have_not_asked_yet(tmp_path: Path) -> None:
    async with scene(tmp_path) as served, Asking(served) as first, Asking(served) as second:
        places = served.server.places
        places.pending = Crowd(1, lambda connection: connection.abort())
        await first.ask("/", KEEP)
        assert len(places.pending) == 1
        await second.ask("/", KEEP)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await first.ask("/", KEEP)
        assert (await second.ask("/", KEEP))[0] == 200


async def test_an_answer_that_is_taken_slowly_keeps_its_connection_too(tmp_path: Path) -> None:
    async with scene(tmp_path) as served:
        owner = await served.join()
        session = (await served.turn(owner, "!head -c 3000000 /dev/zero | tr '\\0' a"))["sessionId"]
        async with Asking(served) as asking:
            bearer = f"Authorization: Bearer {served.server.token}"
            path = f"/sessions/{session}/events?after=0"
            for _ in range(3):
                status, stays, body = await asking.ask(path, KEEP, bearer)
                assert (status, stays) == (200, "keep-alive")
                assert len(body) > 500_000
