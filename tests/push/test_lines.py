"""A credential whose push service hangs keeps none of another waiting, and takes none of its places."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.push.calling import Stage, stage
from tests.push.fake import PATIENCE, Browser

from myagent.push import door as door_module
from myagent.push import lines as module
from myagent.push import lock_screen
from myagent.push.lines import Lines

PLACES = 2


async def hung(here: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """More devices of one invite are called than there are places, and none of these calls ends; then the owner's."""
    monkeypatch.setattr(door_module, "SECONDS", None)
    monkeypatch.setattr(lock_screen, "CLOSE_SECONDS", 0.0)
    here.screen.door = here.service.door(_places=asyncio.Semaphore(PLACES))
    guest = here.server.invite(may="approve", uses=5).id
    for number in range(PLACES + 1):
        await here.subscribe(here.device(guest, name=f"guest{number}"), Browser(), f"hangs{number}")
    _, play = await here.play()
    play.ask("first")
    await here.until(lambda: here.service.hanging > 0)
    await here.subscribe(here.enrol(name="mine")[0], Browser(), "mine")
    play.ask("second")


async def test_devices_of_another_credential_that_hang_keep_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(tmp_path) as here:
        await hung(here, monkeypatch)
        assert (await here.service.next()).path == "/push/mine"
        assert here.service.hanging == 1


async def test_control_devices_that_hold_a_place_each_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, numbers = Lines.add, iter(range(1000))
    monkeypatch.setattr(Lines, "add", lambda lines, credential, call: add(lines, str(next(numbers)), call))
    async with stage(tmp_path) as here:
        await hung(here, monkeypatch)
        await here.until(lambda: here.service.hanging == PLACES)
        assert here.service.came.empty()


async def test_a_line_has_its_own_bound_and_order_and_is_gone_when_it_is_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "UNDERWAY", 3)
    lines, hangs, done = Lines(), asyncio.Event(), list[str]()

    async def call(name: str) -> None:
        if name == "a0":
            await hangs.wait()
        done.append(name)
        if name == "a1":
            raise RuntimeError("one that fails is passed")

    taken = [lines.add("a", lambda name=f"a{number}": call(name)) for number in range(4)]  # type: ignore[misc]
    assert taken == [True, True, True, False]
    assert lines.add("b", lambda: call("b"))
    async with asyncio.timeout(PATIENCE):
        while not done:
            await asyncio.sleep(0)
        assert done == ["b"]
        hangs.set()
        while len(lines):
            await asyncio.sleep(0)
    assert done == ["b", "a0", "a1", "a2"]
