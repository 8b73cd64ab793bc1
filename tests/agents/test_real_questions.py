"""Claude's AskUserQuestion, through `claude -p` and its ACP adapter, and qwen's: a human answers, the model is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.agents.model_server import model_server
from tests.agents.real import AGENTS, CLAUDE, CLAUDE_P, QWEN, Real
from tests.agents.recorder import Recorder
from tests.agents.test_real_agents import Workplace

from myagent.agents import Given


@pytest.mark.parametrize("given", ["accept", "decline", "cancel"])
@pytest.mark.parametrize("real", [CLAUDE_P, CLAUDE, QWEN], ids=lambda real: real.name)
async def test_a_question_is_asked_and_its_answer_told(real: Real, given: Any, tmp_path: Path) -> None:
    if not real.path.exists():
        pytest.skip(f"{real.name} is not installed")
    if real is QWEN and qwens_version() < (0, 24):
        pytest.skip("qwen-code marks its questions from 0.24 on")
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
    messages = [message for body in asked for message in body.get("messages", [])]
    blocks = [block for message in messages for block in message["content"] if isinstance(block, dict)]
    results = [json.dumps(block) for block in blocks if block.get("type") == "tool_result"]
    results += [json.dumps(message) for message in messages if message["role"] == "tool"]  # of OpenAI's kind
    if real is QWEN and given == "cancel":  # which ends its turn
        assert (end.stop_reason, results) == ("end_turn", [])
        return
    assert results
    assert any("Blue" in result for result in results) is (given == "accept"), (end, said.err, results)


def qwens_version() -> tuple[int, ...]:
    """The first two numbers of the version that is installed."""
    package = json.loads((AGENTS / "node_modules/@qwen-code/qwen-code/package.json").read_text())
    return tuple(int(part) for part in package["version"].split(".")[:2])
