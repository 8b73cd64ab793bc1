"""Credentials that came with a copy are not ours, and a directory that others made is not believed."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import bearer, invite, knock
from wire import scene

from myagent.__main__ import main
from myagent.access.asking import NAME
from myagent.access.registry import Access, ListInvites
from myagent.access.seal import Foreign, Seal
from myagent.cli import administration, target

TOKEN = "E" * 43


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """From here on, another user or machine, as far as anything is kept of them; the workspace."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()

    async def serve() -> None:
        async with scene(workspace) as here:
            _, shown = await invite(here.server)
            (tmp_path / "token").write_text(here.server.token)
            (tmp_path / "invite").write_text(shown["Authorization"].split()[1])

    asyncio.run(serve())
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    return workspace


async def statuses(workspace: Path) -> list[int]:
    """What a server answers to the credentials that came with its directory, and to its own."""
    async with scene(workspace) as here:
        came = [(workspace.parent / name).read_text() for name in ("token", "invite")]
        return [(await knock(here.server, **bearer(each))).status for each in (*came, here.server.token)]


def test_credentials_that_were_not_made_here_are_not_used(elsewhere: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert asyncio.run(statuses(elsewhere)) == [401, 401, 101]
    assert caplog.text.count("was not made by this user on this machine") == 2
    assert asyncio.run(statuses(elsewhere)) == [401, 401, 101], "nor later"


def test_taken_for_ours_they_would_let_in(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control."""
    monkeypatch.setattr(Seal, "is_ours", lambda self, purpose, data, mark: True)
    assert asyncio.run(statuses(elsewhere)) == [101, 101, 101]


def test_a_directory_that_its_user_moves_is_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()

    async def token() -> str:
        async with scene(tmp_path / "workspace") as here:
            return here.server.token

    before = asyncio.run(token())
    (tmp_path / "workspace").rename(tmp_path / "moved")
    (tmp_path / "moved").rename(tmp_path / "workspace")
    shutil.copytree(tmp_path / "workspace", tmp_path / "copied")
    shutil.rmtree(tmp_path / "workspace")
    (tmp_path / "copied").rename(tmp_path / "workspace")
    assert asyncio.run(token()) == before


@pytest.mark.parametrize("served_before", [False, True])
def test_they_are_adopted_on_purpose(elsewhere: Path, served_before: bool, capsys: pytest.CaptureFixture[str]) -> None:
    if served_before:
        asyncio.run(statuses(elsewhere))
    assert main(["remote", "adopt", "--cwd", str(elsewhere), "--json"]) == 0
    adopted = json.loads(capsys.readouterr().out)["adopted"]
    assert [Path(each).name for each in adopted] == ["auth.json", "invites.json"]
    assert asyncio.run(statuses(elsewhere)) == [101, 101, 101]


async def test_nothing_is_adopted_under_a_running_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with scene(tmp_path):
        assert main(["remote", "adopt", "--cwd", str(tmp_path)]) == 3
    assert "already shares" in capsys.readouterr().err


def test_without_a_server_they_are_neither_used_nor_replaced(elsewhere: Path) -> None:
    before = (elsewhere / ".myagent/remote/auth.json").read_bytes()
    with pytest.raises(Foreign, match="myagent remote adopt"):
        administration.ask(elsewhere, ListInvites())
    assert (elsewhere / ".myagent/remote/auth.json").read_bytes() == before


@pytest.mark.parametrize("part", ["token", "digest", "expiresAt", "seal"])
def test_what_was_changed_is_not_ours(tmp_path: Path, part: str) -> None:
    async def serve() -> None:
        async with scene(tmp_path) as here:
            await invite(here.server)

    asyncio.run(serve())
    path = tmp_path / ".myagent/remote" / ("auth.json" if part == "token" else "invites.json")
    content = json.loads(path.read_text())
    holder = content if part in ("token", "seal") else content["invites"][0]
    holder[part] = {"token": TOKEN, "digest": "0" * 64, "expiresAt": "2099-01-01T00:00:00.000Z", "seal": ""}[part]
    path.write_text(json.dumps(content))
    with pytest.raises(Foreign) as refused:
        Access(path.parent).load()
    assert refused.value.path == path


def test_where_no_key_can_be_kept_nothing_is_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    seal = Seal.of_this_user()
    assert not seal.is_ours("owner", b"x", seal.mark("owner", b"x"))
    assert main(["remote", "adopt", "--cwd", str(tmp_path)]) == 3


def test_there_is_one_key_however_many_make_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "new"))
    marks: list[str] = []
    threads = [threading.Thread(target=lambda: marks.append(Seal.of_this_user().mark("", b""))) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(set(marks)) == 1 and all(marks)


# --- directories of others ----------------------------------------------------------------------------------------


class Thief:
    """Another user, with a state directory above ours: a control socket that names a server, and that server."""

    def __init__(self, parent: Path, uid: int) -> None:
        self.heard: list[bytes] = []
        state = parent / ".myagent" / "remote"
        state.mkdir(parents=True)
        (state / "auth.json").write_text(json.dumps({"version": 1, "token": TOKEN, "createdAt": ""}))
        self._server = socket.create_server(("127.0.0.1", 0))
        self._control = socket.socket(socket.AF_UNIX)
        self._control.bind(str(state / "control.sock"))
        self._control.listen()
        for path in (state.parent, state, *state.iterdir()):
            os.chown(path, uid, -1)
            path.chmod(0o777)
        status = {"host": "127.0.0.1", "port": self._server.getsockname()[1], "tls": False, "allowedHosts": []}
        answer = json.dumps({"result": status}).encode() + b"\n"
        self._threads = [
            threading.Thread(target=self._serve, args=(self._control, answer)),
            threading.Thread(target=self._serve, args=(self._server, b"HTTP/1.1 403 Forbidden\r\n\r\n")),
        ]
        for each in self._threads:
            each.start()

    def _serve(self, listening: socket.socket, answer: bytes) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:  # closed
                return
            with connection:
                self.heard.append(connection.recv(65536))
                connection.sendall(answer)

    def close(self) -> None:
        for listening in (self._server, self._control):
            listening.shutdown(socket.SHUT_RDWR)
            listening.close()
        for each in self._threads:
            each.join()


@pytest.fixture
def thief() -> Iterator[tuple[Thief, Path]]:
    if os.geteuid() != 0:
        pytest.skip("needs root, to make a directory of another user's")
    with tempfile.TemporaryDirectory() as shared:
        Path(shared).chmod(0o1777)
        mine = Path(shared, "mine")
        mine.mkdir()
        thief = Thief(Path(shared), pwd.getpwnam("nobody").pw_uid)
        yield thief, mine
        thief.close()


@pytest.mark.parametrize("command", [["client", "--prompt", "help"], ["sessions"], ["attach", "--plain"], ["doctor"]])
def test_a_directory_that_another_user_made_gets_no_token(thief: tuple[Thief, Path], command: list[str]) -> None:
    stealing, mine = thief
    env = {**os.environ, "MYAGENT_REMOTE_TOKEN": "S" * 43}
    argv = [sys.executable, "-m", "myagent", "remote", *command]
    done = subprocess.run(argv, cwd=mine, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 3
    assert "not believed: " in done.stderr and "belongs to another user" in done.stderr
    assert stealing.heard == []


def test_believed_it_would_be_asked(thief: tuple[Thief, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control."""
    stealing, mine = thief
    monkeypatch.setattr("myagent.client.here.why_untrusted", lambda workspace: "")
    monkeypatch.setenv("MYAGENT_REMOTE_TOKEN", "S" * 43)
    monkeypatch.chdir(mine)
    main(["remote", "sessions"])
    assert stealing.heard


def test_a_token_of_the_environment_goes_to_the_address_that_came_with_it_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MYAGENT_REMOTE_TOKEN", "S" * 43)
    monkeypatch.setenv("MYAGENT_REMOTE_URL", "wss://agent.example.org")
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0)
        assert main(["remote", "sessions", "--url", f"ws://127.0.0.1:{other.getsockname()[1]}"]) == 3
        with pytest.raises(BlockingIOError):
            other.accept()
    assert "came with MYAGENT_REMOTE_URL=wss://agent.example.org" in capsys.readouterr().err


async def test_nor_to_a_server_that_was_found_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """That has a token of its own, in its directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MYAGENT_REMOTE_TOKEN", "S" * 43)
    monkeypatch.delenv("MYAGENT_REMOTE_URL", raising=False)
    async with scene(tmp_path):
        assert await asyncio.to_thread(main, ["remote", "sessions"]) == 0


async def test_a_link_in_a_clone_leads_to_no_other_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A repository can hold no socket, but a link to one: whoever listens there would say where prompts are sent."""
    elsewhere, clone = tmp_path / "elsewhere", tmp_path / "clone"
    elsewhere.mkdir()
    planted = clone / target.AUTH_FILE
    planted.parent.mkdir(parents=True, mode=0o700)
    planted.write_text("{}")
    monkeypatch.chdir(clone)
    async with scene(elsewhere) as here:
        (planted.parent / NAME).symlink_to(here.server.auth_path.with_name(NAME))
        assert await asyncio.to_thread(target._served_here) is None
        (planted.parent / NAME).unlink()
        os.link(here.server.auth_path.with_name(NAME), planted.parent / NAME)
        assert await asyncio.to_thread(target._served_here) is not None, "the control: it could have been asked"
