"""Where others open a server's page: what is printed in an invite's link."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from myagent.server.addresses import Page, find_page, is_loopback, own_address
from myagent.settings import Settings

CERT = {"tls_cert": Path("cert.pem"), "tls_key": Path("key.pem")}
NAMED = {"allowed_hosts": ("agent.example.org",)}


@pytest.mark.parametrize(
    ("settings", "address", "local"),
    [
        ({}, "http://127.0.0.1:8765/", True),
        ({"host": "::1"}, "http://[::1]:8765/", True),
        ({"host": "localhost", "base_path": "/a/b"}, "http://localhost:8765/a/b/", True),
        ({"host": "192.0.2.7", **CERT}, "https://192.0.2.7:8765/", False),
        ({"host": "0.0.0.0", **CERT, **NAMED}, "https://agent.example.org:8765/", False),
        ({"allowed_hosts": ("agent.example.org:443",)}, "http://agent.example.org:443/", False),
        ({"allowed_hosts": ("[2001:db8::7]",)}, "http://[2001:db8::7]:8765/", False),
        ({"allowed_hosts": ("[2001:db8::7]:80",)}, "http://[2001:db8::7]:80/", False),
        (
            {**NAMED, "allowed_origins": ("https://agent.example.org",), "base_path": "/agent"},
            "https://agent.example.org/agent/", False,
        ),
        (
            {**NAMED, "allowed_origins": ("https://other.example", "https://Agent.example.org:8443")},
            "https://Agent.example.org:8443/", False,
        ),
        ({**NAMED, "allowed_origins": ("https://other.example",)}, "http://agent.example.org:8765/", False),
        (
            {"allowed_hosts": ("localhost:8443",), "allowed_origins": ("https://localhost:8443",)},
            "https://localhost:8443/", True,
        ),
    ],
)  # fmt: skip
def test_the_page_is_where_its_settings_say(settings: dict[str, Any], address: str, local: bool) -> None:
    assert find_page(Settings(**settings), 8765) == Page(address, local)


@pytest.mark.parametrize(("host", "family"), [("0.0.0.0", socket.AF_INET), ("::", socket.AF_INET6)])
def test_listening_everywhere_is_reached_at_an_address_of_this_machine(host: str, family: int) -> None:
    found = find_page(Settings(host=host, **CERT), 8765)
    assert found.guessed
    address = found.address.removeprefix("https://").removesuffix(":8765/").strip("[]")
    assert found.local == is_loopback(address)
    with socket.socket(family) as bound:
        bound.bind((address, 0))  # whatever is not this machine's cannot be bound


def test_without_a_way_out_it_is_reached_here(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoWay(socket.socket):
        def connect(self, address: Any) -> None:
            raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "socket", NoWay)
    assert own_address(socket.AF_INET) == "127.0.0.1"
    assert find_page(Settings(host="::"), 1) == Page("http://[::1]:1/", True, guessed=True)
