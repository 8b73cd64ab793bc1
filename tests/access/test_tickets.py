"""Tickets let our own page in, once; failure limits slow down who guesses, and nobody else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from asking import ask, bearer, get, invite, knock
from raw import Answer, Raw, request
from websockets.asyncio.client import connect
from wire import Scene, scene

from myagent.access.credentials import Credential
from myagent.access.registry import RevokeInvites, RotateToken
from myagent.access.tickets import LIMIT_EACH, Tickets
from myagent.server.rate_limit import ADDRESSES, Failures


def origin(here: Scene) -> str:
    return f"http://127.0.0.1:{here.server.port}"


async def ticket(here: Scene, credential: dict[str, str] | None = None) -> str:
    answer = await get(here, "/ticket", credential or bearer(here.server.token))
    assert answer.status == 200
    told = json.loads(answer.body)
    assert told["expiresIn"] == 30
    return str(told["ticket"])


async def enter(here: Scene, *protocols: str, **headers: str) -> Answer:
    """An upgrade as a browser sends it."""
    given = {"Origin": origin(here), "Sec_WebSocket_Protocol": ", ".join(protocols), **headers}
    return await knock(here.server, drop=() if "Authorization" in headers else ("Authorization",), **given)


async def test_a_ticket_lets_a_page_in_once(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        _, shown = await invite(here.server)
        one = await ticket(here, shown)
        answer = await enter(here, "myagent.v1", f"ticket.{one}")
        assert (answer.status, answer.header("Sec-WebSocket-Protocol")) == (101, "myagent.v1")
        assert one not in repr(answer)
        again = await enter(here, "myagent.v1", f"ticket.{one}")
        assert again.status == 401
        assert one not in repr(again)


async def test_a_ticket_gives_what_its_credential_gives(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        _, shown = await invite(here.server)
        for credential, role in ((shown, "follower"), (bearer(here.server.token), "owner")):
            async with connect(
                here.server.url, origin=origin(here), compression=None, proxy=None,
                subprotocols=["myagent.v1", f"ticket.{await ticket(here, credential)}"],  # type: ignore[list-item]
            ) as socket:  # fmt: skip
                assert socket.subprotocol == "myagent.v1"
                assert json.loads(await socket.recv())["type"] == "ready"
                assert json.loads(await socket.recv()) == {"type": "role", "role": role}


async def test_a_ticket_needs_an_allowed_origin_and_the_protocol(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        one = f"ticket.{await ticket(here)}"
        assert (
            await knock(here.server, drop=("Authorization",), Sec_WebSocket_Protocol=f"myagent.v1, {one}")
        ).status == 403
        assert (await enter(here, "myagent.v1", one, Origin="https://evil.example")).status == 403
        assert (await enter(here, "myagent.v1", one, Origin="null")).status == 403
        assert (await enter(here, one)).status == 401
        assert (await enter(here, "myagent.v1", one, one)).status == 401
        right = f"Bearer {here.server.token}"
        assert (await enter(here, "myagent.v1", one, Authorization=right)).status == 401
        assert (await enter(here, "myagent.v1", one)).status == 101, "and none of these used it up"


async def test_no_other_token_in_a_subprotocol_is_taken_or_said_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        token = here.server.token
        shapes = (token, f"bearer.{token}", f"base64url.bearer.authorization.k8s.io.{token}", f"ticket.{token}")
        for shape in shapes:
            for headers in ({}, {"Authorization": f"Bearer {token}"}):
                answer = await enter(here, "myagent.v1", shape, **headers)
                assert answer.status == 401
                assert token not in repr(answer)


async def test_a_program_may_offer_our_protocol_and_others_are_passed_over(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        right = {"Authorization": f"Bearer {here.server.token}"}
        ours = await enter(here, "myagent.v1", **right)
        other = await enter(here, "chat", **right)
        assert (ours.status, ours.header("Sec-WebSocket-Protocol")) == (101, "myagent.v1")
        assert (other.status, other.header("Sec-WebSocket-Protocol")) == (101, None)


async def test_a_ticket_ends_with_its_credential(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        invite_id, shown = await invite(here.server)
        revoked, old = await ticket(here, shown), await ticket(here)
        await ask(here.server, RevokeInvites(invite_ids=[invite_id]))
        assert (await enter(here, "myagent.v1", f"ticket.{revoked}")).status == 401
        await ask(here.server, RotateToken())
        assert (await enter(here, "myagent.v1", f"ticket.{old}")).status == 401


async def test_a_ticket_is_for_those_who_have_a_credential(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        assert (await get(here, "/ticket", bearer("x" * 43))).status == 401
        assert (
            await get(here, "/ticket", {**bearer(here.server.token), "Origin": "https://evil.example"})
        ).status == 403
        assert (await get(here, "/ticket", {**bearer(here.server.token), "Origin": origin(here)})).status == 200


def test_a_ticket_is_good_for_30_seconds() -> None:
    time = [0.0]
    tickets = Tickets(lambda: time[0])
    owner = Credential("owner", "owner")
    first, second = tickets.issue(owner), tickets.issue(owner)
    time[0] = 29.9
    assert tickets.redeem(first) == owner
    assert tickets.redeem(first) is None
    time[0] = 30.0
    assert tickets.redeem(second) is None


def test_one_credential_cannot_take_the_tickets_of_others() -> None:
    tickets = Tickets(lambda: 0.0)
    kept = tickets.issue(Credential("owner", "owner"))
    many = [tickets.issue(Credential("greedy", "follower")) for _ in range(10 * LIMIT_EACH)]
    assert sum(tickets.redeem(each) is not None for each in many) == LIMIT_EACH
    assert tickets.redeem(kept) is not None


# --- failure limits -----------------------------------------------------------------------------------------------


async def test_who_guesses_is_slowed_down_and_a_right_token_always_passes(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        wrong = [await knock(here.server, **bearer(f"{number:043}")) for number in range(30)]
        assert [each.status for each in wrong] == [401] * 10 + [429] * 20
        assert all(1 <= int(each.header("Retry-After") or 0) <= 60 for each in wrong[10:])
        assert (await knock(here.server)).status == 101
        _, shown = await invite(here.server)
        assert (await knock(here.server, **shown)).status == 101
        assert (await knock(here.server, drop=("Authorization",))).status == 401, "who shows nothing guesses nothing"
        async with Raw(here.server) as raw:
            await raw.send(request(here.server, target="/?token=x"))
            assert (await raw.answer()).status == 429


def test_wrong_credentials_are_counted_for_a_minute_and_by_network() -> None:
    time = [0.0]
    failures = Failures(10, lambda: time[0])
    for _ in range(10):
        assert failures.add("192.0.2.1") is None
    assert failures.add("192.0.2.1") == 60
    assert failures.add("::ffff:192.0.2.1") == 60
    assert failures.add("192.0.2.2") is None
    time[0] = 60.0
    assert failures.add("192.0.2.1") is None
    for host in range(10):
        assert failures.add(f"2001:db8::{host}") is None
    assert failures.add("2001:db8::ffff") == 60
    assert failures.add("2001:db8:0:1::1") is None


def test_as_many_addresses_as_come_take_no_more_room() -> None:
    failures = Failures(10, lambda: 0.0)
    for number in range(3 * ADDRESSES):
        failures.add(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(failures._times) == ADDRESSES


@pytest.mark.parametrize("address", ["", "not an address", "fe80::1%eth0"])
def test_any_peer_name_can_be_counted(address: str) -> None:
    assert Failures(10, lambda: 0.0).add(address) is None
