"""The proxy does to a connection what its modes say: what the tests of faults stand on."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from tests.faults.proxy import Proxy

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def joined() -> AsyncIterator[tuple[Proxy, Streams, Streams]]:
    """A proxy with one connection through it: its client's end and its server's end."""
    accepted: asyncio.Future[Streams] = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda reader, writer: accepted.set_result((reader, writer)), "127.0.0.1", 0)
    async with Proxy(server.sockets[0].getsockname()[1]) as proxy:
        client = await asyncio.open_connection("127.0.0.1", proxy.port)
        client[1].write(b"?")
        far = await accepted
        assert await far[0].readexactly(1) == b"?"
        try:
            yield proxy, client, far
        finally:
            client[1].close()
            far[1].close()
            server.close()


def run(test: Callable[[Proxy, Streams, Streams], Awaitable[None]]) -> None:
    async def within_patience() -> None:
        async with asyncio.timeout(10), joined() as (proxy, client, server):
            await test(proxy, client, server)

    asyncio.run(within_patience())


def test_a_good_network_passes_both_ways_and_its_end() -> None:
    async def test(proxy: Proxy, client: Streams, server: Streams) -> None:
        data = bytes(range(256)) * 4000
        server[1].write(data)
        assert hashlib.sha256(await client[0].readexactly(len(data))).digest() == hashlib.sha256(data).digest()
        client[1].write(b"up")
        assert await server[0].readexactly(2) == b"up"
        server[1].write_eof()
        assert await client[0].read() == b""

    run(test)


def test_reset_is_no_orderly_end() -> None:
    async def test(proxy: Proxy, client: Streams, server: Streams) -> None:
        proxy.reset()
        for reader, _ in (client, server):
            with pytest.raises(ConnectionResetError):
                await reader.read()

    run(test)


def test_cut_is_an_orderly_end() -> None:
    async def test(proxy: Proxy, client: Streams, server: Streams) -> None:
        proxy.cut()
        assert await client[0].read() == b"" == await server[0].read()

    run(test)


def test_half_closed_one_way_passes_the_other() -> None:
    async def test(proxy: Proxy, client: Streams, server: Streams) -> None:
        proxy.half_close("up")
        assert await server[0].read() == b""
        server[1].write(b"still")
        assert await client[0].readexactly(5) == b"still"

    run(test)


def test_a_black_hole_says_nothing_until_it_heals() -> None:
    async def test(proxy: Proxy, client: Streams, server: Streams) -> None:
        proxy.black_hole()
        server[1].write(b"lost?")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client[0].read(1), 0.05)
        proxy.heal()
        assert await client[0].readexactly(5) == b"lost?"

    run(test)


@pytest.mark.parametrize("count", [1, 2, 99, 20_000])
def test_cut_after_so_many_bytes_passes_exactly_those(count: int) -> None:
    async def test(proxy: Proxy, client: Streams, server: Streams) -> None:
        proxy.cut_after("down", count)
        server[1].write(bytes(30_000))
        assert len(await client[0].read()) == count

    run(test)


def test_a_trickle_loses_nothing() -> None:
    async def test(proxy: Proxy, client: Streams, server: Streams) -> None:
        proxy.trickle()
        data = bytes(range(200)) * 10
        server[1].write(data)
        server[1].write_eof()
        assert await client[0].read() == data

    run(test)
