"""Our own agents as agents of the Agent Client Protocol: to our host, to the protocol's own SDK, and to bad clients."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.agents import contract
from tests.agents.contract import Check, Subject, populate
from tests.agents.modelled import Modelled, calls, needs_models, script
from tests.agents.recorder import WAIT_SECONDS

from myagent.access.state_directory import PrivateFiles
from myagent.agents import Agent
from myagent.agents.acp.agent import AcpSide
from myagent.agents.acp.host import AcpAgent
from myagent.agents.builtin.command import CommandAgent
from myagent.agents.tripwire import RanUnasked

OURS = (sys.executable, "-m", "myagent", "agent", "--acp")

HOSTED = Subject(
    name="command over ACP",
    make=lambda root: AcpAgent(OURS, cwd=root),
    says="read greeting.txt",
    changes="write changed\nsomething",
    lingers="!sleep 1000 & echo $$ $!; wait",
    runs="!sh run.sh",
    fails="read nothing.txt",
)


HOSTED_CHECKS: list[Check] = [  # each starts a process; all of them are held for the command agent itself
    contract.sends_updates_that_a_client_can_follow,
    contract.does_nothing_without_an_allow,
    contract.runs_nothing_that_changed_while_asking,
    contract.leaves_no_process_when_cancelled,
]


@pytest.mark.parametrize("check", HOSTED_CHECKS, ids=lambda check: check.__name__)
def test_contract_through_our_own_host(check: Check, tmp_path: Path) -> None:
    populate(tmp_path)
    descriptors = set(os.listdir("/proc/self/fd"))
    asyncio.run(check(HOSTED, tmp_path))
    assert set(os.listdir("/proc/self/fd")) == descriptors
    assert psutil.Process().children() == []


def test_the_contract_notices_one_that_approves_by_itself(tmp_path: Path) -> None:
    """The control: the same agent in the mode that asks nothing."""

    class Bypassing(AcpAgent):
        async def run(self, turn: Any, io: Any) -> Any:
            connection = await self._process.connected()
            session = await self._sessions.of_turn(self._process, connection, turn, io)
            assert session.modes is not None
            await connection.request("session/set_mode", {"sessionId": session.agent_id, "modeId": "bypassPermissions"})
            return await super().run(turn, io)

    populate(tmp_path)
    rogue = replace(HOSTED, make=lambda root: Bypassing(OURS, cwd=root))
    with pytest.raises(RanUnasked):
        asyncio.run(contract.asks_before_it_changes_anything(rogue, tmp_path))


@pytest.mark.skipif(importlib.util.find_spec("acp") is None, reason="needs: pip install agent-client-protocol")
async def test_the_protocols_own_client_understands_every_message(tmp_path: Path) -> None:
    import acp
    from acp.schema import AllowedOutcome, RequestPermissionResponse

    seen: list[str] = []

    class Client(acp.Client):
        async def session_update(self, session_id: str, update: Any, **kwargs: Any) -> None:
            seen.append(update.session_update)

        async def request_permission(self, options: Any, session_id: str, tool_call: Any, **kwargs: Any) -> Any:
            chosen = next(option.option_id for option in options if option.kind == "allow_once")
            return RequestPermissionResponse(outcome=AllowedOutcome(outcome="selected", option_id=chosen))

    async with acp.spawn_agent_process(Client(), *OURS, cwd=tmp_path) as (connection, _):
        hello = await connection.initialize(protocol_version=1)
        assert hello.agent_info is not None and hello.agent_info.title == "myagent command"
        session = await connection.new_session(cwd=str(tmp_path), mcp_servers=[])
        for prompt in ("write a.txt\nhello", "read a.txt", "!echo out; echo err >&2"):
            done = await connection.prompt(session_id=session.session_id, prompt=[acp.text_block(prompt)])
            assert done.stop_reason == "end_turn"
        for prompt in ("read b.txt", "!false", "sing"):  # what fails is an answer like any other
            done = await connection.prompt(session_id=session.session_id, prompt=[acp.text_block(prompt)])
            assert done.stop_reason == "end_turn"
        listed = await connection.list_sessions(cwd=str(tmp_path))
        assert [(row.session_id, row.title) for row in listed.sessions] == [(session.session_id, "write a.txt")]
        chosen = await connection.set_config_option(session_id=session.session_id, config_id="mode", value="plan")
        assert chosen.config_options[0].current_value == "plan"
        done = await connection.prompt(session_id=session.session_id, prompt=[acp.text_block("!touch made")])
        assert done.stop_reason == "end_turn" and not (tmp_path / "made").exists()
        await connection.close_session(session_id=session.session_id)
        with pytest.raises(acp.RequestError, match="no such session"):
            await connection.prompt(session_id=session.session_id, prompt=[acp.text_block("help")])
    assert set(seen) == {
        *("tool_call", "tool_call_update", "agent_message_chunk", "agent_thought_chunk"),
        *("available_commands_update", "current_mode_update", "session_info_update"),
    }
    assert (tmp_path / "a.txt").read_text() == "hello"


# --- clients that know the wire and nothing else --------------------------------------------------------------------


class Wire:
    """The client's end, in this process. What comes is kept until it is looked for."""

    def __init__(self) -> None:
        self.reader = asyncio.StreamReader()
        self.seen: list[dict[str, Any]] = []
        self._news = asyncio.Event()
        self._number = 100

    async def write(self, line: bytes) -> None:
        assert line.endswith(b"\n") and line.count(b"\n") == 1
        self.seen.append(json.loads(line))
        self._news.set()

    def send(self, method: str, **params: Any) -> int:
        self._number += 1
        self.reader.feed_data(_line({"id": self._number, "method": method, "params": params}))
        return self._number

    def notify(self, method: str, **params: Any) -> None:
        self.reader.feed_data(_line({"method": method, "params": params}))

    def respond(self, request: dict[str, Any], **answer: Any) -> None:
        self.reader.feed_data(_line({"id": request["id"], **answer}))

    async def until(self, **fields: Any) -> dict[str, Any]:
        """The first message, past or to come, with these fields."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                for message in self.seen:
                    if fields.items() <= message.items():
                        return message
                self._news.clear()
                await self._news.wait()

    async def result(self, method: str, **params: Any) -> Any:
        answer = await self.until(id=self.send(method, **params))
        assert "result" in answer, answer
        return answer["result"]

    async def error(self, method: str, **params: Any) -> dict[str, Any]:
        error: dict[str, Any] = (await self.until(id=self.send(method, **params)))["error"]
        return error

    def prompt(self, session: str, text: str) -> int:
        return self.send("session/prompt", sessionId=session, prompt=[{"type": "text", "text": text}])


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"


@asynccontextmanager
async def client(agent: Agent | None = None, wire: Any = None) -> AsyncIterator[Any]:
    agent = agent or CommandAgent()
    await agent.start()
    wire = wire or Wire()
    serving = asyncio.create_task(AcpSide(agent, wire.reader, wire.write).run())
    try:
        yield wire
        wire.reader.feed_eof()
        await asyncio.wait_for(serving, WAIT_SECONDS)
    finally:
        serving.cancel()
        await asyncio.wait([serving])
        await agent.close()


def updates(wire: Wire, kind: str) -> list[dict[str, Any]]:
    told = [each["params"]["update"] for each in wire.seen if each.get("method") == "session/update"]
    return [each for each in told if each["sessionUpdate"] == kind]


def answered(wire: Wire) -> list[str]:
    return [each["content"]["text"] for each in updates(wire, "agent_message_chunk")]


async def opened(wire: Wire, root: Path) -> str:
    return str((await wire.result("session/new", cwd=str(root), mcpServers=[]))["sessionId"])


ALLOWED = {"result": {"outcome": {"outcome": "selected", "optionId": "allow"}}}


@pytest.mark.parametrize(
    ("answer", "made"),
    [
        (ALLOWED, True),
        ({"result": {"outcome": {"outcome": "selected", "optionId": "reject"}}}, False),
        ({"result": {"outcome": {"outcome": "selected", "optionId": "yes, do"}}}, False),
        ({"result": {"outcome": {"outcome": "cancelled"}}}, False),
        ({"result": {"outcome": "allow"}}, False),
        ({"result": None}, False),
        ({"result": [True]}, False),
        ({"error": {"code": -32601, "message": "allow"}}, False),
        ({}, False),
    ],
    ids=str,
)
async def test_only_a_clear_yes_allows(tmp_path: Path, answer: dict[str, Any], made: bool) -> None:
    async with client() as wire:
        turn = wire.prompt(await opened(wire, tmp_path), "write made\n")
        asked = await wire.until(method="session/request_permission")
        assert [option["kind"] for option in asked["params"]["options"]] == ["allow_once", "reject_once"]
        assert asked["params"]["toolCall"]["content"][0]["path"] == str(tmp_path / "made")
        assert not (tmp_path / "made").exists()
        wire.respond(asked, **answer)
        await wire.until(id=turn)
        assert (tmp_path / "made").exists() is made
        wire.respond(asked, **ALLOWED)  # a second answer is none
        assert (await wire.error("more"))["code"] == -32601


async def test_plan_and_bypass_ask_nobody(tmp_path: Path) -> None:
    async with client() as wire:
        session = await opened(wire, tmp_path)
        for mode, made in (("plan", False), ("bypassPermissions", True)):
            await wire.result("session/set_mode", sessionId=session, modeId=mode)
            await wire.until(id=wire.prompt(session, f"write {mode}\n"))
            assert (tmp_path / mode).exists() is made
        assert not [message for message in wire.seen if message.get("method") == "session/request_permission"]


async def test_a_cancel_right_behind_its_prompt_is_not_lost(tmp_path: Path) -> None:
    async with client() as wire:
        session = await opened(wire, tmp_path)
        for waiting in (False, True):
            turn = wire.prompt(session, "!sleep 1000")
            if waiting:
                wire.respond(await wire.until(method="session/request_permission"), **ALLOWED)
            wire.notify("session/cancel", sessionId=session)
            assert (await wire.until(id=turn))["result"] == {"stopReason": "cancelled"}


async def test_the_end_of_input_ends_everything(tmp_path: Path) -> None:
    async with client() as wire:
        session = await opened(wire, tmp_path)
        wire.prompt(session, "!touch made")
        await wire.until(method="session/request_permission")
    assert not (tmp_path / "made").exists() and psutil.Process().children() == []


async def test_what_means_nothing_is_refused_and_the_rest_goes_on(tmp_path: Path, quiet_log: None) -> None:
    async with client() as wire:
        session = await opened(wire, tmp_path)
        for junk in (b"garbage\n", b"\n", b"[]\n", b'{"id": {}}\n', b"\xff\n", b"[" * 100_000 + b"\n", b"7\n"):
            wire.reader.feed_data(junk)
        for message in ({"id": 7}, {"id": 7, "result": 1}, {"id": "x", "result": 1}, {"method": "$/news"}):
            wire.reader.feed_data(_line(message))
        wire.notify("session/cancel", sessionId="another")
        for params in ({}, {"cwd": "relative"}, {"cwd": "/no/such"}, {"cwd": 7}, {"cwd": "/a\0b"}):
            assert (await wire.error("session/new", **params))["code"] == -32602
        for method, params in (
            ("session/prompt", {"sessionId": "another", "prompt": []}),
            ("session/set_mode", {"sessionId": session, "modeId": "yolo"}),
            ("session/set_mode", {"sessionId": session, "modeId": ["plan"]}),
        ):
            assert (await wire.error(method, **params))["code"] == -32602
        assert (await wire.error("fs/read_text_file"))["code"] == -32601
        assert (await wire.error("session/load", sessionId=session, cwd=str(tmp_path)))["code"] == -32601
        running = wire.prompt(session, "!echo begun")
        asked = await wire.until(method="session/request_permission")
        assert (await wire.until(id=wire.prompt(session, "help")))["error"]["code"] == -32600
        wire.respond(asked, **ALLOWED)
        assert (await wire.until(id=running))["result"] == {"stopReason": "end_turn"}
        answers = [message["id"] for message in wire.seen if "id" in message and "method" not in message]
        assert len([number for number in answers if number is not None]) == len({*answers} - {None})


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("!false", "exit code 1\n"),
        ("!exit 7", "exit code 7\n"),
        ("sing", 'no model is configured, and "sing" is not a command; try: help\n'),
        ("read nothing", "nothing: there is no such file\n"),
        ("read", "read needs a path; try: help\n"),
        ("write ../a\n", ""),
    ],
)
async def test_a_command_that_fails_is_an_answer(tmp_path: Path, prompt: str, words: str) -> None:
    async with client() as wire:
        session = await opened(wire, tmp_path)
        await wire.result("session/set_mode", sessionId=session, modeId="bypassPermissions")
        result = (await wire.until(id=wire.prompt(session, prompt)))["result"]
        assert result["stopReason"] == "end_turn" and result["_meta"]["myagent"]["exitCode"] > 0
        assert answered(wire)[-1].endswith(words) and result["_meta"]["myagent"]["message"] in answered(wire)[-1]
        assert not [each for each in wire.seen if "error" in each]


async def test_a_denied_command_is_an_answer(tmp_path: Path) -> None:
    async with client() as wire:
        turn = wire.prompt(await opened(wire, tmp_path), "!touch made")
        rejected = {"result": {"outcome": {"outcome": "selected", "optionId": "reject"}}}
        wire.respond(await wire.until(method="session/request_permission"), **rejected)
        assert (await wire.until(id=turn))["result"]["stopReason"] == "end_turn"
        assert answered(wire) == ["denied\n"] and not (tmp_path / "made").exists()


async def test_commands_are_offered_and_understood_with_a_slash(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("found\n")
    async with client() as wire:
        session = await opened(wire, tmp_path)
        await wire.until(id=wire.prompt(session, "/read a"))
        assert answered(wire) == ["found\n"]
        offered = updates(wire, "available_commands_update")[0]["availableCommands"]
        assert {row["name"] for row in offered} >= {"read", "grep", "help"} and all(
            row["description"] for row in offered
        )


async def test_options_are_listed_set_and_kept_in_step_with_the_modes(tmp_path: Path) -> None:
    async with client() as wire:
        new = await wire.result("session/new", cwd=str(tmp_path), mcpServers=[])
        session, (mode,) = new["sessionId"], new["configOptions"]
        assert (mode["id"], mode["category"], mode["currentValue"]) == ("mode", "mode", "default")
        for name, value in (
            ("mode", "yolo"),
            ("mode", True),
            ("mode", ["plan"]),
            ("model", "m"),
            (None, "plan"),
            ([], {}),
        ):
            error = await wire.error("session/set_config_option", sessionId=session, configId=name, value=value)
            assert error["code"] == -32602
        chosen = await wire.result("session/set_config_option", sessionId=session, configId="mode", value="plan")
        assert chosen["configOptions"][0]["currentValue"] == "plan"
        assert updates(wire, "current_mode_update") == [
            {"sessionUpdate": "current_mode_update", "currentModeId": "plan"}
        ]
        await wire.until(id=wire.prompt(session, "!touch made"))
        assert not (tmp_path / "made").exists()


async def test_a_session_that_is_closed_stops_and_is_gone(tmp_path: Path) -> None:
    async with client() as wire:
        session, other = await opened(wire, tmp_path), await opened(wire, tmp_path)
        turn = wire.prompt(session, "!sleep 1000")
        wire.respond(await wire.until(method="session/request_permission"), **ALLOWED)
        assert await wire.result("session/close", sessionId=session) == {}
        assert (await wire.until(id=turn))["result"]["stopReason"] == "cancelled"
        assert psutil.Process().children() == []
        for method in ("session/close", "session/prompt"):
            assert (await wire.error(method, sessionId=session, prompt=[]))["code"] == -32602
        listed = (await wire.result("session/list"))["sessions"]
        assert [row["sessionId"] for row in listed] == [other]
        assert (await wire.result("session/list", cwd="/"))["sessions"] == []
        assert (await wire.error("session/list", cwd="relative"))["code"] == -32602


async def test_a_prompt_is_cancelled_by_its_number_as_well(tmp_path: Path) -> None:
    async with client() as wire:
        turn = wire.prompt(await opened(wire, tmp_path), "!sleep 1000")
        await wire.until(method="session/request_permission")
        for number in (turn + 1000, "x", None, turn):
            wire.notify("$/cancel_request", requestId=number)
        assert (await wire.until(id=turn))["result"] == {"stopReason": "cancelled"}


# --- the model agent ------------------------------------------------------------------------------------------------


@needs_models
async def test_a_model_over_acp_and_its_conversation_told_again(tmp_path: Path) -> None:
    files = partial(PrivateFiles, directory="agent")
    (tmp_path / "a").write_text("found\n")
    async with client(Modelled(tmp_path, files=files)) as wire:
        assert (await wire.result("initialize", protocolVersion=1))["agentCapabilities"]["loadSession"] is True
        session = await opened(wire, tmp_path)
        prompt = "MARKER-42 " + script(calls(("Bash", {"command": "echo out"}), ("Read", {"path": "a"})), {"say": "so"})
        turn = wire.prompt(session, prompt)
        wire.respond(await wire.until(method="session/request_permission"), **ALLOWED)
        assert (await wire.until(id=turn))["result"] == {"stopReason": "end_turn"}
        updates = [each["params"]["update"] for each in wire.seen if each.get("method") == "session/update"]
        beside = [each for each in updates if each["sessionUpdate"] == "agent_thought_chunk"]
        assert [each["content"]["text"] for each in beside] == ["out\n"]
        assert all(each["_meta"] == {"myagent": {"stream": "stderr"}} for each in beside)
        failed = (await wire.until(id=wire.prompt(session, "FAIL 400")))["result"]
        assert failed["stopReason"] == "refusal" and "answered 400" in failed["_meta"]["myagent"]["message"]
        last = [each["params"]["update"] for each in wire.seen if each.get("method") == "session/update"][-1]
        assert last["sessionUpdate"] == "agent_message_chunk" and "answered 400" in last["content"]["text"]
        said = [each for each in wire.seen if "answered 400" in json.dumps(each.get("params", ""))]
        assert len(said) == 1  # once, and not beside it as well
    async with client(Modelled(tmp_path, files=files)) as wire:
        assert (await wire.error("session/load", sessionId="../x", cwd=str(tmp_path)))["code"] == -32602
        await wire.result("session/load", sessionId=session, cwd=str(tmp_path), mcpServers=[])
        told = [each["params"]["update"] for each in wire.seen if each.get("method") == "session/update"]
        kinds = ["user_message_chunk", "tool_call", "tool_call", "agent_message_chunk"]
        assert [each["sessionUpdate"] for each in told][:4] == kinds
        assert (told[0]["content"]["text"], told[3]["content"]["text"]) == (prompt, "so")
        await wire.until(id=wire.prompt(session, "RECALL"))
        assert answered(wire)[-1] == "MARKER-42"


@needs_models
async def test_kept_sessions_are_listed_and_resumed_without_being_told_again(tmp_path: Path) -> None:
    files = partial(PrivateFiles, directory="agent")
    async with client(Modelled(tmp_path, files=files)) as wire:
        kept = []
        for prompt in ("keep MARKER-1", "keep MARKER-2"):
            kept.append(await opened(wire, tmp_path))
            await wire.until(id=wire.prompt(kept[-1], prompt))
    (tmp_path / ".myagent" / "agent" / "broken.jsonl").write_text("{")
    async with client(Modelled(tmp_path, files=files)) as wire:
        assert set((await wire.result("initialize"))["agentCapabilities"]["sessionCapabilities"]) == {
            "list",
            "resume",
            "close",
            "delete",
        }
        rows = (await wire.result("session/list", cwd=str(tmp_path)))["sessions"]
        assert {(row["sessionId"], row["title"]) for row in rows} == set(
            zip(kept, ("keep MARKER-1", "keep MARKER-2"), strict=True)
        )
        assert all(row["cwd"] == str(tmp_path) and row["updatedAt"].endswith("+00:00") for row in rows)
        resumed = await wire.result("session/resume", sessionId=kept[0], cwd=str(tmp_path), mcpServers=[])
        assert resumed["modes"]["currentModeId"] == "default" and not answered(wire)
        await wire.until(id=wire.prompt(kept[0], "RECALL"))
        assert answered(wire) == ["MARKER-1"]
        assert (await wire.error("session/resume", sessionId=kept[0], cwd=str(tmp_path)))[
            "code"
        ] == -32602  # it is open
        assert (await wire.error("session/resume", sessionId="none", cwd=str(tmp_path)))["code"] == -32602


@needs_models
async def test_usage_is_told_and_a_model_chosen_and_the_conversation_summed_up(tmp_path: Path) -> None:
    agent = Modelled(tmp_path)
    async with client(agent) as wire:
        new = await wire.result("session/new", cwd=str(tmp_path), mcpServers=[])
        session = new["sessionId"]
        _, model = new["configOptions"]
        assert (model["category"], model["currentValue"]) == ("model", "stub")
        assert [row["value"] for row in model["options"]] == ["stub", "other"]
        await wire.until(id=wire.prompt(session, "keep MARKER-7"))
        assert updates(wire, "usage_update")[0] == {"sessionUpdate": "usage_update", "used": 18, "size": 100_000}
        error = await wire.error("session/set_config_option", sessionId=session, configId="model", value="third")
        assert error["code"] == -32602
        await wire.result("session/set_config_option", sessionId=session, configId="model", value="other")
        await wire.until(id=wire.prompt(session, "hello"))
        assert [asked["model"] for asked in agent.asked] == ["stub", "other"]
        assert [row["name"] for row in updates(wire, "available_commands_update")[0]["availableCommands"]] == [
            "compact"
        ]
        await wire.until(id=wire.prompt(session, "/compact"))
        assert answered(wire)[-1] == "the conversation is summed up\n" and "MARKER-7" in str(
            agent.asked[-1]["messages"]
        )
        await wire.until(id=wire.prompt(session, "hello"))
        assert "Summary of the conversation" in str(agent.asked[-1]["messages"])
        assert "MARKER-7" not in str(agent.asked[-1]["messages"])
        await wire.until(id=wire.prompt(await opened(wire, tmp_path), "/compact"))
        assert answered(wire)[-1] == "there is nothing to sum up\n"
