"""How a server stops listening without forgetting whom it accepted just now."""

from __future__ import annotations

import asyncio

TURNS = 3  # of the event loop, from a socket that was accepted: its transport, its protocol, that one's task


async def stop_listening(server: asyncio.Server) -> None:
    """Accept nobody more; who was accepted is connected when this returns.

    asyncio alone forgets a socket that it accepted in the very turn in which the server is closed (seen with 3.11 and
    3.12): it stays open, and the other end waits for an answer until the garbage is collected.
    """
    for listening in server.sockets:
        server.get_loop().remove_reader(listening.fileno())
    for _ in range(TURNS):
        await asyncio.sleep(0)
    server.close()
