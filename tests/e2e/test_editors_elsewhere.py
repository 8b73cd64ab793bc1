"""Clients of the Agent Client Protocol that others have made and that are not Python: the TypeScript SDK's, over a
child's pipes and over `/acp`, and acpx. `make editors` installs them; without them these tests are skipped.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from puppet import PATIENCE
from serving import Process, process
from tests.editors.judge import EDITORS, ROOT

SDK = EDITORS / "node_modules/@agentclientprotocol/sdk"
ACPX = EDITORS / "node_modules/.bin/acpx"
ACP = (sys.executable, "-m", "myagent", "acp")

NODE = shutil.which("node")
needs_sdk = pytest.mark.skipif(NODE is None or not SDK.exists(), reason=f"needs {SDK}: make editors")
needs_acpx = pytest.mark.skipif(NODE is None or not ACPX.exists(), reason=f"needs {ACPX}: make editors")


class TypeScript:
    """A process of the TypeScript SDK's client, and what it says that it was told."""

    def __init__(self, running: asyncio.subprocess.Process) -> None:
        self.running = running
        self.told: list[dict[str, Any]] = []
        self._ids = itertools.count(1)
        self._news = asyncio.Event()
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.running.stdout is not None
        while line := await self.running.stdout.readline():
            self.told.append(json.loads(line))
            self._news.set()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not true():
                self._news.clear()
                await self._news.wait()

    def do(self, **what: Any) -> None:
        assert self.running.stdin is not None
        self.running.stdin.write(json.dumps(what).encode() + b"\n")

    def begin(self, method: str, **params: Any) -> int:
        number = next(self._ids)
        self.do(id=number, method=method, params=params)
        return number

    async def until_answered(self, number: int) -> dict[str, Any]:
        await self.until(lambda: any(each.get("id") == number for each in self.told))
        return next(each for each in self.told if each.get("id") == number)

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        return await self.until_answered(self.begin(method, **params))

    async def prompt(self, session: str, text: str) -> dict[str, Any]:
        return await self.ask("session/prompt", sessionId=session, prompt=[{"type": "text", "text": text}])

    def said(self, kind: str = "agent_message_chunk") -> str:
        updates = [each["update"] for each in self.told if "update" in each]
        return "".join(each["content"]["text"] for each in updates if each["sessionUpdate"] == kind)


