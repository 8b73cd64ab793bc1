"""Looks at everything that the agent's processes hold, while none of them can move.

For a connection whose other end nobody who can be looked into has open: a tunnel's (sshd hides), or the agent's, which
has put its descriptor where no list of open files shows it. They are stopped for some milliseconds, and what each has
open is gone through, with what is on its way through its Unix sockets and what it has given to an io_uring.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from myagent.agents.processes import spawned, tree

ROUNDS = 100  # of stopping those who still move
ROUND_SECONDS = 0.001
ATTEMPTS = 3

UNKNOWN = "what the processes of the agent's have open could not be found out"
HELD = "process {} of the agent's has the other end of the connection open"
IN_FLIGHT = "process {} of the agent's has descriptors on their way to itself"

_PROC = Path("/proc")
_SCM = re.compile(r"^scm_fds:\s*(\d+)", re.MULTILINE)
_RING_FILES = re.compile(r"^UserFiles:\s*(\d+)", re.MULTILINE)


def sockets(pid: int, *, threads: bool = False) -> set[str]:
    """The inodes of the sockets that a process has open; `threads`: in any table of its threads, which may have their
    own. Raises `PermissionError` if it cannot be looked into; of one that has ended there are none."""
    return {target[8:-1] for _, target in _open(pid, threads) if target.startswith("socket:[")}


def why_held(inode: str) -> str:
    """Why a socket may be one that the agent holds, in words; empty if none of its processes can."""
    if not _tells_what_is_in_flight():
        return UNKNOWN
    for _ in range(ATTEMPTS):
        with _stopped() as agents:
            if agents is not None:
                return next((why for pid in agents if (why := _why(pid, inode))), "")
    return UNKNOWN


def _why(pid: int, inode: str) -> str:
    try:
        rings = 0
        for path, target in _open(pid, threads=True):
            if target == f"socket:[{inode}]":
                return HELD.format(pid)
            ring = target == "anon_inode:[io_uring]"
            rings += ring
            if ring or target.startswith("socket:["):
                told = path.read_text()
                found = _RING_FILES.search(told) if ring else _SCM.search(told)
                if (ring and found is None) or (found is not None and found.group(1) != "0"):
                    return IN_FLIGHT.format(pid)
        if not rings and "anon_inode:[io_uring]" in (_PROC / str(pid) / "maps").read_text():
            return IN_FLIGHT.format(pid)  # a ring that works without a descriptor
    except FileNotFoundError:  # a zombie
        return ""
    except OSError:
        return UNKNOWN
    return ""


def _open(pid: int, threads: bool) -> Iterator[tuple[Path, str]]:
    """What a process has open: where the kernel tells of it, and what it is."""
    process = _PROC / str(pid)
    try:
        tables = [process / "task" / each for each in os.listdir(process / "task")] if threads else [process]
        for table in tables:
            for name in os.listdir(table / "fd"):
                try:
                    yield table / "fdinfo" / name, os.readlink(table / "fd" / name)
                except FileNotFoundError:
                    continue
    except (FileNotFoundError, ProcessLookupError):
        return


@contextmanager
def _stopped() -> Iterator[frozenset[int] | None]:
    """Stop the agent's processes; gives them, or `None` where one goes on. Those that stood still before stay so."""
    stopped: list[tuple[int, int]] = []
    try:
        yield _stop_all(stopped)
    finally:
        for pid, start in stopped:
            kin = tree.look(pid)
            if kin is not None and kin.start == start:
                _signal(pid, signal.SIGCONT)


def _stop_all(stopped: list[tuple[int, int]]) -> frozenset[int] | None:
    told: set[int] = set()
    for _ in range(ROUNDS):
        kins = tree.everybody()
        agents = tree.inside(kins) - spawned.roots  # keepers go on: they see to the end of the others
        moving = [pid for pid in agents if not _stands(pid)]
        if not moving:
            return agents
        for pid in moving:
            if pid not in told:
                if not _signal(pid, signal.SIGSTOP):
                    return None
                told.add(pid)
                stopped.append((pid, kins[pid].start))
        time.sleep(ROUND_SECONDS)
    return None


def _stands(pid: int) -> bool:
    """Whether no thread of it runs."""
    tasks = _PROC / str(pid) / "task"
    try:
        states = [(tasks / each / "stat").read_bytes().rpartition(b")")[2].split()[0] for each in os.listdir(tasks)]
    except OSError:
        return not (_PROC / str(pid)).exists()
    return all(state in (b"T", b"t", b"Z", b"X") for state in states)


def _signal(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        return False
    return True


@cache
def _tells_what_is_in_flight() -> bool:
    """Whether this kernel counts the descriptors that are on their way, also to a socket that was not accepted yet."""
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as sending:
        try:
            listening.bind("")  # a name of the kernel's choice, in no directory
            listening.listen()
            sending.connect(listening.getsockname())
            socket.send_fds(sending, [b"x"], [sending.fileno()])
            found = _SCM.search((_PROC / "self/fdinfo" / str(listening.fileno())).read_text())
        except OSError:
            return False
    return found is not None and found.group(1) == "1"
