"""The model agent through the whole product: a server process, an owner, a follower, and a scripted model."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from serving import Process, gone, process
from tests.agents.model_server import CONTENT, model_server
from tests.agents.modelled import TELL, Modelled, calls, needs_models, script
from wire import Client, Scene, decide, scene

from myagent.access.state_directory import PrivateFiles

pytestmark = needs_models
KEY = "key-of-nobody-0123456789"


@asynccontextmanager
async def served(workspace: Path, url: str) -> AsyncIterator[tuple[Process, Scene]]:
    """The server process, whose key is in the workspace's `.env`."""
    env = {name: value for name, value in os.environ.items() if name not in ("OPENAI_API_KEY", "OPENAI_BASE_URL")}
    (workspace / ".env").write_text(f"OPENAI_API_KEY={KEY}\n")
    async with process(workspace, "--model", "stub", "--base-url", f"{url}/v1", env=env) as (server, here):
        yield server, here
        assert await server.stop() == 0


def text(client: Client, turn_id: str, kind: str = "agent_stdout") -> str:
    return "".join(each["chunk"] for each in client.of(kind) if each["id"] == turn_id)


async def test_a_follower_sees_a_write_that_was_asked_for_and_nobody_the_key(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []
    async with model_server(asked) as url:
        async with served(tmp_path, url) as (server, here):
            assert "[remote] agent model (stub at 127.0.0.1:" in server.said and KEY not in server.said
            owner, follower = await here.join(), await here.join()
            turn = await owner.send("user_message", prompt="STUB FILE=hello.txt, please")
            request = await owner.until("permission_request", id=turn)
            session = request["sessionId"]
            await decide(owner, request, "deny", reason="not today")
            await owner.until("terminal_state", id=turn)
            assert not (tmp_path / "hello.txt").exists()

            turn = await owner.send("user_message", prompt="STUB FILE=hello.txt", sessionId=session)
            request = (await owner.until("permission_request", id=turn))["request"]
            assert request["title"] == "Create hello.txt" and f"+{CONTENT}" in request["display"]
            assert request["diffs"] == [{"path": "hello.txt", "oldText": None, "newText": CONTENT}]
            (tmp_path / "hello.txt").write_text("somebody else's\n")  # while it is asked: nothing is written
            await decide(owner, owner.messages[-1], "allow")
            await owner.until("terminal_state", id=turn)
            assert (tmp_path / "hello.txt").read_text() == "somebody else's\n"
            assert "changed after leave was asked" in text(owner, turn, "agent_stderr")

            (tmp_path / "hello.txt").unlink()
            end = await here.turn(owner, "STUB FILE=hello.txt", sessionId=session)
            assert (end["stopReason"], end["exitCode"]) == ("end_turn", 0)
            assert (tmp_path / "hello.txt").read_text() == CONTENT
            await follower.until("terminal_state", id=end["id"])
            assert text(follower, end["id"]) == "I will write the file. \nAll done."
            assert text(follower, end["id"], "agent_stderr") == "→ Create hello.txt\n✓ Create hello.txt: completed\n"
            assert (await owner.until("session_metadata"))["session"]["agentState"]["usage"] == {"used": 18}

            leak = script(calls(("Read", {"path": ".env"}), ("Bash", {"command": "cat .env; env"})), TELL)
            end = await here.turn(owner, leak, sessionId=session)
            assert text(owner, end["id"]).startswith("OPENAI_API_KEY= [covered]\n")
            assert KEY not in str(owner.messages)
        assert all(request["authorization"] == f"Bearer {KEY}" for request in asked)
        kept = [path for path in (tmp_path / ".myagent").rglob("*") if path.is_file()]
        assert any(path.parent.name == "agent" for path in kept)
        assert all(KEY.encode() not in path.read_bytes() for path in kept)


async def test_the_conversation_goes_on_after_a_restart(tmp_path: Path) -> None:
    files = partial(PrivateFiles, directory="agent")
    async with scene(tmp_path, Modelled(tmp_path, files=files)) as here:
        owner = await here.join()
        before = await here.turn(owner, "keep MARKER-42")
    for kept, expected in ((files, "MARKER-42"), (None, "nothing")):  # the control: a server that kept nothing
        async with scene(tmp_path, Modelled(tmp_path, files=kept)) as here:
            owner = await here.join()
            end = await here.turn(owner, "RECALL", sessionId=before["sessionId"])
            assert text(owner, end["id"]) == expected
            said = text(owner, end["id"], "agent_stderr")
            assert ("begins a new one" in said) is (kept is None) and (said == "") is (kept is not None)


async def test_cancel_ends_130_and_what_ran_is_gone(tmp_path: Path) -> None:
    async with scene(tmp_path, Modelled(tmp_path)) as here:
        owner = await here.join()
        turn = await owner.send("user_message", prompt="SLOW please")
        while "word1 " not in text(owner, turn):
            session = (await owner.until("agent_stdout", id=turn))["sessionId"]
        await owner.send("cancel", sessionId=session)
        end = await owner.until("terminal_state", id=turn)
        assert (end["exitCode"], end["stopReason"]) == (130, "cancelled")

        lingers = script(calls(("Bash", {"command": "echo at $$; sleep 1000"})), TELL)
        turn = await owner.send("user_message", prompt=lingers, sessionId=session)
        await decide(owner, await owner.until("permission_request", id=turn), "allow")
        while "\nat " not in (said := text(owner, turn, "agent_stderr")):
            await owner.until("agent_stderr", id=turn)
        child = psutil.Process(int(said.partition("\nat ")[2]))
        await owner.send("cancel", sessionId=session)
        end = await owner.until("terminal_state", id=turn)
        assert (end["exitCode"], end["stopReason"]) == (130, "cancelled")
        assert gone(child.pid)


async def test_plan_and_bypass_ask_nobody(tmp_path: Path) -> None:
    async with scene(tmp_path, Modelled(tmp_path), allow_bypass=True) as here:
        owner = await here.join()
        write = script(calls(("Write", {"path": "a", "content": "x"})), TELL)
        end = await here.turn(owner, write, permissionMode="plan")
        assert text(owner, end["id"]).startswith("Write was not run") and not (tmp_path / "a").exists()
        end = await here.turn(owner, write, permissionMode="bypassPermissions")
        assert text(owner, end["id"]) == "a written" and (tmp_path / "a").read_text() == "x"
        assert not owner.of("permission_request")


async def test_over_acp_it_is_an_agent_like_any_other(tmp_path: Path) -> None:
    """`serve -- myagent agent --acp`: our own host, and its conversation after a restart of both."""
    env = {name: value for name, value in os.environ.items() if name != "OPENAI_BASE_URL"} | {"OPENAI_API_KEY": KEY}
    async with model_server() as url:
        command = (sys.executable, "-m", "myagent", "agent", "--acp", "--model", "stub", "--base-url", f"{url}/v1")
        async with process(tmp_path, "--", *command, env=env) as (server, here):
            assert "agent myagent model (asks (mode default), as verified with this version)" in server.said
            owner, follower = await here.join(), await here.join()
            turn = await owner.send("user_message", prompt="STUB FILE=hello.txt MARKER-42")
            request = await owner.until("permission_request", id=turn)
            session = request["sessionId"]
            assert f"+{CONTENT}" in request["request"]["display"] and request["request"]["toolName"] == "Write"
            await decide(owner, request, "deny", reason="not today")
            await owner.until("terminal_state", id=turn)
            assert not (tmp_path / "hello.txt").exists()
            end = await here.turn(owner, "STUB FILE=hello.txt", sessionId=session)
            assert (end["exitCode"], (tmp_path / "hello.txt").read_text()) == (0, CONTENT)
            await follower.until("terminal_state", id=end["id"])
            assert text(follower, end["id"]) == "I will write the file. \nAll done."
            lines = ["→ Create hello.txt", "✓ Create hello.txt: completed", f"  {tmp_path}/hello.txt"]
            assert text(follower, end["id"], "agent_stderr").splitlines() == lines
            bash = script(calls(("Bash", {"command": "echo seen"})), {"say": "done"})
            end = await here.turn(owner, bash, sessionId=session)
            assert text(owner, end["id"], "agent_stderr") == "→ echo seen\nseen\n✓ echo seen: completed\n"
            end = await here.turn(owner, script(calls(("Write", {"path": "b", "content": ""})), TELL),
                                  sessionId=session, permissionMode="plan")  # fmt: skip
            assert text(owner, end["id"]).startswith("Write was not run")
            turn = await owner.send("user_message", prompt="SLOW please", sessionId=session)
            while "word1 " not in text(owner, turn):
                await owner.until("agent_stdout", id=turn)
            await owner.send("cancel", sessionId=session)
            end = await owner.until("terminal_state", id=turn)
            assert (end["exitCode"], end["stopReason"]) == (130, "cancelled")
            assert await server.stop() == 0
        async with process(tmp_path, "--", *command, env=env) as (_, here):
            owner = await here.join()
            end = await here.turn(owner, "RECALL", sessionId=session)
            assert text(owner, end["id"]) == "MARKER-42"
            assert text(owner, end["id"], "agent_stderr") == ""
