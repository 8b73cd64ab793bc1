"""The keeper: what is left of a child ends, whatever that child does to those who keep it."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.agents.test_process import (
    DAEMON,
    WAIT_FOR_DAEMON,
    WAIT_SECONDS,
    Ear,
    appeared,
    gone,
    in_loop,
    is_running,
    planted,
    shell,
)

from myagent.agents.processes import kept, ndjson, process
from myagent.agents.processes.process import NotStarted

START_DAEMON = f"(setsid sh -c '{DAEMON}' >/dev/null 2>&1 &); {WAIT_FOR_DAEMON}"
TELLS_THAT_IT_RUNS = "failed = os.read(told[0], 4)"
TELLS_WHEN_IT_IS_LATE = (
    "failed = os.read(told[0], 4)\n        while not os.path.exists(os.path.join(cwd, b'pid')): pass"
)

SERVER = """
import asyncio, sys
from pathlib import Path
from myagent.agents.processes import kept, ndjson, process

async def nobody(text): pass

async def main():
    kept._PROGRAM = Path(sys.argv[1])
    with kept.holding():
        Path("keeper").write_text(str(kept._keeper._process.pid))
        env = process.child_environment()
        await process.run(["/bin/sh", "-c", sys.argv[2]], cwd=Path.cwd(), env=env, stdout=nobody, stderr=nobody)

asyncio.run(main())
"""


async def killed_with_a_stopped_keeper(program: Path, tmp_path: Path) -> tuple[int, int]:
    """Kill a server, one of whose agents has stopped the process that keeps it. Returns the numbers of that one and of
    the agent's daemon, when the keepers' parent has ended."""
    line = f"{START_DAEMON}; kill -STOP $PPID; echo $PPID > stopped.new; mv stopped.new stopped; sleep 1000"
    with subprocess.Popen([sys.executable, "-c", SERVER, str(program), line], cwd=tmp_path) as server:
        try:
            await appeared(tmp_path / "stopped")
        finally:
            server.kill()
    await gone(int((tmp_path / "keeper").read_text()))
    return int((tmp_path / "stopped").read_text()), int((tmp_path / "pid").read_text())


@in_loop
async def test_who_stops_its_keeper_does_not_outlive_a_server_that_was_killed(tmp_path: Path) -> None:
    for pid in await killed_with_a_stopped_keeper(kept._PROGRAM, tmp_path):
        assert not is_running(pid)


@in_loop
async def test_with_a_keeper_that_leaves_before_the_others_it_does(tmp_path: Path) -> None:
    """Negative control of the one above, and the cause that the one below failed now and then: a keeper that is not
    there any more when another's children are handed on."""
    program = planted(tmp_path, "            _end_all()\n            return", "            return")
    keeps, daemon = await killed_with_a_stopped_keeper(program, tmp_path)
    assert is_running(keeps) and is_running(daemon)
    for pid in (daemon, keeps):
        os.kill(pid, signal.SIGKILL)
        await gone(pid)


@in_loop
async def test_who_kills_its_keeper_ends_with_it_also_where_nobody_holds_another(tmp_path: Path) -> None:
    """Then the keepers' parent is let go as soon as the channel ends, which is before the kernel has handed on the
    dead keeper's children."""
    line = f"{START_DAEMON}; kill -9 $PPID; sleep 1000"
    assert await shell(line, tmp_path, Ear()) == 128 + signal.SIGKILL
    await gone(int((tmp_path / "pid").read_text()))


