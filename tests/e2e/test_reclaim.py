"""The slot between connections: grace, reclaim, fencing, and the explicit claim, release and handover."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from puppet import Puppet
from raw import Raw, frame, request
from wire import Client, Scene, scene

from myagent.settings import LIMITS

pytestmark = pytest.mark.usefixtures("quiet_log")

HELLO = {"client": {"name": "test", "version": "1"}}


async def introduced(here: Scene, query: str = "") -> Client:
    """A client that has said hello."""
    client = await here.join(query)
    await client.acked(await client.send("hello", **HELLO))
    return client


# --- grace ----------------------------------------------------------------------------------------------------------


async def test_a_drop_after_hello_keeps_the_slot_for_the_grace_and_not_longer(tmp_path: Path) -> None:
    async with scene(tmp_path, owner_grace=0.3) as here:
        watcher = await here.join("?role=follower")
        (await introduced(here)).drop()
        assert (await watcher.until("owner_changed", owner=None))["why"] == "lost"
        assert (await here.join()).role == "follower"
        assert (await watcher.until("owner_changed", why="grace_over"))["owner"] is None
        assert (await here.join()).role == "owner"


async def test_a_clean_close_after_hello_frees_the_slot_at_once(tmp_path: Path) -> None:
    async with scene(tmp_path, owner_grace=60) as here:
        await (await introduced(here)).leave()
        assert (await here.join()).role == "owner"


async def test_without_grace_a_drop_frees_the_slot_at_once(tmp_path: Path) -> None:
    async with scene(tmp_path, owner_grace=0) as here:
        watcher = await here.join("?role=follower")
        (await introduced(here)).drop()
        await watcher.until("owner_changed", owner=None)
        assert (await here.join()).role == "owner"


async def test_the_kept_slot_cannot_be_claimed(tmp_path: Path) -> None:
    async with scene(tmp_path, owner_grace=60) as here:
        watcher = await here.join("?role=follower")
        (await introduced(here)).drop()
        await watcher.until("owner_changed", owner=None)
        await watcher.refused(await watcher.send("claim"), "not_claimable")


# --- reclaim --------------------------------------------------------------------------------------------------------


async def test_the_dropped_owner_reclaims_with_the_header(tmp_path: Path) -> None:
    async with scene(tmp_path, owner_grace=60) as here:
        watcher = await here.join("?role=follower")
        owner = await introduced(here)
        owner.drop()
        await watcher.until("owner_changed", owner=None)
        back = await here.join(headers={"X-Myagent-Reclaim": owner.welcome["reclaimToken"]})
        assert back.role == "owner"
        assert back.welcome["ownerEpoch"] == owner.welcome["ownerEpoch"] + 1
        assert back.welcome["reclaimToken"] != owner.welcome["reclaimToken"]
        assert (await watcher.until("owner_changed"))["why"] == "reclaimed"


async def test_the_dropped_owner_reclaims_with_hello(tmp_path: Path) -> None:
    async with scene(tmp_path, owner_grace=60) as here:
        watcher = await here.join("?role=follower")
        owner = await introduced(here)
        owner.drop()
        await watcher.until("owner_changed", owner=None)
        back = await here.join()
        assert back.role == "follower"
        await back.acked(await back.send("hello", **HELLO, reclaimToken=owner.welcome["reclaimToken"]))
        assert (await back.until("role"))["role"] == "owner"
        news = await back.until("owner_changed")
        assert news["owner"]["connectionId"] == back.connection_id and news["reclaimToken"]
        assert "reclaimToken" not in await watcher.until("owner_changed", why="reclaimed")
        assert (await here.turn(back, "help"))["exitCode"] == 0


@pytest.mark.parametrize("shown", ["wrong", "", "\xff", "x" * 300])
async def test_a_wrong_reclaim_token_gives_nothing(tmp_path: Path, shown: str) -> None:
    async with scene(tmp_path, owner_grace=60) as here:
        owner = await introduced(here)
        async with Raw(here.server) as raw:
            await raw.send(request(here.server, X_Myagent_Reclaim=shown))
            assert (await raw.answer()).status == 101
            await raw.read_frame()
            assert b'"follower"' in (await raw.read_frame())[1]
        assert (await here.turn(owner, "help"))["exitCode"] == 0


async def test_a_reclaim_token_is_void_after_a_clean_leave_and_after_release(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        first = await introduced(here)
        await first.leave()
        second = await here.join()
        stolen = await here.join(headers={"X-Myagent-Reclaim": first.welcome["reclaimToken"]})
        assert (second.role, stolen.role) == ("owner", "follower")
        await second.acked(await second.send("release"))
        third = await here.join()
        again = await here.join(headers={"X-Myagent-Reclaim": second.welcome["reclaimToken"]})
        assert (third.role, again.role) == ("owner", "follower")


async def test_the_old_token_holds_until_the_new_connection_has_sent_its_first_message(tmp_path: Path) -> None:
    """The answer to a reclaim may be lost on its way: then the client has only its old token to come back with."""
    async with scene(tmp_path, owner_grace=60) as here:
        first = await introduced(here)
        old = {"X-Myagent-Reclaim": first.welcome["reclaimToken"]}
        second = await here.join(headers=old)
        assert second.role == "owner"
        third = await here.join(headers=old)
        assert third.role == "owner"
        await third.settle()
        assert (await here.join(headers=old)).role == "follower"
        assert (await here.join(headers={"X-Myagent-Reclaim": third.welcome["reclaimToken"]})).role == "owner"


# --- fencing --------------------------------------------------------------------------------------------------------


async def test_a_reclaimed_owners_old_connection_is_told_and_closed_with_4409(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        old = await introduced(here)
        new = await here.join(headers={"X-Myagent-Reclaim": old.welcome["reclaimToken"]})
        assert new.role == "owner"
        assert await old.closed() == 4409
        assert [message["role"] for message in old.of("role")] == ["owner", "follower"]


async def superseded(here: Scene, old: Raw) -> Client:
    """Make `old` the owner, and take the slot away from it, without an answer to the fence's ping; the new owner."""
    await old.send(request(here.server))
    assert (await old.answer()).status == 101
    welcome = {}
    while welcome.get("type") != "welcome":
        welcome = json.loads((await old.read_frame())[1])
    new = await here.join(headers={"X-Myagent-Reclaim": welcome["reclaimToken"]})
    assert new.role == "owner"
    return new


