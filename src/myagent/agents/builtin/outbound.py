"""How a request to an endpoint leaves this machine, and what comes back made one of OpenAI's streams.

What is on this machine is never reached through a proxy: it would be given the key and the prompt, for nothing. For all
else `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` count, in either case, as they do for curl.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

import httpx2

from myagent.agents.builtin.dialects import EVENT_BYTES, INCOMPLETE, Answer, Events, Lines
from myagent.exceptions import AgentUnavailable

SOCKS = ("socks5", "socks5h")
SCHEMES = ("http", "https", *SOCKS)
CONNECTIONS = httpx2.Limits(max_connections=100, max_keepalive_connections=20)  # for all sessions of a server


class ProxyUnusable(AgentUnavailable):
    """The environment names a proxy that cannot be used."""


def is_local(host: str) -> bool:
    """Whether a host's name or address means this machine."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_loopback or mapped.is_unspecified


def proxy_of(url: str, env: Mapping[str, str]) -> str | None:
    """The proxy that requests to a URL go through; `None` where they go straight."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_local(host):
        return None
    proxies = _proxies(env)
    found = proxies.get(parts.scheme) or proxies.get("all")
    if not found or _is_excepted(host, parts.netloc.rpartition("@")[2], proxies.get("no", "")):
        return None
    return found if "://" in found else f"http://{found}"


def _proxies(env: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for scheme in ("http", "https", "all", "no"):
        name = f"{scheme}_proxy"
        # A CGI script's HTTP_PROXY is a header of its client's.
        other = env.get(name.upper()) if scheme != "http" or "REQUEST_METHOD" not in env else None
        value = env.get(name, other)
        if value and value.strip():
            found[scheme] = value.strip()
    return found


def _is_excepted(host: str, netloc: str, excepted: str) -> bool:
    """Whether `NO_PROXY` names a host: by `*`, itself, a domain above it, with or without a port, or its network."""
    names = [name.strip().lower().lstrip(".") for name in excepted.split(",") if name.strip()]
    for name in names:
        if name == "*" or any(each == name or each.endswith(f".{name}") for each in (host, netloc.lower())):
            return True
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        for name in names:
            with suppress(ValueError):
                if address in ipaddress.ip_network(name.strip("[]"), strict=False):
                    return True
    return False


class Routed(httpx2.AsyncBaseTransport):
    """Sends each request the way that is right for its address."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._ways: dict[str | None, httpx2.AsyncHTTPTransport] = {}

    def way(self, url: str) -> httpx2.AsyncHTTPTransport:
        """Raises `ProxyUnusable`."""
        proxy = proxy_of(url, self._env)
        if proxy not in self._ways:
            self._ways[proxy] = httpx2.AsyncHTTPTransport(limits=CONNECTIONS, proxy=_usable(proxy))
        return self._ways[proxy]

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            way = self.way(str(request.url))
        except ProxyUnusable as error:  # only behind a redirection: the start has looked at the address itself
            raise httpx2.ConnectError(str(error)) from error
        return await way.handle_async_request(request)

    async def aclose(self) -> None:
        for way in self._ways.values():
            await way.aclose()


class Outbound(Routed):
    """For an endpoint, whose answers are made what OpenAI's are."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if not response.is_success or request.method != "POST":
            return response
        return httpx2.Response(
            response.status_code,
            headers={"content-type": "text/event-stream"},
            stream=_Chunks(response),
            extensions=response.extensions,
        )


class _Chunks(httpx2.AsyncByteStream):
    """The body of a response, whatever form it has, as OpenAI's stream."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response
        self._media = response.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        answer = Answer()
        try:
            async for name, data in self._events():
                for chunk in answer.take(name, data):
                    yield _encoded(chunk)
                if answer.is_over:
                    break
        except ValueError as error:  # too long, or not decoded as its header says
            yield _encoded({"error": {"message": str(error), "code": INCOMPLETE}})
            return
        for chunk in answer.end():
            yield _encoded(chunk)
        yield b"data: [DONE]\n\n"

    async def aclose(self) -> None:
        await self._response.aclose()

    async def _events(self) -> AsyncIterator[tuple[str, str]]:
        if self._media in ("text/html", "application/xhtml+xml"):
            raise ValueError("it answered with a web page")
        lines, events = Lines(), Events()
        whole = bytearray() if self._media.endswith("json") else None
        async for data in self._response.aiter_bytes():
            if whole is not None:
                whole += data
                if len(whole) > EVENT_BYTES:
                    raise ValueError("an answer is too long")
                continue
            for line in lines.feed(data):
                for event in events.take(line):
                    yield event
        for event in _in_one_piece(bytes(whole)) if whole else ():
            yield event
        for line in (*lines.rest(), ""):
            for event in events.take(line):
                yield event


def _in_one_piece(body: bytes) -> Iterator[tuple[str, str]]:
    """An answer that was not streamed: one object, or one in each line, or a stream after all."""
    try:
        yield "", json.dumps(json.loads(body))
        return
    except (ValueError, RecursionError):
        pass
    lines, events = Lines(), Events()
    for line in (*lines.feed(body), *lines.rest(), ""):
        yield from events.take(line)


def _encoded(chunk: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(chunk)}\n\n".encode()


def _usable(proxy: str | None) -> str | None:
    if proxy is None:
        return None
    parts = urlsplit(proxy)
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"  # without a password
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise ProxyUnusable("model", f"the proxy {shown} is none that can be used", f"known are {', '.join(SCHEMES)}")
    if parts.scheme in SOCKS and find_spec("socksio") is None:  # what the HTTP library looks for
        remedy = "install it with: pip install socksio; or name the endpoint in NO_PROXY"
        raise ProxyUnusable("model", f"for the proxy {shown} socksio is not installed", remedy)
    return proxy
