"""The model agent against endpoints that do not speak as OpenAI does: what each says, and what a turn makes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.agents.dialect_table import BROKEN, CALLING, DIALECTS
from tests.agents.dialects import HELLO, WORDS, Dialect, Endpoint, Raw, call, chunk, endpoint, sse, whole
from tests.agents.modelled import needs_models
from tests.agents.recorder import Recorder

from myagent.agents import Turn, TurnEnd
from myagent.agents.builtin import dialects
from myagent.agents.builtin.model import Choice, ModelAgent

pytestmark = needs_models


@asynccontextmanager
async def agent_of(answers: Sequence[Raw], root: Path) -> AsyncIterator[tuple[ModelAgent, Endpoint]]:
    async with endpoint(answers) as there:
        agent = ModelAgent(Choice(model="m", base_url=there.url), cwd=root, env={})
        await agent.start()
        try:
            yield agent, there
        finally:
            await agent.close()


async def ask(agent: ModelAgent, root: Path, prompt: str = "hello", *, turn: str = "turn") -> tuple[TurnEnd, Recorder]:
    io = Recorder()
    return await agent.run(Turn("session", turn, prompt, "default", root), io), io


async def held(dialect: Dialect, root: Path) -> None:
    """Play a dialect; raises `AssertionError` where the turn makes something else of it than it must."""
    root.mkdir(exist_ok=True)
    async with agent_of(dialect.answers, root) as (agent, there):
        end, io = await ask(agent, root)
        assert (end.stop_reason, io.out) == (dialect.ends, dialect.says), (end, io.err)
        assert dialect.beside in io.err and "Traceback" not in io.err, io.err
        assert {path.name for path in root.iterdir()} == dialect.makes
        assert len(io.asked) == len(dialect.makes)
        if dialect.used is not None:
            assert io.state["usage"] == {"used": dialect.used}
        if dialect.ends == "failed":
            assert io.err.rstrip("\n").splitlines()[-1] == end.message and end.message.startswith(("http", "cannot"))
        # What it is told again is what any endpoint takes.
        there.asked.clear()
        await ask(agent, root, "and now", turn="next")
        for message in there.asked[0]["messages"]:
            assert message["role"] != "assistant" or message.get("content") or message.get("tool_calls"), message
        ids = [each["id"] for message in there.asked[0]["messages"] for each in message.get("tool_calls") or []]
        assert len(ids) == len(set(ids)) and all(ids)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
async def test_a_dialect(dialect: Dialect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet_log: None) -> None:
    monkeypatch.setattr("myagent.agents.builtin.endpoint.TRIES", 0)
    await held(dialect, tmp_path)


def test_there_are_as_many_as_were_promised_each_by_its_name() -> None:
    names = [dialect.name for dialect in DIALECTS]
    assert len(names) == len(set(names)) >= 58


# --- controls: each planted fault is found by a dialect -------------------------------------------------------------


async def found(among: Sequence[Dialect], root: Path) -> list[str]:
    """The names of the dialects that are not held."""
    names = []
    for number, dialect in enumerate(among):
        try:
            await held(dialect, root / str(number))
        except AssertionError:
            names.append(dialect.name)
    return names


async def test_half_an_answer_taken_for_a_whole_one_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet_log: None
) -> None:
    monkeypatch.setattr("myagent.agents.builtin.endpoint.TRIES", 0)
    end = dialects.Answer.end

    def lenient(answer: dialects.Answer) -> list[dict[str, Any]]:
        answer._finished = True
        return end(answer)

    monkeypatch.setattr(dialects.Answer, "end", lenient)
    names = await found(BROKEN, tmp_path)
    assert {"words, and a clean end", "a call, and a clean end", "a call, and [DONE]"} <= set(names)


async def test_an_error_that_is_passed_over_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet_log: None
) -> None:
    monkeypatch.setattr("myagent.agents.builtin.endpoint.TRIES", 0)
    monkeypatch.setattr(dialects.Answer, "_is_error", staticmethod(lambda name, event: False))
    names = await found(BROKEN, tmp_path)
    assert {"a call with its reason, and an error object", "vllm: object error", "fastapi: detail"} <= set(names)


async def test_calls_told_apart_by_their_index_alone_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialects, "_is_another", lambda call, call_id, name: False)
    names = await found(CALLING, tmp_path)
    assert {"gemini: all of them carry index 0, whole", "all of them carry index 0, and no id"} <= set(names)


async def test_a_new_call_for_each_new_id_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialects, "_is_another", lambda call, call_id, name: bool(call_id) and call_id != call.call_id)
    assert "vllm: an id made up for each piece" in await found(CALLING, tmp_path)


# --- waiting --------------------------------------------------------------------------------------------------------

_LIMITED = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}
_BUSY = {"error": {"message": "busy", "type": "overloaded_error"}}
_IN_WORDS = {"error": {"message": "Rate limit reached on tokens per min. Please try again in 6.5s.", "code": "x"}}


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited; nobody really does."""
    seconds: list[float] = []

    async def sleep(delay: float) -> None:
        seconds.append(delay)

    monkeypatch.setattr("myagent.agents.builtin.endpoint.sleep", sleep)
    return seconds


