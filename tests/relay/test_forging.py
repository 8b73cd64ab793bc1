"""What a relay that lies can have the host do: what the credentials that were shown to it may, and nothing beyond."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.relay.engine import NatsServer, needs_engine
from tests.relay.scene import Hosted, ask, drive, host, next_of, relay, shows, until
from tests.relay.test_permissions import AS_HOST, AS_RELAY, quiet

from myagent.relay import forwarding, seats
from myagent.relay.far_peer import FarPeer
from myagent.relay.subjects import commands, told

pytestmark = needs_engine

NAME = "team/web"


class Liar:
    """A program with a relay's user, which says over its link whatever it likes."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.relay, self.link = secrets.token_hex(16), secrets.token_hex(16)
        self._number = 0
        self.heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def open(self) -> Self:
        async def hear(message: Msg) -> None:
            self.heard.put_nowait(json.loads(message.data))

        await self._client.subscribe(told("*", self.relay), cb=hear)
        asked = json.dumps({"link": self.link, "relay": self.relay}).encode()
        assert json.loads((await self._client.request(commands(NAME), asked)).data)["ok"]
        return self

    async def say(self, type: str, *, link: str = "", **fields: Any) -> None:
        self._number += 1
        what = {"type": type, **fields}
        carried = {"link": link or self.link, "relay": self.relay, "number": self._number, "what": what}
        await self._client.publish(commands(NAME), json.dumps(carried).encode())

    async def join(self, connection: str, token: str, **fields: Any) -> None:
        digest = hashlib.sha256(token.encode()).hexdigest()
        said = {"connection": connection, "digest": digest, "label": "", "sessionId": None, "asFollower": False}
        await self.say("join", **said, **fields)

    async def until(self, type: str, message: str = "") -> dict[str, Any]:
        """The next thing of a type that the host says, or message of a type that it tells."""
        async with asyncio.timeout(60):
            while True:
                what: dict[str, Any] = (await self.heard.get())["what"]
                if what["type"] == type and (not message or what["message"]["type"] == message):
                    return what


@asynccontextmanager
async def scene(tmp_path: Path) -> AsyncIterator[tuple[Hosted, Liar, NatsServer]]:
    async with (
        NatsServer(tmp_path / "nats", shipped=True) as engine,
        host(tmp_path / "host", engine.url(AS_HOST)) as hosted,
    ):
        await until(lambda: hosted.publisher.publishing)
        client = await nats.connect(engine.url(AS_RELAY), error_cb=quiet)
        yield hosted, await Liar(client).open(), engine
        await client.close()


def test_who_was_not_shown_a_token_cannot_act_with_it(tmp_path: Path) -> None:
    async def script() -> None:
        async with scene(tmp_path) as (hosted, liar, _):
            host = hosted.server.host
            for wrong in ("x" * 43, hosted.server.invite(may="drive").id, ""):
                await liar.join("c_00000001", wrong)
                assert (await liar.until("close"))["code"] == 4401
            await liar.say("join", connection="c_00000001", digest="zz", label="", sessionId=None, asFollower=False)
            assert (await liar.until("close"))["code"] == 4401
            assert not host.peers and host.ownership.owner is None

    asyncio.run(script())


def test_a_credential_does_no_more_than_the_host_says(tmp_path: Path) -> None:
    async def script() -> None:
        async with scene(tmp_path) as (hosted, liar, _):
            server = hosted.server
            watcher, approver = server.invite(), server.invite(may="approve")
            await liar.join("c_00000001", watcher.token)
            await liar.until("unseated")
            await liar.join("c_00000002", approver.token, scope="owner", may="drive", credentialId="owner")
            assert (await liar.until("told", "role"))["message"]["role"] == "follower"
            for message, code in (
                ({"type": "claim", "id": "c"}, "not_claimable"),
                ({"type": "user_message", "id": "m", "prompt": "{}"}, "not_owner"),
                ({"type": "release", "id": "r"}, "not_owner"),
                ({"type": "nonsense", "id": "n"}, "unknown_type"),
            ):
                await liar.say("said", connection="c_00000002", message=message)
                assert (await liar.until("told", "error"))["message"]["code"] == code
            server.revoke(approver.id)
            assert (await liar.until("close"))["code"] == 4401
            await liar.say("said", connection="c_00000002", message={"type": "ping", "id": "p"})
            await liar.say("beat")
            assert not server.host.peers
            assert (await liar.until("beat")) == {"type": "beat"}  # and nothing before it
            assert not hosted.agent.ran

    asyncio.run(script())


