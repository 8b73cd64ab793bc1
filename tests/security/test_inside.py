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

import pytest
from puppet import PATIENCE
from serving import Process, process
from wire import Client, Scene

import myagent

ATTACKS = Path(__file__).with_name("attacks.py")
NOBODY = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
WAIT = "until [ -e go ]; do sleep 0.02; done"
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
        await owner.acked(await owner.send("release"))
        (place.workspace / "go").touch()
        ended = await owner.until("terminal_state")
        assert ended["exitCode"] == 0, said(owner)
        return said(owner).strip()


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
    async with place.serve(*options) as (server, here):
        owner = await here.join()
        await owner.send("user_message", prompt=f'!{place.python} -c "{code}"')
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


# --- negative controls --------------------------------------------------------------------------------------------
