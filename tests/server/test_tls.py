"""Who is accepted while a server closes is not forgotten: its connection is ended, at once."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from myagent.agents.builtin.command import CommandAgent
from myagent.server import Server, Settings
from myagent.server.tls import stop_listening


async def accepted_just_now(port: int) -> socket.socket:
    """A client whose socket the event loop has taken from the kernel and has not yet made a connection of."""
    client = socket.create_connection(("127.0.0.1", port))
    client.setblocking(False)
    for _ in range(2):  # it becomes readable; it is accepted
        await asyncio.sleep(0)
    return client


async def is_ended(client: socket.socket) -> bool:
    """Whether the other end closes it; asked without collecting any garbage, which would close it, too."""
    with client:
        try:
            return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 1), 2) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


async def test_a_server_that_closes_ends_the_connection_of_who_was_accepted_just_now(tmp_path: Path) -> None:
    server = Server(tmp_path, CommandAgent(), Settings())
    await server.start()
    client = await accepted_just_now(server.port)
    await server.close()
    assert await is_ended(client)


async def test_all_that_was_accepted_is_connected_when_listening_has_stopped() -> None:
    connected: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: connected.append(writer), "127.0.0.1", 0)
    client = await accepted_just_now(server.sockets[0].getsockname()[1])
    assert connected == []
    await stop_listening(server)
    assert len(connected) == 1
    connected[0].close()
    assert await is_ended(client)