@pytest.mark.parametrize(
    ("answer", "waited", "line"),
    [
        (
            whole(_LIMITED, status=429, retry_after="12"),
            12,
            "it says to wait 12 s; waiting 12 s, then asking again (1 of 2)",
        ),
        (whole(_LIMITED, status=429, retry_after_ms="1500"), 1.5, "waiting 1.5 s"),
        (whole(_IN_WORDS, status=429), 6.5, "waiting 6.5 s"),
        (whole(_LIMITED, status=429), 1, "(rate limit); waiting 1 s"),
        (whole(_BUSY, status=503), 1, "answered 503: busy; waiting 1 s"),
        (whole(_BUSY, status=529), 1, "answered 529: busy; waiting 1 s"),
        (
            whole(b"<html>bad gateway</html>", status=502, media="text/html"),
            1,
            "answered 502: (a web page); waiting 1 s",
        ),
        (sse({"error": _BUSY["error"]}, done=False), 1, "broke off its answer: busy; waiting 1 s"),
    ],
    ids=["header", "ms", "words", "unsaid", "503", "529", "502", "in the stream"],
)
async def test_waiting_is_said_with_its_seconds(
    tmp_path: Path, waits: list[float], answer: Raw, waited: float, line: str
) -> None:
    async with agent_of([answer, WORDS], tmp_path) as (agent, there):
        end, io = await ask(agent, tmp_path)
        assert (end.stop_reason, io.out, len(there.asked)) == ("end_turn", "done", 2)
        assert waits == [waited] and line in io.err


async def test_it_gives_up_after_two_more_tries(tmp_path: Path, waits: list[float], quiet_log: None) -> None:
    async with agent_of([whole(_LIMITED, status=429)], tmp_path) as (agent, there):
        end, io = await ask(agent, tmp_path)
        assert end.stop_reason == "failed" and len(there.asked) == 3 and waits == [1, 2]
        assert io.err.count("\n") == 3


@pytest.mark.parametrize(
    "answer",
    [
        whole(_LIMITED, status=429, retry_after="3600"),
        whole({"error": {"message": "no credit", "code": "insufficient_quota"}}, status=429, retry_after="1"),
        whole({"error": {"message": "bad"}}, status=400, retry_after="1"),
        sse(chunk(HELLO), {"error": _BUSY["error"]}, done=False),  # words were shown: they would be said twice
        sse(chunk({"tool_calls": [call("a")]}), chunk({"content": "x"}), {"error": _BUSY["error"]}, done=False),
    ],
    ids=["an hour", "quota", "400", "after words", "after a call"],
)
async def test_what_waiting_does_not_help_fails_at_once(
    tmp_path: Path, waits: list[float], answer: Raw, quiet_log: None
) -> None:
    async with agent_of([answer, WORDS], tmp_path) as (agent, there):
        end, io = await ask(agent, tmp_path)
        assert end.stop_reason == "failed" and len(there.asked) == 1 and waits == []
        assert "waiting" not in io.err and list(tmp_path.iterdir()) == []
