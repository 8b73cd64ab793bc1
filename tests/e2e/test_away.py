"""Who could answer and who has seen a request; and what becomes of it while nobody is there who could."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from asking import invite, of, trail
from serving import refused
from test_approve_by import asked, people
from wire import Client, Message, decide, scene

from myagent.core.away import OwnerAway, UnusableOwnerAway, read
from myagent.core.ownership import Ownership

pytestmark = pytest.mark.usefixtures("quiet_log")


async def saw(client: Client, request: Message) -> str:
    return await client.send("seen", permissionRequestId=request["permissionRequestId"])


async def test_who_has_seen_it_is_told_to_those_who_could_answer_once_and_audited(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner, berta, _ = await people(here)
        _, shown = await invite(here.server, scope="follower", label="Carl")
        carl = await here.join(headers=shown)
        request = await asked(owner, berta, carl)
        told = (owner.of("request_seen") or [await owner.until("request_seen")])[0]
        assert told["permissionRequestId"] == request["permissionRequestId"]
        assert (sorted(told["couldAnswer"]), told["seenBy"]) == (sorted([owner.connection_id, "Berta"]), [])
        await berta.acked(await saw(berta, request))
        assert (await owner.until("request_seen"))["seenBy"] == ["Berta"]
        await berta.acked(await saw(berta, request), duplicate=True)
        await carl.refused(await saw(carl, request), "not_owner")
        await carl.settle()
        assert not carl.of("request_seen")  # it is for those who could answer
        late = await here.join(headers=(await invite(here.server, scope="approve", label="Dora"))[1])
        assert (await late.until("request_seen"))["seenBy"] == ["Berta"]
        assert [each["credential"][:2] for each in of(await trail(here), "seen")] == [berta_credential(here, berta)[:2]]
        await owner.acked(await decide(owner, request, "deny"))
        await owner.acked(await saw(owner, request), duplicate=True)  # it is over: nobody needs to know
        assert len(of(await trail(here), "seen")) == 1


def berta_credential(here: Any, berta: Client) -> str:
    return str(here.server.host.peers[berta.connection_id].credential_id)


async def test_a_request_that_was_only_received_is_not_seen_nor_is_one_that_was_not_sent(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner, berta, _ = await people(here)
        request = await asked(owner, berta)
        await owner.settle()
        assert {tuple(each["seenBy"]) for each in owner.of("request_seen")} == {()}
        await berta.acked(await saw(berta, {**request, "permissionRequestId": "unknown"}), duplicate=True)
        await owner.acked(await decide(owner, request, "deny"))


async def test_what_is_asked_while_nobody_could_answer_is_denied_after_a_while(tmp_path: Path) -> None:
    async with scene(tmp_path, owner_away="deny:1", owner_grace=0.0) as here:
        watcher = await here.join(headers=(await invite(here.server))[1])
        owner = await here.join()
        await asked(owner, watcher)
        await owner.leave()
        resolved = await watcher.until("permission_resolved")
        assert (resolved["outcome"], resolved["by"]) == ("deny", "server")
        assert resolved["reason"] == "nobody who may answer was connected"
        assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("away", ["wait", "deny:1"])
async def test_it_waits_while_somebody_could_answer_and_where_nothing_else_was_said(tmp_path: Path, away: str) -> None:
    async with scene(tmp_path, owner_away=away, owner_grace=0.0) as here:
        owner, berta, _ = await people(here)
        request = await asked(owner, berta)
        await owner.leave()
        if away == "wait":
            await berta.leave()
        attention = here.server.host._attention
        attention._look()
        assert attention._timer is None and attention.gone is None
        back = await here.join()
        assert (await back.until("permission_request", pending=True))["permissionRequestId"] == (
            request["permissionRequestId"]
        )
        await back.acked(await decide(back, request, "deny"))


async def test_control_who_only_watches_would_keep_it_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test that it is denied needs the rule of who could answer."""
    monkeypatch.setattr(Ownership, "may_answer", lambda self, connection_id: connection_id in self.seats)
    async with scene(tmp_path, owner_away="deny:1", owner_grace=0.0) as here:
        watcher = await here.join(headers=(await invite(here.server))[1])
        owner = await here.join()
        await asked(owner, watcher)
        await owner.leave()
        await watcher.settle()
        here.server.host._attention._look()
        assert here.server.host._attention._timer is None


@pytest.mark.parametrize(
    "text", ["", "deny", "deny:", "deny:0", "deny:-1", "deny:1e3", "wait:1", "notify:", "deny:86401"]
)
def test_what_is_no_way_to_be_away(text: str) -> None:
    with pytest.raises(UnusableOwnerAway):
        read(text)


def test_ways_to_be_away() -> None:
    assert read("wait") == OwnerAway()
    assert read("notify").what == "notify"
    away = read("deny:5")
    assert [away.is_over(since, 10.0) for since in (None, 5.0, 5.5)] == [False, True, False]


async def test_to_be_notified_there_must_be_an_address(tmp_path: Path) -> None:
    code, said = await refused(tmp_path, "--owner-away", "notify")
    assert code == 2 and "--notify" in said
