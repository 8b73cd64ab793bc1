"""The keeper: a small program of its own that starts what an agent runs, and ends all of it when the server is gone.

Runs as `python -I -S keeper.py FD [FILES]`, and imports nothing of ours. FILES is the soft limit of open files, its own
and that of all it starts. For each request on FD (four descriptors: stdin,
stdout, stderr and a channel) it forks a process that keeps one child. That one is a *subreaper*: whatever the child
starts stays below it, also a daemon. When its channel ends, because the server let go or died of whatever, it kills
all of them.

On the channel: in come 4 bytes of length and a marshalled (argv, env, cwd, identity); out go 8 bytes each, two numbers:
(1, pid) when the child is made and waits, (2, errno) when it was told to run by one byte and did (0) or could not,
(3, exit code or minus the signal) when it has ended. Until the channel ends the child is not reaped, so that its
group's number stays its own.
"""

from __future__ import annotations

import array
import ctypes
import errno
import marshal
import os
import resource
import select
import signal
import socket
import struct
import sys
from collections.abc import Collection

MADE, RUNS, ENDED = 1, 2, 3
SUBREAPER = 36  # prctl
ROUND_SECONDS = 0.02  # between two looks for who is still there
DEATH_SIGNAL = 1  # prctl
_OURS = (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_PYTHONS = (signal.SIGPIPE, signal.SIGXFSZ)  # which it ignores, and a child would go on ignoring
_prctl = ctypes.CDLL(None).prctl
_wake = -1


def children(pid: int) -> list[int]:
    """The children of a process that has one thread, those that are zombies too."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return [int(each) for each in file.read().split()]
    except FileNotFoundError:  # a kernel without that file
        return [int(each) for each in os.listdir("/proc") if each.isdecimal() and parent(each) == pid]


def parent(pid: str) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def reap(pid: int) -> bool:
    """Whether it is gone."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True


def main(control: socket.socket) -> None:
    control.set_inheritable(False)
    _prctl(SUBREAPER, 1, 0, 0, 0)  # who is orphaned when one of our keepers was killed comes here
    _watch_children()
    keepers: set[int] = set()
    while True:
        ready, _, _ = select.select([control.fileno(), _wake], [], [])
        if _wake in ready:
            os.read(_wake, 4096)
        for pid in children(os.getpid()):
            if pid not in keepers:
                kill(pid)
            if reap(pid):
                keepers.discard(pid)
        if control.fileno() not in ready:
            continue
        message, ancillary, _, _ = control.recvmsg(1, socket.CMSG_SPACE(4 * 4))
        if not message:
            _end_all(keepers)  # those end by themselves
            return
        fds = array.array("i", b"".join(data for _, _, data in ancillary))
        for each in fds:
            os.set_inheritable(each, False)
        if len(fds) == 4:
            pid = os.fork()
            if pid == 0:
                control.close()
                try:
                    keep(list(fds[:3]), socket.socket(fileno=fds[3]))
                finally:
                    os._exit(0)
            keepers.add(pid)
        for each in fds:
            os.close(each)


def keep(streams: list[int], channel: socket.socket) -> None:
    """Keep one child from its making to the end of everything that it started."""
    _prctl(SUBREAPER, 1, 0, 0, 0)
    _watch_children()
    size = _receive(channel, 4)
    request = _receive(channel, struct.unpack("!I", size)[0]) if size else b""
    if not request:
        return
    argv, env, cwd, identity = marshal.loads(request)  # noqa: S302 -- from our own process
    go, told = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go[1])
        _become(argv, env, cwd, identity, streams, go[0], told[1])
    for each in (*streams, go[0], told[1]):
        os.close(each)
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    _say(channel, MADE, child)
    if channel.recv(1):
        os.write(go[1], b"!")
        os.close(go[1])
        failed = os.read(told[0], 4)
        _say(channel, RUNS, struct.unpack("i", failed)[0] if failed else 0)
        _wait(channel, child)
    _end_all()


def _wait(channel: socket.socket, child: int) -> None:
    """Reap whoever comes to us, until the other side is gone; the child itself is only looked at."""
    ended = False
    while True:
        for pid in children(os.getpid()):
            if pid != child:
                reap(pid)
        result = None if ended else os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if result is not None:
            ended = True
            _say(channel, ENDED, result.si_status if result.si_code == os.CLD_EXITED else -result.si_status)
        ready, _, _ = select.select([channel.fileno(), _wake], [], [])
        if _wake in ready:
            os.read(_wake, 4096)
        if channel.fileno() in ready:
            try:
                if not channel.recv(64):
                    return
            except OSError:
                return


def _end_all(others: Collection[int] = ()) -> None:
    """Kill and reap until nobody is left but `others`; whose parent was killed comes to us, so that none is missed."""
    while left := [pid for pid in children(os.getpid()) if pid not in others]:
        for pid in left:
            kill(pid)
        if not all(reap(pid) for pid in left):
            select.select([_wake], [], [], ROUND_SECONDS)


def _become(
    argv: list[bytes],
    env: dict[bytes, bytes],
    cwd: bytes,
    identity: tuple[int, int, list[int]] | None,
    streams: list[int],
    go: int,
    told: int,
) -> None:
    """In the child: wait for the word, and be the program."""
    error = 0
    try:
        os.setsid()
        if identity is not None:
            user, group, groups = identity
            os.setgroups(groups)
            os.setresgid(group, group, group)
            os.setresuid(user, user, user)
        _prctl(DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)  # should somebody kill its keeper; after a change of user
        for name in (*_OURS, *_PYTHONS):
            signal.signal(name, signal.SIG_DFL)
        for number, each in enumerate(streams):
            os.dup2(each, number)
        if os.read(go, 1) != b"!":
            os._exit(127)
        os.chdir(cwd)
        os.execvpe(argv[0], argv, env)  # noqa: S606 -- a program is what is asked for
    except OSError as failure:
        error = failure.errno or errno.EIO
    except BaseException:
        error = errno.EINVAL
    os.write(told, struct.pack("i", error))
    os._exit(127)


def _watch_children() -> None:
    """Have a byte come to `_wake` for each child that ends, and take no signal that is meant for others."""
    global _wake
    _wake, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for name in _OURS:
        signal.signal(name, lambda number, frame: None)


def _receive(channel: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = channel.recv(size - len(data))
        if not piece:
            return b""
        data += piece
    return data


def _say(channel: socket.socket, what: int, number: int) -> None:
    try:
        channel.sendall(struct.pack("ii", what, number))
    except OSError:  # the server has gone: that is seen by who reads
        pass


if __name__ == "__main__":
    try:
        for limit in sys.argv[2:]:
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (int(limit), hard))
        main(socket.socket(fileno=int(sys.argv[1])))
    finally:
        os._exit(0)  # nothing is to be tidied, and whoever waits for us waits less
