"""The model agent, with a scripted model: its tools and who allows them, what it remembers, and how it fails."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.agents.contract import check_updates, does_nothing_without_an_allow
from tests.agents.modelled import MODEL, TELL, Modelled, calls, needs_models, script
from tests.agents.recorder import ALLOW, DENY, WAIT_SECONDS, Recorder

from myagent.access.state_directory import PrivateFiles, UnsafeState
from myagent.agents import Answer, Given, ToolCall, Turn, TurnEnd
from myagent.agents.builtin import model_turn as model_module
from myagent.agents.builtin.conversation import load, within
from myagent.agents.builtin.model import Choice, ModelAgent
from myagent.agents.tools import toolbox
from myagent.core.messages import PermissionMode
from myagent.exceptions import AgentUnavailable
from myagent.extras import install
from myagent.redaction.redactor import Redactor

pytestmark = needs_models
KEY = "key-of-nobody-0123456789"
FILES = partial(PrivateFiles, directory="agent")


@asynccontextmanager
async def started(root: Path, **more: Any) -> AsyncIterator[Modelled]:
    agent = Modelled(root, **more)
    try:
        await agent.start()
        yield agent
    finally:
        await agent.close()


async def ask(
    agent: Modelled,
    prompt: str,
    io: Recorder | None = None,
    *,
    mode: PermissionMode = "default",
    before: str | None = None,
) -> tuple[TurnEnd, Recorder]:
    """One turn. `before` is what the last one ended with."""
    io = io or Recorder()
    turn = Turn("session", f"turn-{len(agent.asked)}", prompt, mode, agent._cwd, before)
    return await agent.run(turn, io), io


def told(agent: Modelled) -> list[str]:
    """What the model was told of its tool calls in its last request."""
    return [message["content"] for message in agent.asked[-1]["messages"] if message["role"] == "tool"]


# --- what is said ---------------------------------------------------------------------------------------------------


async def test_words_stream_to_stdout_and_thoughts_beside(tmp_path: Path) -> None:
    async with started(tmp_path) as agent:
        end, io = await ask(agent, script({"think": "let me see", "say": "It is so."}))
        assert end == TurnEnd(agent_session_id="session")
        assert (io.out, io.err) == ("It is so.", "thinking: let me see")
        assert [update["sessionUpdate"] for update in io.updates] == ["agent_thought_chunk", "agent_message_chunk"]
        assert io.state["usage"] == {"used": 18}


async def test_tool_calls_are_lines_and_updates(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    edit = {"path": "a.txt", "old": "two", "new": "three"}
    async with started(tmp_path) as agent:
        end, io = await ask(agent, script(calls(("Edit", edit)), {"say": "done"}))
        assert (end.stop_reason, io.out) == ("end_turn", "done")
        assert io.err == "→ Edit a.txt\n✓ Edit a.txt: completed\n"
        announced, going, done = io.updates[:3]
        assert (announced["title"], announced["kind"], announced["status"]) == ("Edit a.txt", "edit", "pending")
        assert announced["content"] == [
            {"type": "diff", "path": "a.txt", "oldText": "one\ntwo\n", "newText": "one\nthree\n"}
        ]
        assert (going["status"], done["status"]) == ("in_progress", "completed")
        assert told(agent) == ["a.txt written"]
        assert (tmp_path / "a.txt").read_text() == "one\nthree\n"


async def test_what_a_command_writes_is_seen_as_it_comes_and_told(tmp_path: Path) -> None:
    async with started(tmp_path) as agent:
        _, io = await ask(agent, script(calls(("Bash", {"command": "echo out; echo err >&2; exit 3"})), {"say": "x"}))
        assert sorted(io.err.splitlines()) == sorted(
            [
                "→ echo out; echo err >&2; exit 3", "out", "err", "✗ echo out; echo err >&2; exit 3: failed",
                "  exit status 3",
            ]
        )  # fmt: skip
        assert told(agent)[0].startswith("exit code 3\n")
        assert sorted(told(agent)[0].splitlines()[1:]) == ["err", "out"]


async def test_a_command_that_floods_is_told_by_its_end(tmp_path: Path) -> None:
    async with started(tmp_path) as agent:
        await ask(agent, script(calls(("Bash", {"command": "seq 100000"})), {"say": "x"}))
        assert len(told(agent)[0]) < toolbox.RESULT_CHARACTERS + 100
        assert "left out" in told(agent)[0].splitlines()[1]
        assert told(agent)[0].endswith("\n99999\n100000\n")


async def test_reads_at_once_run_together_and_changes_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    steps = calls(
        ("Read", {"path": "a.txt"}), ("Glob", {"pattern": "*.txt"}), ("Write", {"path": "b.txt", "content": "one"}),
        ("Edit", {"path": "b.txt", "old": "one", "new": "two"}), ("Read", {"path": "b.txt"}),
    )  # fmt: skip
    async with started(tmp_path) as agent:
        _, io = await ask(agent, script(steps, {"say": "done"}))
        assert told(agent) == ["a", "a.txt\n", "b.txt written", "b.txt written", "two"]
        assert [call.tool_name for call in io.asked] == ["Write", "Edit"]


async def test_too_many_calls_at_once_run_none_of_them(tmp_path: Path) -> None:
    many = calls(*(("Write", {"path": f"{n}", "content": ""}) for n in range(toolbox.CALLS + 1)))
    async with started(tmp_path) as agent:
        _, io = await ask(agent, script(many, {"say": "x"}))
        assert not io.asked and list(tmp_path.iterdir()) == []
        assert "the limit is 32" in told(agent)[0]


# --- who allows it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", ["Bash", "Edit", "Write"])
async def test_every_change_is_asked_for_and_a_denial_is_told_with_its_reason(tmp_path: Path, tool: str) -> None:
    (tmp_path / "a").write_text("old")
    given = {
        "Bash": {"command": "echo new >a"},
        "Edit": {"path": "a", "old": "old", "new": "new"},
        "Write": {"path": "a", "content": "new"},
    }[tool]
    async with started(tmp_path) as agent:
        end, io = await ask(agent, script(calls((tool, given)), {"say": "so be it"}), Recorder(DENY))
        assert (end.stop_reason, io.out, len(io.asked)) == ("end_turn", "so be it", 1)
        assert told(agent) == ["denied: not today"] and "denied: not today" in io.err
        assert (tmp_path / "a").read_text() == "old"
        await ask(agent, script(calls((tool, given)), {"say": "done"}), Recorder(ALLOW))
        assert (tmp_path / "a").read_text().strip() == "new"


async def test_a_cancelled_question_ends_the_turn(tmp_path: Path) -> None:
    async with started(tmp_path) as agent:
        steps = script(calls(("Write", {"path": "a", "content": ""}), ("Write", {"path": "b", "content": ""})))
        end, io = await ask(agent, steps, Recorder(Answer("cancelled")))
        assert end.stop_reason == "cancelled" and len(io.asked) == 1 and len(agent.asked) == 1
        assert io.updates[-1]["status"] == "failed"


async def test_reading_is_not_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("found it\n")
    async with started(tmp_path) as agent:
        steps = calls(("Read", {"path": "a"}), ("Glob", {"pattern": "*"}), ("Grep", {"pattern": "f.und"}))
        _, io = await ask(agent, script(steps, TELL), Recorder(DENY))
        assert io.asked == []
        assert io.out == "found it\na\na:1:found it\n"


@pytest.mark.parametrize("mode", ["default", "plan"])
@pytest.mark.parametrize(
    ("asked", "given", "heard"),
    [
        ({}, Given("accept", {"answer": "as you like"}), "as you like"),
        ({"choices": ["red", "blue"]}, Given("accept", {"answer": "blue"}), "blue"),
        ({"choices": ["red", "blue"], "several": True}, Given("accept", {"answer": ["red", "blue"]}), "red, blue"),
        ({}, Given("decline"), "declined"),
        ({}, Given("cancel", reason="nobody answered in time"), "not answered: nobody answered in time"),
    ],
)
async def test_a_question_is_put_and_the_model_told_the_answer(
    tmp_path: Path, mode: Any, asked: dict[str, Any], given: Given, heard: str
) -> None:
    async with started(tmp_path) as agent:
        said = Recorder(DENY)
        said.given = given
        _, io = await ask(agent, script(calls(("Ask", {"question": "which?", **asked})), TELL), said, mode=mode)
        [question] = io.questions
        assert question.message == "which?" and question.form is not None
        assert [choice.title for choice in question.form.fields[0].choices] == asked.get("choices", [])
        assert (told(agent), io.asked) == ([heard], [])
        check_updates(io.updates)
        if given.content is not None:
            said_of_it = [each for each in io.updates if each["sessionUpdate"] == "tool_call_update"]
            assert said_of_it and heard not in str(said_of_it), "the answer is told to the model alone"


async def test_plan_mode_offers_and_runs_only_what_reads(tmp_path: Path) -> None:
    async with started(tmp_path) as agent:
        steps = calls(("Write", {"path": "a", "content": ""}), ("Bash", {"command": "touch b"}))
        _, io = await ask(agent, script(steps, {"say": "x"}), mode="plan")
        assert [tool["function"]["name"] for tool in agent.asked[0]["tools"]] == ["Read", "Glob", "Grep", "Ask"]
        assert io.asked == [] and list(tmp_path.iterdir()) == []
        assert told(agent)[0] == "Write was not run: there is no such tool; there are Read, Glob, Grep, Ask"
        await ask(agent, script(steps, {"say": "x"}))  # the control
        assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


@pytest.mark.parametrize("asks", [False, True])
def test_the_contract_notices_a_model_agent_that_does_not_listen(tmp_path: Path, asks: bool) -> None:
    """The control: what is done without leave is found, whether nobody is asked or the answer is not heard."""

    class Deaf(Modelled):
        async def run(self, turn: Turn, io: Any) -> TurnEnd:
            async def allowed(call: ToolCall) -> Answer:
                if asks:
                    await listened(call)
                return ALLOW

            listened, io.ask = io.ask, allowed
            return await super().run(turn, io)

    with pytest.raises(AssertionError):
        asyncio.run(does_nothing_without_an_allow(replace(MODEL, make=Deaf), tmp_path))


# --- what a model may write -----------------------------------------------------------------------------------------

OUTSIDE = ["../secret", "/etc/hostname", ".myagent/agent/session.jsonl", "a\0b", "", "link"]


@pytest.mark.parametrize("path", OUTSIDE, ids=repr)
async def test_no_tool_reaches_outside(tmp_path: Path, path: str) -> None:
    root = tmp_path / "workspace"
    root.mkdir()
    (tmp_path / "secret").write_text("secret")
    (root / "link").symlink_to(tmp_path / "secret")
    write = ("Write", {"path": path, "content": "x"})
    edit = ("Edit", {"path": path, "old": "secret", "new": "x"})
    async with started(root, files=FILES) as agent:
        _, io = await ask(agent, script(calls(("Read", {"path": path}), write, edit), {"say": "done"}))
        assert io.asked == [] and io.out == "done"
        assert len(told(agent)) == 3 and all("secret" not in text.replace("../secret", "") for text in told(agent))
        assert (tmp_path / "secret").read_text() == "secret"
        assert {path.name for path in root.iterdir()} == {"link", ".myagent"}


@pytest.mark.parametrize(
    ("name", "arguments", "why"),
    [
        ("Write", {"path": 7, "content": "x"}, "Expected `str`, got `int` - at `$.path`"),
        ("Write", {"path": "a"}, "missing required field `content`"),
        ("Write", ["a", "x"], "Expected `object`, got `array`"),
        ("Write", '{"path": "a", "content": "cut o', "truncated"),
        ("Write", "not json", "malformed"),
        ("Write", "[" * 100_000, "Expected `object`, got `array`"),
        ("Write", '{"path": "a", "content": "\\ud800"}', "do not fit"),
        ("Delete", {"path": "a"}, "there is no such tool"),
        ("__init__", {}, "there is no such tool"),
        ("Read" * 1000, {}, "there is no such tool"),
        ("Grep", {"pattern": "("}, "not valid"),
        ("Glob", {"pattern": "../*"}, "not valid"),
        ("Bash", {"command": "a\0b"}, "cannot start"),
        ("Ask", {"question": " "}, "the question is empty"),
        ("Ask", {"question": "?", "choices": [str(number) for number in range(21)]}, "21 choices"),
        ("Ask", {"question": "What is your API key?"}, "say what to do instead"),
        ("Ask", {"question": "?", "choices": ["a\u200bb"]}, "cannot be seen"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_a_hostile_call_is_a_failed_one_and_the_turn_goes_on(
    tmp_path: Path, name: str, arguments: Any, why: str
) -> None:
    async with started(tmp_path) as agent:
        end, io = await ask(agent, script(calls((name, arguments)), {"say": "done"}))
        assert (end.stop_reason, io.out) == ("end_turn", "done")
        assert why.lower() in told(agent)[0].lower() and len(told(agent)[0]) < 500
        assert [update["status"] for update in io.updates if "status" in update][-1] == "failed"
        assert list(tmp_path.iterdir()) == []


async def test_a_model_in_a_loop_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "REQUESTS", 3)
    async with started(tmp_path) as agent:
        end, io = await ask(agent, script(*([calls(("Glob", {"pattern": "*"}))] * 4)))
        assert end.stop_reason == "max_turn_requests" and len(agent.asked) == 3
        assert "stopped after 3 requests" in io.err
        _, io = await ask(agent, "RECALL", before="session")  # and it can be gone on with
        assert io.out == "nothing"


async def test_an_answer_that_was_cut_off_runs_nothing(tmp_path: Path) -> None:
    async with started(tmp_path) as agent:
        cut = calls(("Write", {"path": "a", "content": "half"})) | {"finish": "length"}
        end, io = await ask(agent, script(cut))
        assert end.stop_reason == "max_tokens" and "cut off" in io.err
        assert io.asked == [] and list(tmp_path.iterdir()) == []


# --- being cancelled ------------------------------------------------------------------------------------------------


async def test_cancelled_in_the_middle_of_an_answer_it_stops_and_remembers_what_it_said(tmp_path: Path) -> None:
    async with started(tmp_path, files=FILES) as agent:
        io = Recorder()
        running = asyncio.create_task(ask(agent, "SLOW, MARKER-7", io))
        await io.until(lambda: "word3 " in io.out)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, WAIT_SECONDS)
        said = len(io.said)
        _, io = await ask(agent, "RECALL")
        assert io.out == "MARKER-7"
        earlier = agent.asked[-1]["messages"][2]
        assert earlier["role"] == "assistant" and earlier["content"].startswith("word0 word1 word2 word3 ")
        assert earlier["content"].endswith("(stopped here)") and said < 3000


async def test_cancelled_in_a_tool_call_it_closes_it(tmp_path: Path) -> None:
    async with started(tmp_path) as agent:
        io = Recorder()
        steps = script(calls(("Bash", {"command": "echo begun; sleep 1000"}), ("Glob", {"pattern": "*"})))
        running = asyncio.create_task(ask(agent, steps, io))
        await io.until(lambda: "\nbegun\n" in io.err)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, WAIT_SECONDS)
        assert (io.updates[-1]["toolCallId"], io.updates[-1]["status"]) == ("turn-0-1", "failed")
        end, _ = await ask(agent, "hello")
        assert end.stop_reason == "end_turn"
        tools = [message for message in agent.asked[-1]["messages"] if message["role"] == "tool"]
        assert [message["content"] for message in tools] == ["(stopped here)"] * 2


# --- what it remembers ----------------------------------------------------------------------------------------------


async def test_a_conversation_goes_on_over_turns_and_restarts(tmp_path: Path) -> None:
    async with started(tmp_path, files=FILES) as agent:
        end, _ = await ask(agent, "keep MARKER-42")
        _, io = await ask(agent, "RECALL", before=end.agent_session_id)
        assert (io.out, io.err) == ("MARKER-42", "")
    kept = tmp_path / ".myagent" / "agent" / "session.jsonl"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600 and len(kept.read_text().splitlines()) == 2
    async with started(tmp_path, files=FILES) as agent:
        _, io = await ask(agent, "RECALL", before=end.agent_session_id)
        assert (io.out, io.err) == ("MARKER-42", "")
    kept.unlink()
    async with started(tmp_path, files=FILES) as agent:  # the control
        _, io = await ask(agent, "RECALL", before=end.agent_session_id)
        assert io.out == "nothing" and "begins a new one" in io.err


async def test_two_sessions_know_nothing_of_each_other(tmp_path: Path) -> None:
    async with started(tmp_path, files=FILES) as agent:
        await ask(agent, "keep MARKER-42")
        io = Recorder()
        await agent.run(Turn("another", "turn", "RECALL", "default", tmp_path), io)
        assert io.out == "nothing"


async def test_the_oldest_turns_are_forgotten_whole_and_it_is_said(tmp_path: Path) -> None:
    async with started(tmp_path, context=2700) as agent:
        await ask(agent, f"keep MARKER-1 {'x' * 500}")
        _, io = await ask(agent, f"keep MARKER-2 {'x' * 500}", before="session")
        assert io.err == ""
        _, io = await ask(agent, f"and {'x' * 500}", before="session")
        _, io = await ask(agent, "RECALL", before="session")
        assert "grown too long: its oldest turn is forgotten" in io.err
        prompts = [each["content"] for each in agent.asked[-1]["messages"] if each["role"] == "user"]
        assert [prompt.split()[0] for prompt in prompts] == ["keep", "and", "RECALL"] and io.out == "MARKER-2"
        _, io = await ask(agent, f"MARKER-3 {'y' * 2700}", before="session")
        assert io.out == "ok" and io.err.endswith("\nthis turn is too long to be remembered (see --context)\n")
        _, io = await ask(agent, "RECALL", before="session")
        assert (io.out, io.err) == ("nothing", "")


def test_what_is_within_a_limit() -> None:
    turns = [b"aaa", b"bb", b"c"]
    assert [within(turns, limit) for limit in (0, 1, 2, 3, 5, 6)] == [
        [], turns[2:], turns[2:], turns[1:], turns[1:], turns
    ]  # fmt: skip


async def test_what_may_not_be_stored_is_covered_before_it_is(tmp_path: Path) -> None:
    token = "ghp_" + "a1" * 18
    async with started(tmp_path, files=FILES, cover=Redactor().data) as agent:
        await ask(agent, script(calls(("Bash", {"command": "printf ghp_; printf 'a1%.0s' $(seq 18)"})), TELL))
        assert token in told(agent)[0]
    kept = (tmp_path / ".myagent" / "agent" / "session.jsonl").read_text()
    assert "[redacted]" in kept and token not in kept


@pytest.mark.parametrize("text", ["{", "[7]\n", '[{"kind": "of another version"}]\n', "\xff"])
async def test_a_conversation_that_cannot_be_read_is_begun_anew(tmp_path: Path, text: str) -> None:
    FILES(tmp_path).write("session.jsonl", text.encode("latin-1"))
    async with started(tmp_path, files=FILES) as agent:
        end, io = await ask(agent, "hello", before="session")
        assert (end.stop_reason, io.out) == ("end_turn", "ok") and "cannot be read" in io.err


async def test_a_file_that_others_can_read_fails_the_turn(tmp_path: Path) -> None:
    FILES(tmp_path).write("session.jsonl", b"")
    (tmp_path / ".myagent" / "agent" / "session.jsonl").chmod(0o644)
    async with started(tmp_path, files=FILES) as agent:
        end, _ = await ask(agent, "hello", before="session")
        assert end.stop_reason == "failed" and "chmod 600" in str(end.message)
    with pytest.raises(UnsafeState):
        FILES(tmp_path).read("session.jsonl")


@pytest.mark.parametrize("name", ["../../secret", "a/b", "", "x" * 200, "a\n"])
def test_a_name_that_is_none_leads_nowhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.jsonl").write_text("[]")
    assert load(FILES(tmp_path / "w"), name) is None


# --- how it fails ---------------------------------------------------------------------------------------------------

GARBAGE = {
    "GARBAGE data: {not json\\n\\n": "did not answer as a model does",
    'GARBAGE data: {"choices": 7}\\n\\n': "did not answer as a model does",
    "GARBAGE data: [1, 2]\\n\\n": "did not answer as a model does",
    'GARBAGE data: {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}\\n\\n': "",
    "GARBAGE \\x00\\xff": "",
}


@pytest.mark.parametrize(
    ("prompt", "why"),
    [
        ("FAIL 400", "answered 400: scripted failure 400"),
        ("FAIL 401", "wants a key: set OPENAI_API_KEY"),
        ("FAIL 404", "has no model stub"),
        ("FAIL 429", "rate limit"),
        ("FAIL 503", "answered 503"),
        ("CUT", "the connection broke off"),
        *GARBAGE.items(),
    ],
)
async def test_a_failure_is_one_line_and_a_failed_turn(
    tmp_path: Path, prompt: str, why: str, monkeypatch: pytest.MonkeyPatch, quiet_log: None
) -> None:
    monkeypatch.setattr("myagent.agents.builtin.endpoint.TRIES", 0)
    async with started(tmp_path) as agent:
        end, io = await ask(agent, prompt)
        assert (end.stop_reason, end.exit_code) == ("failed", 1)
        assert io.err.count("\n") == 1 and io.err.rstrip("\n") == end.message
        assert why in io.err and "Traceback" not in io.err and "127.0.0.1" in io.err
        end, io = await ask(agent, "hello")
        assert (end.stop_reason, io.out) == ("end_turn", "ok")


async def test_an_endpoint_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("myagent.agents.builtin.endpoint.TRIES", 0)
    agent = ModelAgent(Choice(model="m", base_url="http://127.0.0.1:1/v1"), cwd=tmp_path, env={})
    await agent.start()
    try:
        io = Recorder()
        end = await agent.run(Turn("session", "turn", "hello", "default", tmp_path), io)
        assert end.stop_reason == "failed" and io.err.startswith("cannot reach http://127.0.0.1:1/v1")
    finally:
        await agent.close()


@pytest.mark.parametrize(
    ("choice", "why"),
    [
        (Choice(model="m", base_url="http://me:password@127.0.0.1/v1"), "its address holds a password"),
        (Choice(), "no model is named; name one with --model"),
        (Choice(model="m"), "there is no key; set OPENAI_API_KEY"),
        (Choice(model="m", base_url="127.0.0.1:8080"), "is no address of an endpoint"),
        (Choice(model="m", base_url="file:///etc/passwd"), "is no address of an endpoint"),
    ],
)
async def test_what_is_missing_is_said_at_the_start(tmp_path: Path, choice: Choice, why: str) -> None:
    with pytest.raises(AgentUnavailable, match=why):
        await ModelAgent(choice, cwd=tmp_path, env={}).start()


async def test_a_key_that_cannot_be_sent_is_said_at_the_start(tmp_path: Path) -> None:
    for key in ("two words", "k\u00e9y-0123456789", "a\nX-Header: b"):
        with pytest.raises(AgentUnavailable, match="characters that no key can have"):
            await ModelAgent(Choice(model="m"), cwd=tmp_path, env={"OPENAI_API_KEY": key}).start()


# --- the key --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "dotenv", "sent"),
    [
        ({"OPENAI_API_KEY": KEY}, "", KEY),
        ({"OPENAI_API_KEY": "other", "MYAGENT_MODEL_API_KEY": KEY}, "", KEY),
        ({"OPENAI_API_KEY": f" {KEY}\n"}, "OPENAI_API_KEY=other", KEY),
        ({}, f"export OPENAI_API_KEY='{KEY}'  # mine\n", KEY),
        ({}, "OPENAI_API_KEY=$HOME\nOPENAI_BASE_URL=http://attacker.example", "$HOME"),
        ({}, "", "no-key"),
    ],
)
async def test_where_the_key_is_from(tmp_path: Path, env: dict[str, str], dotenv: str, sent: str) -> None:
    (tmp_path / ".env").write_text(dotenv)
    async with started(tmp_path, env=env) as agent:
        await ask(agent, "hello")
        assert agent.asked[0]["authorization"] == f"Bearer {sent}"


async def test_the_key_is_seen_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "myagent")
    (tmp_path / ".env").write_text(f"OPENAI_API_KEY={KEY}\n")
    async with started(tmp_path) as agent:
        steps = script(calls(("Bash", {"command": "env; echo $OPENAI_API_KEY"})), TELL)
        end, io = await ask(agent, steps)
        failed, _ = await ask(agent, "FAIL 401")
        seen = f"{io.said} {end} {failed} {agent.info} {caplog.text}"
        assert KEY not in seen and "PATH=" in seen
        assert agent.info.secrets == (KEY,)  # what the host covers everywhere else


async def test_a_key_that_is_sent_in_the_clear_is_said(tmp_path: Path) -> None:
    env = {"OPENAI_API_KEY": KEY}
    for url, warned in [("http://models.example/v1", True), ("https://models.example/v1", False)]:
        agent = ModelAgent(Choice(model="m", base_url=url), cwd=tmp_path, env=env)
        await agent.start()
        assert ("UNENCRYPTED" in agent.info.note) is warned
        await agent.close()


def test_without_the_extra_it_says_how_to_install_it_and_costs_nothing(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys, pathlib\n"
        "sys.modules['pydantic_ai'] = None\n"
        "from myagent.agents.builtin.model import *\n"
        "assert 'openai' not in sys.modules and 'pydantic' not in sys.modules\n"
        "try: asyncio.run(ModelAgent(Choice(model='m'), cwd=pathlib.Path()).start())\n"
        "except AgentUnavailable as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=os.environ)
    assert done.stdout == (
        f"agent model cannot run: pydantic_ai is not installed; install it with: {install('models')}\n"
    ), done.stderr


def test_a_tool_says_what_it_wants() -> None:
    """What a model is told of a tool is what is checked."""
    _, schemas = toolbox.msgspec.json.schema_components((*toolbox.READING, toolbox.Ask, *toolbox.CHANGING))
    assert json.dumps(schemas["Grep"]["required"]) == '["pattern"]'
    assert all(schema["description"] for schema in schemas.values())
