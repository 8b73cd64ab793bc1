"""What has changed in the directory, asked over the wire: by whom, with what covered, and how much at once."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.host.test_repository import made, write

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))

from wire import Client, scene

from myagent.core import ownership
from myagent.host.repository import Repository, Status

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
KEY = "AKIA" + "IOSFODNN7EXAMPLQ"


async def changes(client: Client) -> Any:
    return await client.until("changes", id=await client.send("list_changes"))


async def change(client: Client, file: str) -> Any:
    return await client.until("change", id=await client.send("read_change", file=file))


async def test_an_owner_and_who_may_own_see_what_has_changed(tmp_path: Path) -> None:
    place = made(tmp_path / "w", {"file": "1\n"})
    write(place, "file", "2\n")
    write(place, b"odd \xff\xe2\x80\xae", "x\n")
    async with scene(place) as here:
        owner = await here.join()
        drives = await here.join(headers={"Authorization": f"Bearer {here.server.invite(may='drive').token}"})
        for client in (owner, drives):
            told = await changes(client)
            assert (told["branch"], told["complete"]) == ("main", True)
            rows = {each["path"]: each for each in told["files"]}
            assert rows["file"] == {"file": "file", "path": "file", "status": " M", "added": 1, "removed": 1}
            odd = rows["odd \\xff\\u{202e}"]["file"]
            assert (await change(client, "file"))["diff"] == "@@ -1 +1 @@\n-1\n+2\n"
            assert (await change(client, odd))["diff"] == "@@ -0,0 +1,1 @@\n+x\n"
            assert (await change(client, ".myagent/owner-token"))["unknown"]
        assert not [each for each in rows if each.startswith(".myagent")]


async def test_nobody_else_does(tmp_path: Path) -> None:
    place = made(tmp_path / "w", {"file": "1\n"})
    async with scene(place) as here:
        owner = await here.join()
        for may in ("watch", "stop", "approve"):
            token = here.server.invite(may=may).token
            client = await here.join(headers={"Authorization": f"Bearer {token}"})
            await client.refused(await client.send("list_changes"), "not_owner")
            await client.refused(await client.send("read_change", file="file"), "not_owner")
        await owner.settle()


async def test_control_a_server_that_opens_it_to_all_would_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownership, "opens", lambda _: ownership.OPEN_FROM["owner"])
    async with scene(made(tmp_path / "w", {"file": "1\n"})) as here:
        await here.join()
        client = await here.join(headers={"Authorization": f"Bearer {here.server.invite(may='watch').token}"})
        assert (await changes(client))["files"] == []


async def test_secrets_are_covered_and_no_repository_is_said_to_be_none(tmp_path: Path) -> None:
    place = made(tmp_path / "w", {"file": "1\n"})
    write(place, "file", f"key = {KEY}\n-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\n-----END PRIVATE KEY-----\n")
    async with scene(place) as here:
        owner = await here.join()
        write(place, "token", f"{here.server.token}\n")
        for name in ("file", "token"):
            diff = (await change(owner, name))["diff"]
            assert "[redacted]" in diff
            assert KEY not in diff
            assert "MIIEvQIB" not in diff
            assert here.server.token not in diff
    (tmp_path / "bare").mkdir()
    async with scene(tmp_path / "bare") as here:
        owner = await here.join()
        told = await changes(owner)
        assert (told["files"], told["complete"]) == ([], False)
        assert "not a git repository" in told["unknown"]


async def test_questions_wait_for_each_other_and_too_many_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, running, most = asyncio.Event(), 0, 0

    async def slow(_: Repository) -> Status:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go.wait()
        running -= 1
        return Status("", (), True)

    monkeypatch.setattr(Repository, "status", slow)
    async with scene(tmp_path) as here:
        owner = await here.join()
        sent = [await owner.send("list_changes") for _ in range(9)]
        await owner.refused(sent[8], "rate_limited")
        go.set()
        for each in sent[:8]:
            await owner.until("changes", id=each)
        assert most == 1
        assert (await changes(owner))["files"] == []
