"""A token that was found in a directory goes to this machine and to the server of that directory, and nowhere else."""

from __future__ import annotations

import argparse
import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wire import scene

from myagent.access.credentials import load_owner_token
from myagent.cli import target
from myagent.client.address import parse

SESSION = "remote_20260101120000_0a1b2c3d"
COMMANDS = [
    ["client"],
    ["client", "--prompt", "help"],
    ["sessions"],
    ["attach", "--plain"],
    ["export", SESSION, "--format", "jsonl"],
    ["replay", SESSION],
    ["doctor"],
]


class Stranger:
    """Something that listens on this machine, and keeps the first thing that each connection sends."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:  # closed
                return
            with connection:
                self.heard.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    listening = Stranger()
    yield listening
    listening.close()


def token_for(url: str) -> str:
    """What a client in this directory would show to a server."""
    return target.token(argparse.Namespace(token=None, remote=None), parse(url))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_sends_it_to_another_machine(serve: Any, myagent: Any, command: list[str]) -> None:
    serving = serve()
    for where in (["--url", "wss://agent.example.org"], ["--url", "wss://192.0.2.1:1"]):
        done = myagent("remote", *command, *where)
        assert done.returncode == 3
        assert done.stderr.startswith("[remote] the token in ") and "`myagent remote login`" in done.stderr
        assert serving.url in done.stderr and where[1] in done.stderr
    done = myagent("remote", *command, MYAGENT_REMOTE_URL="wss://agent.example.org")
    # The doctor examines the server that is here, unless it is told otherwise on its own line.
    assert done.returncode == (0 if command == ["doctor"] else 3)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_sends_it_to_what_listens_on_this_machine(
    serve: Any, myagent: Any, stranger: Stranger, command: list[str]
) -> None:
    """A tunnel, or a proxy: the contract has it so."""
    token = load_owner_token(serve().directory / target.AUTH_FILE)
    myagent("remote", *command, "--url", stranger.url)
    assert any(f"Bearer {token}".encode() in heard for heard in stranger.heard)


def test_without_an_address_the_server_of_this_directory_is_meant(serve: Any, myagent: Any, tmp_path: Path) -> None:
    serving = serve()
    assert myagent("remote", "client", "--prompt", "help").returncode == 0
    (tmp_path / "deep" / "down").mkdir(parents=True)
    assert myagent("remote", "client", "--prompt", "help", cwd=tmp_path / "deep" / "down").returncode == 0
    assert myagent("remote", "client", "--prompt", "help", MYAGENT_REMOTE_URL="ws://127.0.0.1:1").returncode == 3
    serving.stop()
    gone = myagent("remote", "client", "--prompt", "help")  # another project's server may be at the usual port
    assert gone.returncode == 3
    assert f"no server runs in {tmp_path} or above it" in gone.stderr


def test_completion_sends_it_no_further(serve: Any, myagent: Any, stranger: Stranger) -> None:
    serve()
    words = ("__complete", "remote", "client", "--url", "wss://agent.example.org", "--session", "")
    done = myagent(*words)
    assert (done.returncode, done.stdout.strip()) == (0, "")


@pytest.mark.parametrize("url", ["wss://192.0.2.1:1", "ws://192.0.2.1:1", "wss://agent.example.org", "ws://0.0.0.0:1"])
def test_without_its_server_it_is_for_this_machine_alone(serve: Any, myagent: Any, url: str) -> None:
    serving = serve()
    serving.stop()
    done = myagent("remote", "client", "--insecure-plain", "--url", url)
    assert done.returncode == 3
    assert f"that of a server on this machine, and is not sent to {url}" in done.stderr


@pytest.mark.parametrize(
    ("settings", "good", "other"),
    [
        ({}, ["ws://127.0.0.1:{}", "wss://localhost:{}", "ws://[::1]:{}"], ["ws://192.0.2.1:{}", "ws://0.0.0.0:{}"]),
        ({"host": "localhost"}, ["ws://localhost:{}", "ws://127.0.0.1:{}"], ["wss://localhost.example:{}"]),
        (
            {"host": "0.0.0.0", "insecure_plain": True},
            ["ws://127.0.0.1:{}", "ws://localhost:{}", "ws://0.0.0.0:{}"],
            ["ws://192.0.2.1:{}", "ws://name.example:{}"],
        ),
        (
            {"allowed_hosts": ("Agent.example.org",)},
            ["wss://agent.example.org", "wss://AGENT.example.org:8443", "ws://127.0.0.1:{}"],
            ["wss://agent.example.com", "wss://x.agent.example.org", "wss://agent.example.org.example"],
        ),
    ],
)
async def test_it_is_for_every_address_of_its_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], good: list[str], other: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(target.TOKEN_VARIABLE, raising=False)
    async with scene(tmp_path, **settings) as here:
        for url in good:
            assert await asyncio.to_thread(token_for, url.format(here.server.port)) == here.server.token
        for url in other:
            with pytest.raises(target.NotItsServer) as refused:
                await asyncio.to_thread(token_for, url.format(here.server.port))
            assert here.server.token not in str(refused.value)
