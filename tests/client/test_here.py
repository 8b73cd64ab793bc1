"""The server of the directory here is found with its token, and nobody else is shown that token."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from puppet import PATIENCE
from wire import scene

from myagent.agents.builtin.command import CommandAgent
from myagent.client import CannotConnect, Client, NoServerHere, State, connect
from myagent.client.address import parse
from myagent.client.here import find
from myagent.core.messages import Welcome
from myagent.server import Server, Settings


async def test_a_program_in_the_directory_needs_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = tmp_path / "src" / "deep"
    below.mkdir(parents=True)
    async with scene(tmp_path) as served:
        monkeypatch.chdir(below)
        address, token = await asyncio.to_thread(find, Path.cwd())  # it blocks, and the server is in this thread
        assert (str(address), token) == (served.server.url, served.server.token)
        async with await asyncio.to_thread(connect) as client:
            assert client.role == "owner"
            assert (await client.run("help")).ok


async def test_a_server_that_has_stopped_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoServerHere):
        connect()
    async with scene(tmp_path):
        pass
    with pytest.raises(NoServerHere) as caught:  # its token is still there
        connect()
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("looks_up", [True, False])
async def test_a_server_that_comes_back_at_another_port_is_found_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks_up: bool
) -> None:
    """The negative control is a client that was told the address: it knocks where nobody is, and gives up."""
    monkeypatch.chdir(tmp_path)
    first, second = Server(tmp_path, CommandAgent(), Settings()), Server(tmp_path, CommandAgent(), Settings())
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(first)
        old = parse(first.url)
        client = await asyncio.to_thread(
            connect,
            None if looks_up else first.url,
            token=first.token,
            reconnect=True,
            reconnect_for=float("inf") if looks_up else 0.0,
            backoff=lambda _: 0.01,
        )
        await stack.enter_async_context(client)
        assert (await client.run("help")).ok
        await first.close()
        taken = stack.enter_context(socket.socket())
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((old.host, old.port))
        await stack.enter_async_context(second)
        if not looks_up:
            with pytest.raises(CannotConnect):
                await _welcomed(client, 1)
            return
        await _welcomed(client, 1)
        assert client.server == (parse(second.url), second.token)
        assert (await client.run("help")).ok


async def test_a_client_waits_for_a_server_that_is_not_there_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    attempts: list[int] = []
    again = asyncio.Event()

    def told(state: State) -> None:
        attempts.append(state.attempt)
        if state.attempt == 3:
            again.set()

    async with AsyncExitStack() as stack:
        async with Server(tmp_path, CommandAgent(), Settings()):
            client = await asyncio.to_thread(connect, reconnect=True, backoff=lambda _: 0.01, on_state=told)
            await stack.enter_async_context(client)
        coming = asyncio.create_task(_welcomed(client, 2))
        await asyncio.wait_for(again.wait(), PATIENCE)
        async with Server(tmp_path, CommandAgent(), Settings()):
            await asyncio.wait_for(coming, PATIENCE)
            assert (await client.run("help")).ok


async def _welcomed(client: Client, times: int) -> None:
    """Take messages until so many welcomes have come."""
    seen = 0
    while seen < times:
        seen += isinstance(await anext(client), Welcome)
