"""Claude's AskUserQuestion, through `claude -p` and through its ACP adapter: a human answers, and the model is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.agents.model_server import model_server
from tests.agents.real import CLAUDE, CLAUDE_P, Real
from tests.agents.recorder import Recorder
from tests.agents.test_real_agents import Workplace

from myagent.agents import Given


@pytest.mark.parametrize("given", ["accept", "decline"])
@pytest.mark.parametrize("real", [CLAUDE_P, CLAUDE], ids=lambda real: real.name)
async def test_a_question_of_claudes_is_asked_and_its_answer_told(real: Real, given: Any, tmp_path: Path) -> None:
    if not real.path.exists():
        pytest.skip(f"{real.name} is not installed")
    workspace, home = tmp_path / "workspace", tmp_path / "home"
    workspace.mkdir()
    home.mkdir()
    asked: list[dict[str, Any]] = []
    said = Recorder()

    async def choose() -> None:
        form = said.questions[0].form
        assert form is not None
        field = next(each for each in form.fields if each.choices)
        blue = next(choice.const for choice in field.choices if choice.title.startswith("Blue"))
        said.given = Given(given, {field.name: blue}) if given == "accept" else Given(given)

    said._while_asking = choose
    async with model_server(asked) as url:
        place = Workplace(real, workspace, home, url)
        async with place.hosted() as agent:
            end = await agent.run(place.turn("STUB a QUESTION please"), said)
    assert len(said.questions) == 1
    blocks = [block for body in asked for message in body.get("messages", []) for block in message["content"]]
    results = [json.dumps(block) for block in blocks if isinstance(block, dict) and block.get("type") == "tool_result"]
    assert results
    assert any("Blue" in result for result in results) is (given == "accept"), (end, said.err, results)
