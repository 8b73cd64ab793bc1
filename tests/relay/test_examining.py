"""`doctor --nats` names what is missing at the engine, and is content with what we ship."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from tests.relay.engine import NatsServer, needs_engine
from tests.relay.scene import host, until
from tests.relay.test_permissions import AS_HOST, AS_RELAY

from myagent.relay.engine import Engine, EngineUnusable
from myagent.relay.examining import Found, examine

pytestmark = needs_engine


async def found(*urls: str) -> dict[str, Found]:
    return {each[1].partition(" at ")[0]: each async for each in examine(list(urls))}


def wrong(looked: dict[str, Found]) -> dict[str, str]:
    return {what: how for what, (ok, _, how) in looked.items() if ok is False}


class Plain(NatsServer):
    """As somebody starts it who has read nothing: `text` is all of its configuration."""

    text = ""

    def _configuration(self) -> str:
        return f"host: 127.0.0.1\nport: {self.port}\n{self.text}"


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    async def script() -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as silent:
            port = silent.getsockname()[1]
        assert "nothing is listening" in wrong(await found(f"nats://127.0.0.1:{port}"))["NATS"]

        plain = Plain(tmp_path / "plain")
        async with plain:
            looked = wrong(await found(plain.url()))
            assert looked.keys() == {"JetStream", "max_payload"}
            assert "not enabled: start it with -js" in looked["JetStream"]
            assert "set max_payload to 8MB" in looked["max_payload"]
        plain.text = "max_payload: 8MB\n"
        async with plain:  # what a host says of it
            engine = Engine([plain.url()], name="a test")
            await engine.connect()
            with pytest.raises(EngineUnusable, match="JetStream is not enabled"):
                await engine.ensure_streams(9.0, 1)
            await engine.close()
        async with NatsServer(tmp_path / "shipped", shipped=True) as shipped:
            assert "credentials" in wrong(await found(shipped.url("host:wrong")))

    asyncio.run(script())


def test_what_is_no_engine_is_told_as_such(tmp_path: Path) -> None:
    async def script() -> None:
        async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example ESMTP\r\n")
            writer.close()

        server = await asyncio.start_server(speak, "127.0.0.1", 0)
        url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert wrong(await found(url)) == {"NATS": "what listens there is not NATS"}
        server.close()

    asyncio.run(script())


def test_what_we_ship_is_as_it_should_be(tmp_path: Path) -> None:
    async def script() -> None:
        async with NatsServer(tmp_path / "nats", shipped=True) as nats:
            looked = await found(nats.url(AS_HOST))
            assert wrong(looked) == {}
            assert "the first host makes it" in looked["stream MYAGENT_EVENTS"][2]
            async with host(tmp_path / "host", nats.url(AS_HOST)) as hosted:
                await until(lambda: hosted.publisher.publishing)
                await hosted.turn(lines=3)
                for user, said in ((AS_HOST, "may be a host"), (AS_RELAY, "may be a relay, and can store nothing")):
                    looked = await found(nats.url(user))
                    assert wrong(looked) == {}
                    assert looked["user"][2] == said
                    assert looked["names"][2] == "team/web"
                told = (await found(nats.url(AS_HOST)))["stream MYAGENT_EVENTS"][2]
                assert "kept without limit, 1 replicas" in told and not told.startswith("0 messages")
            command = (sys.executable, "-m", "myagent", "remote", "doctor", "--nats", nats.url(AS_HOST))
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
            assert done.returncode == 0 and "nothing is wrong" in done.stdout, done
            assert "host-secret" not in done.stdout

    asyncio.run(script())
