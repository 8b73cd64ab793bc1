"""Who comes and goes as fast as they may fills neither the audit nor the server, and keeps nobody else out."""

from __future__ import annotations

from pathlib import Path

import pytest
from asking import ask, invite, knock, of, trail
from wire import scene

from myagent.access.registry import RevokeInvites
from myagent.host import visits
from myagent.server import upgrade

VISITS = 20


@pytest.mark.parametrize("alone", [3, 1000], ids=["joined", "control"])
async def test_of_many_visits_few_are_recorded_and_the_rest_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: int
) -> None:
    monkeypatch.setitem(visits.EACH, "follower", (alone, 1e9))
    async with scene(tmp_path) as here:
        owner = await here.join()
        invite_id, shown = await invite(here.server)
        for _ in range(VISITS):
            guest = await here.join(headers=shown)
            await guest.leave()
        while len(here.server.host.peers) > 1:
            await owner.settle()
        here.server.host._visits.flush()
        await owner.settle()
        records = [each for each in await trail(here) if each.get("credential") == invite_id]
    single = min(alone, VISITS)
    assert (len(of(records, "join")), len(of(records, "leave"))) == (single, single)
    joined = of(records, "visits")
    assert len(joined) == (1 if alone < VISITS else 0)
    assert sum(each["joins"] for each in joined) == sum(each["leaves"] for each in joined) == VISITS - single


@pytest.mark.parametrize("rate", [0.001, 1e6], ids=["limited", "control"])
async def test_one_invite_joins_only_so_often_and_keeps_nobody_else_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: float
) -> None:
    monkeypatch.setattr(upgrade, "JOINS_PER_SECOND", rate)
    async with scene(tmp_path, max_connections=8) as here:
        invite_id, shown = await invite(here.server)
        _, other = await invite(here.server)
        answers = [await knock(here.server, **shown) for _ in range(9)]
        assert [each.status for each in answers[:8]] == [101] * 8
        assert answers[8].status == (429 if rate < 1 else 101)
        assert bool(answers[8].header("Retry-After")) == (rate < 1)
        assert (await knock(here.server, **other)).status == 101
        assert (await here.join()).role == "owner"
        await ask(here.server, RevokeInvites(invite_ids=[invite_id]))
        await knock(here.server, **other)
        assert invite_id not in here.server._upgrades._joins, "of those who are gone nothing is kept"
