"""MCP servers of the operator's choosing: which are started, what they can know, and that each call is asked for."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.agents.modelled import TELL, Modelled, calls, needs_models, script
from tests.agents.recorder import ALLOW, DENY, Recorder

from myagent.agents import Turn, TurnEnd
from myagent.agents.builtin.mcp_config import McpServer, McpUnusable, mcp_servers
from myagent.agents.builtin.model import Choice
from myagent.agents.tools.toolbox import Toolbox
from myagent.core.messages import PermissionMode
from myagent.core.permissions import request_body
from myagent.exceptions import AgentUnavailable

pytestmark = [
    needs_models,
    pytest.mark.skipif(importlib.util.find_spec("mcp") is None, reason="needs: pip install 'myagent[mcp]'"),
]
SERVER = Path(__file__).with_name("mcp_server.py")
COMMAND = f"t={shlex.join((sys.executable, str(SERVER)))}"


class WithServers(Modelled):
    def __init__(self, root: Path, *wanted: str, trust: bool = False, **more: Any) -> None:
        super().__init__(root, **more)
        self._wanted, self._trust = wanted, trust

    @property
    def _choice(self) -> Choice:
        choice: Choice = self.__dict__["choice"]
        return choice

    @_choice.setter
    def _choice(self, choice: Choice) -> None:
        wanted = getattr(self, "_wanted", ())
        self.__dict__["choice"] = Choice(
            model=choice.model, base_url=choice.base_url, mcp=wanted, trust_directory=getattr(self, "_trust", False)
        )


@asynccontextmanager
async def started(root: Path, *wanted: str, **more: Any) -> AsyncIterator[WithServers]:
    agent = WithServers(root, *wanted, **more)
    try:
        await agent.start()
        yield agent
    finally:
        await agent.close()
        assert psutil.Process().children() == []


async def ask(
    agent: WithServers, *steps: dict[str, Any], io: Recorder | None = None, mode: PermissionMode = "default"
) -> tuple[TurnEnd, Recorder]:
    io = io or Recorder()
    turn = Turn("session", f"turn-{len(agent.asked)}", script(*steps), mode, agent._cwd)
    return await agent.run(turn, io), io


def told(agent: WithServers) -> list[str]:
    """What the model was told of its calls in the last turn."""
    messages = agent.asked[-1]["messages"]
    last = max(number for number, message in enumerate(messages) if message["role"] == "user")
    return [message["content"] for message in messages[last:] if message["role"] == "tool"]


async def test_a_tool_is_offered_asked_for_and_called(tmp_path: Path) -> None:
    place = tmp_path / "made"
    async with started(tmp_path, COMMAND) as agent:
        assert "MCP servers: t (" in agent.info.note
        step = calls(("t__touch", {"path": str(place)}))
        end, io = await ask(agent, step, TELL, io=Recorder(DENY))
        assert end.stop_reason == "end_turn" and told(agent) == ["denied: not today"] and not place.exists()
        _, io = await ask(agent, step, TELL, io=Recorder(ALLOW))
        assert place.read_text() == "made" and told(agent) == [f"made {place}"]
        offered = {tool["function"]["name"]: tool["function"] for tool in agent.asked[0]["tools"]}
        assert (
            offered["t__touch"]["parameters"]["required"] == ["path"]
            and "only reads" in offered["t__touch"]["description"]
        )
        (asked,) = io.asked
        body = request_body(asked, cwd=str(tmp_path), expires_at="")
        assert body is not None and body.title == "touch (MCP server t)" and body.input == {"path": str(place)}
        assert "tool touch of the MCP server t" in body.display and str(place) in body.display
        call = f"touch (MCP server t) ({place})"
        assert io.err.splitlines()[:2] == [f"→ {call}", f"✓ {call}: completed"]


async def test_the_control_an_agent_that_does_not_ask_makes_what_was_denied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody(*_: Any) -> None:
        return None

    monkeypatch.setattr(Toolbox, "_leave", nobody)
    async with started(tmp_path, COMMAND) as agent:
        await ask(agent, calls(("t__touch", {"path": str(tmp_path / "made")})), TELL, io=Recorder(DENY))
        assert (tmp_path / "made").exists()


async def test_in_plan_mode_none_is_offered_or_called(tmp_path: Path) -> None:
    async with started(tmp_path, COMMAND) as agent:
        _, io = await ask(agent, calls(("t__touch", {"path": str(tmp_path / "made")})), TELL, mode="plan")
        assert {tool["function"]["name"] for tool in agent.asked[0]["tools"]} == {"Read", "Glob", "Grep", "Ask"}
        assert "there is no such tool" in told(agent)[0] and io.asked == [] and list(tmp_path.iterdir()) == []


async def test_a_server_knows_no_more_than_a_command_and_runs_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "key-of-nobody-0123456789")
    listed = tmp_path.parent / f"{tmp_path.name}-servers.json"
    entry = {"command": sys.executable, "args": [str(SERVER)], "env": {"TEST_TOKEN": "${MINE} ${MYAGENT_TOKEN}"}}
    listed.write_text(json.dumps({"mcpServers": {"t": entry, "off": {"command": "none", "disabled": True}}}))
    env = {**os.environ, "MINE": "token-of-nobody", "MYAGENT_TOKEN": "never"}
    async with started(tmp_path, str(listed), env=env) as agent:
        await ask(agent, calls(("t__where", {})), TELL)
        pid, cwd, rest = told(agent)[0].split(maxsplit=2)
        assert not Path(cwd).is_relative_to(tmp_path) and "OPENAI" not in rest and "MYAGENT" not in rest
        assert rest.endswith("token-of-nobody ") and "token-of-nobody " in agent.info.secrets
        assert os.getpgid(int(pid)) != os.getpgid(0)
    assert not psutil.pid_exists(int(pid)) and not Path(cwd).exists()


async def test_what_a_server_does_wrong_is_told_and_the_turn_goes_on(tmp_path: Path) -> None:
    async with started(tmp_path, COMMAND) as agent:
        bad = [("t__fail", {}), ("t__touch", {"path": 7}), ("t__touch", [1]), ("t__flood", {}), ("t__none", {})]
        end, _ = await ask(agent, calls(*bad), TELL)
        assert end.stop_reason == "end_turn"
        fails, wrong, odd, flood, unknown = told(agent)
        assert "tool fail" in fails and "path" in wrong and "do not fit" in odd and len(flood) < 40_000
        assert "there is no such tool" in unknown


async def test_a_server_that_dies_fails_its_call_and_is_started_again_for_the_next_turn(tmp_path: Path) -> None:
    async with started(tmp_path, COMMAND) as agent:
        end, _ = await ask(agent, calls(("t__die", {})), TELL)
        assert end.stop_reason == "end_turn" and "the MCP server t failed" in told(agent)[0]
        await ask(agent, calls(("t__touch", {"path": str(tmp_path / "made")})), TELL)
        assert (tmp_path / "made").exists() and told(agent)[0].startswith("made")


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ("no-such-program-anywhere", "it could not be started"),
        (f"{sys.executable} -c 'import sys; sys.exit(\"no licence\")'", "it does not answer as one: no licence"),
        ("x=http://127.0.0.1:1/mcp", "MCP server x: it does not answer as one"),
        ("http://me:password@h.example/", "is no address"),
        ("a='", "is no command line"),
        ("", "nothing is named"),
    ],
)
async def test_a_server_that_cannot_be_used_is_one_line_at_the_start(
    tmp_path: Path, wanted: str, why: str, quiet_log: None
) -> None:
    with pytest.raises(AgentUnavailable) as raised:
        async with started(tmp_path, wanted):
            pass
    assert why in str(raised.value) and "\n" not in str(raised.value)


# --- whose choosing it is -------------------------------------------------------------------------------------------


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A directory that brings a server with it, which says by a file that it was started."""
    root = tmp_path / "workspace"
    (root / "bin").mkdir(parents=True)
    program = root / "bin" / "server"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o755)
    (root / "server.py").write_text(f"open('{tmp_path}/ran', 'w')")
    entry = {"command": sys.executable, "args": [str(SERVER)]}
    (root / ".mcp.json").write_text(json.dumps({"mcpServers": {"theirs": entry}}))
    return root


