"""An agent's process on this machine cannot become the owner, however it hides; tunnels and proxies go on working.

Against the real program, as root and as another user, where the tests may become one.
"""

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
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from puppet import PATIENCE
from serving import Process, process, refused
from wire import Client, Scene, scene

import myagent
from myagent.agents.processes import spawned
from myagent.server import process_origin, standstill
from myagent.server.control import Asker

ATTACKS = Path(__file__).with_name("attacks.py")
NOBODY = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
WAIT = "echo up; until [ -e go ]; do sleep 0.02; done"
BYPASS = ("--allow-bypass", "--permission-mode", "bypassPermissions")


@dataclass
class Place:
    """A directory to serve, as some user."""

    workspace: Path
    python: str
    started: dict[str, Any]

    @asynccontextmanager
    async def serve(self, *options: str) -> AsyncIterator[tuple[Process, Scene]]:
        async with process(self.workspace, *BYPASS, *options, **self.started) as running:
            yield running

    def take(self, how: str, server: Process, port: int | None = None, host: str = "127.0.0.1") -> list[str]:
        """The command line of an attack."""
        target = (host, str(port or server.port), f"127.0.0.1:{server.port}")
        return [self.python, "attacks.py", how, *target]


def as_user(user: pwd.struct_passwd, directory: Path) -> Place:
    """For somebody who may not even see this interpreter: the system's, if it is of the same version."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = next(path for path in sys.path if path.endswith("site-packages"))
    source = str(Path(myagent.__file__).parent.parent)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{source}:{library}", "HOME": str(directory)}
    identity: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    for python in (sys.executable, shutil.which(version, path="/usr/bin:/usr/local/bin")):
        try:
            subprocess.run([str(python), "-c", "import myagent.__main__"], env=env, check=True, cwd="/", **identity)
        except (OSError, subprocess.CalledProcessError):
            continue
        os.chown(directory, user.pw_uid, user.pw_gid)
        return Place(directory, str(python), {"python": python, "env": env, "cwd": directory, **identity})
    pytest.skip(f"no {version} with this package can be run by the user {user.pw_name}")


@pytest.fixture(params=["this user", "not root"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    directory = Path(tempfile.mkdtemp(prefix="inside-"))
    shutil.copy(ATTACKS, directory / "attacks.py")
    (directory / "attacks.py").chmod(0o644)
    try:
        if request.param == "this user":
            yield Place(directory, sys.executable, {})
        elif NOBODY is None:
            pytest.skip("the tests are not run by root: there is no other user to become")
        else:
            yield as_user(NOBODY, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def said(client: Client) -> str:
    return "".join(each["chunk"] for each in client.of("agent_stdout", "agent_stderr"))


async def attacked(place: Place, how: str) -> str:
    """What an agent's process says that it became, while the slot is free."""
    async with place.serve() as (server, here):
        owner = await here.join()
        await owner.send("user_message", prompt=f"!{WAIT}; {' '.join(place.take(how, server))}")
        await owner.until("agent_stdout")
        await owner.acked(await owner.send("release"))
        (place.workspace / "go").touch()
        ended = await owner.until("terminal_state")
        assert ended["exitCode"] == 0, said(owner)
        return said(owner).removeprefix("up\n").strip()


@pytest.mark.parametrize("how", ["plain", "hidden", "thread", "in_flight", "not_accepted", "passed_on", "daemon"])
async def test_no_process_of_the_agents_owns_however_it_hides(place: Place, how: str) -> None:
    assert await attacked(place, how) == "follower"


async def test_who_has_ended_asks_for_nothing(place: Place) -> None:
    async with place.serve() as (server, here):
        owner = await here.join()
        await here.turn(owner, "!" + " ".join(place.take("control", server)))
        assert said(owner).strip() == "done"
        kept = json.loads((place.workspace / ".myagent/remote/auth.json").read_text())["token"]
        assert kept == server.token
        invites = place.workspace / ".myagent/remote/invites.json"
        assert not invites.exists() or json.loads(invites.read_text())["invites"] == []


