"""What the operator says of an agent that he knows: which of its modes asks, which plans, how it signs in."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.agents.test_acp import Hosted, hosting

from myagent.agents.acp.operator import Operator
from myagent.agents.choice import NoOptions, choose
from myagent.exceptions import AgentUnavailable

MODES = ("--modes", "yolo,careful,thinking")


def test_a_mode_that_he_names_is_used_and_told_as_his_word(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        assert "not verified: asks in careful, as the operator says (mode careful)" in hosted.agent.info.note
        assert hosted.agent.info.state["supervision"] == "operator"
        _, told = await hosted.run("mode")
        assert (told.out.strip(), told.state["supervision"]) == ("careful", "operator")
        end, _ = await hosted.run("mode", mode="plan")
        assert end.stop_reason == "failed" and "plan" in str(end.message), "of planning he said nothing"

    hosting(test, tmp_path, *MODES, operator=Operator(asking_mode="careful"))


def test_without_his_word_it_is_refused(tmp_path: Path) -> None:
    """Negative control."""

    async def test(hosted: Hosted) -> None:
        with pytest.raises(AgentUnavailable, match="offers yolo, careful, thinking"):
            await hosted.agent.start()

    hosting(test, tmp_path, *MODES)


def test_plan_turns_run_in_the_mode_that_he_names(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        assert "asks in careful, plans in thinking, as the operator says" in hosted.agent.info.note
        assert await hosted.says("mode", mode="plan") == "thinking"
        assert await hosted.says("mode") == "careful"

    hosting(test, tmp_path, *MODES, operator=Operator(asking_mode="careful", plan_mode="thinking"))


@pytest.mark.parametrize("operator", [Operator(asking_mode="ask"), Operator(asking_mode="careful", plan_mode="plan")])
def test_a_mode_that_is_not_offered_is_refused_with_those_that_are(tmp_path: Path, operator: Operator) -> None:
    async def test(hosted: Hosted) -> None:
        with pytest.raises(AgentUnavailable, match=r"it offers no mode (ask|plan); it offers yolo, careful, thinking"):
            await hosted.agent.start()

    hosting(test, tmp_path, *MODES, operator=operator)


def test_he_names_how_an_unknown_agent_signs_in(tmp_path: Path) -> None:
    async def signed_in(hosted: Hosted) -> None:
        await hosted.agent.start()
        assert await hosted.says("say in") == "in"

    async def refused(hosted: Hosted) -> None:
        with pytest.raises(AgentUnavailable, match="sign in first: set FAKE_KEY"):
            await hosted.agent.start()

    async def unknown(hosted: Hosted) -> None:
        with pytest.raises(AgentUnavailable, match="it offers no method other to authenticate with; it offers key"):
            await hosted.agent.start()

    hosting(refused, tmp_path, "--auth", "key")
    hosting(signed_in, tmp_path, "--auth", "key", operator=Operator(auth_method="key"))
    hosting(unknown, tmp_path, "--auth", "key", operator=Operator(auth_method="other"))


@pytest.mark.parametrize("name", ["command", "claude-p", "exec:cat {prompt}"])
@pytest.mark.parametrize("said", [{"asking_mode": "a"}, {"plan_mode": "a"}, {"auth_method": "a"}])
def test_his_word_is_for_agents_that_speak_acp(tmp_path: Path, name: str, said: dict[str, Any]) -> None:
    (option,) = (f"--{key.replace('_', '-')}" for key in said)
    with pytest.raises(NoOptions, match=f"none named {option}"):
        choose(name, cwd=tmp_path, operator=Operator(**said))
    asyncio.run(choose(name, cwd=tmp_path, operator=Operator(trusts_directory=True)).close())
