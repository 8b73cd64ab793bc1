"""Where a server is, what to ask of it in the URL, and whether a token may travel there."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from myagent.client.errors import BadUrl, PlainToken


@dataclass(frozen=True, slots=True)
class Address:
    """A server, as `scheme://host:port`, and whom to trust to be it (else the system's authorities); nothing secret."""

    host: str
    port: int
    secure: bool
    tls: ssl.SSLContext | None = field(default=None, compare=False, repr=False)

    @property
    def _place(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{'wss' if self.secure else 'ws'}://{self._place}"

    def url(self, **query: str | int | None) -> str:
        """The WebSocket's URL; parameters that are `None` are left out."""
        asked = urlencode({name: value for name, value in query.items() if value is not None})
        return f"{self}/{'?' + asked if asked else ''}"

    @property
    def loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return False

    def check_plain(self, *, allowed: bool) -> None:
        """Raises `PlainToken` where a token would be readable on a network."""
        if not (self.secure or self.loopback or allowed):
            raise PlainToken(self.host)


def parse(url: str) -> Address:
    """Read `ws://host[:port]` or `wss://host[:port]`. Raises `BadUrl`."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadUrl(url, str(error)) from None
    if parts.scheme not in ("ws", "wss"):
        raise BadUrl(url, "its scheme is not ws or wss")
    if parts.username is not None or parts.password is not None:
        raise BadUrl(parts.hostname or "", "a token does not belong in a URL")
    if parts.query or parts.fragment:
        raise BadUrl(url.partition("?")[0].partition("#")[0], "nothing may follow the address")
    if not host or any(character <= " " for character in host):
        raise BadUrl(url, "it names no host")
    if parts.path not in ("", "/"):
        raise BadUrl(url, "it has a path")
    secure = parts.scheme == "wss"
    return Address(host, (443 if secure else 80) if port is None else port, secure)
