"""What a relay vouches for is worth as long as it is heard: who came through it is gone with it, and comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.faults.proxy import Proxy
from tests.faults.serving import script as prompt
from tests.relay.engine import PATIENCE, NatsServer, needs_engine
from tests.relay.scene import Hosted, ask, drive, host, next_of, relay, shows, until
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from myagent.core.messages import ClientMessage, ConnectionId
from myagent.core.ownership import Ownership
from myagent.relay.chain import Received
from myagent.relay.relay import Relay
from myagent.relay.seats import Seats
from myagent.server.limits import Allowance
from myagent.settings import LIMITS, Settings

pytestmark = needs_engine

STALE = 1000
LIMITED = replace(LIMITS, owner_messages_per_second=10 * STALE, errors=10 * STALE)
QUICK = Settings(heartbeat=0.5, owner_grace=600.0, limits=LIMITED)


@asynccontextmanager
async def two_relays(tmp_path: Path) -> AsyncIterator[tuple[Hosted, Relay, Relay, Proxy, NatsServer]]:
    """A host, and two relays, of which the first is behind a network that can be made bad."""
    async with (
        NatsServer(tmp_path / "nats") as nats,
        Proxy(nats.port) as link,
        host(tmp_path / "host", nats.url(), settings=QUICK) as hosted,
        relay(tmp_path / "one", f"nats://127.0.0.1:{link.port}", QUICK) as one,
        relay(tmp_path / "two", nats.url(), QUICK) as two,
    ):
        await until(lambda: shows(one) and shows(two))
        yield hosted, one, two, link, nats


def test_an_owner_whose_relay_is_cut_off_reclaims_through_another(tmp_path: Path) -> None:
    async def script() -> None:
        async with two_relays(tmp_path) as (hosted, one, two, link, _):
            token, ownership = hosted.server.token, hosted.server.host.ownership
            async with drive(f"{one.url}/team/web/", token) as owner:
                mine = (await next_of(owner, "welcome"))["reclaimToken"]
                await ask(owner, "hello", client={"name": "test"})
                link.black_hole()
                await until(lambda: ownership.owner is None)
                assert ownership.reserved_until is not None
                async with drive(f"{two.url}/team/web/", token) as other:
                    assert (await next_of(other, "role"))["role"] == "follower"  # it is kept for who was cut off
                    async with drive(f"{two.url}/team/web/", token, **{"X-Myagent-Reclaim": mine}) as back:
                        assert (await next_of(back, "role"))["role"] == "owner"
                        await ask(back, "user_message", prompt=prompt(lines=2))
                        await next_of(back, "terminal_state")
                link.heal()
                await owner.wait_closed()
                assert owner.close_code == 1001

    asyncio.run(script())


def test_who_reclaims_elsewhere_closes_the_old_connection_as_at_the_host(tmp_path: Path) -> None:
    async def script() -> None:
        async with two_relays(tmp_path) as (hosted, one, two, _, _nats):
            token = hosted.server.token
            async with drive(f"{one.url}/team/web/", token) as owner:
                mine = (await next_of(owner, "welcome"))["reclaimToken"]
                async with drive(f"{two.url}/team/web/", token, **{"X-Myagent-Reclaim": mine}) as back:
                    assert (await next_of(back, "role"))["role"] == "owner"
                    with pytest.raises(ConnectionClosed) as closed:
                        await next_of(owner, "nothing")
                    assert closed.value.rcvd is not None and closed.value.rcvd.code == 4409

    asyncio.run(script())


async def until_owner(socket: ClientConnection) -> None:
    """Claim until the host has heard it: at first the relay may not have found it again."""
    async with asyncio.timeout(PATIENCE):
        said = "error"
        while said != "ack":
            if said == "error":
                await socket.send('{"type":"claim","id":"c","force":true}')
            said = json.loads(await socket.recv())["type"]


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("cut", ["silent", "live"])
def test_what_a_former_owner_sends_has_no_effect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: str, broken: bool
) -> None:
    """A thousand new sessions. `silent`: on their way when their relay is found dead; `live`: somebody has taken
    over. The control: a host that hears the dead, and does not look at epochs."""
    monkeypatch.setattr(Allowance, "message", lambda self, now, *, owns: True)  # which would stop most of them
    if broken:

        def admit(self: Ownership, connection_id: ConnectionId, message: ClientMessage) -> None:
            """Whatever it is."""

        monkeypatch.setattr(Ownership, "admit", admit)
        monkeypatch.setattr(Seats, "_look", lambda self: None)
        monkeypatch.setattr("myagent.relay.forwarding.Forwarding._beat", lambda self: None)

    async def script() -> None:
        async with two_relays(tmp_path) as (hosted, one, two, link, _):
            token, server = hosted.server.token, hosted.server
            async with drive(f"{one.url}/team/web/", token) as owner:
                await next_of(owner, "welcome")
                await ask(owner, "open_session")
                first = server.host.ownership.epoch
                if cut == "silent":
                    link.black_hole()
                texts = [json.dumps({"type": "open_session", "id": f"stale{number}"}) for number in range(STALE)]
                if cut == "silent":
                    for text in texts:
                        await owner.send(text)
                    if not broken:
                        await until(lambda: server.host.ownership.owner is None)
                async with drive(f"{two.url}/team/web/", token) as other:
                    await next_of(other, "welcome")
                    await ask(other, "claim", force=True)
                assert server.host.ownership.epoch > first
                if cut == "live":
                    for text in texts:
                        await owner.send(text)
                else:
                    link.heal()
                heard = f"stale{STALE - 1}"
                if cut == "live":
                    last = ""
                    while last != heard:
                        last = json.loads(await owner.recv()).get("id", "")
                else:  # what its relay says later comes behind all of them
                    await until(lambda: shows(one))
                    async with drive(f"{one.url}/team/web/", token) as later:
                        await until_owner(later)
                if broken:
                    await until(lambda: len(server.host.sessions) == STALE + 1)
                assert len(server.host.sessions) == (STALE + 1 if broken else 1)

    asyncio.run(script())


def test_a_message_that_is_lost_between_relay_and_host_ends_the_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script() -> None:
        async with two_relays(tmp_path) as (hosted, one, _, _, _nats):
            async with drive(f"{one.url}/team/web/", hosted.server.token) as owner:
                await next_of(owner, "welcome")
                take = Received.take
                monkeypatch.setattr(Received, "take", lambda self, number: take(self, number + 1))
                await owner.wait_closed()
                assert owner.close_code == 1001
            monkeypatch.undo()
            await until(lambda: not hosted.server.host.peers)

    asyncio.run(script())
