"""TLS handshakes that are never finished take a bounded room, keep nobody out, and end without a word."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import socket
import ssl
import struct
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from myagent.agents.builtin.command import CommandAgent
from myagent.client import connect
from myagent.core.messages import TerminalState
from myagent.server import Server, Settings, tls

CROWD = 300
PATIENCE = 30.0  # seconds; only a failing test waits so long
PIECE = 16  # bytes of a handshake at a time


@dataclass(frozen=True)
class Certified:
    """Settings with a certificate for this machine, and whom to trust for it."""

    cert: Path
    key: Path
    trust: ssl.SSLContext

    def settings(self, *, handshake_timeout: float = 600.0) -> Settings:
        """A time-out that no test waits for, unless told otherwise."""
        return Settings(tls_cert=self.cert, tls_key=self.key, handshake_timeout=handshake_timeout)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    directory, authority = tmp_path_factory.mktemp("tls"), trustme.CA()
    made = Certified(directory / "cert.pem", directory / "key.pem", ssl.create_default_context())
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(made.cert)
    issued.private_key_pem.write_to_path(made.key)
    authority.configure_trust(made.trust)
    return made


@pytest.fixture
def silence(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.WARNING] == []


async def arrive(server: Server) -> socket.socket:
    """Connect, and say nothing."""
    client = socket.socket()
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", server.port))
    return client


async def dropped(client: socket.socket) -> None:
    """Wait for the other end to close the connection, whatever it says before."""
    try:
        async with asyncio.timeout(PATIENCE):
            while await asyncio.get_running_loop().sock_recv(client, 4096):
                pass
    except ConnectionResetError:
        pass


async def is_served(client: socket.socket, server: Server, certified: Certified) -> bool:
    """Make the handshake, in small pieces, and ask for something; whether it comes."""
    loop = asyncio.get_running_loop()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = certified.trust.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")

    async def say() -> None:
        while piece := outgoing.read(PIECE):
            await loop.sock_sendall(client, piece)
            await asyncio.sleep(0)

    async def until_done() -> bytes:
        asked = False
        while True:
            try:
                if not asked:
                    tls.do_handshake()
                    tls.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % server.port)
                    asked = True
                return tls.read(4096)
            except ssl.SSLWantReadError:
                await say()
                if not (data := await loop.sock_recv(client, 4096)):
                    return b""
                incoming.write(data)

    try:
        return (await asyncio.wait_for(until_done(), PATIENCE)).startswith(b"HTTP/1.1 200 ")
    except (ConnectionResetError, BrokenPipeError):
        return False


async def drive(server: Server, certified: Certified) -> None:
    """Own the session, and run a turn to its end."""
    async with asyncio.timeout(PATIENCE), connect(server.url, token=server.token, tls=certified.trust) as owner:
        assert owner.role == "owner"
        await owner.prompt("help")
        async for message in owner:
            if isinstance(message, TerminalState):
                assert message.exit_code == 0
                return


async def test_of_handshakes_that_never_end_the_oldest_make_room(
    tmp_path: Path, certified: Certified, monkeypatch: pytest.MonkeyPatch, silence: None
) -> None:
    monkeypatch.setattr(tls, "HANDSHAKES", 8)
    monkeypatch.setattr(tls, "UNDISTURBED", 0.0)
    async with Server(tmp_path, CommandAgent(), certified.settings()) as server:
        with ExitStack() as stack:
            crowd = [stack.enter_context(await arrive(server)) for _ in range(CROWD)]
            await drive(server, certified)  # comes last of all, so all of them were accepted before
            for client in crowd[: CROWD - 7]:
                await dropped(client)
            assert all([await is_served(client, server, certified) for client in crowd[CROWD - 7 :]])


async def test_handshakes_without_a_bound_would_be_found(
    tmp_path: Path, certified: Certified, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: then the oldest are still there."""
    monkeypatch.setattr(tls, "HANDSHAKES", CROWD + 1)
    monkeypatch.setattr(tls, "UNDISTURBED", 0.0)
    async with Server(tmp_path, CommandAgent(), certified.settings()) as server:
        with ExitStack() as stack:
            crowd = [stack.enter_context(await arrive(server)) for _ in range(CROWD)]
            await drive(server, certified)
            assert await is_served(crowd[0], server, certified)


async def test_who_is_slow_has_a_time_in_which_nobody_pushes(
    tmp_path: Path, certified: Certified, monkeypatch: pytest.MonkeyPatch, silence: None
) -> None:
    """Those who come meanwhile wait, and are let in as soon as one is done."""
    monkeypatch.setattr(tls, "HANDSHAKES", 2)
    monkeypatch.setattr(tls, "UNDISTURBED", PATIENCE)
    async with Server(tmp_path, CommandAgent(), certified.settings()) as server:
        with ExitStack() as stack:
            slow = [stack.enter_context(await arrive(server)) for _ in range(2)]
            driven = asyncio.create_task(drive(server, certified))
            assert all([await is_served(client, server, certified) for client in slow])
            await driven