@in_loop
async def test_who_kills_its_keeper_before_that_could_tell_was_started_all_the_same(tmp_path: Path) -> None:
    program = planted(tmp_path, TELLS_THAT_IT_RUNS, TELLS_WHEN_IT_IS_LATE + "\n        os.kill(os.getpid(), 9)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "_PROGRAM", program)
        assert await shell(f"{START_DAEMON}; sleep 1000", tmp_path, Ear()) == 128 + signal.SIGKILL
    await gone(int((tmp_path / "pid").read_text()))


@in_loop
async def test_who_stops_its_keeper_before_that_could_tell_ends_all_the_same(tmp_path: Path) -> None:
    program = planted(tmp_path, TELLS_THAT_IT_RUNS, TELLS_WHEN_IT_IS_LATE + "\n        os.kill(os.getpid(), 19)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "_PROGRAM", program)
        with kept.holding():
            starting = asyncio.create_task(shell(f"{START_DAEMON}; sleep 1000", tmp_path, Ear()))
            await appeared(tmp_path / "pid")
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
            await gone(int((tmp_path / "pid").read_text()))


@in_loop
async def test_keepers_that_were_stopped_are_replaced(tmp_path: Path) -> None:
    with kept.holding():
        ear = Ear()
        assert await shell("kill -STOP $(ps -o ppid= -p $PPID); echo on", tmp_path, ear) == 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kept, "ANSWER_SECONDS", 0.05)
            with pytest.raises(NotStarted, match="the process that starts others does not answer"):
                await shell("echo never", tmp_path, ear)
        assert await shell("echo again", tmp_path, ear) == 0
        assert ear.out == "on\nagain\n"


@in_loop
async def test_where_no_process_may_adopt_orphans_nothing_runs_and_it_says_why(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "_PROGRAM", planted(tmp_path, "SUBREAPER = 36", "SUBREAPER = -1"))
        with pytest.raises(NotStarted, match=r"adopt orphans \(PR_SET_CHILD_SUBREAPER\): Invalid argument"):
            await shell(": > ran", tmp_path, Ear())
    assert not (tmp_path / "ran").exists()


@in_loop
async def test_elsewhere_than_on_linux_nothing_runs_and_it_says_why(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "platform", "darwin")
        with pytest.raises(NotStarted, match="programs run only on Linux"):
            await shell(": > ran", tmp_path, Ear())
    assert not (tmp_path / "ran").exists()


@in_loop
async def test_too_many_processes_are_told_as_such_and_the_keeper_goes_on(tmp_path: Path) -> None:
    """Neither the process that keeps the child can be made, nor the child by that one."""
    for who in ("pid", "child"):
        with pytest.MonkeyPatch.context() as patch:
            program = planted(tmp_path, f" {who} = os.fork()", f" {who} = fork()")
            refuse = "def fork():\n    raise OSError(errno.EAGAIN, '')\n\n\n"
            program.write_text(program.read_text().replace("def main(", refuse + "def main("))
            patch.setattr(kept, "_PROGRAM", program)
            with kept.holding():
                for _ in range(3):
                    with pytest.raises(NotStarted, match="Resource temporarily unavailable"):
                        await shell(":", tmp_path, Ear())


@in_loop
async def test_a_keeper_that_is_killed_when_asked_is_replaced(tmp_path: Path) -> None:
    """The request may reach one that is about to die, and then nobody reads it."""
    once = str(tmp_path / "once")
    dies = f"        with contextlib.suppress(OSError):\n            os.rmdir({once!r})\n            os._exit(1)\n"
    (tmp_path / "once").mkdir()
    line = "        fds = array.array("
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "_PROGRAM", planted(tmp_path, line, dies + line))
        assert await shell("exit 7", tmp_path, Ear()) == 7
    assert not (tmp_path / "once").exists()


@in_loop
async def test_what_the_server_did_not_wait_for_is_ended(tmp_path: Path) -> None:
    """Cancelled at any point of its start, a program leaves nothing; looked at for each of the first steps."""
    for steps in range(12):
        starting = asyncio.create_task(shell(f": > ran; {START_DAEMON}; sleep 1000", tmp_path, Ear()))
        for _ in range(steps):
            await asyncio.sleep(0)
        starting.cancel()
        async with asyncio.timeout(WAIT_SECONDS):
            with pytest.raises(asyncio.CancelledError):
                await starting
        if (tmp_path / "pid").exists():
            await gone(int((tmp_path / "pid").read_text()))
            (tmp_path / "pid").unlink()


@in_loop
async def test_who_kills_its_keeper_ends_with_it(tmp_path: Path) -> None:
    with kept.holding():  # as a server does
        ear = Ear()
        line = f"(setsid sh -c '{DAEMON}' >/dev/null 2>&1 &); {WAIT_FOR_DAEMON}; kill -9 $PPID; sleep 1000"
        assert await shell(line, tmp_path, ear) == 128 + signal.SIGKILL
        await gone(int((tmp_path / "pid").read_text()))


@in_loop
async def test_who_stops_its_keeper_ends_all_the_same(tmp_path: Path) -> None:
    with kept.holding():
        ear = Ear()
        line = f"(setsid sh -c '{DAEMON}' >/dev/null 2>&1 &); {WAIT_FOR_DAEMON}; kill -STOP $PPID; echo $$; sleep 1000"
        running = asyncio.create_task(shell(line, tmp_path, ear))
        await ear.until(lambda: "\n" in ear.out)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(process, "GRACE_SECONDS", 0.05)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        for pid in (ear.out, (tmp_path / "pid").read_text()):
            await gone(int(pid))


@in_loop
async def test_a_keeper_that_was_killed_is_replaced(tmp_path: Path) -> None:
    with kept.holding():
        ear = Ear()
        assert await shell("kill -9 $(ps -o ppid= -p $PPID); echo on", tmp_path, ear) == 0
        assert await shell("echo again", tmp_path, ear) == 0
        assert ear.out == "on\nagain\n"


@in_loop
async def test_pipes_that_do_not_get_into_the_loop_are_closed_and_the_child_ends(tmp_path: Path) -> None:
    """No descriptor and no process is left: `in_loop` looks."""
    loop = asyncio.get_running_loop()

    async def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "connect_read_pipe", refuse)
        with pytest.raises(OSError, match="Too many open files"):
            await ndjson.connected(["/bin/sleep", "1000"], cwd=tmp_path, env=process.child_environment())
