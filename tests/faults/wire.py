"""A client of the bare wire that does nothing by itself: what a guarantee holds for, whatever client is used."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

Json = dict[str, Any]
EVENTS = (
    *("prompt", "activity", "agent_stdout", "agent_stderr"),
    *("permission_request", "permission_resolved", "terminal_state"),
)

_numbers = itertools.count(1)


class Gone(Exception):
    """The connection ended, or could not be made; `code` is that of its close frame, `status` that of its answer."""

    def __init__(self, code: int | None = None, status: int | None = None) -> None:
        super().__init__(code, status)
        self.code, self.status = code, status


class Wire:
    """One connection: `await Wire.open(port, token)`, `send`, `receive`; every message is kept in `messages`."""

    def __init__(self, socket_: ClientConnection) -> None:
        self._socket = socket_
        self.messages: list[Json] = []
        self.welcome: Json = {}

    @classmethod
    async def open(
        cls, port: int, token: str, query: str = "", *, reclaim: str | None = None, buffer: int | None = None
    ) -> Self:
        """Connect, up to and with `welcome`. `buffer`: bytes of the socket's receive buffer. Raises `Gone`."""
        headers = {"Authorization": f"Bearer {token}"}
        if reclaim is not None:
            headers["X-Myagent-Reclaim"] = reclaim
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        if buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
            socket_ = await connect(
                f"ws://127.0.0.1:{port}/{query}",
                sock=sock,
                additional_headers=headers,
                compression=None,
                proxy=None,
                ping_interval=None,
                max_size=None,
                max_queue=4,
                open_timeout=20,
                close_timeout=0.5,
            )
        except asyncio.CancelledError:
            sock.close()
            raise
        except (OSError, EOFError, WebSocketException) as error:
            sock.close()
            response = getattr(error, "response", None)
            raise Gone(status=response.status_code if response is not None else None) from None
        wire = cls(socket_)
        try:
            while (await wire.receive())["type"] != "welcome":
                pass
        except BaseException:
            wire.abort()
            raise
        wire.welcome = wire.messages[-1]
        return wire

    @property
    def role(self) -> str:
        return str([m["role"] for m in self.messages if m["type"] == "role"][-1])

    async def send(self, type_: str, *, id: str | None = None, **fields: Any) -> str:
        """Send a message, and return its id. Raises `Gone`."""
        message_id = id or f"m{next(_numbers)}"
        try:
            await self._socket.send(json.dumps({"type": type_, "id": message_id, **fields}))
        except ConnectionClosed as closed:
            raise _gone(closed) from None
        return message_id

    async def receive_bytes(self) -> bytes:
        try:
            return await self._socket.recv(decode=False)
        except ConnectionClosed as closed:
            raise _gone(closed) from None

    async def receive(self) -> Json:
        """The next message. Raises `Gone`."""
        message: Json = json.loads(await self.receive_bytes())
        self.messages.append(message)
        return message

    async def until(self, type_: str, **fields: Any) -> Json:
        """The next message of that type with those fields."""
        while True:
            message = await self.receive()
            if message["type"] == type_ and all(message.get(name) == value for name, value in fields.items()):
                return message

    async def answer(self, message_id: str) -> Json:
        """The `ack` or `error` that answers a message."""
        while True:
            message = await self.receive()
            if message["type"] in ("ack", "error") and message.get("id") == message_id:
                return message

    async def hello(self) -> None:
        await self.until("ack", id=await self.send("hello", client={"name": "test"}))

    async def close(self) -> None:
        """Leave with a close frame."""
        await self._socket.close()

    def abort(self) -> None:
        """Drop the connection."""
        self._socket.transport.abort()


def _gone(closed: ConnectionClosed) -> Gone:
    return Gone(closed.rcvd.code if closed.rcvd is not None else None)
