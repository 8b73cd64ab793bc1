"""Whether the server still lives: any frame is a sign of it; silence is asked about before it counts as the end."""

from __future__ import annotations

import asyncio

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed


class Heartbeat:
    """`interval` is the seconds of silence before the server is asked, and again until it counts as gone."""

    def __init__(self, interval: float) -> None:
        self.listening = False  # somebody awaits the next frame: silence means something then, and only then
        self._interval = interval
        self._heard = 0.0  # the loop's time of the last sign of life

    def heard(self) -> None:
        self._heard = _now()

    async def watch(self, socket: ClientConnection) -> None:
        """Cut the connection when nothing is heard although somebody listens and asked: the iteration then sees it."""
        interval = self._interval
        while True:
            quiet = _now() - self._heard
            if quiet < interval or not self.listening:
                await asyncio.sleep(interval - quiet if quiet < interval else interval)
                continue
            try:
                async with asyncio.timeout(interval):
                    await (await socket.ping())
                self.heard()
            except TimeoutError:
                if _now() - self._heard >= interval:
                    socket.transport.abort()
                    return
            except ConnectionClosed:
                return


def _now() -> float:
    return asyncio.get_running_loop().time()
