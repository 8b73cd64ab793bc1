"""An ACP agent's questions: put as they are, answered as the protocol says, never left without an answer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.agents.recorder import Recorder
from tests.agents.test_acp import Hosted, hosting, never

from myagent.agents import Given

FORM: dict[str, Any] = {
    "mode": "form",
    "message": "which?",
    "requestedSchema": {"type": "object", "properties": {"a": {"type": "string", "enum": ["x", "y"]}}},
}
URL = {"mode": "url", "message": "log in", "url": "https://example.org/login", "elicitationId": "e"}


@pytest.mark.parametrize(
    ("asked", "given", "result"),
    [
        (FORM, Given("accept", {"a": "x"}), {"action": "accept", "content": {"a": "x"}}),
        (FORM, Given("decline"), {"action": "decline"}),
        (FORM, Given("cancel", reason="nobody answered in time"), {"action": "cancel"}),
        (URL, Given("accept"), {"action": "accept"}),
    ],
)
def test_an_answer_reaches_the_agent(asked: Any, given: Given, result: Any, tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        said = Recorder()
        said.given = given
        end, _ = await hosted.run(f"elicit {json.dumps(asked)}", said)
        assert (end.stop_reason, json.loads(said.out)) == ("end_turn", result)
        assert [each.message for each in said.questions] == [asked["message"]]

    hosting(test, tmp_path)


@pytest.mark.parametrize(
    "asked",
    [
        {"mode": "form", "message": "m", "requestedSchema": {"properties": {"a": {"type": "object"}}}},
        {"mode": "url", "message": "m", "url": "javascript:alert(1)"},
        {"mode": "telepathy", "message": "m"},
        {"mode": "form"},
    ],
)
def test_what_cannot_be_asked_is_refused_and_asked_of_nobody(asked: Any, tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        _, said = await hosted.run(f"elicit {json.dumps(asked)}", Recorder())
        assert (json.loads(said.out)["code"], said.questions) == (-32602, [])

    hosting(test, tmp_path)


def test_what_is_offered_is_what_works(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        _, said = await hosted.run("offered", Recorder())
        assert json.loads(said.out) == {"form": {}, "url": {}}

    hosting(test, tmp_path)


def test_a_turn_that_is_cancelled_takes_its_question_back(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        withdrawn: list[str] = []

        async def asking() -> None:
            try:
                await never()
            finally:
                withdrawn.append("told")

        said = Recorder(while_asking=asking)
        turn = asyncio.create_task(hosted.run(f"elicit {json.dumps(FORM)}", said))
        await said.until(lambda: bool(said.questions))
        turn.cancel()
        await asyncio.wait({turn})
        assert withdrawn == ["told"]

    hosting(test, tmp_path)
