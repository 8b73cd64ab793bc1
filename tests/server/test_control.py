"""The control channel: private, bounded, for operators and not for agents; and the commands that use it."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import stat
import sys
from pathlib import Path

import pytest
from asking import ask, knock
from wire import scene

from myagent.access import asking
from myagent.access.asking import Declined
from myagent.access.registry import CreateInvite, ListInvites, RotateToken
from myagent.access.state_directory import UnsafeState
from myagent.cli import administration as command
from myagent.server.control import ControlSocket


async def test_the_socket_is_private_and_goes_with_the_server(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        async with scene(tmp_path) as here:
            path = here.server.auth_path.with_name("control.sock")
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(before)
    assert not path.exists()
    assert asking.ask(path.parent, ListInvites()) is None


async def test_a_dead_servers_socket_is_replaced_and_nothing_else_is(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        path = here.server.auth_path.with_name("control.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert asking.ask(path.parent, ListInvites()) is None
    async with scene(tmp_path) as here:
        assert await ask(here.server, ListInvites()) == {"invites": []}
    path.write_text("not a socket")
    with pytest.raises(UnsafeState, match="is not a socket"):
        async with scene(tmp_path):
            pass
    assert path.read_text() == "not a socket"


async def test_a_path_longer_than_a_socket_address_works(tmp_path: Path) -> None:
    deep = tmp_path / ("long" * 30)
    deep.mkdir()
    async with scene(deep) as here:
        assert len(str(here.server.auth_path)) > 108
        assert await ask(here.server, ListInvites()) == {"invites": []}


@pytest.mark.parametrize(
    "line",
    [
        b"", b"{}", b"[]", b"null", b'{"op":"nothing"}', b'{"op":"invite"}', b'{"op":"invite","lifetime":"1h"}',
        b'{"op":"invite","lifetime":NaN}', b'{"op":"revoke","inviteIds":[1]}', b'{"op":"invites","more":1}',
        b"[" * 20_000,
        b'{"op":"invite","lifetime":1e400}', b'{"op":"invite","lifetime":-1}',
        b'{"op":"invite","lifetime":60,"uses":0}',
        b"\xff\xfe",
    ],
)  # fmt: skip
async def test_what_is_no_request_is_declined_and_changes_nothing(tmp_path: Path, line: bytes, quiet_log: None) -> None:
    async with scene(tmp_path) as here:
        path = here.server.auth_path.with_name("control.sock")
        answer = await asyncio_ask(path, line)
        assert list(answer) == ["error"]
        assert await ask(here.server, ListInvites()) == {"invites": []}


async def test_whoever_asks_and_does_not_wait_is_let_go_quietly(tmp_path: Path, quiet_log: None) -> None:
    async with scene(tmp_path) as here:
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as asking:
                asking.connect(str(here.server.auth_path.with_name("control.sock")))
                asking.sendall(b'{"ask":"invites"}\n')
        assert await ask(here.server, ListInvites()) == {"invites": []}
    gc.collect()  # a task whose failure nobody saw says so when it goes


async def test_a_line_without_an_end_is_dropped(tmp_path: Path, quiet_log: None) -> None:
    async with scene(tmp_path) as here:
        path = here.server.auth_path.with_name("control.sock")
        assert await asyncio_ask(path, b"x" * 200_000) in ({}, {"error": "gone"})
        assert await ask(here.server, ListInvites()) == {"invites": []}


async def asyncio_ask(path: Path, line: bytes) -> dict[str, object]:
    """Send a line that may be anything; the answer, `{}` if there was none."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(line + b"\n")
        answer = await asyncio.wait_for(reader.readline(), 10)
    except ConnectionError:
        return {}
    finally:
        writer.close()
    return dict(json.loads(answer)) if answer else {}


async def test_a_process_that_is_not_trusted_is_declined(tmp_path: Path) -> None:
    channel = ControlSocket(tmp_path, lambda request: {"done": True}, trusts=lambda pid: pid != os.getpid())
    await channel.open()
    with pytest.raises(Declined, match="processes of the agent"):
        await asyncio.to_thread(asking.ask, tmp_path, RotateToken())
    await channel.close()