@pytest.mark.parametrize("broken", [False, True])
def test_a_relay_speaks_for_nobody_elses_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    """The control: a host that looks for the connection among all that it has."""

    async def script() -> None:
        async with (
            scene(tmp_path) as (hosted, liar, engine),
            relay(tmp_path / "copies", engine.url(AS_RELAY)) as shown,
        ):
            await until(lambda: shows(shown))
            async with drive(f"{shown.url}/team/web/", hosted.server.token) as owner:
                theirs = (await next_of(owner, "welcome"))["connectionId"]
                if broken:
                    found = hosted.publisher.seats._links[liar.link]
                    (peer,) = hosted.server.host.peers.values()
                    assert isinstance(peer, FarPeer)
                    found.peers[peer.connection_id] = peer
                message = {"type": "open_session", "id": "forged"}
                await liar.say("said", connection=theirs, message=message)
                await liar.join(theirs, hosted.server.token)
                await liar.until("unseated")
                if broken:
                    await until(lambda: len(hosted.server.host.sessions) == 1)
                else:
                    await liar.say("left", connection=theirs, clean=True)
                    await liar.say("beat")
                    await liar.until("beat")
                    assert (await ask(owner, "open_session"))["duplicate"] is False  # it owns still
                    await liar.say("said", link=secrets.token_hex(16), connection=theirs, message=message)
                    await liar.until("broken")
                    assert len(hosted.server.host.sessions) == 1

    asyncio.run(script())


@pytest.mark.parametrize("broken", [False, True])
def test_what_the_host_says_to_a_relay_lets_no_other_speak_over_its_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    """All relays hear it. The control: a host that names the link as it is."""
    if broken:
        for module in (seats, forwarding):
            monkeypatch.setattr(module, "digest_of", lambda link: link)

    async def script() -> None:
        async with (
            scene(tmp_path) as (hosted, liar, engine),
            relay(tmp_path / "copies", engine.url(AS_RELAY)) as shown,
        ):
            await until(lambda: shows(shown))
            links: set[tuple[str, str]] = set()
            client = await nats.connect(engine.url(AS_RELAY), error_cb=quiet)

            async def hear(message: Msg) -> None:
                links.add((json.loads(message.data)["link"], message.subject.rpartition(".")[2]))

            await client.subscribe(told("*", "*"), cb=hear)
            await client.flush()
            async with drive(f"{shown.url}/team/web/", hosted.server.token) as owner:
                theirs = (await next_of(owner, "welcome"))["connectionId"]
                await ask(owner, "who", "connections")
                await until(lambda: any(each != liar.relay for _, each in links))
                what = {"type": "said", "connection": theirs, "message": {"type": "open_session", "id": "forged"}}
                for link, of in links:
                    for number in range(1, 40):
                        carried = {"link": link, "relay": of, "number": number, "what": what}
                        await client.publish(commands(NAME), json.dumps(carried).encode())
                await client.flush()
                if broken:
                    await until(lambda: len(hosted.server.host.sessions) == 1)
                else:
                    await ask(owner, "who", "connections")  # comes behind all of it
                    assert hosted.server.host.sessions == {}
            await client.close()

    asyncio.run(script())


def test_links_over_which_nobody_came_keep_no_relay_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "LINKS", 4)

    async def script() -> None:
        async with (
            scene(tmp_path) as (hosted, liar, engine),
            relay(tmp_path / "copies", engine.url(AS_RELAY)) as shown,
        ):
            await until(lambda: shows(shown))
            for _ in range(8):
                await Liar(liar._client).open()
            assert len(hosted.publisher.seats._links) == 4
            async with drive(f"{shown.url}/team/web/", hosted.server.token) as owner:
                assert (await next_of(owner, "role"))["role"] == "owner"
                for _ in range(8):
                    await Liar(liar._client).open()
                assert (await ask(owner, "open_session"))["duplicate"] is False

    asyncio.run(script())


def test_a_relay_does_not_hear_what_others_forward(tmp_path: Path) -> None:
    async def script() -> None:
        async with (
            scene(tmp_path) as (hosted, _, engine),
            relay(tmp_path / "copies", engine.url(AS_RELAY)) as shown,
        ):
            heard: dict[str, list[bytes]] = {AS_RELAY: [], AS_HOST: []}  # the latter is the control
            clients = []
            for user, messages in heard.items():

                async def hear(message: Msg, messages: list[bytes] = messages) -> None:
                    messages.append(message.data)

                clients.append(await nats.connect(engine.url(user), error_cb=quiet))
                await clients[-1].subscribe(commands("*"), cb=hear)
                await clients[-1].flush()
            await until(lambda: shows(shown))
            async with drive(f"{shown.url}/team/web/", hosted.server.token) as owner:
                await ask(owner, "open_session")
            await until(lambda: any(b"open_session" in each for each in heard[AS_HOST]))
            for client in clients:
                await client.flush()
                await client.close()
            assert heard[AS_RELAY] == []

    asyncio.run(script())
