"""What a server is started in: TLS on the wire, IPv6, standard descriptors that are closed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from tests.faults.proxy import Proxy
from tests.faults.serving import LOCAL, READY_SECONDS, ROOT, InProcess, script, stored
from tests.faults.wire import Wire

from myagent.access.asking import NoAnswer, ask
from myagent.access.registry import AskStatus
from myagent.client import connect
from myagent.client.state import State
from myagent.core.messages import Event, TerminalState
from myagent.server import Settings
from myagent.server.connection import Connection

LINES = 400
SAID = {"agent_stdout": "/dev/null\n", "agent_stderr": "error\n"}
SILENCE = 60.0  # seconds; only a failing test waits so long


@dataclass
class Encrypted:
    """A certificate for this machine, and whom to trust for it."""

    cert: Path
    key: Path
    trust: ssl.SSLContext


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Encrypted:
    directory, authority = tmp_path_factory.mktemp("tls"), trustme.CA()
    made = Encrypted(directory / "cert.pem", directory / "key.pem", ssl.create_default_context())
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(made.cert)
    issued.private_key_pem.write_to_path(made.key)
    authority.configure_trust(made.trust)
    return made


async def seen_in_silence(workspace: Path, encrypted: Encrypted) -> list[int]:
    """What a follower over TLS sees of a turn while it says nothing and nobody pings it."""
    settings = Settings(tls_cert=encrypted.cert, tls_key=encrypted.key, heartbeat=600)
    async with InProcess(workspace, settings) as server:
        url = f"wss://127.0.0.1:{server.port}"
        async with (
            connect(url, token=server.token, tls=encrypted.trust) as owner,
            connect(url, token=server.token, tls=encrypted.trust, heartbeat=600) as follower,
        ):
            await owner.prompt(script(lines=LINES, size=2000, pace=0.001))
            seen: list[int] = []
            async with asyncio.timeout(SILENCE):
                async for message in follower:
                    if isinstance(message, Event) and message.seq is not None:
                        seen.append(message.seq)
                    if isinstance(message, TerminalState):
                        break
            return seen


async def test_who_only_listens_over_tls_gets_everything(tmp_path: Path, encrypted: Encrypted) -> None:
    assert await seen_in_silence(tmp_path, encrypted) == list(range(1, LINES + 3))


async def test_a_connection_that_waits_for_a_word_after_each_write_would_be_found(
    tmp_path: Path, encrypted: Encrypted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: as asyncio's TLS has it with a limit of 0."""
    made = Connection.connection_made

    def connection_made(self: Connection, transport: asyncio.BaseTransport) -> None:
        made(self, transport)
        self._transport.set_write_buffer_limits(high=0)

    monkeypatch.setattr(Connection, "connection_made", connection_made)
    monkeypatch.setattr("tests.faults.test_surroundings.SILENCE", 1.0)
    with pytest.raises(TimeoutError):
        await seen_in_silence(tmp_path, encrypted)


@pytest.mark.parametrize("fault", ["cut", "reset"])
async def test_a_turn_over_tls_goes_on_after_a_drop_with_nothing_lost(
    tmp_path: Path, encrypted: Encrypted, fault: str
) -> None:
    states: list[str] = []
    settings = Settings(allowed_hosts=LOCAL, tls_cert=encrypted.cert, tls_key=encrypted.key)

    def changed(state: State) -> None:
        states.append(state.name)

    async with (
        InProcess(tmp_path, settings) as server,
        Proxy(server.port) as proxy,
        connect(
            f"wss://127.0.0.1:{proxy.port}", token=server.token, tls=encrypted.trust,
            reconnect=True, backoff=lambda _: 0.0, on_state=changed,
        ) as owner,
    ):  # fmt: skip
        seen: list[int] = []
        drops = [50, 200]
        await owner.prompt(script(lines=LINES, size=2000, pace=0.001))
        async for message in owner:
            if isinstance(message, Event) and message.seq is not None:
                seen.append(message.seq)
            if drops and len(seen) >= drops[0]:
                drops.pop(0)
                getattr(proxy, fault)()
            if isinstance(message, TerminalState):
                break
        assert owner.role == "owner"
        assert server.agent.ran.total() == 1
    assert states.count("reconnecting") >= 1
    (events,) = (await stored(tmp_path)).values()
    assert seen == [event.seq for event in events] and len(seen) == LINES + 2


def test_over_ipv6(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError as error:
            pytest.skip(f"no IPv6 loopback: {error.strerror}")

    async def turn() -> None:
        async with InProcess(tmp_path, Settings(host="::1")) as server:
            assert server.server.url == f"ws://[::1]:{server.port}"
            async with (
                connect(server.server.url, token=server.token) as owner,
                connect(server.server.url, token=server.token) as follower,
            ):
                assert (owner.role, follower.role) == ("owner", "follower")
                await owner.prompt(script(lines=2))
                for client in (owner, follower):
                    async for message in client:
                        if isinstance(message, TerminalState):
                            assert message.exit_code == 0
                            break

    asyncio.run(turn())


@pytest.mark.parametrize("closed", [(2,), (0, 1, 2)], ids=str)
async def test_a_server_without_standard_descriptors_gives_their_numbers_to_nothing_else(
    tmp_path: Path, closed: Iterable[int]
) -> None:
    """Else whatever is written there by habit, here or in a child, would go into a socket or a file of the server."""

    def close() -> None:
        for number in closed:
            os.close(number)

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "myagent", "remote", "serve", "--cwd", str(tmp_path), "--port", "0",
        "--allow-bypass", "--permission-mode", "bypassPermissions", cwd=ROOT, preexec_fn=close,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        status = await asyncio.wait_for(listening(tmp_path), READY_SECONDS)
        token = json.loads((tmp_path / ".myagent/remote/auth.json").read_bytes())["token"]
        for number in range(3):
            assert stat.S_ISCHR(os.stat(f"/proc/{process.pid}/fd/{number}").st_mode)
        wire = await Wire.open(int(status["port"]), token)
        await wire.send("user_message", prompt="!readlink /proc/self/fd/0; echo error >&2")
        assert (await wire.until("terminal_state"))["exitCode"] == 0
        said = {name: "".join(m["chunk"] for m in wire.messages if m["type"] == name) for name in SAID}
        assert said == SAID
        wire.abort()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), READY_SECONDS) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def listening(workspace: Path) -> dict[str, object]:
    """What a server that cannot print says of itself when it is asked."""
    while True:
        try:
            status = await asyncio.to_thread(ask, workspace / ".myagent/remote", AskStatus())
        except NoAnswer:
            status = None
        if status is not None:
            return dict(status)
        await asyncio.sleep(0.05)
