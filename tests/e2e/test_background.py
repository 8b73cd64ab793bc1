"""What a model lets run in the background: asked for as such, shown live after its turn, read later, and ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.agents.modelled import TELL, Modelled, calls, needs_models, script
from tests.e2e.serving import gone
from tests.e2e.test_survivors import until
from tests.e2e.wire import Client, Scene, decide, scene

from myagent.agents.tools import background

pytestmark = needs_models

COMMAND = "echo $$ >pid; read x <pipe; echo heard $x; exec sleep 1000"


async def begun(here: Scene, root: Path) -> tuple[Client, str]:
    """An owner who has allowed the command, and whose turn has ended; the session."""
    os.mkfifo(root / "pipe")
    owner = await here.join()
    await owner.send(
        "user_message", prompt=script(calls(("Bash", {"command": COMMAND, "run_in_background": True})), TELL)
    )
    request = await owner.until("permission_request")
    assert "In the background: it runs on after this turn" in request["request"]["display"]
    assert not (root / "pid").exists()
    await decide(owner, request, "allow")
    said = await owner.until("agent_stderr", chunk=f"still running in the background: bash_1 ({COMMAND})\n")
    assert said["id"] == request["id"]
    await owner.until("terminal_state", stopReason="end_turn")
    await until((root / "pid").exists)
    return owner, request["sessionId"]


def pid_of(root: Path) -> int:
    return int((root / "pid").read_text())


def tool_results(agent: Modelled) -> list[str]:
    return [each["content"] for each in agent.asked[-1]["messages"] if each["role"] == "tool"]


async def spoken(owner: Client, root: Path) -> dict[str, Any]:
    """Have the command write something; the turn of the agent's own in which that is shown."""
    (root / "pipe").write_text("hello\n")
    activity = await owner.until("activity", origin="agent")
    said = await owner.until("agent_stderr", id=activity["id"])
    assert said["chunk"] == "heard hello\n"
    return activity


async def test_it_goes_on_after_its_turn_is_shown_and_read_later(tmp_path: Path) -> None:
    agent = Modelled(tmp_path)
    async with scene(tmp_path, agent, activity_quiet=0.1) as here:
        owner, session = await begun(here, tmp_path)
        activity = await spoken(owner, tmp_path)
        await owner.until("terminal_state", id=activity["id"])
        for _ in range(2):
            prompt = script(calls(("BashOutput", {"name": "bash_1"})), TELL)
            turn = await owner.send("user_message", prompt=prompt, sessionId=session)
            await owner.until("terminal_state", id=turn)
        assert tool_results(agent)[-2:] == ["it runs still\nheard hello\n", "it runs still\n"]
        turn = await owner.send(
            "user_message", prompt=script(calls(("BashStop", {"name": "bash_1"})), TELL), sessionId=session
        )
        await owner.until("terminal_state", id=turn)
        assert tool_results(agent)[-1] == "it was stopped\n"
        assert gone(pid_of(tmp_path))
        turn = await owner.send(
            "user_message", prompt=script(calls(("BashStop", {"name": "bash_1"})), TELL), sessionId=session
        )
        await owner.until("terminal_state", id=turn)
        assert "its end was read already" in tool_results(agent)[-1]


async def test_stopping_its_turn_ends_it(tmp_path: Path) -> None:
    async with scene(tmp_path, Modelled(tmp_path), activity_quiet=60) as here:
        owner, session = await begun(here, tmp_path)
        activity = await spoken(owner, tmp_path)
        await owner.acked(await owner.send("cancel", sessionId=session))
        await owner.until("terminal_state", id=activity["id"], stopReason="cancelled")
        assert gone(pid_of(tmp_path))


async def test_it_ends_with_the_server(tmp_path: Path) -> None:
    async with scene(tmp_path, Modelled(tmp_path)) as here:
        await begun(here, tmp_path)
    assert gone(pid_of(tmp_path))


async def test_there_are_only_so_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "LIMIT", 1)
    agent = Modelled(tmp_path)
    async with scene(tmp_path, agent) as here:
        owner, session = await begun(here, tmp_path)
        prompt = script(calls(("Bash", {"command": "true", "run_in_background": True})), TELL)
        turn = await owner.send("user_message", prompt=prompt, sessionId=session)
        await decide(owner, await owner.until("permission_request", id=turn), "allow")
        await owner.until("terminal_state", id=turn)
        assert "run in the background already" in tool_results(agent)[-1]


async def test_the_check_finds_an_agent_that_shows_nothing_between_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: then what it wrote comes in the next turn."""
    monkeypatch.setattr(background.OwnTurn, "is_due", lambda self: False)
    async with scene(tmp_path, Modelled(tmp_path), activity_quiet=0.1) as here:
        owner, session = await begun(here, tmp_path)
        (tmp_path / "pipe").write_text("hello\n")
        turn = await owner.send("user_message", prompt=script(TELL), sessionId=session)
        await owner.until("terminal_state", id=turn)
        assert not owner.of("activity")
