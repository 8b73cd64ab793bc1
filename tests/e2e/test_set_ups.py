"""The three usual set-ups of docs/operations.md, with its own commands, run as they stand there."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import sys
from pathlib import Path

import pytest
from asking import ask, bearer
from puppet import PATIENCE
from serving import process
from wire import decide, scene

from myagent.access.registry import CreateInvite

TEXT = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
SECTION = TEXT.partition("## Who may do what: three usual set-ups\n")[2].partition("\n## ")[0]
COMMANDS = [
    shlex.split(line, comments=True)
    for block in re.findall(r"```\n(.*?)```", SECTION, re.DOTALL)
    for line in block.splitlines()
    if not line.startswith("pip install ")
]
SERVE = [words[3:] for words in COMMANDS if words[:3] == ["myagent", "remote", "serve"]]
OTHERS = [words[1:] for words in COMMANDS if words[:3] != ["myagent", "remote", "serve"]]


async def run(words: list[str], directory: Path) -> str:
    """A command in a directory that is served; what it says."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "myagent", *words, cwd=directory,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(running.communicate(), PATIENCE)
    assert running.returncode == 0, (words, said)
    return said.decode()


def test_all_three_are_told_with_commands() -> None:
    assert all(name in SECTION for name in ("My own devices", "A colleague who may approve", "An audience"))
    assert len(SERVE) >= 4 and len(OTHERS) >= 6
    assert all(words[0] == "myagent" for words in COMMANDS)


@pytest.mark.parametrize("options", SERVE, ids=" ".join)
async def test_each_way_to_serve_serves(tmp_path: Path, options: list[str]) -> None:
    if "--notify" in options:
        pytest.importorskip("apprise")
    async with process(tmp_path, *options) as (_, here):
        assert (await here.join()).role == "owner"


async def test_each_other_command_does_what_is_said(tmp_path: Path) -> None:
    made: list[str] = []
    async with process(tmp_path, *SERVE[0]):
        for words in OTHERS:
            given = [made[-1] if word == "ID" else word for word in words]
            said = await run(given, tmp_path)
            made += re.findall(r"remote revoke ([a-z0-9]{8})", said)
            if words[1] == "revoke":
                assert made.pop() in said
        left = json.loads(await run(["remote", "invites", "--json"], tmp_path))
        assert [(each["label"], each["may"], each["uses"]) for each in left["invites"]] == [("Anna", "approve", 2)]


async def test_a_colleague_allows_and_prompts_nothing_and_an_audience_only_sees(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        guests = {}
        for scope in ("approve", "follower"):
            token = (await ask(here.server, CreateInvite(lifetime=60.0, scope=scope)))["token"]  # type: ignore[arg-type]
            guests[scope] = await here.join(headers=bearer(token))
        await owner.send("user_message", prompt="!touch made")
        for guest in guests.values():
            request = await guest.until("permission_request")
            await guest.refused(await guest.send("user_message", prompt="!touch mine"), "not_owner")
        await guests["follower"].refused(await decide(guests["follower"], request, "allow"), "not_owner")
        await guests["approve"].acked(await decide(guests["approve"], request, "allow"))
        assert (await owner.until("terminal_state"))["exitCode"] == 0
        assert (tmp_path / "made").exists() and not (tmp_path / "mine").exists()
