"""The way out: one POST to a push service, in a thread, to an address that was looked at and to no other."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from myagent.push.endpoint import BadEndpoint, Endpoint, is_public

SECONDS = 10.0  # for the connection, and for the answer
AT_ONCE = 4  # calls on their way


@dataclass(frozen=True)
class Door:
    """`may_reach` judges each address that a name has; `context` is what is trusted. Tests give their own."""

    may_reach: Callable[[str], bool] = is_public
    context: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def post(self, endpoint: Endpoint, body: bytes, headers: Mapping[str, str]) -> int:
        """The status of the answer; nothing that it says is followed. Raises `BadEndpoint`, `OSError`."""
        async with self._places:
            return await asyncio.to_thread(self._post, endpoint, body, headers)

    def _post(self, endpoint: Endpoint, body: bytes, headers: Mapping[str, str]) -> int:
        connection = _Pinned(endpoint, self._address(endpoint), self.context)
        try:
            connection.request("POST", endpoint.target, body, dict(headers))
            return connection.getresponse().status
        except http.client.HTTPException as error:
            raise OSError(f"no answer of HTTP: {type(error).__name__}") from None
        finally:
            connection.close()

    def _address(self, endpoint: Endpoint) -> str:
        """One of the addresses of a name, of which none may lead inside."""
        try:
            found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
        except UnicodeError:
            raise BadEndpoint("its host is no name") from None
        addresses = [str(each[4][0]) for each in found]
        if not addresses or not all(map(self.may_reach, addresses)):
            raise BadEndpoint("its host is not on the public internet")
        return addresses[0]


class _Pinned(http.client.HTTPSConnection):
    """Connects to an address, and asks whoever answers there to be the host that is meant."""

    def __init__(self, endpoint: Endpoint, address: str, context: ssl.SSLContext) -> None:
        super().__init__(endpoint.host, endpoint.port, timeout=SECONDS, context=context)
        self._address, self._trusted = address, context

    def connect(self) -> None:
        plain = socket.create_connection((self._address, self.port), timeout=SECONDS)
        try:
            self.sock = self._trusted.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise
