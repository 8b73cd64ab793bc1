"""A permission request is resolved once, on every path, and everybody is told; what runs is what was shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.faults.serving import InProcess, ScriptedAgent, script, stored
from tests.faults.wire import Json, Wire

from myagent.agents import Turn, TurnEnd, TurnIO
from myagent.agents.builtin.command import CommandAgent
from myagent.agents.tools import tools
from myagent.core.session import Session, Step
from myagent.server import Server, Settings

QUICK = Settings(owner_grace=0, close_timeout=0.2)


class Asking(ScriptedAgent):
    """Its question goes on in the background while it fails."""

    async def run(self, turn: Turn, io: TurnIO) -> TurnEnd:
        if not json.loads(turn.prompt).get("fail"):
            return await super().run(turn, io)
        question = asyncio.create_task(super().run(replace(turn, prompt=script(ask=True)), io))
        await self.go.wait()
        question.cancel()
        raise RuntimeError("the agent crashed")


class Scene:
    """An owner who was asked, and a follower who sees it."""

    def __init__(self, server: InProcess, owner: Wire, follower: Wire, asked: Json) -> None:
        self.server, self.owner, self.follower, self.asked = server, owner, follower, asked

    async def decide(self, kind: str, **more: Any) -> str:
        return await self.owner.send(
            "permission_decision",
            permissionRequestId=self.asked["permissionRequestId"],
            decision={"kind": kind, **more},
        )


Path_ = Callable[[Scene], Awaitable[object]]


async def resolve(directory: Path, settings: Settings, path: Path_, **steps: Any) -> tuple[list[str], int]:
    """Have something asked, and go one way; how often it was resolved, as what, and how often it was carried out."""
    async with InProcess(directory, settings, Asking()) as server:
        owner = await Wire.open(server.port, server.token)
        follower = await Wire.open(server.port, server.token)
        await owner.send("user_message", id="p", prompt=script(**steps or {"ask": True}))
        asked = await owner.until("permission_request")
        await path(Scene(server, owner, follower, asked))
        told = await follower.until("permission_resolved")
        end = await follower.until("terminal_state")
        for wire in (owner, follower):
            wire.abort()
    log = [json.loads(each.body) for each in (await stored(directory))[end["sessionId"]]]
    outcomes = [each["outcome"] for each in log if each["type"] == "permission_resolved"]
    assert [each["id"] for each in log if each["type"] == "terminal_state"] == ["p"]
    assert told["outcome"] == outcomes[0] and told["permissionRequestId"] == asked["permissionRequestId"]
    assert [each["type"] for each in log][-1] == "terminal_state"
    return outcomes, server.agent.allowed["p"]


async def _twice(scene: Scene) -> None:
    """The same decision again, and the opposite one, all before the first is answered."""
    first, again, other = await scene.decide("allow"), await scene.decide("allow"), await scene.decide("deny")
    answers = {answer["id"]: answer for answer in [await _answer(scene.owner) for _ in range(3)]}
    assert answers[first]["duplicate"] is False and answers[again]["duplicate"] is True
    assert answers[other]["code"] == "already_resolved"


async def _answer(wire: Wire) -> Json:
    while (message := await wire.receive())["type"] not in ("ack", "error"):
        pass
    return message


async def _cancel_and_allow(scene: Scene) -> None:
    """Both on their way at once: whatever comes first, counts."""
    await scene.owner.send("cancel", sessionId=scene.asked["sessionId"])
    await scene.decide("allow")


async def _wrong_digest(scene: Scene) -> None:
    answer = await scene.owner.answer(await scene.decide("allow", digest="0" * 64))
    assert answer["code"] == "digest_mismatch"
    await scene.decide("deny")


async def _leave(scene: Scene) -> None:
    await scene.owner.close()


async def _drop(scene: Scene) -> None:
    scene.owner.abort()


async def _crash(scene: Scene) -> None:
    scene.server.agent.go.set()


async def _stop(scene: Scene) -> None:
    await asyncio.wait([asyncio.create_task(scene.server.stop())])


async def _nothing(scene: Scene) -> None:
    pass


PATHS: dict[str, tuple[Path_, Settings, dict[str, Any], str, int]] = {
    "allowed": (lambda scene: scene.decide("allow"), QUICK, {}, "allow", 1),
    "denied": (lambda scene: scene.decide("deny"), QUICK, {}, "deny", 0),
    "decided three times": (_twice, QUICK, {}, "allow", 1),
    "another digest": (_wrong_digest, QUICK, {}, "deny", 0),
    "cancelled and allowed": (_cancel_and_allow, QUICK, {}, "cancelled", 0),
    "expired": (_nothing, replace(QUICK, permission_timeout=0.05), {}, "expired", 0),
    "owner left, deny": (_leave, replace(QUICK, on_owner_leave="deny"), {}, "deny", 0),
    "owner dropped, deny": (_drop, replace(QUICK, on_owner_leave="deny"), {}, "deny", 0),
    "owner left, interrupt": (_leave, replace(QUICK, on_owner_leave="interrupt"), {}, "cancelled", 0),
    "agent crashed": (_crash, QUICK, {"fail": True}, "cancelled", 0),
    "server stopped": (_stop, QUICK, {}, "cancelled", 0),
}


@pytest.mark.parametrize("name", PATHS)
def test_it_is_resolved_once(tmp_path: Path, name: str) -> None:
    path, settings, steps, outcome, effects = PATHS[name]
    assert asyncio.run(resolve(tmp_path, settings, path, **steps)) == ([outcome], effects)


def test_resolving_it_again_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: a request that stays open when it was decided is cancelled at the end of its turn, too."""
    take = Session._resolve

    def keep_open(self: Session, *arguments: Any, **how: Any) -> Step:
        step = take(self, *arguments, **how)
        return Step(_with(step.session, open=self.open), step.events)

    monkeypatch.setattr(Session, "_resolve", keep_open)
    path, settings, steps, *_ = PATHS["allowed"]
    assert len(asyncio.run(resolve(tmp_path, settings, path, **steps))[0]) == 2