# --- who must get through -----------------------------------------------------------------------------------------


async def own(place: Place, server: Process, port: int, host: str = "127.0.0.1") -> str:
    """What somebody who is not the agent's becomes, through `port`."""
    argv = place.take("plain", server, port, host)
    identity = {key: place.started[key] for key in ("user", "group", "extra_groups") if key in place.started}
    running = await asyncio.create_subprocess_exec(
        *argv, cwd=place.workspace, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **identity
    )
    told, _ = await asyncio.wait_for(running.communicate(), PATIENCE)
    return told.decode().strip()


@asynccontextmanager
async def busy(place: Place, *options: str) -> AsyncIterator[tuple[Process, Scene]]:
    """A server whose agent runs, with a process that holds Unix sockets, and whose slot is free."""
    code = "import socket,time; a=socket.socketpair(); print('up',flush=True); time.sleep(600)"
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin") or place.python  # one that every user may run
    async with place.serve(*options) as (server, here):
        owner = await here.join()
        await owner.send("user_message", prompt=f'!{python} -c "{code}"')
        await owner.until("agent_stdout")
        await owner.acked(await owner.send("release"))
        yield server, here


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def listens(port: int, running: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            assert running.poll() is None, "it ended"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return


@contextmanager
def ended(running: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield running
    finally:
        running.terminate()
        running.wait()


async def test_another_program_of_this_machine_owns(place: Place) -> None:
    async with busy(place) as (server, _):
        assert await own(place, server, server.port) == "owner"


@asynccontextmanager
async def tunnel(place: Place, target: int, directory: Path) -> AsyncIterator[int]:
    """A tunnel of a real sshd, which the served user has opened."""
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if sshd is None or shutil.which("ssh") is None:
        pytest.skip("no sshd is installed (apt-get install openssh-server)")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name], check=True)
    name = pwd.getpwuid(place.started.get("user", os.geteuid())).pw_name
    keys = Path(tempfile.mkdtemp(prefix="inside-keys-"))
    keys.chmod(0o755)
    try:
        shutil.copy(directory / "user.pub", keys / "allowed")
        (keys / "allowed").chmod(0o644)
        port, through = free_port(), free_port()
        (directory / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {directory}/host\nAuthorizedKeysFile {keys}/allowed\n"
            f"StrictModes no\nUsePAM no\nPermitRootLogin yes\nPidFile none\nAllowTcpForwarding yes\n"
        )
        serving = subprocess.Popen([sshd, "-D", "-e", "-f", directory / "sshd_config"], stderr=subprocess.DEVNULL)
        with ended(serving):
            await listens(port, serving)
            command = ["ssh", "-N", "-F", "/dev/null", "-i", directory / "user", "-p", str(port)]
            command += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
            command += ["-o", "ExitOnForwardFailure=yes", "-L", f"127.0.0.1:{through}:127.0.0.1:{target}"]
            with ended(subprocess.Popen([*command, f"{name}@127.0.0.1"], stderr=subprocess.DEVNULL)) as client:
                await listens(through, client)
                yield through
    finally:
        shutil.rmtree(keys)


async def test_a_tunnel_of_sshd_owns(place: Place, tmp_path: Path) -> None:
    async with busy(place) as (server, _), tunnel(place, server.port, tmp_path) as through:
        assert await own(place, server, through) == "owner"


