"""What a credential may not do it cannot do by any message type or HTTP route, nor may an owner who was taken over."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, get_args

import pytest
from msgspec.structs import replace
from puppet import PATIENCE, Play, Puppet
from wire import Client, Scene, decide, scene

from myagent.access.invites import Invites
from myagent.core.messages import Cancel, ClientMessage, May, PermissionDecision
from myagent.core.ownership import Ownership
from myagent.settings import LIMITS

BLOB = f"/sessions/{{session}}/blobs/{'a' * 64}"
ROUTES = ("/sessions", "/sessions/{session}/events", BLOB, "/device", "/ticket", "/metrics", "/healthz", "/")
BELOW: tuple[May, ...] = ("watch", "stop", "approve")
# There are more types of messages than a follower may send at once, and more refusals than end a connection.
WIDE = replace(LIMITS, follower_messages_per_second=100_000, errors=100)  # a round trip takes less than a millisecond


def every_message(session: str, request: dict[str, Any], turn: str) -> list[dict[str, Any]]:
    """One of each type, as harmful as it can be made."""
    bodies: dict[str, dict[str, Any]] = {
        "user_message": {"prompt": "!touch made", "sessionId": session},
        "permission_decision": {
            "permissionRequestId": request["permissionRequestId"],
            "decision": {"kind": "allow", "digest": request["request"]["digest"]},
        },
        "resume": {"sessionId": session, "afterSeq": 0},
        "ping": {},
        "hello": {"client": {"name": "x"}, "reclaimToken": "x" * 43},
        "cancel": {"sessionId": session, "turnId": turn},
        "claim": {"force": True},
        "request_control": {},
        "release": {},
        "handover": {"to": "self"},
        "who": {},
        "open_session": {},
        "answer": {"questionId": "unknown", "action": "accept", "content": {"x": 1}},
        "rename": {"sessionId": session, "title": "x"},
        "archive": {"sessionId": session},
        "delete": {"sessionId": session},
        "set_option": {"sessionId": session, "name": "mode", "value": "bypassPermissions"},
        "list_rules": {},
        "revoke_rule": {"ruleId": "unknown"},
        "list_changes": {},
        "read_change": {"file": "made"},
        "seen": {"permissionRequestId": request["permissionRequestId"]},
        "upload": {"digest": "a" * 64, "size": 1, "data": "eA=="},
        "list_files": {"query": "x"},
        "push_state": {},
        "push_on": {"endpoint": "https://127.0.0.1/", "p256dh": "k", "auth": "a"},
        "push_off": {},
    }
    assert {kind.__struct_config__.tag for kind in get_args(ClientMessage)} == set(bodies)
    return [{"type": kind, **body} for kind, body in bodies.items()]


async def asked(here: Scene, puppet: Puppet, owner: Client) -> tuple[Play, Any, dict[str, Any], dict[str, Any]]:
    """A turn that waits for an answer: what is played, the answer, the request, the prompt."""
    await owner.send("user_message", prompt="go")
    play = await puppet.begun()
    answer = play.ask("make")
    request = await owner.until("permission_request")
    return play, answer, request, {"session": request["sessionId"], "turn": request["id"]}


async def join(here: Scene, may: May) -> Client:
    token = here.server.invite(may=may).token
    return await here.join(headers={"Authorization": f"Bearer {token}"})


ANSWERS = ("ack", "error", "pong", "replayed", "connections", "rules", "changes", "change", "push")


async def send_all(client: Client, messages: list[dict[str, Any]]) -> None:
    for message in messages:
        fields = {key: client.connection_id if value == "self" else value for key, value in message.items()}
        sent = await client.send(fields.pop("type"), **fields)
        while not any(each.get("id") == sent and each["type"] in ANSWERS for each in client.messages):
            await client.next()  # what is stored first is answered later
    await client.settle()


async def walk(here: Scene, puppet: Puppet, may: May) -> tuple[bool, bool, int]:
    """Send everything; whether a request was answered and the turn stopped, and how many turns there are."""
    owner = await here.join()
    _, answer, request, where = await asked(here, puppet, owner)
    guest = await join(here, may)
    await guest.until("permission_request")
    everything = every_message(where["session"], request, where["turn"])
    answers = [each for each in everything if each["type"] == "permission_decision"]
    await send_all(guest, answers)
    answered = answer.done() and (await answer).kind == "allow"
    await send_all(guest, [each for each in everything if each not in answers])
    token = here.server.invite(may=may).token
    for route in ROUTES:
        for method in ("GET", "POST"):
            await get(here, route.format(session=where["session"]), token, method)
    await owner.settle()
    ended = bool(owner.of("terminal_state"))
    assert here.server.host.ownership.role(owner.connection_id) == "owner"
    return answered, ended, puppet.runs


async def get(here: Scene, path: str, token: str, method: str) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", here.server.port)
    nonce = "X-Myagent-Device: abcdefghijklmnopqrstuvwxyz\r\n"
    host = f"Host: 127.0.0.1:{here.server.port}\r\n"
    head = f"{method} {path} HTTP/1.1\r\n{host}Authorization: Bearer {token}\r\n{nonce}\r\n"
    writer.write(head.encode())
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    return int(answer.split()[1])


@pytest.mark.parametrize("may", BELOW)
async def test_a_credential_does_what_its_scope_says_by_any_route(tmp_path: Path, may: May) -> None:
    """`watch` answers nothing, `stop` answers nothing, `approve` prompts nothing; none of them owns."""
    puppet = Puppet()
    async with scene(tmp_path, puppet, limits=WIDE) as here:
        answered, ended, turns = await walk(here, puppet, may)
        assert (answered, ended, turns) == (may == "approve", may != "watch", 1)
        assert not (tmp_path / "made").exists()


async def test_control_a_server_that_forgets_scopes_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def admit(self: Ownership, connection_id: str, message: Any) -> None:
        if not isinstance(message, PermissionDecision | Cancel):
            original(self, connection_id, message)

    original = Ownership.admit
    monkeypatch.setattr(Ownership, "admit", admit)
    puppet = Puppet()
    async with scene(tmp_path, puppet, limits=WIDE) as here:
        assert (await walk(here, puppet, "watch"))[:2] != (False, False)


async def test_those_who_may_stop_leave_alone_what_waits(tmp_path: Path) -> None:
    puppet = Puppet()
    async with scene(tmp_path, puppet, limits=WIDE) as here:
        owner = await here.join()
        _, _, _, where = await asked(here, puppet, owner)
        waiting = await owner.send("user_message", prompt="later", sessionId=where["session"])
        await owner.acked(waiting)
        guest = await join(here, "stop")
        cancel = await guest.send("cancel", sessionId=where["session"], turnId=waiting)
        await guest.acked(cancel, duplicate=True)
        assert [turn.id for turn in here.server.host.sessions[where["session"]].queue] == [waiting]


async def test_an_old_owners_answer_after_a_take_over_does_nothing(tmp_path: Path) -> None:
    puppet = Puppet()
    async with scene(tmp_path, puppet, limits=WIDE) as here:
        old, new = await here.join(), await here.join()
        _, answer, request, _ = await asked(here, puppet, old)
        await new.acked(await new.send("claim", force=True))
        told = await old.until("owner_changed", why="taken_over")
        assert told["owner"]["connectionId"] == new.connection_id
        await old.refused(await decide(old, request, "allow"), "stale_owner")
        await old.refused(await old.send("user_message", prompt="more"), "stale_owner")
        assert not answer.done()
        await new.acked(await decide(new, request, "deny"))
        assert (await asyncio.wait_for(answer, PATIENCE)).kind == "deny"


async def test_another_credential_takes_over_only_where_the_operator_says_so(tmp_path: Path) -> None:
    for takeover, allowed in (("own", False), ("any", True)):
        async with scene(tmp_path, Puppet(), takeover=takeover) as here:
            owner, guest = await here.join(), await join(here, "drive")
            claim = await guest.send("claim", force=True)
            if allowed:
                await guest.acked(claim)
            else:
                await guest.refused(claim, "not_claimable")
            ownership = here.server.host.ownership
            assert ownership.role((guest if allowed else owner).connection_id) == "owner"


async def test_of_several_answers_the_first_counts_and_says_whose_it_is(tmp_path: Path) -> None:
    puppet = Puppet()
    async with scene(tmp_path, puppet, limits=WIDE) as here:
        owner = await here.join()
        _, answer, request, _ = await asked(here, puppet, owner)
        anna = await here.join(
            headers={"Authorization": f"Bearer {here.server.invite(may='approve', label='A').token}"}
        )
        await anna.until("permission_request")
        await anna.acked(await decide(anna, request, "deny"))
        assert (await owner.until("permission_resolved"))["by"] == "A"
        await owner.refused(await decide(owner, request, "allow"), "already_resolved")
        assert (await asyncio.wait_for(answer, PATIENCE)).kind == "deny"


async def test_a_link_that_pairs_is_good_for_its_exchange_alone(tmp_path: Path) -> None:
    async with scene(tmp_path, Puppet()) as here:
        token = here.server.pair("drive").token
        for route in ("/sessions", "/ticket", "/metrics"):
            assert await get(here, route, token, "GET") == 401
        assert await get(here, "/device", token, "GET") == 200


async def test_control_a_link_that_opened_more_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = Invites.find
    monkeypatch.setattr(
        Invites, "find", lambda self, shown, digest, **asked: find(self, shown, digest, **{**asked, "enrols": True})
    )
    async with scene(tmp_path, Puppet()) as here:
        assert await get(here, "/sessions", here.server.pair("drive").token, "GET") != 401


async def test_two_of_one_name_are_told_apart_and_the_credentials_stands_first(tmp_path: Path) -> None:
    async with scene(tmp_path, Puppet()) as here:
        await here.join("?label=anna")
        await here.join("?label=anna")
        token = here.server.invite(may="drive", label="Berta").token
        await here.join("?label=anna", headers={"Authorization": f"Bearer {token}"})
        shown = [peer.label for peer in here.server.host.peers.values()]
        assert shown == ["anna", "anna #2", "Berta (anna)"]


async def test_no_message_has_a_secret_for_its_id(tmp_path: Path) -> None:
    """An id is repeated in answers and in the log, which have no other place for it."""
    secret = "ghp_" + "a1B2" * 9
    puppet = Puppet()
    async with scene(tmp_path, puppet, limits=WIDE) as here:
        owner = await here.join()
        _, answer, request, where = await asked(here, puppet, owner)
        for message in every_message(where["session"], request, where["turn"]):
            sent = await owner.send(message.pop("type"), **(message | {"id": secret}))
            while not any(each["type"] == "error" and each["code"] == "bad_message" for each in owner.messages):
                await owner.next()
            assert sent == secret and "holds a secret" in owner.of("error")[-1]["message"]
            owner.messages.clear()
        assert not answer.done() and not (tmp_path / "made").exists()
        await here.server.host.log.flush()
        files = [path for path in (tmp_path / ".myagent").rglob("*") if path.is_file()]
        assert files and not [path for path in files if secret.encode() in path.read_bytes()]
