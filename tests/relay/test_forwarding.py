"""What is sent through a relay is decided by the host, and answered as if it had come to the host itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.faults.serving import ScriptedAgent
from tests.faults.serving import script as prompt
from tests.relay.engine import NatsServer, needs_engine
from tests.relay.scene import Hosted, ask, drive, follow, host, next_of, relay, shows, until
from websockets.exceptions import ConnectionClosed

from myagent.agents import Turn, TurnEnd, TurnIO
from myagent.core.questions import asked_form
from myagent.relay.relay import Relay

pytestmark = needs_engine

FORM = asked_form("which?", {"properties": {"which": {"enum": ["a", "b"]}}, "required": ["which"]})


class Asking(ScriptedAgent):
    """Asks its question before anything else."""

    async def run(self, turn: Turn, io: TurnIO) -> TurnEnd:
        given = await io.question(FORM)
        self.answers.append(f"{given.action} {given.content}")
        return TurnEnd()


@asynccontextmanager
async def scene(
    tmp_path: Path, *, agent: ScriptedAgent | None = None, **how: Any
) -> AsyncIterator[tuple[Hosted, Relay, str]]:
    """A host that has published, a relay that shows it, and the address there."""
    async with (
        NatsServer(tmp_path / "nats") as nats,
        host(tmp_path / "host", nats.url(), agent=agent) as hosted,
        relay(tmp_path / "copies", nats.url(), **how) as shown,
    ):
        await until(lambda: shows(shown))
        yield hosted, shown, f"{shown.url}/team/web"


def test_no_device_is_called_through_a_relay(tmp_path: Path) -> None:
    """Its worker would be the relay's, where no decision ticket is taken."""

    async def script() -> None:
        async with scene(tmp_path) as (hosted, _, url), drive(f"{url}/", hosted.server.token) as owner:
            refused = await ask(owner, "push_state", "error")
            assert (refused["code"], "relay" in refused["message"]) == ("not_allowed", True)

    asyncio.run(script())


def test_the_first_who_comes_owns_and_has_a_turn(tmp_path: Path) -> None:
    async def script() -> None:
        async with scene(tmp_path) as (hosted, _, url), drive(f"{url}/", hosted.server.token) as owner:
            first = [json.loads(await owner.recv()) for _ in range(3)]
            assert [each["type"] for each in first] == ["ready", "role", "welcome"]
            assert first[1]["role"] == "owner"
            assert first[2]["owner"]["connectionId"] == first[2]["connectionId"] and first[2]["reclaimToken"]
            assert (await ask(owner, "user_message", prompt=prompt(lines=3)))["duplicate"] is False
            assert (await next_of(owner, "terminal_state"))["id"] == "user_message"
            assert (await ask(owner, "user_message", prompt=prompt(lines=3)))["duplicate"] is True
            assert sum(hosted.agent.ran.values()) == 1
            assert (await ask(owner, "who", "connections"))["connections"][0]["role"] == "owner"

    asyncio.run(script())


def test_the_slot_moves_between_a_relay_and_the_host(tmp_path: Path) -> None:
    async def script() -> None:
        async with scene(tmp_path) as (hosted, _, url):
            token = hosted.server.token
            async with drive(f"{url}/", token) as owner, AsyncExitStack() as stack:
                assert (await next_of(owner, "role"))["role"] == "owner"
                second = await stack.enter_async_context(drive(f"{url}/", token))
                near = await stack.enter_async_context(drive(hosted.server.url, token))
                for each in (second, near):
                    assert (await next_of(each, "role"))["role"] == "follower"
                    assert (await ask(each, "cancel", "error", sessionId="s"))["code"] == "not_owner"
                    assert (await ask(each, "claim", "error"))["code"] == "not_claimable"
                assert len((await ask(owner, "who", "connections"))["connections"]) == 3
                for each, other in ((near, owner), (second, near)):
                    await each.send('{"type":"claim","id":"take","force":true}')
                    assert (await next_of(each, "role"))["role"] == "owner"
                    assert (await next_of(other, "role"))["role"] == "follower"
                    assert (await next_of(other, "owner_changed"))["why"] == "taken_over"
                    assert (await ask(other, "release", "error"))["code"] == "stale_owner"
                assert (await ask(second, "release"))["duplicate"] is False
                assert (await next_of(second, "role"))["role"] == "follower"
                assert hosted.server.host.ownership.owner is None

    asyncio.run(script())