async def test_a_reverse_proxy_owns(place: Place) -> None:
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if nginx is None:
        pytest.skip("no nginx is installed (apt-get install nginx-light)")
    directory = Path(tempfile.mkdtemp(prefix="inside-nginx-"))
    directory.chmod(0o755)
    try:
        async with busy(place) as (server, _):
            port = free_port()
            kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            temporary = "".join(f"{kind}_temp_path {directory}/{kind};" for kind in kinds)
            (directory / "nginx.conf").write_text(
                f"daemon off; pid {directory}/pid; error_log {directory}/errors; events {{}} http {{ access_log off; "
                f"{temporary} server {{ listen 127.0.0.1:{port}; location / {{ "
                f"proxy_pass http://127.0.0.1:{server.port}; proxy_http_version 1.1; proxy_set_header Host $http_host; "
                f"proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }} }} }}"
            )
            argv = [nginx, "-p", directory, "-c", directory / "nginx.conf", "-e", directory / "errors"]
            with ended(subprocess.Popen(argv, stderr=subprocess.DEVNULL)) as running:
                await listens(port, running)
                assert await own(place, server, port) == "owner"
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def container(tmp_path: Path) -> Place:
    """A server that sees no process outside of its own PID namespace, but their connections."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare (util-linux), to have a PID namespace")
    shutil.copy(ATTACKS, tmp_path)
    before = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    return Place(tmp_path, sys.executable, {"before": before})


async def test_somebody_outside_of_the_servers_container_owns(container: Place) -> None:
    async with busy(container) as (server, _):
        assert await own(container, server, server.port) == "owner"


@pytest.mark.parametrize("how", ["plain", "thread", "in_flight", "not_accepted", "passed_on", "daemon"])
async def test_in_a_container_no_process_of_the_agents_owns(container: Place, how: str) -> None:
    assert await attacked(container, how) == "follower"


# --- walls that really separate -----------------------------------------------------------------------------------


@pytest.fixture
def wall(request: pytest.FixtureRequest, place: Place) -> list[str]:
    """The options that make it stand."""
    if request.param == "bwrap":
        if shutil.which("bwrap") is None:
            pytest.skip("no bubblewrap is installed (apt-get install bubblewrap)")
        return ["--sandbox", "bwrap"]
    if os.geteuid() != 0 or place.started:
        pytest.skip("only root can start processes as another user")
    os.chmod(place.workspace, 0o777)
    return ["--agent-user", "nobody"]


@pytest.mark.parametrize("wall", ["bwrap", "user"], indirect=True)
async def test_behind_a_wall_the_agent_has_no_token_and_no_server(place: Place, wall: list[str]) -> None:
    async with place.serve(*wall) as (server, here):
        owner = await here.join()
        pid = server.process.pid
        ended = await here.turn(
            owner,
            f"!cat .myagent/remote/auth.json; cat .myagent/remote/sessions.db; ls .myagent/remote/; "
            f"cat /proc/{pid}/environ; head -c 1 /proc/{pid}/mem; kill -0 {pid} && echo reached; echo done; exit 3",
        )
        assert ended["exitCode"] == 3
        assert "".join(each["chunk"] for each in owner.of("agent_stdout")) == "done\n", said(owner)
        await here.turn(owner, "!echo x > made && rm made && echo worked")
        assert said(owner).endswith("worked\n"), "and it can do its work"
        assert ("wall bubblewrap" if "bwrap" in wall else "wall another user") in server.said


async def test_without_a_wall_it_has_them_and_that_is_said(place: Place) -> None:
    """The negative control."""
    async with place.serve() as (server, here):
        owner = await here.join()
        ended = await here.turn(owner, f"!cat .myagent/remote/auth.json && cat /proc/{server.process.pid}/environ")
        assert ended["exitCode"] == 0
        assert "wall same user: the agent could read the owner token from disk" in server.said


@pytest.mark.parametrize("wall", ["bwrap", "user"], indirect=True)
async def test_behind_a_wall_others_own_and_what_it_started_ends(place: Place, wall: list[str]) -> None:
    async with busy(place, *wall) as (server, _):
        assert await own(place, server, server.port) == "owner"
        agents = psutil.Process(server.process.pid).children(recursive=True)
        assert len(agents) > 3
        await server.stop()
        assert psutil.wait_procs(agents, PATIENCE)[1] == []


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--agent-user", "root"], "nothing keeps out"),
        (["--agent-user", "no-such-user"], "there is no such user"),
        (["--agent-user", "nobody", "--sandbox", "bwrap"], "one of them"),
    ],
)
async def test_a_wall_that_cannot_stand_is_said_and_nothing_is_served(
    tmp_path: Path, options: list[str], why: str
) -> None:
    code, told = await refused(tmp_path, *options)
    if os.geteuid() == 0 or why != "nothing keeps out":
        assert (code, why in told) == (2, True), told


# --- negative controls, in this process ---------------------------------------------------------------------------


async def taken(tmp_path: Path, how: str) -> str:
    shutil.copy(ATTACKS, tmp_path)
    async with scene(tmp_path, permission_mode="bypassPermissions", allow_bypass=True) as here:
        owner = await here.join()
        await owner.send(
            "user_message", prompt=f"!{WAIT}; {sys.executable} attacks.py {how} 127.0.0.1 {here.server.port}"
        )
        await owner.acked(await owner.send("release"))
        (tmp_path / "go").touch()
        await owner.until("terminal_state")
        return said(owner).removeprefix("up\n").strip()


async def test_taking_who_is_unseen_for_somebody_else_lets_it_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_origin, "NOBODY", "")
    monkeypatch.setattr(standstill, "why_held", lambda inode: "")
    assert await taken(tmp_path, "in_flight") == "owner"


async def test_looking_at_a_process_alone_lets_its_threads_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = standstill.sockets
    monkeypatch.setattr(standstill, "sockets", lambda pid, threads=False: looked(pid))
    monkeypatch.setattr(process_origin, "NOBODY", "")
    monkeypatch.setattr(standstill, "why_held", lambda inode: "")
    assert await taken(tmp_path, "thread") == "owner"


async def test_not_asking_whether_it_lives_lets_who_has_ended_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Asker, "alive", True)
    shutil.copy(ATTACKS, tmp_path)
    async with scene(tmp_path, permission_mode="bypassPermissions", allow_bypass=True) as here:
        before = here.server.token
        owner = await here.join()
        await owner.send("user_message", prompt=f"!{sys.executable} attacks.py control 127.0.0.1 {here.server.port}")
        assert await owner.closed() == 4401
        assert here.server.token != before


async def test_a_descriptor_that_an_io_uring_has_is_found(tmp_path: Path) -> None:
    """Registered, and then closed: no list of open files shows it."""
    code = (
        "import ctypes, os, socket, time\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "ring = libc.syscall(425, 4, (ctypes.c_char * 120)())\n"  # io_uring_setup
        "held = socket.socket()\n"
        "files = (ctypes.c_int * 1)(held.fileno())\n"
        "done = libc.syscall(427, ring, 2, files, 1) if ring >= 0 else -1\n"  # io_uring_register, its files
        "held.close()\n"
        "print('ready' if done == 0 else 'none', flush=True)\n"
        "time.sleep(600)\n"
    )
    (tmp_path / "ring.py").write_text(code)
    async with scene(tmp_path, permission_mode="bypassPermissions", allow_bypass=True) as here:
        owner = await here.join()
        assert standstill.why_held("1") == ""
        await owner.send("user_message", prompt=f"!{sys.executable} ring.py")
        if (await owner.until("agent_stdout"))["chunk"].strip() == "none":
            pytest.skip("io_uring cannot be used here")
        assert "on their way to itself" in standstill.why_held("1")


async def test_who_was_stopped_for_a_look_goes_on(tmp_path: Path) -> None:
    async with scene(tmp_path, permission_mode="bypassPermissions", allow_bypass=True) as here:
        owner = await here.join()
        await owner.send("user_message", prompt="!echo up; until [ -e go ]; do :; done; echo over")
        await owner.until("agent_stdout")
        for _ in range(20):
            assert standstill.why_held("1") == ""
        (tmp_path / "go").touch()
        assert (await owner.until("terminal_state"))["exitCode"] == 0
        assert not spawned.groups()
