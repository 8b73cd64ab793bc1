"""What others hold leaves the owner room: places for work, sockets, budgets; each with what would happen without."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from asking import bearer, get, invite
from raw import Raw, frame, request
from wire import Scene, scene

from myagent.server import places
from myagent.server.places import Budget, Crowd

PLAIN = ("Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version")


def test_of_a_full_budget_whoever_holds_the_most_gives_way() -> None:
    ended: list[str] = []
    budget: Budget[str] = Budget(100, ended.append)
    budget.put("greedy", 60)
    budget.put("modest", 10)
    budget.put("late", 20)
    assert not ended and budget.total == 90
    budget.put("late", 31)
    assert ended == ["greedy"] and budget.total == 41
    budget.drop("modest")
    budget.drop("modest")
    assert budget.total == 31


def test_of_a_full_crowd_the_oldest_of_the_largest_group_gives_way() -> None:
    ended: list[int] = []
    crowd: Crowd[int] = Crowd(4, ended.append)
    for one, key in ((1, "alone"), (2, "many"), (3, "many"), (4, "many")):
        crowd.add(one, key)
    assert not ended
    crowd.add(5, "new")
    assert ended == [2] and 1 in crowd and 5 in crowd and len(crowd) == 4
    while crowd.push_out():
        pass
    assert sorted(ended) == [1, 2, 3, 4, 5] and not len(crowd)


async def unread_pages(here: Scene, stack: AsyncExitStack, shown: dict[str, str], session: str, count: int) -> None:
    """Ask for pages of events on so many connections, and read none."""
    ask = request(here.server, target=f"/sessions/{session}/events", drop=PLAIN, **shown)
    for _ in range(count):
        raw = await stack.enter_async_context(Raw(here.server))
        await raw.send(ask)


@pytest.mark.parametrize("own", [True, False], ids=["places of its own", "control"])
async def test_an_invite_that_fills_its_places_leaves_the_owner_all_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    """Pages are held in the making, so that all places are taken and all that may wait do."""
    if not own:
        place = places.Work.place
        monkeypatch.setattr(places.Work, "place", lambda self, credential: place(self, None))
    async with scene(tmp_path) as here, AsyncExitStack() as stack:
        owner = await here.join()
        session = (await here.turn(owner, "help"))["sessionId"]
        _, shown = await invite(here.server)
        made, read = asyncio.Event(), here.server.host.log.read_session

        async def slow(*arguments: object, **more: object) -> object:
            await made.wait()
            return await read(*arguments, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(here.server.host.log, "read_session", slow)
        await unread_pages(here, stack, shown, session, 200)
        work = here.server.places.work
        while not any(work._waiting[each] >= places.WAITING_EACH + places.WORK_EACH for each in work._waiting):
            await asyncio.sleep(0.01)
        assert (await get(here, "/ticket", bearer(here.server.token))).status == 200
        assert (await get(here, f"/sessions/{session}/events", shown)).status == 503
        asking = asyncio.create_task(get(here, f"/sessions/{session}/events", bearer(here.server.token)))
        if own:
            while not work._waiting["owner"]:
                await asyncio.sleep(0.01)
            made.set()
        assert (await asking).status == (200 if own else 503)
        made.set()


async def test_many_who_ask_for_what_is_open_to_all_refuse_the_owner_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, AsyncExitStack() as stack:
        owner = bearer(here.server.token)
        for number in range(200):
            raw = await stack.enter_async_context(Raw(here.server))
            await raw.send(request(here.server, target="/healthz", drop=(*PLAIN, "Authorization")))
            if number % 20 == 0:
                assert (await get(here, "/ticket", owner)).status == 200
        assert len(here.server.places.lingering) <= places.LINGERING_SOCKETS


async def test_a_follower_may_send_what_a_follower_needs_and_no_more(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, Raw(here.server) as raw:
        owner = await here.join()
        _, shown = await invite(here.server)
        guest = await here.join(headers=shown)
        assert (guest.welcome["limits"]["messageBytes"], owner.welcome["limits"]["messageBytes"]) == (4096, 1 << 20)
        await guest.acked(await guest.send("hello", label="x" * 100, client={"name": "x" * 100}))
        await raw.send(request(here.server, **shown))
        assert (await raw.answer()).status == 101
        await raw.send(frame(1, b"{", length=4097))  # the rest does not come
        assert await raw.close_code() == 1009
        await owner.acked(await owner.send("user_message", prompt="help " + "x" * 100_000))


async def test_a_header_that_is_too_long_is_answered_before_its_end(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, Raw(here.server) as raw:
        await raw.send(request(here.server)[:-2] + b"X: " + b"x" * 9000)
        assert (await raw.answer()).status == 431


async def test_a_request_that_is_too_long_is_answered_once_and_let_go(tmp_path: Path) -> None:
    async with scene(tmp_path) as here, Raw(here.server) as raw:
        head = request(here.server, target="/healthz")[:-2]
        await raw.send(head + b"".join(b"X-%d: %b\r\n" % (number, b"x" * 8000) for number in range(9)))
        assert (await raw.answer()).status == 431
        assert await raw.at_eof() == b""
        assert (await here.join()).role == "owner"
