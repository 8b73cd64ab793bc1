"""A conversation that its model cannot read: how endpoints say so, and what is left out to go on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.agents.dialects import WORDS, Raw, call, chunk, endpoint, sse, whole
from tests.agents.modelled import needs_models
from tests.agents.overflow_table import OTHERWISE, SAID
from tests.agents.recorder import Recorder

from myagent.access.state_directory import PrivateFiles
from myagent.agents import Turn, TurnEnd
from myagent.agents.builtin import compaction
from myagent.agents.builtin import model_turn as model_module
from myagent.agents.builtin.compaction import Room
from myagent.agents.builtin.model import Choice, ModelAgent
from myagent.agents.builtin.overflow import Overflow, overflow

pytestmark = needs_models
FILES = partial(PrivateFiles, directory="agent")


@pytest.mark.parametrize(("who", "status", "code", "words", "limit", "had"), SAID, ids=[row[0] for row in SAID])
def test_who_says_it_how(
    who: str, status: int | None, code: str | None, words: str, limit: int | None, had: int | None
) -> None:
    assert overflow(status, code, words) == Overflow(limit, had)


@pytest.mark.parametrize(("status", "code", "words"), OTHERWISE, ids=[row[2][:30] for row in OTHERWISE])
def test_what_is_about_something_else_is_not_taken_for_it(status: int | None, code: str | None, words: str) -> None:
    assert overflow(status, code, words) is None


def test_what_llama_cpp_says_in_fields_is_read() -> None:
    body = {"type": "exceed_context_size_error", "n_prompt_tokens": 5000, "n_ctx": 4096, "message": "x"}
    assert overflow(400, None, "x", body) == overflow(400, None, "x", {"error": body}) == Overflow(4096, 5000)
    assert overflow(400, None, "x", {**body, "type": "other"}) is None


@pytest.mark.parametrize(
    ("found", "characters"),
    [
        (Overflow(), 50_000),  # half of it
        (Overflow(10_000), 24_000),  # at three characters a token, with a fifth left for the answer
        (Overflow(10_000, 20_000), 40_000),  # at as many as it had
        (Overflow(1_000_000), 80_000),  # never more than what was too much
    ],
)
def test_what_is_learned_of_a_limit(found: Overflow, characters: int) -> None:
    room = Room()
    room.learn(found, 100_000)
    assert room.characters == characters
    room.learn(Overflow(1_000_000), 100_000)
    assert room.characters == min(characters, 80_000)  # and it only becomes less


# --- turns ----------------------------------------------------------------------------------------------------------


class Small:
    """An endpoint whose model reads `limit` characters of messages at most; it sums up, says "ok", or calls a tool."""

    def __init__(self, limit: int, *, summary: str | None = "they spoke of MARKER-1", reads: int = 0) -> None:
        self.limit, self.summary, self.reads = limit, summary, reads
        self.asked: list[str] = []

    def answer(self, body: dict[str, Any]) -> Raw:
        said = "".join(str(message.get("content") or "") for message in body["messages"])
        self.asked.append(said)
        if len(said) > self.limit:
            words = (
                f"This model's maximum context length is {self.limit // 4} tokens. However, your messages resulted in "
            )
            return whole({"error": {"message": f"{words}{len(said) // 4} tokens."}}, status=400)
        if compaction.SUMMARY_PROMPT[:40] in said:
            if self.summary is None:
                return whole({"error": {"message": "no"}}, status=500)
            return sse(chunk({"content": self.summary}), chunk({}, "stop"))
        if self.reads:
            self.reads -= 1
            tool = call("big") | {"function": {"name": "Read", "arguments": json.dumps({"path": "big"})}}
            return sse(chunk({"tool_calls": [tool | {"id": f"c{self.reads}"}]}), chunk({}, "tool_calls"))
        return WORDS


@asynccontextmanager
async def agent_of(small: Small, root: Path, **more: Any) -> AsyncIterator[ModelAgent]:
    async with endpoint([WORDS], small.answer) as there:
        agent = ModelAgent(Choice(model="m", base_url=there.url), cwd=root, env={}, **more)
        await agent.start()
        try:
            yield agent
        finally:
            await agent.close()


async def ask(agent: ModelAgent, root: Path, prompt: str, number: int = 0) -> tuple[TurnEnd, Recorder]:
    io = Recorder()
    return await agent.run(Turn("session", f"turn-{number}", prompt, "default", root), io), io


async def grown(agent: ModelAgent, root: Path, turns: int) -> None:
    for number in range(turns):
        end, io = await ask(agent, root, f"keep MARKER-{number} {'x' * 3000}", number)
        assert (end.stop_reason, io.err) == ("end_turn", "")


async def test_the_oldest_turns_are_summed_up_it_is_said_and_the_turn_goes_on(tmp_path: Path) -> None:
    small = Small(20_000)
    async with agent_of(small, tmp_path, files=FILES) as agent:
        await grown(agent, tmp_path, 5)
        small.asked.clear()
        end, io = await ask(agent, tmp_path, f"and now {'y' * 5000}", 9)
        assert (end.stop_reason, io.out) == ("end_turn", "done")
        assert io.err == (
            "the conversation is longer than m can read (5000 tokens): its 3 oldest turns are summed up\n"
        )
        too_much, summing_up, again = small.asked
        assert "MARKER-0" in summing_up and "MARKER-4" not in summing_up
        assert "they spoke of MARKER-1" in again and "MARKER-0" not in again
        assert "MARKER-4" in again and "and now" in again
        assert len(again) < small.limit < len(too_much)
        # It has learned: the next turn is not sent to be refused.
        small.asked.clear()
        end, io = await ask(agent, tmp_path, f"more {'z' * 5000}", 10)
        assert end.stop_reason == "end_turn" and all(len(said) <= small.limit for said in small.asked)
        assert "summed up" in io.err
    async with agent_of(small, tmp_path, files=FILES) as agent:  # and what was summed up is kept
        small.asked.clear()
        await ask(agent, tmp_path, "hello", 11)
        assert "MARKER-0" not in small.asked[0] and "Summary of the conversation" in small.asked[0]


@pytest.mark.parametrize("summary", [None, "", "  "])
async def test_without_a_summary_they_are_forgotten(tmp_path: Path, summary: str | None, monkeypatch: Any) -> None:
    monkeypatch.setattr("myagent.agents.builtin.endpoint.TRIES", 0)
    small = Small(20_000, summary=summary)
    async with agent_of(small, tmp_path) as agent:
        await grown(agent, tmp_path, 5)
        end, io = await ask(agent, tmp_path, f"and now {'y' * 5000}", 9)
        assert end.stop_reason == "end_turn" and "its 3 oldest turns are forgotten" in io.err
        assert "MARKER-0" not in small.asked[-1] and "MARKER-4" in small.asked[-1]


async def test_a_summary_without_end_is_cut(tmp_path: Path) -> None:
    small = Small(30_000, summary="s" * 20_000)
    async with agent_of(small, tmp_path) as agent:
        await grown(agent, tmp_path, 8)
        end, _ = await ask(agent, tmp_path, f"and now {'y' * 7000}", 9)
        assert end.stop_reason == "end_turn"
        assert "s" * compaction.SUMMARY_CHARACTERS in small.asked[-1]
        assert "s" * (compaction.SUMMARY_CHARACTERS + 1) not in small.asked[-1]


async def test_long_results_of_the_turn_itself_are_shortened(tmp_path: Path) -> None:
    (tmp_path / "big").write_text("0123456789" * 1500)
    small = Small(40_000, reads=3)
    async with agent_of(small, tmp_path) as agent:
        end, io = await ask(agent, tmp_path, "read it thrice")
        assert (end.stop_reason, io.out) == ("end_turn", "done")
        assert "long tool results are shortened" in io.err and "characters left out" in small.asked[-1]
        assert small.asked[-1].endswith("0123456789" * 1500)  # the last one is about to be used: it is whole


async def test_a_prompt_that_is_too_long_by_itself_is_one_line(tmp_path: Path, quiet_log: None) -> None:
    small = Small(20_000)
    async with agent_of(small, tmp_path) as agent:
        end, io = await ask(agent, tmp_path, "y" * 30_000)
        assert end.stop_reason == "failed" and len(small.asked) == 1
        assert io.err == "the conversation is longer than m can read (5000 tokens)\n" == f"{end.message}\n"
        end, io = await ask(agent, tmp_path, "hello", 1)
        assert end.stop_reason == "end_turn"


async def test_it_is_tried_once_more_and_not_again(tmp_path: Path, quiet_log: None) -> None:
    small = Small(20_000)
    async with agent_of(small, tmp_path) as agent:
        await grown(agent, tmp_path, 5)
        small.limit = 500
        small.asked.clear()
        end, _ = await ask(agent, tmp_path, "y" * 5000, 9)
        assert end.stop_reason == "failed" and len(small.asked) == 3  # it, the summary, it once more


async def test_the_control_an_agent_that_leaves_nothing_out_is_stuck(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet_log: None
) -> None:
    async def nothing(*_: Any) -> None:
        return None

    monkeypatch.setattr(model_module, "compacted", nothing)
    async with agent_of(Small(20_000), tmp_path) as agent:
        await grown(agent, tmp_path, 5)
        for number in (8, 9):
            end, _ = await ask(agent, tmp_path, f"and now {'y' * 5000}", number)
            assert end.stop_reason == "failed"