async def test_the_agent_cannot_ask_for_access(tmp_path: Path) -> None:
    """A command that the agent runs is not the operator, though it is the same user."""
    async with scene(tmp_path, permission_mode="bypassPermissions", allow_bypass=True) as here:
        owner = await here.join()
        token = here.server.token
        for wanted in ("invite", "token rotate", "revoke --all"):
            line = f"!cd /; (true; exec {sys.executable} -m myagent remote {wanted} --cwd {tmp_path})"
            ended = await here.turn(owner, line)
            assert ended["exitCode"] == 3
        said = "".join(each["chunk"] for each in owner.of("agent_stderr"))
        assert said.count("processes of the agent cannot ask the server") == 3, said
        assert here.server.token == token
        assert await ask(here.server, ListInvites()) == {"invites": []}


# --- the commands -------------------------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    from myagent.__main__ import main

    code = main(["remote", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


async def test_the_commands_without_a_server_change_the_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ("--cwd", str(tmp_path))
    assert run(capsys, "invites", *here) == (
        3, "", f"[remote] nothing was ever served in {tmp_path} or above; run `myagent remote serve` there first\n",
    )  # fmt: skip
    assert not (tmp_path / ".myagent").exists()
    async with scene(tmp_path) as served:
        before = served.server.token

    def use() -> tuple[str, str]:
        code, out, _ = run(capsys, "invite", "--label", "x", "--uses", "3", "--expires", "2h", "--json", *here)
        made = json.loads(out)
        assert (code, made["link"], made["label"], made["uses"]) == (0, None, "x", 3)
        assert made["id"] in run(capsys, "invites", *here)[1]
        _, out, _ = run(capsys, "invite", "--json", *here)
        assert run(capsys, "revoke", made["id"], *here)[0] == 0
        assert run(capsys, "revoke", made["id"], *here)[0] == 3
        assert run(capsys, "token", "rotate", *here)[0] == 0
        return made["token"], json.loads(out)["token"]

    revoked, good = await asyncio.to_thread(use)
    async with scene(tmp_path) as served:
        assert served.server.token != before
        assert (await knock(served.server, Authorization=f"Bearer {before}")).status == 401
        assert (await knock(served.server, Authorization=f"Bearer {revoked}")).status == 401
        assert (await knock(served.server, Authorization=f"Bearer {good}")).status == 101


async def test_the_commands_ask_a_running_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with scene(tmp_path, allowed_hosts=("agent.example.org",)) as here:
        directory = tmp_path / "below"
        directory.mkdir()
        code, out, _ = await asyncio.to_thread(run, capsys, "invite", "--cwd", str(directory))
        assert code == 0
        link = next(line.split()[-1] for line in out.splitlines() if "browser" in line)
        place, _, token = link.partition("/#")
        assert place == f"http://agent.example.org:{here.server.port}"
        watcher = await here.join(headers={"Authorization": f"Bearer {token}"})
        assert watcher.role == "follower"
        code, out, _ = await asyncio.to_thread(run, capsys, "revoke", "--all", "--cwd", str(directory))
        assert (code, "connections closed: 1" in out) == (0, True)
        assert await watcher.closed() == 4401


@pytest.mark.parametrize("text", ["", "2", "h", "0h", "-1h", "1.5h", "2w", "1h30m", "９h", "99999999999d"])
def test_a_time_is_a_number_and_a_unit(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        run(capsys, "invite", f"--expires={text}")
    assert left.value.code == 2


def test_a_time_that_is_too_long_is_declined(tmp_path: Path) -> None:
    (tmp_path / ".myagent" / "remote").mkdir(parents=True, mode=0o700)
    with pytest.raises(Exception, match="365 days"):
        command.ask(tmp_path, CreateInvite(lifetime=command.duration("366d")))
