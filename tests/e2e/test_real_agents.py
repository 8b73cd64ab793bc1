"""Real agents through the whole product, found on PATH by `serve --agent NAME`, against a scripted model on loopback.

`tests/agents/real.py` says how they are installed; those that are not are skipped.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from serving import Process, gone, process, refused
from tests.agents.model_server import CONTENT, WORDS, model_server
from tests.agents.real import CLAUDE, CLAUDE_P, EVERY, GEMINI, OPENCODE, Real, a_minute_later
from wire import Client, Scene, decide

from myagent.agents.acp.presets import preset


@dataclass
class Workplace:
    """A workspace, a home, and an environment in which `--agent NAME` finds one agent and one model."""

    real: Real
    workspace: Path
    home: Path
    env: dict[str, str]

    @asynccontextmanager
    async def served(self, *options: str, **env: str) -> AsyncIterator[tuple[Process, Scene]]:
        """The server process; at its end nothing that it started is left."""
        started = process(self.workspace, "--agent", self.real.name, *options, env=self.env | env)
        async with started as (server, here):
            children = [child.pid for child in psutil.Process(server.process.pid).children(recursive=True)]
            assert children or self.real is CLAUDE_P  # whose process is there for each turn
            yield server, here
            assert await server.stop() == 0
        assert all(gone(child) for child in children)

    @property
    def file(self) -> Path:
        return self.workspace / "hello.txt"

    @property
    def prompt(self) -> str:
        return f"STUB please write FILE={self.file} now"


@pytest.fixture(params=EVERY, ids=lambda real: real.name)
def real(request: pytest.FixtureRequest) -> Real:
    found: Real = request.param
    found.need()
    return found


@asynccontextmanager
async def at_work(real: Real, tmp_path: Path) -> AsyncIterator[Workplace]:
    workspace, home = tmp_path / "workspace", tmp_path / "home"
    workspace.mkdir()
    home.mkdir()
    async with model_server() as url:
        yield Workplace(real, workspace, home, os.environ | real.env(home, url))


def text(client: Client, turn_id: str) -> str:
    return "".join(each["chunk"] for each in client.of("agent_stdout") if each["id"] == turn_id)


async def test_a_write_is_asked_for_and_a_follower_sees_all_of_it(real: Real, tmp_path: Path) -> None:
    asking = preset(real.name).asking
    async with at_work(real, tmp_path) as place, place.served() as (server, here):
        assert re.search(rf"asks (to leave its sandbox )?\(mode {asking}\), as verified", server.said)
        owner, follower = await here.join(), await here.join()
        assert (owner.role, follower.role) == ("owner", "follower")

        turn = await owner.send("user_message", prompt=place.prompt)
        request = await owner.until("permission_request", id=turn)
        assert not place.file.exists()
        await decide(owner, request, "deny", reason="not today")
        await follower.until("terminal_state", id=turn)
        assert not place.file.exists()
        assert [each["outcome"] for each in follower.of("permission_resolved")] == ["deny"]
        assert "denied: not today" in "".join(each["chunk"] for each in follower.of("agent_stderr"))

        turn = await owner.send("user_message", prompt=place.prompt, sessionId=request["sessionId"])
        request = await owner.until("permission_request", id=turn)
        assert str(place.file) in request["request"]["display"] and CONTENT.strip() in request["request"]["display"]
        assert not place.file.exists()
        await decide(owner, request, "allow")
        end = await follower.until("terminal_state", id=turn)
        assert (end["stopReason"], end["exitCode"]) == ("end_turn", 0)
        assert place.file.read_text() == CONTENT
        said = text(follower, turn)
        assert "".join(WORDS).strip() in said and said.rstrip().endswith("done.")
        metadata = await follower.until("session_metadata")
        assert metadata["session"]["agentState"]["mode"] == asking


async def test_cancel_in_the_middle_of_an_answer_ends_130(real: Real, tmp_path: Path) -> None:
    async with at_work(real, tmp_path) as place, place.served() as (_, here):
        owner, follower = await here.join(), await here.join()
        turn = await owner.send("user_message", prompt="SLOW please")
        while "word1 " not in text(follower, turn):
            await follower.next()
        session = follower.of("agent_stdout")[0]["sessionId"]
        assert not follower.of("terminal_state")
        await owner.acked(await owner.send("cancel", sessionId=session), duplicate=False)
        for client in (owner, follower):
            end = await client.until("terminal_state", id=turn)
            assert (end["exitCode"], end["stopReason"]) == (130, "cancelled")
        end = await here.turn(owner, "hello", sessionId=session)
        assert (end["exitCode"], text(owner, end["id"]).strip()) == (0, "ok")


async def test_the_conversation_goes_on_after_a_restart_of_the_server(real: Real, tmp_path: Path) -> None:
    async with at_work(real, tmp_path) as place:
        async with place.served() as (_, here):
            owner = await here.join()
            before = await here.turn(owner, "keep MARKER-42 in mind")
            assert before["exitCode"] == 0
        a_minute_later(place.home)
        async with place.served() as (_, here):
            owner = await here.join()
            end = await here.turn(owner, "RECALL it", sessionId=before["sessionId"])
            assert (end["exitCode"], text(owner, end["id"]).strip()) == (0, "MARKER-42")
            assert end["agentSessionId"] == before["agentSessionId"]
            assert "begins a new one" not in "".join(each["chunk"] for each in owner.of("agent_stderr"))


async def test_opencodes_own_settings_count_only_where_that_was_accepted(tmp_path: Path) -> None:
    """Negative control: without what its preset sets it writes, nobody is asked, and `serve` says so."""
    OPENCODE.need()
    async with at_work(OPENCODE, tmp_path) as place:
        async with place.served(OPENCODE_PERMISSION="{}") as (server, here):
            assert "asks (mode" in server.said
            owner = await here.join()
            await here.turn(owner, place.prompt, allow=False)
            assert len(owner.of("permission_request")) == 1 and not place.file.exists()
        async with place.served("--allow-unsupervised", OPENCODE_PERMISSION="{}") as (server, here):
            assert "UNSUPERVISED" in server.said and "OPENCODE_PERMISSION" in server.said
            owner = await here.join()
            await here.turn(owner, place.prompt, allow=False)
            assert not owner.of("permission_request") and place.file.read_text() == CONTENT


async def test_what_is_found_here_is_listed_with_its_version(real: Real, tmp_path: Path) -> None:
    async with at_work(real, tmp_path) as place:
        done = subprocess.run(
            [sys.executable, "-m", "myagent", "remote", "agents"], env=place.env, capture_output=True, text=True
        )
    line = next(line for line in done.stdout.splitlines() if line.split()[0] == real.name)
    assert done.returncode == 0
    assert str(real.path) in line
    assert real is CLAUDE or (line.rstrip().endswith(")") and any(letter.isdigit() for letter in line))  # it tells none


async def test_an_agent_that_is_not_signed_in_is_refused_with_how_to(tmp_path: Path) -> None:
    """With a model's address set, gemini-cli 0.61 takes itself to be signed in."""
    GEMINI.need()
    async with at_work(GEMINI, tmp_path) as place:
        unset = ("GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL")
        env = {key: value for key, value in place.env.items() if key not in unset}
        code, said = await refused(place.workspace, "--agent", "gemini", env=env)
    assert (code, said.count("\n")) == (3, 1), said
    assert "set GEMINI_API_KEY" in said