@asynccontextmanager
async def typescript(cwd: Path, server: Process | None = None) -> AsyncIterator[TypeScript]:
    """Over a WebSocket to a server, or with `myagent acp` as its child."""
    remote = {} if server is None else {"ACP_URL": f"{server.url}/acp", "ACP_TOKEN": server.token}
    running = await asyncio.create_subprocess_exec(
        str(NODE),
        str(ROOT / "tests/editors/js/client.mjs"),
        *ACP,
        cwd=cwd,
        env={**os.environ, "EDITORS": str(EDITORS), **remote},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    side = TypeScript(running)
    try:
        info = {"name": "ts", "version": "1"}
        first = await side.ask("initialize", protocolVersion=1, clientCapabilities={}, clientInfo=info)
        assert first["result"]["agentInfo"]["name"] == "myagent"
        yield side
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()
        await side.reading


@needs_sdk
@pytest.mark.parametrize("over", ["stdio", "websocket"])
async def test_the_typescript_sdk_does_all_that_an_editor_does(tmp_path: Path, over: str) -> None:
    async with process(tmp_path) as (server, here):
        async with typescript(tmp_path, server if over == "websocket" else None) as side:
            opened = await side.ask("session/new", cwd=str(tmp_path), mcpServers=[])
            session = opened["result"]["sessionId"]
            side.do(answer="allow_once")
            assert (await side.prompt(session, "!seq 1 300"))["result"]["stopReason"] == "end_turn"
            lines = "".join(f"{number}\n" for number in range(1, 301))
            assert side.said() == lines
            side.do(answer="reject_once")
            assert (await side.prompt(session, "!echo denied"))["result"]["stopReason"] == "end_turn"
            assert side.said() == lines
            side.do(answer="allow_once")
            running = side.begin(
                "session/prompt", sessionId=session, prompt=[{"type": "text", "text": "!echo begun; sleep 1000"}]
            )
            await side.until(lambda: "begun" in side.said())
            side.do(notify="session/cancel", params={"sessionId": session})
            assert (await side.until_answered(running))["result"]["stopReason"] == "cancelled"
            alice = await here.join("?label=alice")
            await side.prompt(session, "/handover alice")
            await alice.until("role", role="owner")
            await here.turn(alice, "!echo live", sessionId=session)
            await side.until(lambda: side.said().endswith("live\n"))
            assert side.said("user_message_chunk") == "alice: !echo live"
            refusal = (await side.prompt(session, "help"))["error"]
            assert "read-only follower: the slot is taken by alice" in refusal
        async with typescript(tmp_path, server if over == "websocket" else None) as again:
            loaded = await again.ask("session/load", sessionId=session, cwd=str(tmp_path), mcpServers=[])
            assert "result" in loaded
            assert again.said() == f"{lines}begun\nlive\n"


LINES = "!for i in $(seq 1 20000); do echo line $i; done; sleep 1000"


def whole(said: str) -> None:
    """Nothing is lost and nothing doubled: the lines are the first ones, in order."""
    lines = said.splitlines()
    assert lines == [f"line {number}" for number in range(1, len(lines) + 1)]


@needs_sdk
@pytest.mark.parametrize("same_port", [True, False])
async def test_the_typescript_sdk_notices_nothing_of_a_server_that_is_killed_and_started_again(
    tmp_path: Path, same_port: bool
) -> None:
    async with process(tmp_path) as (server, _):
        port = server.port
        starting = typescript(tmp_path)
        side = await starting.__aenter__()
        session = (await side.ask("session/new", cwd=str(tmp_path), mcpServers=[]))["result"]["sessionId"]
        side.do(answer="allow_once")
        running = side.begin(
            "session/prompt",
            sessionId=session,
            prompt=[{"type": "text", "text": LINES}],
        )
        await side.until(lambda: "line 500\n" in side.said())
        await server.stop(signal.SIGKILL)
    async with process(tmp_path, *(("--port", str(port)) if same_port else ())):
        assert "the server stopped before this turn ended" in (await side.until_answered(running))["error"]
        whole(side.said())
        async with typescript(tmp_path) as again:
            await again.ask("session/load", sessionId=session, cwd=str(tmp_path), mcpServers=[])
            assert again.said() == side.said()
        await starting.__aexit__(None, None, None)


@needs_sdk
async def test_the_typescript_sdk_on_a_websocket_loads_what_it_missed_when_its_server_was_killed(
    tmp_path: Path,
) -> None:
    async with process(tmp_path) as (server, _), typescript(tmp_path, server) as side:
        session = (await side.ask("session/new", cwd=str(tmp_path), mcpServers=[]))["result"]["sessionId"]
        side.do(answer="allow_once")
        side.begin("session/prompt", sessionId=session, prompt=[{"type": "text", "text": LINES}])
        await side.until(lambda: "line 500\n" in side.said())
        await server.stop(signal.SIGKILL)
        await side.running.wait()  # it is told that its connection is lost
    whole(side.said())
    async with process(tmp_path) as (server, _), typescript(tmp_path, server) as again:
        await again.ask("session/load", sessionId=session, cwd=str(tmp_path), mcpServers=[])
        whole(again.said())
        assert again.said().startswith(side.said())


async def acpx(cwd: Path, *arguments: str, home: Path) -> str:
    running = await asyncio.create_subprocess_exec(
        str(ACPX), "--agent", " ".join(ACP), "--cwd", str(cwd), *arguments,
        cwd=cwd, env={**os.environ, "HOME": str(home)},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(running.communicate(), PATIENCE)
    return said.decode()


@needs_acpx
async def test_acpx_prompts_allows_and_denies(tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    (work / "a.txt").write_text("what it reads\n")
    async with process(work) as (_, here):
        assert "what it reads" in await acpx(work, "exec", "read a.txt", home=home)
        assert "echo allowed\nallowed" not in await acpx(work, "--deny-all", "exec", "!echo allowed", home=home)
        said = await acpx(work, "--approve-all", "exec", "!echo al''lowed", home=home)
        assert "allowed" in said
        late = await here.join()
        assert len(late.welcome["sessions"]) == 3


@needs_acpx
async def test_acpx_is_shown_everything_once_when_the_server_is_killed_and_started_again(tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    async with process(work) as (server, _):
        running = await asyncio.create_subprocess_exec(
            str(ACPX), "--agent", " ".join(ACP), "--cwd", str(work), "--approve-all", "--format", "json", "exec", LINES,
            cwd=work, env={**os.environ, "HOME": str(home)}, limit=1 << 24,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        said = ""
        while "line 500\n" not in said:
            said += _chunk(await asyncio.wait_for(running.stdout.readline(), PATIENCE))
        await server.stop(signal.SIGKILL)
    async with process(work):
        while line := await asyncio.wait_for(running.stdout.readline(), PATIENCE):
            said += _chunk(line)
        assert await running.wait() != 0
    whole(said)


def _chunk(line: bytes) -> str:
    """What the agent says in a line of acpx's, which are the protocol's own messages."""
    assert line, "acpx has ended"
    match json.loads(line):
        case {"params": {"update": {"sessionUpdate": "agent_message_chunk", "content": {"text": str(text)}}}}:
            return text
    return ""
