"""Children that end with us: each is started by the keeper (`keeper.py`), which ends all of it when we are gone.

One keeper runs for as long as anybody holds it (`holding`) or has a child. Needs Linux; elsewhere nothing is
started, and `OSError` says so.
"""

from __future__ import annotations

import asyncio
import errno
import marshal
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from myagent.agents.processes import confinement, keeper, spawned, tree

ANSWER_SECONDS = 20.0  # for the keeper, on a machine that swaps
ATTEMPTS = 2  # to have a child kept, when the keeper is killed meanwhile
CLOSE_SECONDS = 5.0  # for a keeper to end, that has nothing to do any more
_RECORD = struct.Struct("ii")
_PROGRAM = Path(keeper.__file__)
_LOADER = ("LD_LIBRARY_PATH",)  # what the interpreter may need to start, and nothing else of our environment

file_limit: int | None = None  # open files of each child (its soft limit), where it is not to be ours

_holders = 0
_keeper: _Keeper | None = None


class _Keeper:
    """The program that starts children for us."""

    def __init__(self) -> None:
        if sys.platform != "linux":
            raise OSError(errno.ENOSYS, "programs run only on Linux here: elsewhere what they start may outlive us")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(_PROGRAM), str(theirs.fileno()), *_limits()],
                    pass_fds=[theirs.fileno()],
                    env={name: os.environ[name] for name in _LOADER if name in os.environ},
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except OSError:
                ours.close()
                raise
        ours.setblocking(False)
        spawned.roots.add(self._process.pid)

    def ask(self, fds: Sequence[int]) -> bool:
        """Have a child kept; false if this keeper has gone, or does not listen."""
        try:
            socket.send_fds(self._control, [b"+"], fds)
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """End it at once; whatever else it has to do is left to who keeps each child."""
        self._process.kill()
        self.close()

    def close(self) -> None:
        """Have it end, and whatever its keepers still keep: that has no use for us any more."""
        self._control.close()
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:  # somebody stopped it
            self._process.kill()
            self._process.wait()
        spawned.roots.discard(self._process.pid)


def _limits() -> list[str]:
    return [] if file_limit is None else [str(file_limit)]


@contextmanager
def holding() -> Iterator[None]:
    """Have a keeper ready, and keep it. Raises `OSError`."""
    hold()
    try:
        yield
    finally:
        let_go()


def hold() -> None:
    """As `holding`, until `let_go`."""
    global _holders, _keeper
    if _keeper is None:
        _keeper = _Keeper()
    _holders += 1


def let_go() -> None:
    global _holders, _keeper
    _holders -= 1
    if _holders == 0 and _keeper is not None:
        _keeper.close()
        _keeper = None


def _ask(fds: Sequence[int]) -> None:
    """Have a child kept, by another keeper if the one that was is dead or stopped. Raises `OSError`."""
    assert _keeper is not None
    if not _keeper.ask(fds):
        _replace(_keeper)
        if not _keeper.ask(fds):
            raise OSError(0, "the process that starts others does not run")


def _replace(old: _Keeper | None) -> None:
    """Have another keeper, unless `old` is no more the one that is. Raises `OSError`."""
    global _keeper
    if old is not None and old is _keeper:
        old.kill()  # without a wait: this is the server's event loop
        _keeper = _Keeper()


async def _kept(streams: Sequence[int]) -> tuple[socket.socket, _Root]:
    """The channel to a process that will keep a child, and that process. Raises `OSError`."""
    for _ in range(ATTEMPTS):
        channel, theirs = socket.socketpair()
        try:
            channel.setblocking(False)
            with theirs:
                _ask([*streams, theirs.fileno()])
            asked = _keeper
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    return channel, _Root(await _answer(channel, keeper.KEEPS))
            except TimeoutError:  # somebody stopped it
                _replace(asked)
                raise OSError(0, "the process that starts others does not answer") from None
            except _Ended:  # somebody killed it just now: nothing ran
                _replace(asked)
                channel.close()
        except BaseException:
            channel.close()
            raise
    raise _Ended


