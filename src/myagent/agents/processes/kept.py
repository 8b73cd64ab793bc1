"""Children that end with us: each is started by the keeper (`keeper.py`), which ends all of it when we are gone.

One keeper runs for as long as anybody holds it (`holding`) or has a child. Needs Linux.
"""

from __future__ import annotations

import asyncio
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

    def close(self) -> None:
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
    global _keeper
    assert _keeper is not None
    if not _keeper.ask(fds):
        _keeper.close()
        _keeper = _Keeper()
        if not _keeper.ask(fds):
            raise OSError(0, "the process that starts others does not run")


class KeptChild:
    """A child that the keeper has started. `exited` is set when it has ended, but not reaped: its group's number is its
    own until `release`. `gone` is set when nothing is left of it and of whatever it started."""

    def __init__(self, channel: socket.socket, pid: int, root: int) -> None:
        self.pid = pid
        self._root = root  # who keeps it
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
            channel, theirs = socket.socketpair()
            try:
                channel.setblocking(False)
                with theirs:
                    _ask([stdin, stdout, stderr, theirs.fileno()])
                return await cls._started(channel, request)
            except BaseException:
                channel.close()  # which ends whatever there is
                raise
        except BaseException:
            let_go()
            raise

    @classmethod
    async def _started(cls, channel: socket.socket, request: bytes) -> Self:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await loop.sock_sendall(channel, request)
                pid = await _answer(channel, keeper.MADE)
                kin = tree.look(pid)
                root = kin.parent if kin else 0
                spawned.roots.add(root)
                spawned.started(pid)
                try:
                    await loop.sock_sendall(channel, b"!")
                    error = await _answer(channel, keeper.RUNS)
                    if error:
                        raise OSError(error, os.strerror(error))
                except BaseException:
                    spawned.ended(pid)
                    spawned.roots.discard(root)
                    raise
        except TimeoutError:
            raise OSError(0, "the process that starts others does not answer") from None
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
            if self._root > 1:
                keeper.kill(self._root)
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
        spawned.roots.discard(self._root)
        self.exited.set()
        self.gone.set()
        let_go()


def _encode(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> bytes:
    walls = confinement.chosen
    words = [os.fsencode(each) for each in walls.command(argv, cwd)]
    known = {os.fsencode(name): os.fsencode(value) for name, value in walls.environment(env).items()}
    if any(b"\0" in each for each in (*words, *known, *known.values(), os.fsencode(cwd))):
        raise ValueError("embedded null byte")
    data = marshal.dumps((words, known, os.fsencode(cwd), walls.identity))
    return struct.pack("!I", len(data)) + data


async def _answer(channel: socket.socket, expected: int) -> int:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < _RECORD.size:
        piece = await loop.sock_recv(channel, _RECORD.size - len(data))
        if not piece:
            raise OSError(0, "the process that starts others has ended")
        data += piece
    what, number = _RECORD.unpack(data)
    if what != expected:
        raise OSError(0, "the process that starts others said something else")
    return int(number)