async def test_what_a_stale_owner_had_sent_is_answered_stale_owner_one_by_one_and_nothing_runs(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here, Raw(here.server) as old:
        new = await superseded(here, old)
        ids = [f"late-{number}" for number in range(10)]
        for message_id in ids:  # sent before the old side could have read that it owns no more
            await old.send(frame(1, json.dumps({"type": "user_message", "id": message_id, "prompt": "x"}).encode()))
        answered: list[tuple[str, str]] = []
        while True:
            opcode, payload = await old.read_frame()
            if opcode == 9:
                await old.send(frame(10, payload))  # as every client does when it has read so far
            elif opcode == 8:
                break
            elif (message := json.loads(payload))["type"] in ("error", "ack"):
                answered.append((message["id"], message.get("code", "ack")))
        assert answered == [(message_id, "stale_owner") for message_id in ids]
        assert int.from_bytes(payload[:2], "big") == 4409
        await new.settle()
        assert agent.runs == 0


async def test_a_stale_owner_cannot_send_for_ever(tmp_path: Path) -> None:
    """More than an owner may have sent while it was cut off is refused, and counts as errors do."""
    slow = replace(LIMITS, owner_messages_per_second=1)
    async with scene(tmp_path, limits=slow) as here, Raw(here.server) as old:
        await superseded(here, old)
        for number in range(100):
            late = {"type": "user_message", "id": f"late-{number}", "prompt": "x"}
            await old.send(frame(1, json.dumps(late).encode()))
        codes, payload = [], b""
        while not payload:
            opcode, data = await old.read_frame()
            if opcode == 8:
                payload = data
            elif opcode == 1 and (message := json.loads(data))["type"] == "error":
                codes.append(message["code"])
        assert int.from_bytes(payload[:2], "big") == 1008
        first = codes.index("rate_limited")
        assert first >= 11 and set(codes[:first]) == {"stale_owner"}
        assert codes.count("rate_limited") == slow.errors + 1


async def test_a_stale_owner_that_never_answers_the_fence_is_closed_all_the_same(tmp_path: Path) -> None:
    async with scene(tmp_path, heartbeat=0.2, stall_timeout=0.2) as here, Raw(here.server) as old:
        await superseded(here, old)

        async def live_on() -> None:
            while True:  # it is heard, so no heartbeat ends it
                await old.send(frame(10, b"something else"))
                await asyncio.sleep(0.1)

        living = asyncio.create_task(live_on())
        try:
            assert await old.close_code() == 4409
        finally:
            living.cancel()


async def test_what_was_accepted_stays_accepted_when_the_owner_changes(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner, watcher = await here.join(), await here.join()
        session = (await owner.acked(await owner.send("user_message", id="m1", prompt="one")))["sessionId"]
        await owner.acked(await owner.send("user_message", id="m2", prompt="two", sessionId=session))
        first = await agent.begun()
        await owner.leave()
        await here.join()
        first.end()
        (await agent.begun()).end()
        assert [(await watcher.until("terminal_state"))["id"] for _ in range(2)] == ["m1", "m2"]


# --- asked for ------------------------------------------------------------------------------------------------------


async def test_claim_takes_the_free_slot_and_only_a_free_one(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner, follower = await here.join(), await here.join()
        await follower.refused(await follower.send("claim"), "not_claimable")
        await owner.leave()
        await follower.until("owner_changed", owner=None)
        await follower.acked(await follower.send("claim"))
        assert (await follower.until("role"))["role"] == "owner"
        news = await follower.until("owner_changed", why="claimed")
        assert news["ownerEpoch"] == owner.welcome["ownerEpoch"] + 1 and news["reclaimToken"]
        await follower.acked(await follower.send("claim"), duplicate=True)
        assert (await here.turn(follower, "help"))["exitCode"] == 0


async def test_release_keeps_the_connection_as_a_follower(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner, follower = await here.join(), await here.join()
        await owner.acked(await owner.send("release"))
        assert (await owner.until("role"))["role"] == "follower"
        assert (await follower.until("owner_changed", owner=None))["why"] == "released"
        await owner.refused(await owner.send("user_message", prompt="help"), "stale_owner")
        await owner.refused(await owner.send("release"), "stale_owner")
        await follower.refused(await follower.send("release"), "not_owner")
        await follower.settle()
        assert [message["role"] for message in follower.of("role")] == ["follower"]
        assert (await here.join()).role == "owner"


async def test_handover_gives_the_slot_to_a_connected_follower(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner, heir, other = await here.join(), await here.join(), await here.join()
        await other.refused(await other.send("handover", to=other.connection_id), "not_owner")
        for nobody in ("c_nobody", owner.connection_id, ""):
            await owner.refused(await owner.send("handover", to=nobody), "not_claimable")
        await owner.acked(await owner.send("handover", to=heir.connection_id))
        assert (await owner.until("role"))["role"] == "follower"
        assert (await heir.until("role"))["role"] == "owner"
        news = await other.until("owner_changed", why="handed_over")
        assert news["owner"]["connectionId"] == heir.connection_id
        await owner.refused(await owner.send("user_message", prompt="help"), "stale_owner")
        assert (await here.turn(heir, "help"))["exitCode"] == 0
        await owner.until("pong", id=await owner.send("ping"))  # the former owner stays connected


async def test_an_owner_that_does_not_answer_is_found_and_the_slot_is_free(tmp_path: Path) -> None:
    async with scene(tmp_path, heartbeat=0.2) as here, Raw(here.server) as silent:
        await silent.upgrade()
        watcher = await here.join()
        assert watcher.role == "follower"
        assert (await watcher.until("owner_changed", owner=None))["why"] == "lost"
        assert (await here.join()).role == "owner"
