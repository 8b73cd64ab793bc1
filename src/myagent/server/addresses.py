"""Where others open a server's page: the best address that its settings and this machine's network tell."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from myagent.settings import Settings

ANYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 -- recognised, not bound


@dataclass(frozen=True, slots=True)
class Page:
    """The address of a page, `http(s)://host[:port]/…/`, to which an invite's token is added as a fragment."""

    address: str
    local: bool  # it opens on this machine alone
    guessed: bool = False  # this machine may be known by another address or name

    def link(self, token: str) -> str:
        """Where a browser opens the page with a token; a fragment is not sent to anybody."""
        return f"{self.address}#{token}"

    def pairing_link(self, token: str) -> str:
        """Where a browser is asked whether it wants to be paired."""
        return self.link(f"pair.{token}")


def find_page(settings: Settings, port: int) -> Page:
    """Where the page is opened: at an origin that is allowed and has a name of ours (then a proxy stands in front),
    else at a name of ours, else at the address that is listened on, which for every address is that of the way out."""
    names = [each.lower() for each in settings.allowed_hosts]
    for origin in settings.allowed_origins:
        parts = urlsplit(origin.lower())
        if parts.netloc in names or parts.hostname in names:
            return Page(f"{origin}{settings.base_path}/", is_loopback(parts.hostname or ""))
    host = settings.allowed_hosts[0] if names else settings.host
    guessed = host in ANYWHERE
    if guessed:
        host = own_address(socket.AF_INET6 if host == "::" else socket.AF_INET)
    name, with_port = _with_port(host, port)
    scheme = "https" if settings.tls_cert is not None else "http"
    return Page(f"{scheme}://{with_port}{settings.base_path}/", is_loopback(name), guessed)


def own_address(family: socket.AddressFamily) -> str:
    """The address that this machine has on the way to others; loopback where there is no way. Nothing is sent."""
    elsewhere, loopback = {
        socket.AF_INET: ("192.0.2.1", "127.0.0.1"),  # RFC 5737 and RFC 3849: addresses that nobody has
        socket.AF_INET6: ("2001:db8::1", "::1"),
    }[family]
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as towards:
            towards.connect((elsewhere, 9))
            return str(towards.getsockname()[0])
    except OSError:
        return loopback


def is_loopback(host: str) -> bool:
    """Whether an address or name means this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _with_port(host: str, port: int) -> tuple[str, str]:
    """A host with and without port; an allowed host may have one of its own, which a proxy has in front."""
    name, colon, own = host.rpartition(":")
    if colon and own.isdigit() and (":" not in name or name.endswith("]")):
        return name, host
    return host, f"{bracketed(host)}:{port}"
