"""The doctor finds a good server safe, and every single hole open."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from asking import invite
from wire import scene

from myagent.__main__ import main
from myagent.cli.commands.doctor import Prober
from myagent.client.address import parse
from myagent.server.admission import Admission


async def examine(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str]]:
    code = await asyncio.to_thread(main, ["remote", "doctor", *arguments])
    said = capsys.readouterr()
    return code, [*said.out.splitlines(), *said.err.splitlines()]


async def test_a_good_server_is_found_safe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with scene(tmp_path, allowed_origins=("https://page.example",)) as here:
        owner = await here.join()
        invite_id, _ = await invite(here.server, label="friday")
        code, lines = await examine(capsys)
        assert code == 0, lines
        assert not [line for line in lines if line.startswith("OPEN")]
        assert len([line for line in lines if line.startswith("safe")]) >= 15
        said = "\n".join(lines)
        for part in ("this machine alone", "plain, within this machine", invite_id, "friday", "https://page.example"):
            assert part in said
        assert here.server.token not in said
        await owner.settle()
        assert (await here.join()).role == "follower", "the doctor has taken no role, and the owner is who it was"


HOLES: list[tuple[str, str, Callable[..., object]]] = [
    ("_check_origin", "a page of another site", lambda self, values, host: None),
    ("_check_origin", "a sandboxed page", lambda self, values, host: None),
    ("_check_host", "a rebound name", lambda self, values: "127.0.0.1"),
]


@pytest.mark.parametrize(("method", "named", "hole"), HOLES)
async def test_a_hole_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    method: str, named: str, hole: Callable[..., object],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    async with scene(tmp_path):
        monkeypatch.setattr(Admission, method, hole)
        code, lines = await examine(capsys)
        assert code == 1
        (line,) = [line for line in lines if line.startswith("OPEN") and named in line]
        assert "answered 101" in line


async def test_no_authentication_at_all_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with scene(tmp_path) as here:
        right = here.server._admission.access.authenticator.check([f"Bearer {here.server.token}".encode()])
        monkeypatch.setattr(Admission, "_check_credential", lambda *arguments: right)
        code, lines = await examine(capsys)
        opened = [line for line in lines if line.startswith("OPEN")]
        assert code == 1
        for named in (
            "no token",
            "a wrong token",
            "in the query",
            "as subprotocol",
            "the list of sessions",
            "a ticket",
        ):
            assert any(named in line for line in opened), named


@pytest.mark.parametrize("name", ["auth.json", "invites.json", "sessions.db", "control.sock"])
async def test_a_file_that_others_can_read_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    async with scene(tmp_path) as here:
        await invite(here.server)
        monkeypatch.setenv("MYAGENT_REMOTE_TOKEN", here.server.token)  # an open auth.json is not even read
        monkeypatch.setenv("MYAGENT_REMOTE_URL", here.server.url)
        here.server.auth_path.with_name(name).chmod(0o644)
        code, lines = await examine(capsys)
        assert code == 1
        assert [line for line in lines if line.startswith("OPEN")] == [f"OPEN  file {name}: mode 0644"]


async def test_plain_beyond_this_machine_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with scene(tmp_path, host="0.0.0.0", insecure_plain=True):
        code, lines = await examine(capsys)
        assert code == 1
        assert any(line.startswith("OPEN  transport: plain ws://") for line in lines)


async def test_nobody_there_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with scene(tmp_path) as here:
        url, token = here.server.url, here.server.token
    code, lines = await examine(capsys, "--url", url)
    assert (code, len(lines)) == (3, 1)
    assert "no server is listening" in lines[0]
    assert token not in lines[0]


async def test_a_silent_server_is_no_answer(tmp_path: Path) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        prober = Prober(parse(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
        assert await asyncio.to_thread(prober.status) == 0


async def test_the_wall_that_stands_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with scene(tmp_path):
        _, lines = await examine(capsys)
    said = "note  wall between agent and server: same user: the agent could read the owner token from disk"
    assert said in lines


@pytest.mark.parametrize("committed", [False, True])
async def test_a_state_directory_in_the_history_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    async with scene(tmp_path):
        (tmp_path / "file").touch()
        shutil.rmtree(tmp_path / ".myagent/remote/.git")  # what keeps git out; an earlier version had none
        for line in (
            ["init", "-q"],
            ["add", "file", *(["-f", ".myagent/remote/auth.json"] if committed else [])],
            ["-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-qm", "x"],
            ["rm", "-q", "--cached", "--ignore-unmatch", ".myagent/remote/auth.json"],
        ):
            subprocess.run(["git", *line], check=True)
        code, lines = await examine(capsys)
    (told,) = [line for line in lines if "git history" in line]
    assert (code, told.startswith("OPEN")) == ((1, True) if committed else (0, False)), told
