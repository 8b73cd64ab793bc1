"""The way out: to an address that was looked at, to nobody else, and nothing that an answer says is followed."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest
from tests.push.fake import PATIENCE, push_service

from myagent.push import door as door_module
from myagent.push.door import Door
from myagent.push.endpoint import BadEndpoint, Endpoint, read_endpoint


def resolves(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Let every name have these addresses; what was looked up is in the list."""
    asked: list[str] = []

    def found(host: str, port: int, *args: Any, **how: Any) -> list[Any]:
        asked.append(host)
        return [(2, 1, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(door_module.socket, "getaddrinfo", found)
    return asked


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["10.0.0.7"], ["8.8.8.8", "169.254.169.254"], ["::1"], []])
async def test_a_name_that_leads_inside_is_not_gone_to(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    reached: list[Any] = []
    monkeypatch.setattr(door_module.asyncio, "open_connection", lambda *args, **how: reached.append(args))
    resolves(monkeypatch, *addresses)
    with pytest.raises(BadEndpoint):
        await Door().post(read_endpoint("https://push.example.org/x"), b"", {})
    assert reached == []


async def test_what_is_connected_to_is_the_address_that_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that has another address a moment later (DNS rebinding) is asked for once."""
    reached: list[Any] = []

    async def connect(address: str, port: int, **how: Any) -> Any:
        reached.append((address, port, how["server_hostname"]))
        raise ConnectionRefusedError

    asked = resolves(monkeypatch, "8.8.8.8")
    monkeypatch.setattr(door_module.asyncio, "open_connection", connect)
    with pytest.raises(ConnectionRefusedError):
        await Door().post(read_endpoint("https://push.example.org/x"), b"", {})
    assert (asked, reached) == (["push.example.org"], [("8.8.8.8", 443, "push.example.org")])


async def test_no_redirect_is_followed() -> None:
    async with push_service() as service, push_service() as inside:
        service.status, service.location = 307, inside.endpoint("secret")
        assert await service.door().post(read_endpoint(service.endpoint("x"), anywhere=True), b"body", {}) == 307
        assert (service.connections, inside.connections) == (1, 0)


async def test_whoever_answers_must_be_the_host_that_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    async with push_service() as service:
        resolves(monkeypatch, "127.0.0.1")
        elsewhere = Endpoint("push.example.org", service.port, "/")
        with pytest.raises(ssl.SSLCertVerificationError):
            await service.door().post(elsewhere, b"", {})
        with pytest.raises(ssl.SSLCertVerificationError):  # an authority that nobody knows
            await Door(may_reach=lambda address: True).post(
                read_endpoint(service.endpoint("x"), anywhere=True), b"", {}
            )
        assert service.came.empty()


async def test_without_the_look_it_would_be_gone_to() -> None:
    """The negative control: the same name is reached where nobody judges its addresses."""
    async with push_service() as service:
        endpoint = read_endpoint(service.endpoint("x"), anywhere=True)
        with pytest.raises(BadEndpoint):
            await service.door(may_reach=Door().may_reach).post(endpoint, b"", {})
        assert service.connections == 0
        assert await service.door().post(endpoint, b"", {}) == 201


async def test_what_answers_no_http_and_what_says_nothing_are_given_up() -> None:
    async with push_service() as service:
        endpoint = read_endpoint(service.endpoint("x"), anywhere=True)
        service.raw = b"SSH-2.0-OpenSSH\r\n"
        with pytest.raises(OSError, match="no answer of HTTP"):
            await service.door().post(endpoint, b"", {})
        service.raw = b"x" * (1 << 17)
        with pytest.raises(OSError, match="no answer of HTTP"):
            await service.door().post(endpoint, b"", {})
        service.raw = b""
        with pytest.raises(OSError, match="no answer of HTTP"):
            await service.door().post(endpoint, b"", {})
        service.raw = None
        assert await service.door().post(endpoint, b"", {}) == 201


async def test_what_cannot_be_connected_to_is_given_up_before_a_call_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole call has no end here: what ends it is the bound of the connecting."""
    async with push_service() as service:
        monkeypatch.setattr(door_module, "SECONDS", None)
        monkeypatch.setattr(door_module, "CONNECT_SECONDS", 0.0)
        endpoint = read_endpoint(service.endpoint("x"), anywhere=True)
        monkeypatch.setattr(door_module.asyncio, "open_connection", lambda *args, **how: asyncio.Event().wait())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(service.door().post(endpoint, b"", {}), PATIENCE)
        assert service.connections == 0