class KeptChild:
    """A child that the keeper has started. `exited` is set when it has ended, but not reaped: its group's number is its
    own until `release`. `gone` is set when nothing is left of it and of whatever it started."""

    def __init__(self, channel: socket.socket, pid: int, root: _Root) -> None:
        self.pid = pid
        self._root = root
        self.status: int | None = None  # as `Popen.returncode` has it
        self.exited, self.gone = asyncio.Event(), asyncio.Event()
        self._channel = channel
        self._said = bytearray()
        self._released = False

    @classmethod
    async def start(
        cls, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdin: int, stdout: int, stderr: int
    ) -> Self:
        """Run a program as the leader of a session of its own. The descriptors stay the caller's.

        Raises `OSError` when it cannot be run, `ValueError` for arguments that none can have.
        """
        hold()
        try:
            request = _encode(argv, cwd, env)
            channel, root = await _kept([stdin, stdout, stderr])
            try:
                return await cls._started(channel, root, request)
            except BaseException:
                root.kill()  # also if somebody stopped it; whoever it kept is ended by its parent
                channel.close()
                raise
        except BaseException:
            let_go()
            raise

    @classmethod
    async def _started(cls, channel: socket.socket, root: _Root, request: bytes) -> Self:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await loop.sock_sendall(channel, request)
                pid = await _answer(channel, keeper.MADE)
                spawned.started(pid)
                try:
                    await loop.sock_sendall(channel, b"!")
                    await _ran(channel)
                except BaseException:
                    spawned.ended(pid)
                    raise
        except TimeoutError:
            raise OSError(0, "the process that keeps this one does not answer") from None
        child = cls(channel, pid, root)
        loop.add_reader(channel, child._heard)
        return child

    def signal(self, number: signal.Signals) -> None:
        """Signal its process group."""
        if not self._released and not self.gone.is_set():
            try:
                os.killpg(self.pid, number)
            except (ProcessLookupError, PermissionError):
                pass  # a setuid child: it sees its pipes closed instead

    def release(self) -> None:
        """Have all that is left of it ended, wherever it went; idempotent. `gone` tells when that is done."""
        if not self._released:
            self._released = True
            try:
                self._channel.shutdown(socket.SHUT_WR)
            except OSError:  # its keeper has gone
                pass

    def drop(self) -> None:
        """Do not wait any longer for its end: a keeper that does not see to that, because somebody stopped it, is
        killed, the child dies of that, and the keepers' parent kills the others."""
        self.release()
        if not self.gone.is_set():
            self._root.kill()
            self._end()

    def _heard(self) -> None:
        try:
            data = self._channel.recv(64)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._said += data
        while len(self._said) >= _RECORD.size:
            what, number = _RECORD.unpack_from(self._said)
            del self._said[: _RECORD.size]
            if what == keeper.ENDED and self.status is None:
                self.status = number
                self.exited.set()
        if not data:
            self._end()

    def _end(self) -> None:
        if self.gone.is_set():
            return
        if self.status is None:  # somebody killed its keeper; it dies of that
            self.status = -signal.SIGKILL
        asyncio.get_running_loop().remove_reader(self._channel)
        self._channel.close()
        spawned.ended(self.pid)
        self._root.forget()
        self.exited.set()
        self.gone.set()
        let_go()


class _Ended(OSError):
    """Nobody has the other end of the channel."""

    def __init__(self) -> None:
        super().__init__(0, "the process that starts others has ended")


class _Root:
    """Who keeps one child: whatever is below it is an agent's."""

    def __init__(self, pid: int) -> None:
        if pid <= 0:
            raise OSError(
                -pid, f"this system lets no process adopt orphans (PR_SET_CHILD_SUBREAPER): {os.strerror(-pid)}"
            )
        self._pid = pid
        self._kin = tree.look(pid)
        spawned.roots.add(pid)

    def kill(self) -> None:
        kin = tree.look(self._pid)
        if kin is not None and self._kin is not None and kin.start == self._kin.start:  # and not who has its number now
            keeper.kill(self._pid)
        self.forget()

    def forget(self) -> None:
        spawned.roots.discard(self._pid)


def _encode(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> bytes:
    walls = confinement.chosen
    words = [os.fsencode(each) for each in walls.command(argv, cwd)]
    known = {os.fsencode(name): os.fsencode(value) for name, value in walls.environment(env).items()}
    if any(b"\0" in each for each in (*words, *known, *known.values(), os.fsencode(cwd))):
        raise ValueError("embedded null byte")
    data = marshal.dumps((words, known, os.fsencode(cwd), walls.identity))
    return struct.pack("!I", len(data)) + data


async def _answer(channel: socket.socket, expected: int) -> int:
    """The number that comes with what is expected. Raises `OSError`."""
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < _RECORD.size:
        try:
            piece = await loop.sock_recv(channel, _RECORD.size - len(data))
        except ConnectionResetError:  # it ended before it had read what was sent
            piece = b""
        if not piece:
            raise _Ended
        data += piece
    what, number = _RECORD.unpack(data)
    if what == keeper.RUNS and number:
        raise OSError(number, os.strerror(number))
    if what != expected:
        raise OSError(0, "the process that starts others said something else")
    return int(number)


async def _ran(channel: socket.socket) -> None:
    """Return when the child runs, or did: it may have killed its keeper before that could tell."""
    try:
        await _answer(channel, keeper.RUNS)
    except _Ended:
        pass
