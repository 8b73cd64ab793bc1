"""Child processes: what they get, what is heard of them, and that nothing of them is left."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import psutil
import pytest

from myagent.agents.processes import keeper, kept, process
from myagent.agents.processes.process import READ_BYTES, NotStarted, child_environment, run

WAIT_SECONDS = 30.0  # for what must happen; a bound, not a measure

DAEMON = "echo $$ > pid.new; mv pid.new pid; exec sleep 1000"
WAIT_FOR_DAEMON = "until [ -e pid ]; do :; done"


class Ear:
    """A pair of sinks that keep what they hear; `gate` closed holds back stdout."""

    def __init__(self) -> None:
        self.out_pieces: list[str] = []
        self.err_pieces: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._heard = asyncio.Event()

    @property
    def out(self) -> str:
        return "".join(self.out_pieces)

    @property
    def err(self) -> str:
        return "".join(self.err_pieces)

    async def stdout(self, text: str) -> None:
        self.out_pieces.append(text)
        self._heard.set()
        await self.gate.wait()

    async def stderr(self, text: str) -> None:
        self.err_pieces.append(text)
        self._heard.set()

    async def until(self, is_enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not is_enough():
                self._heard.clear()
                await self._heard.wait()


def in_loop(test: Callable[[Path], Coroutine[Any, Any, None]]) -> Callable[[Path], None]:
    """Run an async test, and see that it left neither a descriptor nor a child."""

    def sync(tmp_path: Path) -> None:
        descriptors = set(os.listdir("/proc/self/fd"))
        asyncio.run(test(tmp_path))
        assert set(os.listdir("/proc/self/fd")) == descriptors
        assert psutil.Process().children() == []

    sync.__name__ = test.__name__
    sync.__doc__ = test.__doc__
    return sync


async def shell(line: str, cwd: Path, ear: Ear, env: dict[str, str] | None = None) -> int:
    argv = ["/bin/sh", "-c", line]
    return await run(argv, cwd=cwd, env=env or child_environment(), stdout=ear.stdout, stderr=ear.stderr)


async def python(code: str, cwd: Path, ear: Ear) -> int:
    argv = [sys.executable, "-c", code]
    return await run(argv, cwd=cwd, env=child_environment(), stdout=ear.stdout, stderr=ear.stderr)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def gone(pid: int) -> None:
    """Wait for the end of a process that was killed: the kernel takes its moment."""
    async with asyncio.timeout(WAIT_SECONDS):
        while is_running(pid):
            await asyncio.sleep(0.002)


async def appeared(path: Path) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not path.exists():
            await asyncio.sleep(0.002)


@in_loop
async def test_output_and_exit_code(tmp_path: Path) -> None:
    ear = Ear()
    assert await shell("echo out; echo err >&2; pwd; exit 7", tmp_path, ear) == 7
    assert ear.out == f"out\n{tmp_path}\n"
    assert ear.err == "err\n"


@in_loop
async def test_a_signal_is_128_plus_its_number(tmp_path: Path) -> None:
    assert await shell("kill -KILL $$", tmp_path, Ear()) == 128 + signal.SIGKILL


@in_loop
async def test_a_child_has_its_own_session_empty_input_no_terminal_and_no_descriptor_of_ours(tmp_path: Path) -> None:
    ear = Ear()
    secret = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(secret, True)
    try:
        await python(
            "import os, sys\n"
            "print(os.getsid(0) == os.getpgid(0) == os.getpid(), repr(sys.stdin.read()))\n"
            "print(sorted(os.readlink(f'/proc/self/fd/{fd}').partition(':')[0] for fd in os.listdir('/proc/self/fd')\n"
            "      if os.path.exists(f'/proc/self/fd/{fd}')))\n"
            "open('/dev/tty')",
            tmp_path,
            ear,
        )
    finally:
        os.close(secret)
    assert ear.out == "True ''\n['/dev/null', 'pipe', 'pipe']\n"
    assert "No such device or address: '/dev/tty'" in ear.err


@in_loop
async def test_a_child_knows_only_what_is_on_the_list(tmp_path: Path) -> None:
    ear = Ear()
    ours = {
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "HOME": "/h",
        "MYAGENT_TOKEN": "x",
        "API_KEY": "y",
        "TERM": "z",
    }
    env = child_environment(ours)
    assert env == {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/h", "TERM": "dumb"}
    await shell("env", tmp_path, ear, env)
    assert {line.partition("=")[0] for line in ear.out.splitlines()} - {"PWD", "OLDPWD", "SHLVL", "_"} == set(env)


def test_a_child_can_always_find_programs() -> None:
    assert child_environment({}) == {"PATH": os.defpath, "TERM": "dumb"}


@in_loop
async def test_characters_are_never_split(tmp_path: Path) -> None:
    ear = Ear()
    text = "é世🙂" * 20
    code = f"import os\nfor byte in {text.encode()!r}: os.write(1, bytes([byte]))"
    await python(code, tmp_path, ear)
    assert ear.out == text


@in_loop
async def test_what_is_not_utf8_is_shown_as_such(tmp_path: Path) -> None:
    ear = Ear()
    await shell(r"printf 'a\377b\303'", tmp_path, ear)
    assert ear.out == "a\ufffdb\ufffd"


@in_loop
async def test_much_output_arrives_whole_and_in_order(tmp_path: Path) -> None:
    ear = Ear()
    assert await shell("seq 1 300000", tmp_path, ear) == 0
    assert ear.out == "".join(f"{n}\n" for n in range(1, 300_001))
    assert max(map(len, ear.out_pieces)) <= READ_BYTES


@in_loop
async def test_who_does_not_listen_holds_back_the_child(tmp_path: Path) -> None:
    """The child fills the pipe while the sink has not returned from the first piece, and no more than the pipe."""
    ear = Ear()
    ear.gate.clear()
    code = (
        "import os\n"
        "os.write(1, b'first')\n"
        "open('heard')\n"  # a FIFO: waits until the test knows that the first piece was taken
        "os.set_blocking(1, False)\n"
        "n = 0\n"
        "try:\n"
        "    while True: n += os.write(1, b'x' * 4096)\n"
        "except BlockingIOError: os.write(2, b'%d' % n)\n"
    )
    os.mkfifo(tmp_path / "heard")
    running = asyncio.create_task(python(code, tmp_path, ear))
    await ear.until(lambda: bool(ear.out))
    (await asyncio.to_thread(open, tmp_path / "heard", "w")).close()
    await ear.until(lambda: bool(ear.err))
    held = int(ear.err)
    assert held == 64 * 1024
    assert ear.out == "first"
    ear.gate.set()
    await running
    assert len(ear.out) == len("first") + held


@in_loop
async def test_a_child_that_never_stops_writing_starves_nobody(tmp_path: Path) -> None:
    ear = Ear()
    running = asyncio.create_task(shell("yes", tmp_path, ear))
    await ear.until(lambda: len(ear.out_pieces) > 3)
    for _ in range(100):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@in_loop
async def test_a_grandchild_that_keeps_the_pipe_does_not_hang_the_turn(tmp_path: Path) -> None:
    ear = Ear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "LINGER_SECONDS", 0.05)
        assert await shell("sleep 1000 & echo $!; exit 3", tmp_path, ear) == 3
    await gone(int(ear.out))


@in_loop
async def test_a_grandchild_without_the_pipe_ends_too(tmp_path: Path) -> None:
    ear = Ear()
    assert await shell("sleep 1000 >/dev/null 2>&1 & echo $!", tmp_path, ear) == 0
    await gone(int(ear.out))


@in_loop
async def test_a_daemon_ends_too(tmp_path: Path) -> None:
    """Two forks and a session of its own lead nowhere."""
    ear = Ear()
    assert await shell(f"(setsid sh -c '{DAEMON}' >/dev/null 2>&1 &); {WAIT_FOR_DAEMON}", tmp_path, ear) == 0
    await gone(int((tmp_path / "pid").read_text()))


def planted(tmp_path: Path, line: str, instead: str) -> Path:
    """A keeper with a bug."""
    code = Path(keeper.__file__).read_text()
    assert code.count(line) == 1
    (tmp_path / "keeper.py").write_text(code.replace(line, instead))
    return tmp_path / "keeper.py"


@in_loop
async def test_with_a_keeper_that_lets_go_a_grandchild_lives_on(tmp_path: Path) -> None:
    """Negative control of the three tests above."""
    ear = Ear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "_PROGRAM", planted(tmp_path, "os.kill(pid, signal.SIGKILL)", "pass"))
        patch.setattr(process, "GRACE_SECONDS", 0.05)
        await shell(f"(setsid sh -c '{DAEMON}' >/dev/null 2>&1 &); {WAIT_FOR_DAEMON}", tmp_path, ear)
    daemon = int((tmp_path / "pid").read_text())
    assert is_running(daemon)
    os.kill(daemon, signal.SIGKILL)
    await gone(daemon)


@in_loop
async def test_who_left_the_group_cannot_hang_the_turn_and_what_it_wrote_before_is_heard(tmp_path: Path) -> None:
    ear = Ear()
    # The leader leaves only when the daemon has written; the daemon keeps the pipe.
    line = "setsid sh -c 'echo $$; echo hello; : >written; exec sleep 1000' & while ! [ -e written ]; do :; done"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "LINGER_SECONDS", 0.05)
        assert await shell(line, tmp_path, ear) == 0
    pid, hello = ear.out.split()
    await gone(int(pid))
    assert hello == "hello"


@in_loop
async def test_the_tail_of_the_output_is_waited_for(tmp_path: Path) -> None:
    """What a grandchild writes just after the leader has ended still belongs to the output."""
    ear = Ear()
    late = "import os, sys, time\nwhile os.getppid() == int(sys.argv[1]): time.sleep(0.001)\nprint('late')"
    (tmp_path / "late.py").write_text(late)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "LINGER_SECONDS", WAIT_SECONDS)
        assert await shell(f"{sys.executable} late.py $$ & echo early", tmp_path, ear) == 0
    assert ear.out == "early\nlate\n"


@in_loop
async def test_cancelled_the_group_gets_sigterm_and_may_clean_up(tmp_path: Path) -> None:
    ear = Ear()
    line = "trap 'echo bye; : >cleaned; exit 0' TERM; sleep 1000 & echo $!; wait"
    running = asyncio.create_task(shell(line, tmp_path, ear))
    await ear.until(lambda: "\n" in ear.out)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (tmp_path / "cleaned").exists()
    await gone(int(ear.out))


@in_loop
async def test_cancelled_who_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    ear = Ear()
    line = "trap '' TERM; sh -c 'echo $$; while :; do sleep 1000; done' & echo $$; wait"
    running = asyncio.create_task(shell(line, tmp_path, ear))
    await ear.until(lambda: ear.out.count("\n") == 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "GRACE_SECONDS", 0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    for pid in ear.out.split():
        await gone(int(pid))


@in_loop
async def test_cancelled_again_it_is_killed_at_once(tmp_path: Path) -> None:
    ear = Ear()
    line = "trap ': >asked' TERM; echo $$; while :; do sleep 1000 & wait; done"
    running = asyncio.create_task(shell(line, tmp_path, ear))
    await ear.until(lambda: "\n" in ear.out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "GRACE_SECONDS", 1000.0)
        running.cancel()
        await appeared(tmp_path / "asked")
        running.cancel()
        async with asyncio.timeout(WAIT_SECONDS):
            with pytest.raises(asyncio.CancelledError):
                await running
    await gone(int(ear.out))


@in_loop
async def test_a_sink_that_fails_ends_the_child(tmp_path: Path) -> None:
    pids: list[int] = []

    async def failing(text: str) -> None:
        pids.append(int(text))
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await run(
            ["/bin/sh", "-c", "echo $$; sleep 1000"],
            cwd=tmp_path,
            env=child_environment(),
            stdout=failing,
            stderr=failing,
        )
    await gone(pids[0])


@pytest.mark.parametrize(
    ("argv", "cwd", "reason"),
    [
        (["/nonexistent/program"], ".", "cannot start /nonexistent/program: No such file or directory"),
        (["/bin/sh", "-c", ":"], "nonexistent", "cannot start /bin/sh: No such file or directory"),
        (["/bin/sh", "-c", "a\0b"], ".", "cannot start /bin/sh: embedded null byte"),
        (["/bin/sh", "-c", "x" * 200_000], ".", "cannot start /bin/sh: Argument list too long"),
    ],
)
def test_what_cannot_start_says_why(tmp_path: Path, argv: list[str], cwd: str, reason: str) -> None:
    async def start(tmp_path: Path) -> None:
        ear = Ear()
        with pytest.raises(NotStarted) as caught:
            await run(argv, cwd=tmp_path / cwd, env=child_environment(), stdout=ear.stdout, stderr=ear.stderr)
        assert str(caught.value) == reason

    in_loop(start)(tmp_path)
