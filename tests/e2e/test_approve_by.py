"""`--approve-by`: what several people must allow runs when they have, of different credentials, and not before."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest
from asking import bearer, invite, of, trail
from serving import process, refused
from wire import Client, Message, Scene, decide, scene

from myagent.access import asking
from myagent.access.registry import CreateInvite, RevokeInvites, RotateToken
from myagent.core import approvals
from myagent.host.permission_requests import PermissionRequests

pytestmark = pytest.mark.usefixtures("quiet_log")

EXECUTE = {"approve_by": "2:execute"}


async def people(here: Scene) -> tuple[Client, Client, str]:
    """An owner, and somebody who may approve; with the id of their invite."""
    owner = await here.join()
    invite_id, shown = await invite(here.server, scope="approve", label="Berta")
    return owner, await here.join(headers=shown), invite_id


async def asked(owner: Client, *others: Client, prompt: str = "!touch made") -> Message:
    message_id = await owner.send("user_message", prompt=prompt)
    for other in others:
        await other.until("permission_request", id=message_id)
    return await owner.until("permission_request", id=message_id)


async def test_it_runs_when_both_have_allowed_it_and_not_before(tmp_path: Path) -> None:
    async with scene(tmp_path, **EXECUTE) as here:
        owner, berta, _ = await people(here)
        request = await asked(owner, berta)
        assert request["request"]["people"] == 2 and "remembers" not in request["request"]
        await owner.acked(await decide(owner, request, "allow"))
        told = await berta.until("permission_allowed")
        assert told["allowedBy"] == [owner.connection_id] and told["people"] == 2
        await owner.acked(await decide(owner, request, "allow"), duplicate=True)
        late = await here.join()
        await late.until("permission_request", pending=True)
        assert (await late.until("permission_allowed", pending=True))["allowedBy"] == [owner.connection_id]
        assert not (tmp_path / "made").exists() and not of(await trail(here), "decision")
        await berta.acked(await decide(berta, request, "allow"))
        resolved = await owner.until("permission_resolved")
        assert (resolved["outcome"], resolved["by"]) == ("allow", f"{owner.connection_id} and Berta")
        assert (await owner.until("terminal_state"))["exitCode"] == 0
        assert (tmp_path / "made").exists()
        records = of(await trail(here), "request", "allowed", "decision")
        assert [each["kind"] for each in records] == ["request", "allowed", "decision"]
        assert [each.get("people") for each in records] == [2, 2, None]
        assert len({each["digest"] for each in records}) == 1
        assert records[1]["credential"] != records[2]["credential"]


async def test_one_deny_denies_also_of_who_has_allowed_it(tmp_path: Path) -> None:
    for denying in (0, 1):
        async with scene(tmp_path, **EXECUTE) as here:
            owner, berta, _ = await people(here)
            request = await asked(owner, berta)
            await owner.acked(await decide(owner, request, "allow"))
            who = (owner, berta)[denying]
            await who.acked(await decide(who, request, "deny"))
            assert (await owner.until("permission_resolved"))["outcome"] == "deny"
            assert (await owner.until("terminal_state"))["exitCode"] == 1
            assert not (tmp_path / "made").exists()


async def one_credential_twice(here: Scene, tmp_path: Path) -> bool:
    """Whether two connections of the owner token, under two names, get it to run."""
    owner, berta, _ = await people(here)
    request = await asked(owner, berta)
    await owner.acked(await decide(owner, request, "allow"))
    await owner.leave()
    again = await here.join("?label=somebody+else")
    await again.until("permission_request", pending=True)
    await again.until("ack", id=await decide(again, request, "allow"))
    await berta.settle()
    return bool(berta.of("permission_resolved"))


async def test_one_credential_is_one_person_under_whatever_name(tmp_path: Path) -> None:
    async with scene(tmp_path, owner_grace=0.0, **EXECUTE) as here:
        assert not await one_credential_twice(here, tmp_path)


async def test_control_a_rule_by_name_would_let_it_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true_rule = approvals.allowed

    def by_name(request: Any, new: Any, **more: Any) -> Any:
        return true_rule(request, approvals.Allow(new.by, new.by, None, new.option_id), **more)

    monkeypatch.setattr(approvals, "allowed", by_name)
    async with scene(tmp_path, owner_grace=0.0, **EXECUTE) as here:
        assert await one_credential_twice(here, tmp_path)


async def test_two_devices_of_one_invite_are_one_person(tmp_path: Path) -> None:
    async with scene(tmp_path, **EXECUTE) as here:
        owner, one, invite_id = await people(here)
        request = await asked(owner, one)
        await one.acked(await decide(one, request, "allow"))
        peers = [each for each in here.server.host.peers.values() if each.credential_id == invite_id]
        peers[0].device_id = "another"
        await one.acked(await decide(one, request, "allow"), duplicate=True)


async def test_a_rule_never_stands_in_for_the_second_person(tmp_path: Path) -> None:
    remember = {"scope": "workspace", "match": "prefix", "words": ["touch"]}
    async with scene(tmp_path) as here:
        owner = await here.join()
        await owner.acked(await decide(owner, await asked(owner), "allow", remember=remember))
        await owner.until("terminal_state")
    async with scene(tmp_path, **EXECUTE) as here:
        owner, berta, _ = await people(here)
        request = await asked(owner, berta, prompt="!touch made")  # the rule is there, and does not answer
        await owner.refused(await decide(owner, request, "allow", remember=remember), "bad_message")
        await owner.acked(await decide(owner, request, "deny"))


async def test_other_kinds_need_one_person_and_bypass_none(tmp_path: Path) -> None:
    async with scene(tmp_path, approve_by="2:delete") as here:
        owner = await here.join()
        assert (await here.turn(owner, "!touch made"))["exitCode"] == 0
    async with scene(tmp_path, approve_by="2", allow_bypass=True) as here:
        owner = await here.join()
        assert (await here.turn(owner, "!touch more", permissionMode="bypassPermissions"))["exitCode"] == 0
        assert not owner.of("permission_request")


async def ends_with(here: Scene, end: str) -> tuple[Client, Message]:
    """Berta allows, and her invite ends, or the owner's token; whoever is left, and the request."""
    owner, berta, invite_id = await people(here)
    request = await asked(owner, berta)
    first, left = (owner, berta) if end == "token" else (berta, owner)
    await first.acked(await decide(first, request, "allow"))
    await left.until("permission_allowed")
    what = RotateToken() if end == "token" else RevokeInvites(invite_ids=[invite_id])
    await asyncio.to_thread(asking.ask, here.server.auth_path.parent, what)
    return left, request


