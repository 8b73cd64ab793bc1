"""Where a server is, as people have it in their clipboard; what to ask of it, and whether a token may travel there."""

from __future__ import annotations

import ipaddress
import re
import ssl
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlencode, urlsplit

from myagent.client.errors import BadUrl, PlainToken

BARE_PORT = 8765  # of an address without a scheme: where `serve` listens
_NO_HOST = re.compile(r"[\x00-\x20\x7f%\\^|<>\"`{}]")  # in no host's name; `%` only before the zone of an IPv6 address
_SCHEMES = {"ws": False, "http": False, "wss": True, "https": True}


@dataclass(frozen=True, slots=True)
class Address:
    """A server, as `scheme://host:port/path`, and whom to trust to be it (else the system's authorities).

    Nothing in it is secret. `path` is what a reverse proxy puts before everything: empty, or `/agent` and the like.
    """

    host: str
    port: int
    secure: bool
    tls: ssl.SSLContext | None = field(default=None, compare=False, repr=False)
    path: str = ""

    @property
    def place(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{'wss' if self.secure else 'ws'}://{self.place}{self.path}"

    def url(self, **query: str | int | None) -> str:
        """The WebSocket's URL; parameters that are `None` are left out."""
        asked = urlencode({name: value for name, value in query.items() if value is not None})
        return f"{self}/{'?' + asked if asked else ''}"

    @property
    def loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback  # of IPv6 with a zone; `127.0.0.1%.example` is a name
        except ValueError:
            return False

    def check_plain(self, *, allowed: bool) -> None:
        """Raises `PlainToken` where a token would be readable on a network."""
        if not (self.secure or self.loopback or allowed):
            raise PlainToken(self.host)


def parse_link(text: str) -> tuple[Address, str | None]:
    """Read an address in any form in which people have it, and the token in it, if there is one.

    `ws://`, `wss://`, `http://` and `https://` with host, port and path; an invite's link, which has the token as its
    fragment; a bare `host`, `host:port`, `::1`, `[::1]:8765`, which mean plain `ws://` and the port of `serve`.

    Raises `BadUrl`, which never has the token in it.
    """
    address, _, fragment = text.strip().partition("#")
    shown = address.partition("?")[0]
    bare = "://" not in address
    if bare:
        address = f"ws://{f'[{address}]' if _is_ipv6(address) else address}"
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadUrl(shown, str(error)) from None
    if parts.scheme not in _SCHEMES:
        raise BadUrl(shown, "its scheme is not ws, wss, http or https")
    if parts.username is not None or parts.password is not None:
        raise BadUrl(parts.hostname or "", "a token does not belong before the host; a link has it at its end")
    if parts.query:
        raise BadUrl(shown, "it has a query, and a token does not belong in one")
    if not host or _NO_HOST.search(host if ":" not in host else host.partition("%")[0]):
        raise BadUrl(shown, "it names no host")
    path = parts.path.rstrip("/")
    if any(character <= " " or character == "\x7f" for character in unquote(path)):
        raise BadUrl(shown, "its path has a control character or a space")
    secure = _SCHEMES[parts.scheme]
    usual = BARE_PORT if bare else 443 if secure else 80
    token = unquote(fragment).removeprefix("pair.") or None
    return Address(host, usual if port is None else port, secure, path=quote(path, safe="/%:@!$&'()*+,;=~-._")), token


def parse(url: str) -> Address:
    """Read an address without a token. Raises `BadUrl`."""
    address, token = parse_link(url)
    if token is not None:
        raise BadUrl(str(address), "there is a token in it, which is not wanted here")
    return address


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False