def test_who_leaves_frees_the_slot_for_the_next_who_comes(tmp_path: Path) -> None:
    async def script() -> None:
        async with scene(tmp_path) as (hosted, _, url):
            token = hosted.server.token
            async with follow(url, token) as follower:
                assert (await next_of(follower, "role"))["role"] == "follower"
                async with drive(f"{url}/", token) as owner:
                    assert (await next_of(owner, "role"))["role"] == "owner"
                    assert (await next_of(follower, "owner_changed"))["why"] == "joined"
                assert (await next_of(follower, "owner_changed"))["why"] == "left"
                assert (await ask(follower, "who", "error"))["code"] == "not_owner"  # nobody is promoted
                async with drive(f"{url}/", token) as following:
                    assert (await next_of(following, "role"))["role"] == "owner"

    asyncio.run(script())


def test_a_request_is_answered_through_a_relay_by_as_many_as_it_needs(tmp_path: Path) -> None:
    async def script() -> None:
        async with scene(tmp_path) as (hosted, _, url):
            invite = hosted.server.invite(may="approve", label="Ada")
            async with drive(f"{url}/", hosted.server.token) as owner, drive(f"{url}/", invite.token) as guest:
                await next_of(owner, "welcome")
                assert (await next_of(guest, "welcome"))["may"] == "approve"
                await ask(owner, "user_message", prompt=prompt(ask=True))
                asked = [await next_of(each, "permission_request") for each in (owner, guest)]
                assert asked[0] == asked[1]
                wanted = asked[0]["permissionRequestId"]
                assert (await ask(guest, "user_message", "error", id="m", prompt="{}"))["code"] == "not_owner"
                allow = {"permissionRequestId": wanted, "decision": {"kind": "allow"}}
                assert (await ask(guest, "seen", permissionRequestId=wanted))["duplicate"] is False
                assert (await ask(guest, "permission_decision", **allow))["duplicate"] is False
                resolved = await next_of(owner, "permission_resolved")
                assert (resolved["outcome"], resolved["by"]) == ("allow", "Ada")
                deny = {**allow, "decision": {"kind": "deny"}}
                assert (await ask(owner, "permission_decision", "error", **deny))["code"] == "already_resolved"
                await until(lambda: sum(hosted.agent.allowed.values()) == 1)

    asyncio.run(script())


def test_a_question_is_answered_through_a_relay(tmp_path: Path) -> None:
    async def script() -> None:
        agent = Asking()
        async with (
            scene(tmp_path, agent=agent) as (hosted, _, url),
            drive(f"{url}/", hosted.server.token) as owner,
        ):
            await ask(owner, "user_message", prompt="go")
            wanted = (await next_of(owner, "question"))["questionId"]
            async with drive(f"{url}/", hosted.server.token) as late:
                assert (await next_of(late, "question"))["pending"] is True
            await ask(owner, "answer", questionId=wanted, action="accept", content={"which": "b"})
            await next_of(owner, "terminal_state")
            assert agent.answers == ["accept {'which': 'b'}"]

    asyncio.run(script())


def test_a_credential_that_is_revoked_ends_whoever_it_let_in_at_the_host_as_well(tmp_path: Path) -> None:
    async def script() -> None:
        async with scene(tmp_path) as (hosted, _, url):
            invite = hosted.server.invite(may="drive")
            async with drive(f"{url}/", invite.token) as owner:
                assert (await next_of(owner, "role"))["role"] == "owner"
                await ask(owner, "hello", client={"name": "test"})
                hosted.server.revoke(invite.id)
                assert hosted.server.host.ownership.owner is None  # at once, and it is not kept for them
                assert hosted.server.host.ownership.reserved_until is None
                with pytest.raises(ConnectionClosed) as closed:
                    await next_of(owner, "nothing")
                assert closed.value.rcvd is not None and closed.value.rcvd.code == 4401

    asyncio.run(script())


def test_an_invite_for_one_use_seats_one(tmp_path: Path) -> None:
    async def script() -> None:
        async with scene(tmp_path) as (hosted, shown, url):
            invite = hosted.server.invite(may="drive", uses=1)
            async with drive(f"{url}/", invite.token) as owner:
                assert (await next_of(owner, "role"))["role"] == "owner"
                forwarding = shown.shown["team/web"].host.forwarding
                assert forwarding is not None
                (peer,) = shown.shown["team/web"].host.peers.values()
                forwarding.left(peer.connection_id, clean=True)
                await until(lambda: not hosted.server.host.peers)
                forwarding.join(peer, as_follower=False, reclaim=None)  # a relay that does not ask first
                await until(lambda: not forwarding.seats)
                assert not hosted.server.host.peers

    asyncio.run(script())
