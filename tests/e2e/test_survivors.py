"""Nothing that an agent has started outlives the server, whatever ends that."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from puppet import PATIENCE
from serving import gone, process
from wire import Client, Scene

BYPASS = ("--allow-bypass", "--permission-mode", "bypassPermissions")
# A child in the command's group, and a daemon: two forks and a session of its own.
LINE = "sleep 1000 & echo $!; (setsid sh -c 'echo $$ >new; mv new daemon; exec sleep 1000' &); wait"


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.01)


async def running(here: Scene, workspace: Path) -> tuple[Client, list[int]]:
    """An owner whose turn runs, and what it has started."""
    owner = await here.join()
    await owner.send("user_message", prompt=f"!{LINE}")
    said = await owner.until("agent_stdout")
    await until((workspace / "daemon").exists)
    return owner, [int(said["chunk"]), int((workspace / "daemon").read_text())]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT, signal.SIGABRT, signal.SIGKILL])
async def test_nothing_outlives_the_server(tmp_path: Path, number: signal.Signals) -> None:
    async with process(tmp_path, *BYPASS) as (server, here):
        _, started = await running(here, tmp_path)
        assert not any(map(gone, started))
        await server.stop(number)
        await until(lambda: all(map(gone, started)))


async def test_a_terminal_that_is_closed_is_a_stop(tmp_path: Path) -> None:
    async with process(tmp_path, *BYPASS) as (server, here):
        owner, _ = await running(here, tmp_path)
        stopping = asyncio.create_task(server.stop(signal.SIGHUP))
        ended = await owner.until("terminal_state")
        assert ended["stopReason"] == "interrupted"
        assert await owner.closed() == 1001
        assert await stopping == 0


async def test_with_nohup_a_closed_terminal_is_none(tmp_path: Path) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async with process(tmp_path, *BYPASS, preexec_fn=ignore) as (server, here):
        server.process.send_signal(signal.SIGHUP)
        assert (await here.join()).role == "owner"


async def killed_with_its_keepers(tmp_path: Path, *, strike: bool) -> tuple[list[int], str]:
    """Kill a server and all of its keepers; what had been started, and what the next server says of the turn."""
    async with process(tmp_path, *BYPASS) as (server, here):
        owner, started = await running(here, tmp_path)
        session = owner.of("prompt")[0]["sessionId"]
        keepers = [each for each in psutil.Process(server.process.pid).children(True) if "-S" in each.cmdline()]
        assert len(keepers) == 2
        for each in keepers:
            each.suspend()
        await server.stop(signal.SIGKILL)
        for each in keepers:
            each.kill()
    assert not gone(started[0])
    if strike:
        (tmp_path / ".myagent/remote/processes.json").unlink()
    async with process(tmp_path, *BYPASS) as (_, here):
        await here.join()
        ended = [each for each in await here.events(session) if each["type"] == "terminal_state"]
        return started, ended[0]["message"]


async def test_who_outlived_the_server_and_the_keepers_is_ended_and_told(tmp_path: Path) -> None:
    (survivor, daemon), message = await killed_with_its_keepers(tmp_path, strike=False)
    os.kill(daemon, signal.SIGKILL)  # in a session of its own, it is beyond what was written down
    assert message.endswith("before this turn ended; processes of agents that were still running were ended: 1")
    await until(lambda: gone(survivor))


async def test_what_was_not_written_down_lives_on(tmp_path: Path) -> None:
    """The negative control."""
    started, message = await killed_with_its_keepers(tmp_path, strike=True)
    assert message == "the server stopped before this turn ended"
    assert not gone(started[0])
    for pid in started:
        os.kill(pid, signal.SIGKILL)


async def test_as_process_1_it_reaps_whoever_is_orphaned(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("nsenter") is None:
        pytest.skip("needs root, unshare and nsenter (util-linux), to be process 1 somewhere")
    namespace = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    async with process(tmp_path, *BYPASS, before=namespace) as (server, here):
        (first,) = psutil.Process(server.process.pid).children()
        orphan = "sh", "-c", "(sh -c 'echo $$; exec sleep 0.05' &)"
        entered = await asyncio.create_subprocess_exec(
            "nsenter", "-t", str(first.pid), "-p", *orphan, stdout=asyncio.subprocess.PIPE
        )
        await entered.communicate()
        owner = await here.join()
        await here.turn(owner, "!(sleep 0.05 &); (setsid sleep 0.05 &); true")

        def zombies() -> list[psutil.Process]:
            return [each for each in first.children(True) if each.status() == psutil.STATUS_ZOMBIE]

        await until(lambda: not zombies() and len(first.children()) == 1)
