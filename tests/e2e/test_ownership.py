"""Who drives: the six cases of the specification, and R1 to R7 of docs/protocol.md, over real sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from puppet import Puppet
from wire import decide, scene

pytestmark = pytest.mark.usefixtures("quiet_log")

V1 = {"ready", "role", "ack", "agent_stdout", "agent_stderr", "session_metadata", "terminal_state", "error", "pong"}


async def test_the_first_connection_owns_and_later_ones_follow(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        assert [(await here.join()).role for _ in range(4)] == ["owner", "follower", "follower", "follower"]


async def test_a_followers_user_message_is_refused_and_not_processed(tmp_path: Path) -> None:
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner, follower = await here.join(), await here.join()
        refusal = await follower.refused(await follower.send("user_message", prompt="hello"), "not_owner")
        assert refusal["message"].startswith("read-only follower")
        assert not [message for message in await owner.settle() if message["type"] not in ("owner_changed", "presence")]
        assert agent.runs == 0
        assert (await here.get("/sessions"))[1] == b'{"sessions":[]}'


async def test_a_followers_permission_decision_is_refused_and_the_request_stays_open(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner, follower = await here.join(), await here.join()
        await owner.send("user_message", prompt="!touch made")
        request = await follower.until("permission_request")
        refusal = await follower.refused(await decide(follower, request, "allow"), "not_owner")
        assert refusal["message"].startswith("read-only follower")
        assert not (tmp_path / "made").exists()
        await owner.acked(await decide(owner, request, "allow"))
        assert (await follower.until("terminal_state"))["exitCode"] == 0
        assert (tmp_path / "made").exists()


async def test_the_owners_turn_is_seen_by_everybody_and_its_ack_by_the_owner_alone(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner, follower, another = await here.join(), await here.join(), await here.join()
        await here.turn(owner, "!echo out; echo err >&2")
        kinds = [
            "prompt",
            "permission_request",
            "permission_resolved",
            "agent_stdout",
            "agent_stderr",
            "terminal_state",
        ]
        stream = {*kinds, "session_metadata"}
        for client in (follower, another):
            await client.until("terminal_state")
        for client in (owner, follower, another):
            await client.settle()
            assert {message["type"] for message in client.of(*stream)} == stream
            assert len(client.of("session_metadata")) == 2
        assert owner.of("ack") and not follower.of("ack") and not another.of("ack")


async def test_after_the_owners_disconnect_a_new_connection_owns_and_no_follower_is_promoted(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner, follower = await here.join(), await here.join()
        await owner.leave()
        assert (await follower.until("owner_changed", owner=None))["why"] == "left"
        await follower.settle()
        assert [message["role"] for message in follower.of("role")] == ["follower"]
        await follower.refused(await follower.send("user_message", prompt="help"), "not_owner")
        assert (await here.join()).role == "owner"
        await follower.settle()
        assert [message["role"] for message in follower.of("role")] == ["follower"]


async def test_a_follower_that_leaves_frees_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner, follower = await here.join(), await here.join()
        await follower.leave()
        assert (await here.join()).role == "follower"
        assert (await here.turn(owner, "help"))["exitCode"] == 0


async def test_r1_ready_then_role_come_first_and_carry_nothing_else(tmp_path: Path) -> None:
    """`Client.open` holds every connection of every test to it; here also one that comes amid a turn."""
    agent = Puppet()
    async with scene(tmp_path, agent) as here:
        owner = await here.join()
        await owner.send("user_message", prompt="go")
        play = await agent.begun()
        for number in range(20):
            await play.say(f"line {number}\n")
            late = await here.join()
            assert late.messages[0] == {"type": "ready", "protocolVersion": 1}
            assert late.messages[1] == {"type": "role", "role": "follower"}
        play.end()
        await owner.until("terminal_state")


async def test_r4_resume_and_ping_are_open_to_followers(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner, follower = await here.join(), await here.join()
        session = (await here.turn(owner, "help"))["sessionId"]
        await follower.until("pong", id=await follower.send("ping"))
        ack = await follower.acked(await follower.send("resume", sessionId=session))
        assert ack["sessionId"] == session
        assert (await follower.next())["session"]["sessionId"] == session


async def test_r5_input_errors_stay_with_the_submitter(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner, follower = await here.join(), await here.join()
        await owner.send_raw("{")
        await owner.refused(None, "bad_json")
        await owner.refused(await owner.send("user_message", prompt=" "), "bad_message")
        await follower.settle()
        assert not follower.of("error")


async def test_r6_the_slot_is_free_before_the_close_is_answered(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        await here.join("?role=follower")
        for _ in range(20):
            owner = await here.join()
            assert owner.role == "owner"
            await owner.send("hello", client={"name": "test", "version": "1"})
            await owner.leave()  # returns when the server has answered


async def test_r6_holds_to_the_letter_for_a_client_that_drops_without_hello(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        watcher = await here.join("?role=follower")
        owner = await here.join()
        owner.drop()
        assert (await watcher.until("owner_changed", owner=None))["why"] == "lost"
        assert (await here.join()).role == "owner"


async def test_r7_a_lone_client_sees_what_version_1_has(tmp_path: Path) -> None:
    """Without the message types that we added, and without the fields: exactly the conversation of version 1."""
    (tmp_path / "note").write_text("text\n")
    async with scene(tmp_path) as here:
        client = await here.join()
        message_id = await client.send("user_message", prompt="read note")
        await client.until("terminal_state")
        await client.until("session_metadata")
        seen = [message for message in client.messages if message["type"] in V1]
        kinds = ["ready", "role", "ack", "session_metadata", "agent_stdout", "terminal_state", "session_metadata"]
        assert [message["type"] for message in seen if message.get("chunk") != ""] == kinds
        ack, stdout, end = client.of("ack")[0], client.of("agent_stdout")[0], client.of("terminal_state")[0]
        session = ack["sessionId"]
        assert ack == {"type": "ack", "id": message_id, "sessionId": session, "duplicate": False}
        assert (stdout["id"], stdout["chunk"]) == (message_id, "text\n")
        assert (end["id"], end["sessionId"], end["exitCode"]) == (message_id, session, 0)
        states = [message["session"] for message in client.of("session_metadata")]
        assert [state["state"] for state in states] == ["running", "completed"]
        v1 = {"version", "sessionId", "cwd", "createdAt", "updatedAt", "state", "writeIds"}
        assert v1 <= set(states[0]) and states[0]["version"] == 1 and states[0]["writeIds"] == [message_id]
        assert (states[1]["lastRequestId"], states[1]["lastExitCode"]) == (message_id, 0)


async def test_role_follower_is_never_given_the_free_slot(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        assert (await here.join("?role=follower")).role == "follower"
        assert (await here.join()).role == "owner"


async def test_the_epoch_rises_with_every_grant_also_over_a_restart(tmp_path: Path) -> None:
    epochs = []
    for _ in range(3):
        async with scene(tmp_path) as here:
            for _ in range(3):
                owner = await here.join()
                epochs.append(owner.welcome["ownerEpoch"])
                await owner.leave()
    assert epochs == sorted(set(epochs)) and epochs[0] >= 1


async def test_owner_changed_tells_everybody_who_owns(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        watcher = await here.join("?role=follower")
        owner = await here.join("?label=Ada")
        news = await watcher.until("owner_changed")
        assert news["owner"] == {"connectionId": owner.connection_id, "label": "Ada"}
        assert (news["ownerEpoch"], news["why"]) == (owner.welcome["ownerEpoch"], "joined")
        assert "reclaimToken" not in news and "reclaimToken" not in watcher.welcome
        assert owner.welcome["reclaimToken"]
        await owner.leave()
        assert (await watcher.until("owner_changed", owner=None))["ownerEpoch"] == news["ownerEpoch"]


async def test_presence_is_told_at_most_once_a_second(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        began = asyncio.get_running_loop().time()
        owner = await here.join()
        followers = [await here.join() for _ in range(8)]
        assert await owner.until("presence", followers=len(followers))
        elapsed = asyncio.get_running_loop().time() - began
        assert len(owner.of("presence")) <= 1 + elapsed


async def test_who_is_answered_to_the_owner_alone(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner, follower = await here.join("?label=Ada"), await here.join()
        await follower.send("hello", client={"name": "test", "version": "1"}, label="Grace")
        await follower.settle()
        answer = await owner.until("connections", id=await owner.send("who"))
        told = [(each["connectionId"], each["role"], each["scope"], each["label"]) for each in answer["connections"]]
        assert told == [
            (owner.connection_id, "owner", "owner", "Ada"),
            (follower.connection_id, "follower", "owner", "Grace"),
        ]
        assert all(each["since"].endswith("Z") for each in answer["connections"])
        await follower.refused(await follower.send("who"), "not_owner")


async def test_a_label_cannot_hide_or_move_characters(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join("?label=%E2%80%AEAda%1b%5b2J")
        other = await here.join()
        await other.send("hello", client={"name": "test"}, label="\u202eeve\x1b[2J")
        await other.settle()
        answer = await owner.until("connections", id=await owner.send("who"))
        assert [each["label"] for each in answer["connections"]] == [
            "\\u{202e}Ada\\u{1b}[2J",
            "\\u{202e}eve\\u{1b}[2J",
        ]
