"""What an owner chooses for a session of an ACP agent: looked up, guarded, set at once or before the next prompt."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.agents.recorder import Recorder
from tests.agents.test_acp import Hosted, hosting
from tests.agents.test_claude_p import Run
from tests.agents.test_claude_p import hosting as hosting_claude
from tests.core.test_choices import HOSTILE

from myagent.agents import Turn, TurnEnd
from myagent.agents.choosing import NeedsBypass, NotOffered
from myagent.agents.claude.agent import ClaudePrintAgent
from myagent.core.choices import Choice, Value
from myagent.core.messages import PermissionMode
from myagent.exceptions import AgentUnavailable

MODES = ("--modes", "auto,ask,plan,acceptEdits")


def choose(hosted: Hosted, name: str, value: Value, *, bypass: bool = False, session: str = "one") -> Choice:
    return hosted.agent.choose(session, name, value, (), allow_bypass=bypass)


async def chosen(
    hosted: Hosted, prompt: str, *choices: Choice, bypass: bool = False, **turn: Any
) -> tuple[TurnEnd, Recorder]:
    told = Recorder()
    asked = replace(hosted.turn(prompt, **turn), choices=choices, allow_bypass=bypass)
    return await hosted.agent.run(asked, told), told


def options(told: Recorder) -> dict[str, Value]:
    return {row["id"]: row["value"] for row in told.state["options"]}


@pytest.mark.parametrize(
    ("offer", "name", "value", "sets"),
    [
        ("config", "model", "small", ["m1", "small"]),
        ("config", "fast", True, ["fast", True]),
        ("config", "fast", "On", ["fast", True]),
        ("models", "model", "small", None),
        ("config", "mode", "ask", None),  # it is in that one already
    ],
)
def test_a_choice_is_set_before_the_next_prompt_and_told(
    tmp_path: Path, offer: str, name: str, value: Value, sets: list[Any] | None
) -> None:
    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        choice = choose(hosted, name, value)
        assert not choice.guarded
        _, told = await chosen(hosted, "told", choice)
        assert options(told)[choice.option_id] == choice.value
        assert sets is None or sets in json.loads(told.out)
        _, told = await chosen(hosted, "chosen", choice)
        assert name == "mode" or json.loads(told.out)[choice.option_id] == choice.value

    hosting(test, tmp_path, *MODES, "--offer", offer)


def test_a_choice_is_set_at_once_where_the_session_is_open(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        await hosted.run("say x")
        choice = choose(hosted, "m1", "small")
        await hosted.agent.apply("one", choice)
        assert json.loads(await hosted.says("chosen"))["m1"] == "small"

    hosting(test, tmp_path, "--offer", "config")


def test_a_choice_while_a_turn_runs_is_told_there(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        told = Recorder()
        running = asyncio.create_task(hosted.run("wait", told))
        await told.until(lambda: "options" in told.state)
        choice = choose(hosted, "m1", "small")
        await hosted.agent.apply("one", choice)
        assert options(told)["m1"] == "small"
        assert "changed" not in told.err
        running.cancel()
        await asyncio.wait({running})

    hosting(test, tmp_path, "--offer", "config")


def test_what_it_refuses_is_said(tmp_path: Path) -> None:
    """At once, and where it comes with the turn: there the turn goes on without it."""

    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        await hosted.run("say x")
        choice = choose(hosted, "effort", "high")
        with pytest.raises(AgentUnavailable, match="refused effort=high: not for this account"):
            await hosted.agent.apply("one", choice)
        end, told = await chosen(hosted, "say on", choice)
        assert end.stop_reason == "end_turn"
        assert told.err == "effort=high, which was chosen, was refused: not for this account\n"

    hosting(test, tmp_path, "--offer", "config")


@pytest.mark.parametrize(("name", "value"), [("m1", "huge"), ("speed", "x"), ("fast", "perhaps"), ("m1", True)])
def test_what_is_not_offered_is_refused(tmp_path: Path, name: str, value: Value) -> None:
    async def test(hosted: Hosted) -> None:
        with pytest.raises(NotOffered):
            choose(hosted, name, value)  # nothing is known before the start
        await hosted.agent.start()
        with pytest.raises(NotOffered):
            choose(hosted, name, value)

    hosting(test, tmp_path, "--offer", "config")


# --- what may let it act unasked --------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["mode", "config", "both"])
@pytest.mark.parametrize("mode", ["auto", "acceptEdits", "plan"])
def test_a_mode_that_is_not_known_to_ask_needs_bypass(tmp_path: Path, by: str, mode: str) -> None:
    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        with pytest.raises(NeedsBypass, match="needs a server that was started with --allow-bypass"):
            choose(hosted, "mode", mode)
        choice = choose(hosted, "mode", mode, bypass=True)
        assert choice.guarded and choice.before == "ask"
        # Stored once, and the server is started again without it: neither the turn nor `apply` sets it.
        _, told = await chosen(hosted, "mode", choice)
        assert told.out == "ask"
        assert (
            told.err
            == f"{choice.option_id}={mode}, which was chosen, needs a server that was started with --allow-bypass\n"
        )
        await hosted.agent.apply("one", choice)
        assert await hosted.says("mode") == "ask"
        # With it, from the next prompt on, and it is known that nobody is asked.
        _, told = await chosen(hosted, "mode", choice, bypass=True)
        assert told.out == mode and told.state["mode"] == mode
        assert told.state["supervision"] == "unsupervised"
        # The turn's own mode stands above it; and without the choice it asks again.
        _, told = await chosen(hosted, "mode", choice, bypass=True, mode="bypassPermissions")
        assert told.out == "ask"
        _, told = await chosen(hosted, "mode")
        assert told.out == "ask" and told.state["supervision"] == "unverified"

    hosting(test, tmp_path, *MODES, "--mode-by", by)


@pytest.mark.parametrize("mode", [mode for mode in HOSTILE if "," not in mode])
def test_no_spelling_of_a_mode_gets_by(tmp_path: Path, mode: str) -> None:
    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        for given in (mode, mode.upper(), f" {mode}", "Ask", "ASK", "ask ", "\u0430sk"):
            with pytest.raises((NeedsBypass, NotOffered)):
                choose(hosted, "mode", given)
        with pytest.raises(NeedsBypass):
            choose(hosted, "mode", mode)
        assert [row["value"] for row in hosted.agent.info.state["options"][0]["values"] if row.get("guarded")] == [mode]

    hosting(test, tmp_path, "--modes", f"ask,{mode}")


def test_a_switch_that_asks_nobody_needs_bypass(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        with pytest.raises(NeedsBypass):
            choose(hosted, "auto_approve", True)
        choice = choose(hosted, "auto_approve", True, bypass=True)
        _, told = await chosen(hosted, "chosen", choice, bypass=True)
        assert json.loads(told.out)["auto_approve"] is True
        assert told.state["supervision"] == "unsupervised"
        _, told = await chosen(hosted, "chosen", choice)  # the server was started again without it
        assert json.loads(told.out)["auto_approve"] is False
        assert "needs a server that was started with --allow-bypass" in told.err

    hosting(test, tmp_path, "--offer", "approving")


@pytest.mark.parametrize("by", ["mode", "config", "both"])
def test_a_mode_that_it_changes_by_itself_is_told_and_changed_back(tmp_path: Path, by: str) -> None:
    """Also where an owner chose one: to that one, and never to what the agent made of it."""

    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        choice = choose(hosted, "mode", "ask")
        _, told = await chosen(hosted, "switch auto", choice, bypass=True)
        assert "the agent changed its mode: ask → auto" in told.err
        _, told = await chosen(hosted, "mode", choice, bypass=True)
        assert told.out == "ask"
        accepts = choose(hosted, "mode", "acceptEdits", bypass=True)
        await chosen(hosted, "switch auto", accepts, bypass=True)
        assert (await chosen(hosted, "mode", accepts, bypass=True))[1].out == "acceptEdits"
        assert (await chosen(hosted, "mode", accepts))[1].out == "ask"

    hosting(test, tmp_path, *MODES, "--mode-by", by)


def test_a_switch_that_it_changes_by_itself_is_told_and_changed_back(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        _, told = await hosted.run("reconfigure auto_approve")
        assert "the agent changed its auto_approve: False → True" in told.err
        _, told = await hosted.run("chosen")
        assert json.loads(told.out)["auto_approve"] is False
        _, told = await hosted.run("reconfigure fast")  # what lets nothing run is its own affair
        assert "changed" not in told.err
        assert json.loads(await hosted.says("chosen"))["fast"] is True

    hosting(test, tmp_path, "--offer", "approving")


def test_a_mode_that_it_refuses_does_not_hold_and_it_asks(tmp_path: Path) -> None:
    """As gemini-cli does where it does not trust the directory."""

    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        choice = choose(hosted, "mode", "auto", bypass=True)
        end, told = await chosen(hosted, "mode", choice, bypass=True)
        assert (end.stop_reason, told.out) == ("end_turn", "ask")
        assert "mode=auto, which was chosen, does not hold" in told.err
        assert told.state["supervision"] == "unverified"

    hosting(test, tmp_path, "--modes", "ask,auto", "--refuse-mode", "auto")


# --- claude -p --------------------------------------------------------------------------------------------------------


def test_claude_is_started_as_was_chosen_and_asks_unless_a_mode_says_otherwise(tmp_path: Path) -> None:
    async def test(run: Run, hosted: ClaudePrintAgent) -> None:
        async def arguments(*choices: Choice, bypass: bool = False, mode: PermissionMode = "default") -> list[str]:
            told.append(Recorder())
            turn = Turn("one", "turn", "arguments", mode, tmp_path, choices=choices, allow_bypass=bypass)
            await hosted.run(turn, told[-1])
            argv: list[str] = json.loads(told[-1].out)
            return argv

        def asks(argv: list[str]) -> bool:
            at = argv.index("--permission-mode")
            return argv[at + 1] == "default" and "--settings" in argv and argv.count("--permission-mode") == 1

        told: list[Recorder] = []
        await hosted.start()
        model = hosted.choose("one", "model", "small", (), allow_bypass=False)
        argv = await arguments(model)
        assert argv[argv.index("--model") + 1] == "small" and asks(argv)
        assert {row["id"]: row["value"] for row in told[-1].state["options"]}["model"] == "small"
        for mode in ("acceptEdits", "bypassPermissions", "plan"):
            with pytest.raises(NeedsBypass):
                hosted.choose("one", "mode", mode, (), allow_bypass=False)
            choice = hosted.choose("one", "mode", mode, (), allow_bypass=True)
            assert asks(await arguments(choice))  # the server was started again without it
            assert "needs a server that was started with --allow-bypass" in told[-1].err
            assert told[-1].state["mode"] == "default"
            argv = await arguments(choice, bypass=True)
            assert argv[argv.index("--permission-mode") + 1] == mode and "--settings" not in argv
            assert told[-1].state["supervision"] == "unsupervised"
            assert asks(await arguments(choice, bypass=True, mode="bypassPermissions"))
        with pytest.raises(NotOffered):
            hosted.choose("one", "mode", "yolo", (), allow_bypass=True)

    hosting_claude(tmp_path, test)
