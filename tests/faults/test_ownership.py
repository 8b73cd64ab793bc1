"""A dead owner is found, the right one comes back, and one that is out of date does nothing."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.faults.proxy import Proxy
from tests.faults.serving import LOCAL, ROOT, InProcess
from tests.faults.takeovers import (
    FOUND_WITHIN,
    MANY_WRITES,
    owner_after_a_restart,
    seconds_to_find,
    stale_writes,
    times_to_find,
)
from tests.faults.wire import Wire

from myagent.client.view import View
from myagent.core.ownership import Ownership
from myagent.server import Settings
from myagent.server.connection import Connection

QUICK = Settings(allowed_hosts=LOCAL, heartbeat=0.4, close_timeout=0.1)


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_an_owner_who_dies_without_a_word_is_found(tmp_path: Path, busy: bool) -> None:
    asyncio.run(seconds_to_find(tmp_path, QUICK, random.Random(1), busy=busy))


@pytest.mark.long
def test_an_owner_who_dies_without_a_word_is_found_within_11_seconds(tmp_path: Path) -> None:
    took = asyncio.run(times_to_find(tmp_path, 100))
    print(f"{len(took)} dead owners: p99 {took[-2]:.2f} s, worst {took[-1]:.2f} s")
    assert took[-1] <= FOUND_WITHIN


def test_without_a_heartbeat_nobody_would_find_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    monkeypatch.setattr(Connection, "beat", lambda self, now: None)

    async def within(seconds: float) -> None:
        async with asyncio.timeout(seconds):
            await seconds_to_find(tmp_path, QUICK, random.Random(1), busy=False)

    with pytest.raises(TimeoutError):
        asyncio.run(within(2))


# --- out of date ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("takeovers", [3, pytest.param(100, marks=pytest.mark.long)])
def test_what_a_stale_owner_had_on_its_way_is_refused_one_by_one(tmp_path: Path, takeovers: int) -> None:
    tally = asyncio.run(stale_writes(tmp_path, takeovers))
    print(tally)
    assert (tally.effects, tally.other) == (0, [])
    assert tally.refused == tally.writes


def test_a_stale_owner_with_more_on_its_way_than_errors_are_allowed_gets_every_answer(tmp_path: Path) -> None:
    tally = asyncio.run(stale_writes(tmp_path, 2, MANY_WRITES))
    assert (tally.refused, tally.effects, tally.other) == (2 * MANY_WRITES, 0, [])


def test_counting_stale_writes_as_errors_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: the fence allows nothing."""
    fence = Connection.fence

    def fence_alone(self: Connection) -> None:
        fence(self)
        self._allowance.fence_ends = None

    monkeypatch.setattr(Connection, "fence", fence_alone)
    tally = asyncio.run(stale_writes(tmp_path, 1, MANY_WRITES))
    assert tally.refused < tally.writes and "closed with 1008" in tally.other


def test_without_the_check_of_the_role_a_stale_write_would_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    monkeypatch.setattr(Ownership, "admit", lambda self, connection_id, message: None)
    tally = asyncio.run(stale_writes(tmp_path, 1))
    assert tally.effects and tally.refused < tally.writes


async def test_a_frozen_owner_does_nothing_when_it_thaws(tmp_path: Path) -> None:
    async with InProcess(tmp_path, Settings(heartbeat=0.4, owner_grace=0)) as server, AsyncExitStack() as end:
        owner = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.faults.frozen_owner", str(server.port), server.token,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        end.push_async_callback(owner.communicate)
        end.callback(owner.send_signal, signal.SIGKILL)
        assert owner.stdin is not None and owner.stdout is not None
        assert await owner.stdout.readline() == b"owner\n"
        owner.stdin.write(b"before\n")
        assert await owner.stdout.readline() == b"ack\n"
        follower = await Wire.open(server.port, server.token)
        end.callback(follower.abort)
        owner.send_signal(signal.SIGSTOP)
        await follower.until("owner_changed", owner=None)
        heir = await Wire.open(server.port, server.token)
        end.callback(heir.abort)
        assert heir.role == "owner"
        owner.stdin.write(b"after\n")
        owner.send_signal(signal.SIGCONT)
        assert (await owner.stdout.readline()).startswith(b"gone")
    assert server.agent.ran == {"before": 1}


# --- coming back ---------------------------------------------------------------------------------------------------


async def reclaim_again_and_again(directory: Path) -> list[str]:
    """An owner that is cut off, or swallowed, twenty times; the roles of the strangers who tried in between."""
    token: str | None = None
    used: str | None = None
    strangers = []
    async with InProcess(directory, Settings(allowed_hosts=LOCAL)) as server, Proxy(server.port) as proxy:
        for number in range(20):
            owner = await Wire.open(proxy.port, server.token, reclaim=token)
            assert owner.role == "owner"
            await owner.hello()
            used, token = token, owner.welcome["reclaimToken"]
            # A stranger has no chance, neither with nothing nor with a token that was used.
            proxy.reset() if number % 2 else proxy.black_hole()
            for shown in (None, used):
                stranger = await Wire.open(server.port, server.token, reclaim=shown)
                strangers.append(stranger.role)
                stranger.abort()
            proxy.heal()
            if "owner" in strangers:
                break
    return strangers


async def test_an_owner_cut_off_again_and_again_is_the_owner_again(tmp_path: Path) -> None:
    assert await reclaim_again_and_again(tmp_path) == ["follower"] * 40


async def test_a_token_that_can_be_used_twice_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    monkeypatch.setattr(Ownership, "heard", lambda self, connection_id: None)
    assert "owner" in await reclaim_again_and_again(tmp_path)


@pytest.mark.parametrize("followers", [15, pytest.param(50, marks=pytest.mark.long)])
def test_after_a_restart_the_former_owner_is_the_owner_again(tmp_path: Path, followers: int) -> None:
    assert asyncio.run(owner_after_a_restart(tmp_path, followers)) == ("owner", 0)


def test_clients_that_forget_what_they_were_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    forget: Callable[[View], None] = View.disconnected

    def disconnected(self: View) -> None:
        forget(self)
        self.role = None

    monkeypatch.setattr(View, "disconnected", disconnected)
    assert asyncio.run(owner_after_a_restart(tmp_path, 5)) == ("follower", 1)
