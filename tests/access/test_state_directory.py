"""What a server finds in its directory: anything that is not private, ours and whole is refused untouched; table F."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from wire import scene

from myagent.access.state_directory import AlreadyServed, UnsafeState
from myagent.agents.builtin.command import CommandAgent
from myagent.exceptions import FileUnusable, MyagentError
from myagent.server.server import CannotListen, Server, Settings

GOOD = b'{"version":1,"token":"' + b"A" * 43 + b'","createdAt":"2026-01-01T00:00:00Z"}\n'


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def state_of(workspace: Path) -> Path:
    """The state directory, made as a server makes it."""
    directory = workspace / ".myagent" / "remote"
    directory.parent.mkdir(mode=0o700, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory


def put(path: Path, data: bytes = GOOD, mode: int = 0o600) -> None:
    path.write_bytes(data)
    path.chmod(mode)


def link(path: Path, target: str) -> None:
    put(path.with_name("other.json"))
    path.symlink_to(target)


def hard_link(path: Path) -> None:
    put(path.with_name("other.json"))
    path.hardlink_to(path.with_name("other.json"))


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.open(path.parent, os.O_RDONLY)
        listening.bind(f"/proc/self/fd/{here}/{path.name}")  # the name of a socket may not be long
        os.close(here)


def foreign(path: Path) -> None:
    put(path)
    with contextlib.suppress(PermissionError):
        os.chown(path, 65534, 65534)
    if path.stat().st_uid == os.geteuid():
        pytest.skip("only root can give a file away")


def device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root can make a device")


AUTH_FILES: dict[str, Callable[[Path], None]] = {
    "F1-0644": lambda path: put(path, mode=0o644),
    "F1-0640": lambda path: put(path, mode=0o640),
    "F1-0660": lambda path: put(path, mode=0o660),
    "F1-0602": lambda path: put(path, mode=0o602),
    "F2-link": lambda path: link(path, "other.json"),
    "F2-link-away": lambda path: link(path, "/etc/passwd"),
    "F2-link-dangling": lambda path: link(path, "nowhere"),
    "F3-hard-link": hard_link,
    "F4-fifo": lambda path: os.mkfifo(path, 0o600),
    "F4-socket": unix_socket,
    "F4-device": device,
    "F4-directory": lambda path: path.mkdir(mode=0o700),
    "F5-foreign": foreign,
    "F6-empty": lambda path: put(path, b""),
    "F6-cut": lambda path: put(path, GOOD[:30]),
    "F6-binary": lambda path: put(path, bytes(range(256))),
    "F6-large": lambda path: put(path, GOOD + b" " * (1 << 20)),
    "F6-list": lambda path: put(path, b"[1]"),
    "F6-deep": lambda path: put(path, b"[" * 60_000),
    "F6-other-version": lambda path: put(path, GOOD.replace(b'"version":1', b'"version":2')),
    "F6-short-token": lambda path: put(path, GOOD.replace(b"A" * 43, b"A" * 42)),
    "F6-token-characters": lambda path: put(path, GOOD.replace(b"A" * 43, b"A" * 42 + b" ")),
    "F6-no-token": lambda path: put(path, b'{"version":1}'),
}


async def is_refused(workspace: Path) -> UnsafeState:
    server = Server(workspace, CommandAgent())
    with pytest.raises(UnsafeState) as refused:
        await server.start()
    line = str(refused.value)
    assert "\n" not in line and "; " in line  # what is wrong; what to do
    assert "A" * 42 not in line
    return refused.value


@pytest.mark.parametrize("row", AUTH_FILES)
async def test_an_auth_file_that_is_not_private_ours_and_whole_is_refused_untouched(tmp_path: Path, row: str) -> None:
    path = state_of(tmp_path) / "auth.json"
    AUTH_FILES[row](path)
    before = os.lstat(path)
    data = path.read_bytes() if stat.S_ISREG(before.st_mode) else b""
    error = await is_refused(tmp_path)
    assert error.path == path
    if row.startswith("F1"):
        assert f"chmod 600 {path}" in str(error)
    after = os.lstat(path)
    assert (after.st_ino, after.st_mode, after.st_size) == (before.st_ino, before.st_mode, before.st_size)
    assert not data or path.read_bytes() == data


@pytest.mark.parametrize("name", [".myagent", ".myagent/remote"])
@pytest.mark.parametrize("how", ["link", "0777", "0770", "file", "foreign"])
async def test_a_directory_that_others_can_write_or_redirect_is_refused(tmp_path: Path, name: str, how: str) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    state_of(workspace)
    directory = workspace / name
    if how == "link":
        directory.rename(tmp_path / "elsewhere")
        directory.symlink_to(tmp_path / "elsewhere")
    elif how == "file":
        directory.rename(tmp_path / "elsewhere")
        directory.touch()
    elif how == "foreign":
        foreign_directory(directory)
    else:
        directory.chmod(int(how, 8))
    assert (await is_refused(workspace)).path == directory
    assert not list(tmp_path.rglob("auth.json"))


def foreign_directory(path: Path) -> None:
    with contextlib.suppress(PermissionError):
        os.chown(path, 65534, 65534)
    if path.stat().st_uid == os.geteuid():
        pytest.skip("only root can give a directory away")


@pytest.mark.usefixtures("umask")
async def test_everything_is_private_whatever_the_umask(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        await here.turn(owner, "help")
        modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in (tmp_path / ".myagent").rglob("*")}
        modes[tmp_path / ".myagent"] = stat.S_IMODE((tmp_path / ".myagent").stat().st_mode)
        assert {"auth.json", "sessions.db", "server.lock"} <= {path.name for path in modes}
        shared = {path.name: oct(mode) for path, mode in modes.items() if mode & 0o077}
        assert not shared
        assert (tmp_path / ".myagent/.gitignore").read_text() == "*\n"


async def test_the_token_is_made_once_and_kept(tmp_path: Path) -> None:
    tokens = set()
    for _ in range(2):
        async with scene(tmp_path) as here:
            tokens.add(here.server.token)
    assert len(tokens) == 1
    assert len(tokens.pop()) == 43


async def test_what_was_planted_under_our_temporary_names_is_not_touched(tmp_path: Path) -> None:
    state = state_of(tmp_path)
    planted = [state / ".auth.json.tmp", state / "auth.json.tmp", state / ".auth.json.0000000000000000"]
    for path in planted:
        path.symlink_to("/nonexistent/target")
    async with scene(tmp_path) as here:
        assert len(here.server.token) == 43
    assert all(path.is_symlink() for path in planted)


async def test_a_lock_left_by_a_dead_server_holds_nobody_up(tmp_path: Path) -> None:
    put(state_of(tmp_path) / "server.lock", b"1\n")
    async with scene(tmp_path) as here:
        assert (await here.join()).role == "owner"


@pytest.mark.parametrize("row", ["F1-0644", "F2-link", "F3-hard-link", "F4-fifo", "F4-directory"])
async def test_a_lock_that_is_not_ours_is_refused(tmp_path: Path, row: str) -> None:
    path = state_of(tmp_path) / "server.lock"
    AUTH_FILES[row](path)
    assert (await is_refused(tmp_path)).path == path


async def test_the_second_server_on_a_directory_is_refused_and_the_first_unharmed(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        owner = await here.join()
        with pytest.raises(AlreadyServed) as refused:
            await Server(tmp_path, CommandAgent()).start()
        assert str(os.getpid()) in str(refused.value)
        assert (await here.turn(owner, "help"))["exitCode"] == 0


@pytest.mark.parametrize("damage", [b"", b"not a database" * 100])
async def test_a_damaged_log_is_refused_and_kept(tmp_path: Path, damage: bytes) -> None:
    async with scene(tmp_path) as here:
        await here.turn(await here.join(), "help")
    path = tmp_path / ".myagent/remote/sessions.db"
    data = damage or path.read_bytes()[:4096]
    path.write_bytes(data)
    with pytest.raises(MyagentError) as refused:
        await Server(tmp_path, CommandAgent()).start()
    assert "\n" not in str(refused.value)
    kept = [each for each in path.parent.iterdir() if each.is_file() and each.read_bytes() == data]
    assert kept


@pytest.mark.parametrize(
    "settings",
    [
        Settings(host="203.0.113.1", insecure_plain=True),
        Settings(host="no such host", insecure_plain=True),
        Settings(port=70000),
        Settings(tls_cert=Path("nowhere.pem"), tls_key=Path("nowhere.pem")),
    ],
)
async def test_an_address_that_cannot_be_used_is_one_clear_line_and_holds_nothing(
    tmp_path: Path, settings: Settings
) -> None:
    with pytest.raises((CannotListen, FileUnusable)) as refused:
        await Server(tmp_path, CommandAgent(), settings).start()
    assert "\n" not in str(refused.value)
    async with scene(tmp_path) as here:
        assert (await here.join()).role == "owner"


async def test_the_token_is_in_no_log_line_and_in_no_file_but_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with scene(tmp_path) as here:
        owner = await here.join()
        await here.turn(owner, "help")
        await here.get("/?token=" + here.server.token)
        await here.get("/sessions")
        own = [record for record in caplog.records if record.name.startswith(("myagent", "asyncio"))]
        assert here.server.token not in "".join(record.getMessage() + str(record.exc_text) for record in own)
        files = [path for path in tmp_path.rglob("*") if path.is_file() and path != here.server.auth_path]
        assert [path.name for path in files if here.server.token.encode() in path.read_bytes()] == []
        assert here.server.token.encode() in here.server.auth_path.read_bytes()
