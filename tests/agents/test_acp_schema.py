"""Every frame that our agent and our host send is what the published schema of the protocol says."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.agents.acp_schema import Frames
from tests.agents.modelled import Modelled, calls, needs_models, script
from tests.agents.recorder import DENY, WAIT_SECONDS, Recorder
from tests.agents.test_acp import Hosted, hosting
from tests.agents.test_acp_agent import ALLOWED, Wire, answered, client, opened, updates

from myagent.access.state_directory import PrivateFiles
from myagent.agents.acp.operator import NOTHING_SAID, Operator
from myagent.agents.builtin.command import CommandAgent
from myagent.core.choices import Choice
from myagent.exceptions import AgentUnavailable


class CheckedWire(Wire):
    """The client's end, which holds what comes to the schema."""

    def __init__(self) -> None:
        super().__init__()
        self.frames = Frames()
        self._looked = 0

    async def write(self, line: bytes) -> None:
        self.frames.check(json.loads(line))
        await super().write(line)

    async def until_next(self, method: str) -> dict[str, Any]:
        """The next request of the agent's that nobody has looked at."""
        return await self._next(lambda each: each.get("method") == method and "id" in each)

    async def until_update(self, status: str) -> dict[str, Any]:
        return await self._next(lambda each: each.get("params", {}).get("update", {}).get("status") == status)

    async def _next(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                while self._looked < len(self.seen):
                    self._looked += 1
                    if fits(message := self.seen[self._looked - 1]):
                        return message
                self._news.clear()
                await self._news.wait()

    def send(self, method: str, **params: Any) -> int:
        self.frames.asked({"id": self._number + 1, "method": method})
        return super().send(method, **params)


@pytest.mark.parametrize(
    "frame",
    [
        {"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update": {"sessionUpdate": "x"}}},
        {"jsonrpc": "2.0", "method": "session/cancel", "params": {"session": "s"}},
        {"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": "s", "why": "so"}},
        {"jsonrpc": "2.0", "method": "session/nwe", "params": {}},
        {"jsonrpc": "2.0", "id": 1, "method": "session/new", "params": {"cwd": "/"}},
        {"jsonrpc": "2.0", "id": 1, "result": {}, "error": {}},
        {"jsonrpc": "2.0", "id": 9, "result": {"stopReason": "failed"}},
    ],
    ids=str,
)
def test_the_control_a_wrong_frame_is_noticed(frame: dict[str, Any]) -> None:
    frames = Frames()
    frames.asked({"id": 9, "method": "session/prompt"})
    with pytest.raises((AssertionError, KeyError, ValueError)):
        frames.check(frame)


async def test_the_command_agent(tmp_path: Path) -> None:
    async with client(CommandAgent(), CheckedWire()) as wire:
        await wire.result("initialize", protocolVersion=1)
        session = await opened(wire, tmp_path)
        for prompt in ("write a.txt\nhello", "read a.txt", "!echo out; echo err >&2", "!exit 3", "read none", "sing"):
            turn = wire.prompt(session, prompt)
            if prompt.startswith(("write", "!")):
                wire.respond(await wire.until_next("session/request_permission"), **ALLOWED)
            await wire.until(id=turn)
        await wire.result("session/set_mode", sessionId=session, modeId="plan")
        await wire.result("session/set_config_option", sessionId=session, configId="mode", value="default")
        turn = wire.prompt(session, "!sleep 1000")
        wire.respond(await wire.until_next("session/request_permission"), **ALLOWED)
        await wire.until_update("in_progress")
        wire.notify("session/cancel", sessionId=session)
        assert (await wire.until(id=turn))["result"]["stopReason"] == "cancelled"
        turn = wire.prompt(session, "!sleep 1000")
        await wire.until_next("session/request_permission")
        wire.notify("session/cancel", sessionId=session)
        assert (await wire.until(id=turn))["result"]["stopReason"] == "cancelled"
        await wire.result("session/list")
        await wire.result("session/close", sessionId=session)
        assert (await wire.error("session/delete", sessionId=session))["code"] == -32601  # it remembers nothing
        assert wire.frames.kinds >= {
            *("agent_message_chunk", "agent_thought_chunk", "tool_call", "tool_call_update", "current_mode_update"),
            *("available_commands_update", "session_info_update", "session/request_permission", "$/cancel_request"),
            *("session/list answered", "session/prompt answered", "session/set_config_option answered"),
        }


@needs_models
async def test_the_model_agent(tmp_path: Path) -> None:
    files = partial(PrivateFiles, directory="agent")
    (tmp_path / "a").write_text("found\n")
    async with client(Modelled(tmp_path, files=files), CheckedWire()) as wire:
        capabilities = (await wire.result("initialize", protocolVersion=1))["agentCapabilities"]
        assert set(capabilities["sessionCapabilities"]) == {"list", "resume", "close", "delete"}
        session = await opened(wire, tmp_path)
        prompt = script(calls(("Bash", {"command": "echo out"}), ("Read", {"path": "a"})), {"say": "so"})
        turn = wire.prompt(session, prompt)
        wire.respond(await wire.until_next("session/request_permission"), **ALLOWED)
        await wire.until(id=turn)
        turn = wire.prompt(
            session, script(calls(("Edit", {"path": "a", "old": "found", "new": "lost"})), {"say": "so"})
        )
        wire.respond(await wire.until_next("session/request_permission"), **ALLOWED)
        await wire.until(id=turn)
        places = [each.get("locations") for each in updates(wire, "tool_call")]
        assert places == [None, [{"path": str(tmp_path / "a")}], [{"path": str(tmp_path / "a")}]]  # from the root
        ended = [each["rawOutput"] for each in updates(wire, "tool_call_update") if "rawOutput" in each]
        assert ended == [{"exitCode": 0}, {"output": "found\n"}]
        await wire.until(id=wire.prompt(session, "FAIL 400"))
        await wire.result("session/set_config_option", sessionId=session, configId="model", value="other")
        await wire.result("session/close", sessionId=session)
        await wire.result("session/load", sessionId=session, cwd=str(tmp_path), mcpServers=[])
        await wire.result("session/close", sessionId=session)
        await wire.result("session/resume", sessionId=session, cwd=str(tmp_path), mcpServers=[])
        assert wire.frames.kinds >= {"usage_update", "user_message_chunk", "session_info_update"}
        assert [row["sessionId"] for row in (await wire.result("session/list", cwd=str(tmp_path)))["sessions"]] == [
            session
        ]
        await wire.result("session/delete", sessionId=session)
        await wire.result("session/delete", sessionId=session)  # it is gone already
        assert (await wire.result("session/list", cwd=str(tmp_path)))["sessions"] == []
        assert (await wire.error("session/load", sessionId=session, cwd=str(tmp_path)))["code"] == -32602
    assert not list((tmp_path / ".myagent" / "agent").glob("*.jsonl"))


