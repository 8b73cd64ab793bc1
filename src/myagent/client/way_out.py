"""How every connection of ours leaves: directly, or through the proxy that the environment names.

`https_proxy` (for `wss://`), `http_proxy` (for `ws://`), `all_proxy` and `no_proxy`, in either case, as other programs
read them. Nothing that stays on this machine ever goes through a proxy: it would see the token and could not reach us.
"""

from __future__ import annotations

import base64
import http.client
import socket
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from myagent.client.address import Address
from myagent.client.errors import CannotConnect


def proxy_for(address: Address) -> str | None:
    """The proxy that leads to a server, as `http://[user:password@]host:port`; `None` where the way is direct.

    Raises `CannotConnect` for a proxy of a kind that is not supported, and says how to go without it.
    """
    if address.loopback or proxy_bypass(f"{address.host}:{address.port}") or proxy_bypass(address.host):
        return None
    named = getproxies()
    url = named.get("https" if address.secure else "http") or named.get("all")
    if not url:
        return None
    parts = _split(url)
    if parts.scheme != "http" or not parts.hostname:
        what = f"{parts.scheme}://" if parts.scheme else "of no kind that is known"
        reason = (
            f"the environment names a proxy ({what}), and only http:// proxies are supported; "
            f"to go without it: no_proxy={address.host}"
        )
        raise CannotConnect(str(address), reason, transient=False)
    return url if "://" in url else f"http://{url}"


def reach(address: Address, timeout: float) -> socket.socket:
    """A TCP connection to the server, whoever is in between. Blocks. Raises `OSError`, and as `proxy_for`."""
    proxy = proxy_for(address)
    if proxy is None:
        return socket.create_connection((address.host, address.port), timeout=timeout)
    parts = _split(proxy)
    tunnel = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout)
    tunnel.set_tunnel(address.host, address.port, headers=_authorization(parts))
    try:
        tunnel.connect()
    except OSError as error:
        tunnel.close()
        raise OSError(error.errno, f"the proxy {parts.hostname}: {error.strerror or error}") from None
    taken: socket.socket = tunnel.sock
    return taken


def _split(url: str) -> SplitResult:
    return urlsplit(url if "://" in url else f"http://{url}")


def _authorization(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    given = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(given.encode()).decode()}"}