async def test_a_crowd_that_comes_at_once_is_let_in(
    tmp_path: Path, certified: Certified, monkeypatch: pytest.MonkeyPatch, silence: None
) -> None:
    monkeypatch.setattr(tls, "HANDSHAKES", 4)
    monkeypatch.setattr(tls, "UNDISTURBED", PATIENCE)
    async with Server(tmp_path, CommandAgent(), certified.settings()) as server:
        with ExitStack() as stack:
            crowd = [stack.enter_context(await arrive(server)) for _ in range(40)]
            assert all(await asyncio.gather(*(is_served(client, server, certified) for client in crowd)))


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\xff" * 600, b"\0"])
async def test_what_is_no_handshake_ends_without_a_word(
    tmp_path: Path, certified: Certified, said: bytes, silence: None
) -> None:
    async with Server(tmp_path, CommandAgent(), certified.settings()) as server:
        with await arrive(server) as client:
            client.sendall(said)
            client.shutdown(socket.SHUT_WR)
            await dropped(client)
        with await arrive(server) as client:
            assert await is_served(client, server, certified)


async def test_who_breaks_off_or_does_not_trust_us_ends_without_a_word(
    tmp_path: Path, certified: Certified, silence: None
) -> None:
    async with Server(tmp_path, CommandAgent(), certified.settings()) as server:
        (await arrive(server)).close()
        with await arrive(server) as client:
            client.sendall(b"\x16\x03\x01")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", server.port, ssl=ssl.create_default_context())
        await drive(server, certified)


async def test_who_takes_too_long_ends_without_a_word(tmp_path: Path, certified: Certified, silence: None) -> None:
    async with Server(tmp_path, CommandAgent(), certified.settings(handshake_timeout=0.1)) as server:
        with await arrive(server) as client:
            client.sendall(b"\x16\x03\x01")
            await dropped(client)


async def test_the_memory_of_a_handshake_that_failed_is_free_at_once(certified: Certified) -> None:
    """Before any garbage is collected: few objects make much memory, and the collector counts objects."""

    class Referable(asyncio.Protocol):
        """asyncio's own has slots."""

    begun: list[weakref.ref[asyncio.Protocol]] = []

    def begin() -> asyncio.Protocol:
        protocol = Referable()
        begun.append(weakref.ref(protocol))
        return protocol

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certified.cert, certified.key)
    loop = asyncio.get_running_loop()
    gc.disable()
    try:
        async with await loop.create_server(begin, "127.0.0.1", 0, start_serving=False) as server:
            listener = tls.TlsListener(server, begin, context, 600.0)
            for said in (b"\x16\x03\x01", b"no TLS"):
                with socket.socket() as client:
                    client.setblocking(False)
                    await loop.sock_connect(client, server.sockets[0].getsockname())
                    client.sendall(said)
                    client.shutdown(socket.SHUT_WR)
                    await dropped(client)
            await listener.stop()
            assert [protocol() for protocol in begun] == [None, None]
    finally:
        gc.enable()


async def test_without_descriptors_nobody_is_accepted_until_there_are_some(
    tmp_path: Path, certified: Certified, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "RETRY_SECONDS", 0.01)
    refused = asyncio.Event()
    heard = logging.Handler()
    heard.emit = lambda record: refused.set()  # type: ignore[method-assign]
    log = logging.getLogger(tls.__name__)
    async with Server(tmp_path, CommandAgent(), certified.settings()) as server:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        with closing(socket.socket()) as client:
            client.setblocking(False)
            os.close(free := os.dup(client.fileno()))
            log.addHandler(heard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
            try:
                await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", server.port))
                await asyncio.wait_for(refused.wait(), PATIENCE)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
                log.removeHandler(heard)
            assert await is_served(client, server, certified)


@pytest.mark.parametrize("turns", range(6))
async def test_a_server_that_closes_ends_every_handshake(
    tmp_path: Path, certified: Certified, turns: int, silence: None
) -> None:
    """However far the last one has come: accepted, its task made, its transport, its first bytes."""
    server = Server(tmp_path, CommandAgent(), certified.settings())
    await server.start()
    with await arrive(server) as older:
        older.sendall(b"\x16\x03\x01")
        for _ in range(10):
            await asyncio.sleep(0)
        with await arrive(server) as client:
            for _ in range(turns):
                await asyncio.sleep(0)
            await asyncio.wait_for(server.close(), PATIENCE)
            await dropped(older)
            await dropped(client)
