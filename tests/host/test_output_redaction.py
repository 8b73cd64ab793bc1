"""A secret that an agent says in pieces is covered in each of the ways in which pieces can come."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.agents.recorder import Recorder

from myagent.agents.rendering.output import LIVE
from myagent.host.output_redaction import RedactedOutput
from myagent.redaction.redactor import Redactor

SECRET = "hunter2-hunter2-hunter2"


def update(place: str, text: str) -> dict[str, Any]:
    if place in LIVE:
        return {"sessionUpdate": "tool_call_update", "toolCallId": "t", "_meta": {place: {"data": text}}}
    return {"sessionUpdate": place, "content": {"type": "text", "text": text}}


def words(said: dict[str, Any], place: str) -> str:
    return str(said["_meta"][place]["data"] if place in LIVE else said["content"]["text"])


@pytest.mark.parametrize(
    "place",
    [*LIVE, "agent_message_chunk", "agent_thought_chunk", "compaction_summary_chunk", "session_message_chunk"],
)
def test_a_secret_in_pieces_is_covered(place: str) -> None:
    async def main() -> None:
        said = Recorder()
        redactor = Redactor()
        redactor.register(SECRET)
        output = RedactedOutput(said, redactor)
        for letter in f"before {SECRET} after":
            await output.stderr("", update=update(place, letter))
        await output.finish()
        whole = "".join(words(each, place) for each in said.updates)
        assert SECRET not in whole
        assert whole.startswith("before ")
        assert whole.endswith(" after")

    asyncio.run(main())