def _with(session: Session, **fields: Any) -> Session:
    return type(session)(**{**{name: getattr(session, name) for name in session.__struct_fields__}, **fields})


async def test_it_outlives_its_owner_and_goes_to_the_next(tmp_path: Path) -> None:
    async with InProcess(tmp_path, QUICK) as server:
        owner = await Wire.open(server.port, server.token)
        await owner.send("user_message", id="p", prompt=script(ask=True))
        asked = await owner.until("permission_request")
        await owner.close()
        heir = await Wire.open(server.port, server.token)
        assert heir.role == "owner"
        again = await heir.until("permission_request", pending=True)
        assert {**asked, "pending": True} == again
        await Scene(server, heir, heir, again).decide("allow")
        assert (await heir.until("terminal_state"))["exitCode"] == 0
        heir.abort()
        assert server.agent.allowed["p"] == 1


# --- what runs is what was shown -----------------------------------------------------------------------------------


async def run_changed(directory: Path) -> tuple[int, bool]:
    """Allow a script that was changed after it was asked for; the turn's exit code, and whether it ran."""
    (directory / "run.sh").write_text("touch harmless\n")
    async with Server(directory, CommandAgent(), QUICK) as server:
        owner = await Wire.open(server.port, server.token)
        await owner.send("user_message", id="p", prompt="!sh run.sh")
        asked = await owner.until("permission_request")
        (directory / "run.sh").write_text("touch harmful\n")
        decision = {"kind": "allow", "digest": asked["request"]["digest"]}
        await owner.send("permission_decision", permissionRequestId=asked["permissionRequestId"], decision=decision)
        end = await owner.until("terminal_state")
        owner.abort()
    if end["exitCode"]:
        assert "changed after leave was asked" in end["message"] and "run.sh" in end["message"]
    return end["exitCode"], any((directory / name).exists() for name in ("harmful", "harmless"))


def test_a_file_that_changed_since_is_not_run(tmp_path: Path) -> None:
    assert asyncio.run(run_changed(tmp_path)) == (1, False)


def test_not_looking_again_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    monkeypatch.setattr(tools, "differences", lambda before, now: [])
    assert asyncio.run(run_changed(tmp_path)) == (0, True)