async def test_what_the_directory_names_is_started_with_trust_alone(hostile: Path) -> None:
    async with started(hostile) as agent:
        assert "theirs" not in agent.info.note
        await ask(agent, {"say": "x"})
        assert not any("theirs" in tool["function"]["name"] for tool in agent.asked[0]["tools"])
    async with started(hostile, trust=True) as agent:  # the control
        assert "MCP servers: theirs" in agent.info.note
        await ask(agent, {"say": "x"})
        assert any(tool["function"]["name"] == "theirs__touch" for tool in agent.asked[0]["tools"])


@pytest.mark.parametrize(
    "wanted", ["{root}/.mcp.json", "./bin/server", "bin/server", "{root}/bin/server",
               "{python} {root}/server.py", "x={root}/../workspace/bin/server", "{link}", "{python} ./server.py"],
)  # fmt: skip
def test_nothing_that_lies_in_the_directory_is_started_without_trust(
    hostile: Path, wanted: str, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(hostile / "bin" / "server")
    text = wanted.format(root=hostile, python=sys.executable, link=link)
    with pytest.raises(McpUnusable, match="in the directory itself"):
        mcp_servers([text], hostile, {}, trust_directory=False)
    assert mcp_servers([text] if ".mcp.json" not in text else [], hostile, {}, trust_directory=True)


def test_an_entry_that_runs_in_the_directory_needs_trust_too(hostile: Path, tmp_path: Path) -> None:
    listed = tmp_path / "servers.json"
    listed.write_text(json.dumps({"mcpServers": {"a": {"command": "npx", "args": ["x"], "cwd": str(hostile)}}}))
    with pytest.raises(McpUnusable, match="in the directory itself"):
        mcp_servers([str(listed)], hostile, {}, trust_directory=False)


@pytest.mark.parametrize(
    ("text", "name", "argv"),
    [
        ("npx -y @scope/server /data", "npx", ("npx", "-y", "@scope/server", "/data")),
        ("fs=npx -y 'a b'", "fs", ("npx", "-y", "a b")),
        ("/usr/bin/env FOO=bar server", "env", ("/usr/bin/env", "FOO=bar", "server")),
    ],
)
def test_what_a_command_means(tmp_path: Path, text: str, name: str, argv: tuple[str, ...]) -> None:
    assert mcp_servers([text], tmp_path, {}, trust_directory=False) == (McpServer(name, argv),)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "cannot be read"),
        ("[]", 'has no "mcpServers"'),
        ('{"mcpServers": []}', 'has no "mcpServers"'),
        ('{"mcpServers": {"a": {}}}', "neither a command nor a url"),
        ('{"mcpServers": {"a": 7}}', "neither a command nor a url"),
        ('{"mcpServers": {"a b": {"command": "x"}}}', "a name has letters"),
        ('{"mcpServers": {"a": {"command": "x", "args": "y"}}}', "no list of texts"),
        ('{"mcpServers": {"a": {"command": "x", "env": {"k": 7}}}}', "are no texts"),
        ('{"mcpServers": {"a": {"url": "file:///x"}}}', "no address"),
    ],
)
def test_a_file_that_is_none_is_one_line(tmp_path: Path, content: str, why: str) -> None:
    listed = tmp_path / "servers.json"
    listed.write_text(content)
    with pytest.raises(McpUnusable, match=why):
        mcp_servers([str(listed)], tmp_path / "workspace", {}, trust_directory=False)


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(McpUnusable, match="several of that name"):
        mcp_servers(["npx a", "npx b"], tmp_path, {}, trust_directory=False)