@pytest.mark.parametrize("end", ["invite", "token"])
async def test_what_was_allowed_with_a_credential_that_ends_counts_no_more(tmp_path: Path, end: str) -> None:
    async with scene(tmp_path, **EXECUTE) as here:
        left, request = await ends_with(here, end)
        await left.acked(await decide(left, request, "allow"))
        await left.settle()
        assert [len(each["allowedBy"]) for each in left.of("permission_allowed")] == [1, 0, 1]
        assert not left.of("permission_resolved")


async def test_control_a_credential_that_ends_unnoticed_would_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PermissionRequests, "credential_ended", lambda self, ended: None)
    async with scene(tmp_path, **EXECUTE) as here:
        left, request = await ends_with(here, "invite")
        await left.acked(await decide(left, request, "allow"))
        assert (await left.until("permission_resolved"))["outcome"] == "allow"


async def test_a_kill_between_the_two_keeps_the_first_as_a_fact_and_runs_nothing(tmp_path: Path) -> None:
    options = ("--approve-by", "2")
    async with process(tmp_path, *options) as (server, here):
        made = await asyncio.to_thread(
            asking.ask, tmp_path / ".myagent/remote", CreateInvite(lifetime=3600.0, scope="approve", label="Berta")
        )
        owner, berta = await here.join(), await here.join(headers=bearer(made["token"]))
        request = await asked(owner, berta)
        await owner.acked(await decide(owner, request, "allow"))
        await server.stop(signal.SIGKILL)
    async with process(tmp_path, *options) as (_, here):
        events = await here.events(request["sessionId"])
        assert [each["type"] for each in events][-3:] == ["permission_allowed", "permission_resolved", "terminal_state"]
        assert events[-2]["outcome"] == "cancelled" and events[-1]["stopReason"] == "interrupted"
        berta = await here.join(headers=bearer(made["token"]))
        await berta.refused(await decide(berta, request, "allow"), "already_resolved")
        assert not (tmp_path / "made").exists()


async def test_serve_says_what_is_no_number_of_people(tmp_path: Path) -> None:
    code, said = await refused(tmp_path, "--approve-by", "two")
    assert code == 2 and "'two' is no number of people" in said
