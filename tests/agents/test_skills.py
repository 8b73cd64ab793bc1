"""The skills that a prompt names: given to an agent that offers them, and never left out without a word."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.agents.recorder import Recorder
from tests.agents.test_acp import Hosted, hosting

from myagent.agents import Agent, Turn
from myagent.agents.acp.skills import with_skills
from myagent.agents.builtin.command import CommandAgent
from myagent.agents.exec import ExecAgent


def test_a_skill_that_the_agent_offers_begins_the_prompt(tmp_path: Path) -> None:
    """One that it does not offer is left out, and that is said: nobody is to think that it was used."""

    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        told = Recorder()
        turn = Turn("one", "turn", "do it", "default", tmp_path, skill_names=("command-1", "magic"))
        await hosted.agent.run(turn, told)
        assert told.out == "/command-1 do it"
        assert told.err == "skills not used: magic (a prompt takes one, and command-1 is it)\n"

    hosting(test, tmp_path, "--commands", "2")


@pytest.mark.parametrize(
    ("skills", "offered", "prompt", "left_out"),
    [
        ((), ("a",), "go", ""),
        (("a",), ("a", "b"), "/a go", ""),
        (("x", "a", "b"), ("a", "b"), "/a go", "skills not used: x, b (a prompt takes one, and a is it)\n"),
        (("x", "y"), (), "go", "skills not used: x, y (this agent does not offer them)\n"),
    ],
)
def test_skills(skills: tuple[str, ...], offered: tuple[str, ...], prompt: str, left_out: str, tmp_path: Path) -> None:
    turn = Turn("one", "turn", "go", "default", tmp_path, skill_names=skills)
    assert with_skills(turn, offered) == (prompt, left_out)


@pytest.mark.parametrize("name", ["command", "exec"])
async def test_agents_without_skills_say_so(name: str, tmp_path: Path) -> None:
    agent: Agent = CommandAgent() if name == "command" else ExecAgent("echo {prompt}", cwd=tmp_path)
    told = Recorder()
    await agent.run(Turn("one", "turn", "help", "default", tmp_path, skill_names=("magic",)), told)
    assert "skills not used: magic (this agent does not offer them)\n" in told.err
