"""A server takes the port that it is told, or one of the next where that was not said exactly."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from myagent.agents.command import CommandAgent
from myagent.server import Server, Settings
from myagent.server.listening import CannotListen


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


async def test_where_the_usual_port_is_in_use_the_next_that_is_free_is_taken(tmp_path: Path, taken: int) -> None:
    async with Server(tmp_path, CommandAgent(), Settings(port=taken, spare_ports=200)) as server:
        assert taken < server.port <= taken + 200
        assert server.url.endswith(f":{server.port}")


async def test_a_port_that_was_asked_for_is_that_or_none(tmp_path: Path, taken: int) -> None:
    with pytest.raises(CannotListen, match="the port is in use"):
        async with Server(tmp_path, CommandAgent(), Settings(port=taken)):
            pass
