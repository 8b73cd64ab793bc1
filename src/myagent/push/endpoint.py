"""Where a call may be sent: a browser says the address, so that it is a stranger's. Only the public internet, by HTTPS.

A name is looked up once for each call, and every address that it has must be public: what is connected to is one of
those, so that a name which changes its mind leads nowhere.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from myagent.exceptions import MyagentError

LENGTH = 1024  # characters of an endpoint; those of the known push services have up to 500
_NAME = re.compile(r"(?=.{4,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])")
_PATH = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class BadEndpoint(MyagentError):
    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return f"this is no address of a push service: {self.why}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address that was looked at. `target` is its path and query."""

    host: str
    port: int
    target: str

    @property
    def origin(self) -> str:
        """As the audience of a VAPID token (RFC 8292)."""
        return f"https://{self.host}" if self.port == 443 else f"https://{self.host}:{self.port}"


def read_endpoint(url: str, *, anywhere: bool = False) -> Endpoint:
    """Take an endpoint apart. Raises `BadEndpoint`. `anywhere`: also this machine, for tests."""
    if len(url) > LENGTH:
        raise BadEndpoint(f"it is longer than {LENGTH} characters")
    if not url.startswith("https://") or not _PATH.fullmatch(url):
        raise BadEndpoint("it is no https:// address")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port or 443
    except ValueError:
        raise BadEndpoint("its host makes no sense") from None
    if "@" in parts.netloc:
        raise BadEndpoint("it holds a password")
    if not anywhere and not _NAME.fullmatch(host):
        raise BadEndpoint("its host is no name of the internet")
    return Endpoint(host, port, f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, and not another one in disguise."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        hidden = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1])
        if ip in _NAT64:
            hidden = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if hidden:
            return is_public(str(hidden))
        if int(ip) >> 32 == 0 or ip.is_site_local or ip.scope_id is not None:  # also the old IPv4-compatible form
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)
