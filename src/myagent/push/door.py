"""The way out: one POST to a push service, to an address that was looked at and to no other."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from myagent.push.endpoint import BadEndpoint, Endpoint, is_public

SECONDS = 10.0  # for one call, with its answer
CONNECT_SECONDS = 3.0  # of these, for TCP and TLS
AT_ONCE = 16  # calls on their way; `lines.Lines` gives each credential one at a time
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})\b")


@dataclass(frozen=True)
class Door:
    """`may_reach` judges each address that a name has; `context` is what is trusted. Tests give their own."""

    may_reach: Callable[[str], bool] = is_public
    context: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def post(self, endpoint: Endpoint, body: bytes, headers: Mapping[str, str]) -> int:
        """The status of the answer; nothing that it says is followed. Raises `BadEndpoint`, `OSError`."""
        host = endpoint.host if endpoint.port == 443 else f"{endpoint.host}:{endpoint.port}"
        given = {"Host": host, **headers, "Content-Length": str(len(body)), "Connection": "close"}
        lines = [f"POST {endpoint.target} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
        async with self._places, asyncio.timeout(SECONDS):
            address = await self._address(endpoint)
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection(
                    address, endpoint.port, ssl=self.context, server_hostname=endpoint.host
                )
            try:
                writer.write("\r\n".join([*lines, "", ""]).encode("ascii") + body)
                await writer.drain()
                answer = _STATUS.match(await reader.readline())
            except ValueError:  # a line without an end
                answer = None
            finally:
                writer.transport.abort()
        if answer is None:
            raise OSError("no answer of HTTP")
        return int(answer.group(1))

    async def _address(self, endpoint: Endpoint) -> str:
        """One of the addresses of a name, of which none may lead inside."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
        except UnicodeError:
            raise BadEndpoint("its host is no name") from None
        addresses = [str(each[4][0]) for each in found]
        if not addresses or not all(map(self.may_reach, addresses)):
            raise BadEndpoint("its host is not on the public internet")
        return addresses[0]
