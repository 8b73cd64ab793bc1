"""A connection that watches one session, with all that its credential may do, reaches nothing of the others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from asking import get, invite
from test_rules import PREFIX, asked, listed, remembered
from wire import Client, Message, Scene, decide, scene

from myagent.core.messages import SessionId
from myagent.host import permission_requests, remembering
from myagent.host.peer import Peer

pytestmark = pytest.mark.usefixtures("quiet_log")


@dataclass(frozen=True)
class Bound:
    """Two sessions, the owner's connection to all of them, and somebody's that may own and watches the first."""

    here: Scene
    owner: Client
    guest: Client
    shown: dict[str, str]
    first: str
    other: str


@asynccontextmanager
async def bound(tmp_path: Path) -> AsyncIterator[Bound]:
    async with scene(tmp_path) as here:
        owner = await here.join()
        first = (await remembered(owner, "!touch one", {**PREFIX, "scope": "session"}))["sessionId"]
        other = (await remembered(owner, "!touch two", PREFIX))["sessionId"]
        _, shown = await invite(here.server, scope="owner", session_id=first)
        guest = await here.join(headers=shown)
        yield Bound(here, owner, guest, shown, first, other)


async def own(at: Bound) -> None:
    """Have the guest own."""
    await at.owner.acked(await at.owner.send("handover", to=at.guest.connection_id))
    await at.guest.until("owner_changed")


async def test_it_lists_and_ends_the_rules_of_its_session_alone(tmp_path: Path) -> None:
    async with bound(tmp_path) as at:
        mine, others = sorted(await listed(at.owner), key=lambda rule: "sessionId" not in rule)
        await own(at)
        assert await listed(at.guest) == [mine]
        error = await at.guest.refused(await at.guest.send("revoke_rule", ruleId=others["ruleId"]), "not_allowed")
        assert "watches one session" in error["message"]
        await at.guest.acked(await at.guest.send("revoke_rule", ruleId=mine["ruleId"]))
        assert await listed(at.guest) == []


async def test_control_a_guest_who_sees_all_rules_would_end_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_of_them(peer: Peer, rule: object) -> bool:
        return True

    monkeypatch.setattr(remembering, "_sees", all_of_them)
    with pytest.raises(AssertionError):
        await test_it_lists_and_ends_the_rules_of_its_session_alone(tmp_path)


async def test_what_it_allows_is_remembered_for_its_session_alone(tmp_path: Path) -> None:
    async with bound(tmp_path) as at:
        await own(at)
        request = await asked(at.guest, "!rmdir x", sessionId=at.first)
        wide = {"scope": "workspace", "match": "exact"}
        await at.guest.refused(await decide(at.guest, request, "allow", remember=wide), "not_allowed")
        await at.guest.acked(await decide(at.guest, request, "allow", remember={**wide, "scope": "session"}))
        assert [rule["sessionId"] for rule in await listed(at.guest)] == [at.first, at.first]


async def waiting_elsewhere(at: Bound) -> Message:
    """A request of the other session, asked before the slot moves."""
    request = await asked(at.owner, "!rmdir x", sessionId=at.other)
    await own(at)
    return request


async def test_it_answers_nothing_that_another_session_asks(tmp_path: Path) -> None:
    async with bound(tmp_path) as at:
        request = await waiting_elsewhere(at)
        await at.guest.refused(await decide(at.guest, request, "allow"), "unknown_request")
        for kind in ("seen", "cancel"):
            fields = {"permissionRequestId": request["permissionRequestId"]} if kind == "seen" else {}
            told = await at.guest.send(kind, **(fields or {"sessionId": at.other}))
            await at.guest.refused(told, "unknown_request" if fields else "unknown_session")
        await own_again(at)
        await at.owner.acked(await decide(at.owner, request, "deny"))


async def own_again(at: Bound) -> None:
    await at.guest.acked(await at.guest.send("release"))
    await at.owner.acked(await at.owner.send("claim"))


async def test_nor_a_request_that_was_resolved_there(tmp_path: Path) -> None:
    """Whether it was, and how, is not told either."""
    async with bound(tmp_path) as at:
        request = await asked(at.owner, "!rmdir x", sessionId=at.other)
        await at.owner.acked(await decide(at.owner, request, "deny"))
        await own(at)
        await at.guest.refused(await decide(at.guest, request, "deny"), "unknown_request")


async def test_control_one_that_watches_everything_would_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def everything(peer: Peer, session_id: SessionId) -> bool:
        return True

    monkeypatch.setattr(permission_requests, "watches", everything)
    with pytest.raises(AssertionError):
        await test_nor_a_request_that_was_resolved_there(tmp_path)


async def test_figures_of_the_whole_server_are_not_for_it(tmp_path: Path) -> None:
    async with bound(tmp_path) as at:
        assert (await get(at.here, "/metrics", at.shown)).status == 403
        _, whole = await invite(at.here.server, scope="owner")
        assert (await get(at.here, "/metrics", whole)).status == 200


async def test_the_rules_of_a_session_end_with_it(tmp_path: Path) -> None:
    async with bound(tmp_path) as at:
        before = await listed(at.owner)
        await at.owner.acked(await at.owner.send("delete", sessionId=at.first))
        left = await listed(at.owner)
        assert len(before) == 2 and [rule.get("sessionId") for rule in left] == [None]
        kept = (tmp_path / ".myagent" / "remote" / "rules.json").read_text()
        assert at.first not in kept and left[0]["ruleId"] in kept
