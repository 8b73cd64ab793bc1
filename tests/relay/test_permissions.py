"""The configuration that we ship: hosts and relays work with it, and a relay can write nothing, by no way round."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from tests.relay.engine import PASSWORDS, NatsServer, needs_engine
from tests.relay.scene import events as followed
from tests.relay.scene import get, host, relay, until
from tests.relay.test_relay import has

from myagent.relay.subjects import EVENTS, STATE, access, commands, events, lease, moved, state

pytestmark = needs_engine

AS_HOST = f"host:{PASSWORDS['MYAGENT_HOST_PASSWORD']}"
AS_RELAY = f"relay:{PASSWORDS['MYAGENT_RELAY_PASSWORD']}"


async def quiet(_: Exception) -> None:
    """What is refused is told here, too."""


async def last_numbers(client: Client) -> list[int]:
    """Where each stream ends."""
    found = []
    for name in (EVENTS, "MYAGENT_STATE", "KV_MYAGENT_NAMES"):
        answer = await client.request(f"$JS.API.STREAM.INFO.{name}", b"")
        found.append(json.loads(answer.data)["state"]["last_seq"])
    return found


def test_hosts_and_relays_work_with_it(tmp_path: Path) -> None:
    async def script() -> None:
        async with (
            NatsServer(tmp_path / "nats", shipped=True) as engine,
            host(tmp_path / "host", engine.url(AS_HOST)) as hosted,
            relay(tmp_path / "copies", engine.url(AS_RELAY)) as shown,
        ):
            session = await hosted.turn(lines=700, size=300)
            head = hosted.server.host.fanout.window.heads[session]
            await until(lambda: has(shown, session, head))
            direct = await followed(hosted.server.url, hosted.server.token, session, upto=head)
            url = f"{shown.url}/team/web"
            assert await followed(url, hosted.server.token, session, upto=head) == direct
            invite = hosted.server.invite()
            assert await followed(url, invite.token, session, upto=head) == direct
            hosted.server.revoke(invite.id)
            async with asyncio.timeout(60):
                while (await get(url, invite.token, "/sessions"))[0] != 401:
                    pass

    asyncio.run(script())


TARGETS = [events("a", "s"), events("a", "0"), state("a", "host"), lease("a"), moved("a")]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("way", ["publish", "ask the engine to answer there", "ask a host to answer there", "command"])
def test_a_relay_can_write_nothing(tmp_path: Path, target: str, way: str) -> None:
    async def script() -> None:
        async with NatsServer(tmp_path / "nats", shipped=True) as engine:
            async with host(tmp_path / "host", engine.url(AS_HOST), "a") as hosted:
                await hosted.turn(lines=1)
                await until(lambda: hosted.publisher.behind == 0 and hosted.publisher.publishing)
            trusted = await nats.connect(engine.url(AS_HOST), error_cb=quiet)
            heard: list[bytes] = []

            async def hear(message: nats.aio.msg.Msg) -> None:
                heard.append(message.data)
                await message.respond(b"an answer")

            await trusted.subscribe(access("a"), cb=hear)
            await trusted.subscribe(commands("a"), cb=hear)
            await trusted.flush()
            stray = await nats.connect(engine.url(AS_RELAY), error_cb=quiet)
            spy = await nats.connect(engine.url(AS_RELAY), error_cb=quiet)
            seen: list[bytes] = []

            async def see(message: nats.aio.msg.Msg) -> None:
                seen.append(message.data)

            await spy.subscribe(moved("a"), cb=see)
            await spy.flush()
            before = await last_numbers(trusted)
            if way == "publish":
                await stray.publish(target, b"forged")
            elif way == "ask the engine to answer there":
                asked = json.dumps({"last_by_subj": state("a", "host")}).encode()
                await stray.publish(f"$JS.API.DIRECT.GET.{STATE}", asked, reply=target)
            else:
                await stray.publish(commands("a") if way == "command" else access("a"), b"x", reply=target)
            await stray.flush()
            assert (await stray.request(access("a"), b"and then")).data == b"an answer"  # it came after that
            assert await last_numbers(trusted) == before
            await spy.flush()
            # Its own account it may fill with noise, of which the worst is that relays look once more.
            assert seen == [] or target == moved("a")
            for client in (trusted, stray, spy):
                await client.close()

    asyncio.run(script())


@pytest.mark.parametrize("way", ["the engine", "a host"])
def test_within_one_account_the_way_round_is_open(tmp_path: Path, way: str) -> None:
    """The control, and the reason for two accounts: what may only ask can have the answer stored as an event."""

    async def script() -> None:
        async with NatsServer(tmp_path / "nats") as engine, host(tmp_path / "host", engine.url(), "a") as hosted:
            await hosted.turn(lines=1)
            await until(lambda: hosted.publisher.behind == 0 and hosted.publisher.publishing)
            stray = await nats.connect(engine.url(), error_cb=quiet)
            before = (await last_numbers(stray))[0]
            if way == "the engine":
                asked = json.dumps({"last_by_subj": state("a", "host")}).encode()
                await stray.publish(f"$JS.API.DIRECT.GET.{STATE}", asked, reply=events("a", "s"))
                async with asyncio.timeout(30):
                    while (await last_numbers(stray))[0] == before:
                        await asyncio.sleep(0.01)
            else:  # our own host answers nobody there
                question = json.dumps({"digest": "00" * 32, "use": "look", "network": ""}).encode()
                await stray.publish(access("a"), question, reply=events("a", "s"))
                assert json.loads((await stray.request(access("a"), question)).data)["good"] is False
                assert (await last_numbers(stray))[0] == before
            await stray.close()

    asyncio.run(script())
