"""One rule for every connection: never a proxy on this machine, the environment's proxy elsewhere, or a clear line."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from myagent.client import asking, connect
from myagent.client.address import Address, parse
from myagent.client.errors import CannotConnect
from myagent.client.way_out import proxy_for, reach

FAR = parse("wss://agent.example.org")
NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class Proxy:
    """Answers CONNECT with `status`, then says `said` to the first byte; keeps what it was asked."""

    def __init__(self, status: str = "200 OK", said: bytes = b"") -> None:
        self.status, self.said = status, said
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://user:pa%3Ass@127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += client.recv(4096)
                self.asked.append(head.decode())
                client.sendall(f"HTTP/1.1 {self.status}\r\n\r\n".encode())
                if client.recv(1):
                    client.sendall(self.said)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with closing(Proxy(said=b"hello")) as made:
        yield made


def test_a_connection_goes_through_the_proxy_that_the_environment_names(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", proxy.url)
    with reach(FAR, 5) as through:
        through.sendall(b"?")
        assert through.recv(5) == b"hello"
    [head] = proxy.asked
    assert head.startswith("CONNECT agent.example.org:443 HTTP/1.")
    assert "Proxy-Authorization: Basic dXNlcjpwYTpzcw==" in head


@pytest.mark.parametrize(
    ("url", "environment", "expected"),
    [
        ("wss://agent.example.org", {"https_proxy": "http://p:1"}, "http://p:1"),
        ("wss://agent.example.org", {"HTTPS_PROXY": "p:1"}, "http://p:1"),
        ("wss://agent.example.org", {"all_proxy": "http://p:1"}, "http://p:1"),
        ("ws://192.0.2.1:1", {"http_proxy": "http://p:1"}, "http://p:1"),
        ("wss://agent.example.org", {"http_proxy": "http://p:1"}, None),
        ("wss://agent.example.org", {"https_proxy": "http://p:1", "no_proxy": "example.org"}, None),
        ("wss://agent.example.org", {"https_proxy": "http://p:1", "no_proxy": "*"}, None),
        ("ws://127.0.0.1:8765", {"http_proxy": "http://p:1", "all_proxy": "socks5://p:1"}, None),
        ("wss://localhost:1", {"https_proxy": "socks5://p:1"}, None),
        ("ws://[::1]:1", {"http_proxy": "http://p:1"}, None),
    ],
)
def test_which_way(
    url: str, environment: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(parse(url)) == expected


@pytest.mark.parametrize("kind", ["socks5://p:1", "socks5h://p:1", "https://p:1"])
def test_a_proxy_that_cannot_be_used_is_one_clear_line_everywhere(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", kind)

    async def joins() -> None:
        async with connect(FAR, token="t"):
            pass

    ways = (lambda: asking.list_sessions(FAR, "t"), lambda: asyncio.run(joins()))
    for way in ways:
        with pytest.raises(CannotConnect) as caught:
            way()
        assert kind.partition(":")[0] in str(caught.value)
        assert "no_proxy=agent.example.org" in str(caught.value)


def test_a_proxy_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Proxy("407 Proxy Authentication Required")) as refusing:
        monkeypatch.setenv("https_proxy", refusing.url)
        with pytest.raises(CannotConnect, match=r"the proxy 127\.0\.0\.1: tunnel connection failed: 407"):
            asking.list_sessions(FAR, "t")


def test_nothing_of_this_machine_reaches_a_proxy(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES[:3]:
        monkeypatch.setenv(name, proxy.url)
    here = Address("127.0.0.1", 9, secure=False)  # nobody listens there
    with pytest.raises(CannotConnect, match="no server is listening there"):
        asking.list_sessions(here, "t")
    assert proxy.asked == []