async def test_pieces_of_a_message_have_its_id(tmp_path: Path) -> None:
    """One message has one id, and what comes after something else is another message."""
    async with client() as wire:
        session = await opened(wire, tmp_path)
        (tmp_path / "a").write_text("x" * 200_000)
        for prompt in ("read a", "help"):
            await wire.until(id=wire.prompt(session, prompt))
        ids = [each["messageId"] for each in updates(wire, "agent_message_chunk")]
        assert len(set(ids)) >= 2 and len(answered(wire)) == len(ids)
        info = updates(wire, "session_info_update")
        assert [each["title"] for each in info] == ["read a"] and info[0]["updatedAt"].endswith("+00:00")


async def test_any_request_can_be_taken_back(tmp_path: Path) -> None:
    """It is answered all the same: with its result, or as cancelled; and what comes after it is done."""

    class Slow(CommandAgent):
        async def conversations(self, cwd: Path) -> list[tuple[str, str, str]]:
            asked.set()
            await asyncio.Event().wait()
            return []

    asked = asyncio.Event()
    async with client(Slow()) as wire:
        session = await opened(wire, tmp_path)
        number = wire.send("session/list", cwd=str(tmp_path))
        await asked.wait()
        wire.notify("$/cancel_request", requestId=number)
        assert (await wire.until(id=number))["error"]["code"] == -32800
        wire.notify("$/cancel_request", requestId=number)  # it is answered already
        wire.notify("$/cancel_request", requestId="none")
        await wire.until(id=wire.prompt(session, "help"))


# --- our host ---------------------------------------------------------------------------------------------------------


def test_what_our_host_sends(tmp_path: Path) -> None:
    heard = tmp_path / "heard"

    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        end, _ = await hosted.run("say hello")
        switch = Choice("fast", True, False)
        effort = Choice("m1", "small", "big")
        asked = replace(hosted.turn("write one"), choices=(switch, effort))
        await hosted.agent.run(asked, Recorder(DENY))
        await hosted.run("write two", Recorder(DENY), session="two")
        await hosted.run("take_back", Recorder(), session="two")
        told = Recorder()
        running = asyncio.create_task(hosted.run("wait", told))
        await told.until(lambda: "waiting" in told.out)
        running.cancel()
        await asyncio.wait({running})
        await hosted.run("say again", session="three", earlier=end.agent_session_id)
        await hosted.agent.forget_session("three", None)

    hosting(test, tmp_path, "--modes", "ask,plan", "--mode-by", "mode", "--offer", "config", "--store", str(tmp_path),
            "--heard", str(heard))  # fmt: skip
    frames = Frames()
    lines = [json.loads(line) for line in heard.read_text().splitlines()]
    for line in lines:
        for request in ("session/request_permission",):
            if "method" not in line:
                frames.asked({"id": line["id"], "method": request})
        frames.check(line)
    assert frames.kinds >= {"initialize", "session/new", "session/prompt", "session/load", "session/set_config_option",
                            "session/request_permission answered", "session/cancel"}  # fmt: skip
    hello = lines[0]["params"]["clientCapabilities"]
    assert hello["session"]["configOptions"] == {"boolean": {}} and hello["auth"] == {"terminal": True}


def test_a_session_is_deleted_where_the_agent_can(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        end, _ = await hosted.run("say hello")
        assert (tmp_path / str(end.agent_session_id)).exists()
        await hosted.agent.forget_session("one", end.agent_session_id)
        assert not (tmp_path / str(end.agent_session_id)).exists()
        await hosted.agent.forget_session("one", end.agent_session_id)
        again, told = await hosted.run("say on", earlier=end.agent_session_id)
        assert again.agent_session_id != end.agent_session_id and "lost its earlier session" in told.err

    hosting(test, tmp_path, "--store", str(tmp_path))


@pytest.mark.parametrize("operator", [NOTHING_SAID, Operator(auth_method="terminal")])
def test_how_to_sign_in_in_a_terminal_is_said(tmp_path: Path, operator: Operator) -> None:
    """And nothing is run: whoever starts the server does."""

    async def test(hosted: Hosted) -> None:
        with pytest.raises(AgentUnavailable) as raised:
            await hosted.agent.start()
        command = f"run `PLACE=here {shlex.quote(sys.executable)} -I "
        assert command in str(raised.value) and "--login 'a b'` in a terminal" in str(raised.value)

    hosting(test, tmp_path, "--auth", "key", "--auth-terminal", operator=operator)
