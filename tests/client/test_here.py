"""The server of the directory here is found with its token, and nobody else is shown that token."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from wire import scene

from myagent.client import NoServerHere, connect
from myagent.client.here import find


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
