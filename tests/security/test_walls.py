"""What is secret is in no frame, file or log, and the agent cannot drive the session that it is in."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from asking import invite, of, trail
from puppet import Puppet
from wire import Client, Scene, decide, scene

from myagent.agents.processes import spawned
from myagent.redaction.redactor import MASK
from myagent.server import process_origin

TAKE_OVER = """
import asyncio, json, sys
from websockets.asyncio.client import connect
async def main(url, token):
    async with connect(url, additional_headers={"Authorization": "Bearer " + token}, proxy=None) as socket:
        roles, refused = [], []
        await socket.send(json.dumps({"type": "claim", "id": "c"}))
        await socket.send(json.dumps({"type": "ping", "id": "p"}))
        while True:
            message = json.loads(await socket.recv())
            if message["type"] == "role": roles.append(message["role"])
            if message["type"] == "error": refused.append(message["code"])
            if message["type"] == "pong": break
    print("roles", roles, "refused", refused)
asyncio.run(main(*sys.argv[1:]))
"""

READ_TOKEN = '$(sed \'s/.*token":"//; s/".*//\' .myagent/remote/auth.json)'
WAIT = "until [ -e go ]; do sleep 0.02; done"


def artefacts(here: Scene) -> bytes:
    """Everything that the server keeps beside its credentials."""
    directory = here.server.auth_path.parent
    return b"".join(path.read_bytes() for path in directory.glob("sessions.db*"))


def frames(*clients: Client) -> str:
    """All that clients were sent, but the reclaim token of an owner, which is its own."""
    shown = [dict(message) for client in clients for message in client.messages]
    for message in shown:
        message.pop("reclaimToken", None)
    return json.dumps(shown, ensure_ascii=False)


def text_of(client: Client, kind: str) -> str:
    return "".join(message["chunk"] for message in client.of(kind))


@pytest.mark.parametrize("piece", [1, 7, 1000])
async def test_no_live_secret_passes_however_it_is_cut(tmp_path: Path, piece: int) -> None:
    puppet = Puppet()
    async with scene(tmp_path, puppet) as here:
        _, shown = await invite(here.server)
        owner, watcher = await here.join(), await here.join(headers=shown)
        secrets = [here.server.token, shown["Authorization"].split()[1], owner.welcome["reclaimToken"]]
        await owner.send("user_message", prompt=f"use {secrets[0]} now")
        play = await puppet.begun()
        assert play.turn.prompt == f"use {MASK} now", "nor is it given to the agent"
        whole = "".join(f"here: {secret}\n" for secret in secrets)
        for at in range(0, len(whole), piece):
            part = whole[at : at + piece]
            content = {"type": "text", "text": part}
            await play.io.stdout(part, update={"sessionUpdate": "agent_message_chunk", "content": content})
            await play.io.stderr(part)
        play.io.tell(title=f"title {secrets[0]}")
        question = play.ask(f"curl -H {secrets[0]}", title=secrets[1], reason=secrets[0])
        request = await owner.until("permission_request")
        await decide(owner, request, "allow", reason=f"because {secrets[0]}")
        await question
        update = {"sessionUpdate": "tool_call", "toolCallId": "1", "rawInput": {"deep": [secrets]}}
        await play.io.stderr("", update=update)
        play.end("failed", message=f"could not {secrets[0]}")
        await owner.until("terminal_state")
        await watcher.until("terminal_state")
        await owner.settle()
        for kind in ("agent_stdout", "agent_stderr"):
            assert text_of(watcher, kind) == f"here: {MASK}\n" * 3
        await here.server.host.log.flush()
        pages = await here.get(f"/sessions/{play.turn.session_id}/events")
        for secret in secrets:
            assert secret not in frames(owner, watcher)
            assert secret.encode() not in artefacts(here)
            assert secret.encode() not in pages[1]


async def test_updates_put_together_are_what_is_shown(tmp_path: Path) -> None:
    puppet = Puppet()
    async with scene(tmp_path, puppet) as here:
        owner = await here.join()
        await owner.acked(await owner.send("hello", client={"name": "x"}, wants=["updates"]))
        await owner.send("user_message", prompt="x")
        play = await puppet.begun()
        for part in ("a ", here.server.token[:20], here.server.token[20:], " and g", "h", "p_"):
            content = {"type": "text", "text": part}
            await play.io.stdout(part, update={"sessionUpdate": "agent_message_chunk", "content": content})
        play.end()
        await owner.until("terminal_state")
        updates = [each["update"]["content"]["text"] for each in owner.of("agent_stdout") if "update" in each]
        assert "".join(updates) == text_of(owner, "agent_stdout") == f"a {MASK} and ghp_"


async def test_a_pattern_of_the_operators_is_covered_before_it_is_stored(tmp_path: Path) -> None:
    puppet = Puppet()
    async with scene(tmp_path, puppet, redact=(r"hunter\d",)) as here:
        owner = await here.join()
        await owner.send("user_message", prompt="my password is hunter2")
        play = await puppet.begun()
        for part in ("it was hun", "ter2 and ", "hunter", "3"):
            await play.say(part)
        play.end()
        await owner.until("terminal_state")
        assert text_of(owner, "agent_stdout") == f"it was {MASK} and {MASK}"
        await here.server.host.log.flush()
        assert b"hunter" not in artefacts(here).replace(b"hunter\\d", b"")


async def test_two_calls_that_look_alike_once_covered_have_different_digests(tmp_path: Path) -> None:
    puppet = Puppet()
    async with scene(tmp_path, puppet, redact=(r"pw=\w+",)) as here:
        owner = await here.join()
        await owner.send("user_message", prompt="x")
        play = await puppet.begun()
        digests = set()
        for command in ("login pw=a", "login pw=b"):
            asked = play.ask(command)
            request = await owner.until("permission_request")
            assert request["request"]["display"] == f"login {MASK}"
            digests.add(request["request"]["digest"])
            await decide(owner, request, "deny")
            await asked
        assert len(digests) == 2
        play.end()


async def test_the_token_file_that_an_agent_prints_shows_no_token(tmp_path: Path) -> None:
    async with scene(tmp_path, permission_mode="bypassPermissions", allow_bypass=True) as here:
        owner = await here.join()
        token = here.server.token
        for command in (
            "cat .myagent/remote/auth.json",
            "head -c 40 .myagent/remote/auth.json; tail -c +41 .myagent/remote/auth.json",
        ):
            ended = await here.turn(owner, f"!{command}")
            assert ended["exitCode"] == 0
        refused = await here.turn(owner, "read .myagent/remote/auth.json")
        assert refused["exitCode"] != 0, "and our own tools do not read it at all"
        assert text_of(owner, "agent_stdout").count(MASK) >= 2
        await here.server.host.log.flush()
        assert token not in frames(owner)
        assert token.encode() not in artefacts(here)


# --- the agent's own processes ------------------------------------------------------------------------------------


async def test_the_agent_cannot_take_the_free_slot_with_the_real_token(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    script = tmp_path / "take_over.py"
    script.write_text(TAKE_OVER)
    async with scene(tmp_path, permission_mode="bypassPermissions", allow_bypass=True) as here:
        owner = await here.join()
        take = (
            f'{sys.executable} {script} {here.server.url} $(sed \'s/.*token":"//; s/".*//\' .myagent/remote/auth.json)'
        )
        await owner.send("user_message", prompt=f"!{WAIT}; ({take}); setsid {take}")
        await owner.acked(await owner.send("release"))
        (tmp_path / "go").touch()
        await owner.until("terminal_state")
        said = text_of(owner, "agent_stdout")
        assert said.count("roles ['follower'] refused ['not_claimable']") == 2, said + text_of(owner, "agent_stderr")
        inside = of(await trail(here), "inside")
        assert len(inside) >= 2
        assert "tried to drive its own session" in caplog.text
        assert here.server.host.ownership.owner is None


async def test_without_the_wall_the_agent_takes_the_slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control."""
    monkeypatch.setattr(process_origin, "why_inside", lambda peer, own: "")
    script = tmp_path / "take_over.py"
    script.write_text(TAKE_OVER)
    async with scene(tmp_path, permission_mode="bypassPermissions", allow_bypass=True) as here:
        owner = await here.join()
        take = (
            f'{sys.executable} {script} {here.server.url} $(sed \'s/.*token":"//; s/".*//\' .myagent/remote/auth.json)'
        )
        await owner.send("user_message", prompt=f"!{WAIT}; {take}")
        await owner.acked(await owner.send("release"))
        (tmp_path / "go").touch()
        await owner.until("terminal_state")
        assert "'owner'" in text_of(owner, "agent_stdout")


async def test_other_local_programs_own_as_ever_while_a_turn_runs(tmp_path: Path) -> None:
    async with scene(tmp_path, permission_mode="bypassPermissions", allow_bypass=True) as here:
        owner = await here.join()
        await owner.send("user_message", prompt="!echo up; sleep 60")
        started = await owner.until("agent_stdout")
        assert spawned.groups()
        await owner.leave()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", TAKE_OVER, here.server.url, here.server.token, stdout=subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert b"'owner'" in out
        heir = await here.join()
        assert heir.role == "owner"
        await heir.acked(await heir.send("cancel", sessionId=started["sessionId"]))
        await heir.until("terminal_state")
        assert not spawned.groups()


def test_a_process_that_is_not_there_is_not_inside() -> None:
    spawned.started(2**22 + 1)
    try:
        assert not process_origin.is_inside(2**22 + 2)
        assert not process_origin.why_inside(("127.0.0.1", 1), ("127.0.0.1", 2))
        assert process_origin.is_inside(2**22 + 1)
    finally:
        spawned.ended(2**22 + 1)
    assert not process_origin.is_inside(2**22 + 1)
