"""The control channel: a Unix socket in the state directory, on which an operator asks the running server.

One JSON object a line, one answer a line. The file is 0600 and the other side's user is checked; a path of more than
107 bytes does not fit into a socket address, so the socket is reached through its directory's descriptor.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from myagent.access.asking import NAME, SECONDS, Answer, reachable
from myagent.access.registry import AnyRequest
from myagent.access.state_directory import UnsafeState
from myagent.agents.processes import tree
from myagent.exceptions import MyagentError
from myagent.server.tls import stop_listening

LINE_BYTES = 64 * 1024  # of a request
CLOSE_SECONDS = 0.5  # for what was asked when the server stops
SO_PEERPIDFD = 77  # asm-generic/socket.h; Python's `socket` does not name it yet

_log = logging.getLogger(__name__)


class Asker:
    """Who has connected: the process that did, and no later one of its number. Without SO_PEERPIDFD (Linux 6.5) that
    holds from when it was accepted."""

    def __init__(self, connection: socket.socket) -> None:
        data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        self.pid, self.uid, _ = struct.unpack("3i", data)
        self._start = _start(self.pid)
        try:
            self._pidfd = connection.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
        except OSError:
            try:
                self._pidfd = os.pidfd_open(self.pid) if self.pid else -1
            except OSError:
                self._pidfd = -1

    @property
    def alive(self) -> bool:
        if self._pidfd < 0:
            return False
        ends = select.poll()
        ends.register(self._pidfd, select.POLLIN)
        return not ends.poll(0) and self._start is not None and _start(self.pid) == self._start

    def close(self) -> None:
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


class ControlSocket:
    """The server's side. `trusts` is asked about each peer's process id."""

    def __init__(
        self, directory: Path, answer: Callable[[AnyRequest], dict[str, Any]], trusts: Callable[[int], bool]
    ) -> None:
        self._directory = directory
        self._answer = answer
        self._trusts = trusts
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen; the state directory is held, so a socket that is there is a dead server's. Raises `UnsafeState`."""
        self._server = await asyncio.start_unix_server(
            self._serve, sock=_bound(self._directory / NAME), limit=LINE_BYTES
        )

    async def close(self) -> None:
        """Stop listening, when what was asked is answered; idempotent."""
        if self._server is not None:
            await stop_listening(self._server)
            self._server = None
            (self._directory / NAME).unlink(missing_ok=True)
            if self._serving:
                await asyncio.wait(self._serving, timeout=CLOSE_SECONDS)
            for task in list(self._serving):
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        asker = Asker(writer.get_extra_info("socket"))
        try:
            async with asyncio.timeout(2 * SECONDS):
                line = await reader.readline()
                answer = self._refuse(asker) or self._judge(line)
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
        except (OSError, TimeoutError, ValueError):  # gone, silent, or a line that is too long: nobody to be told
            pass
        finally:
            asker.close()
            writer.close()
            try:
                await writer.wait_closed()
            except OSError:  # it was gone before its answer came
                pass

    def _refuse(self, asker: Asker) -> Answer | None:
        if asker.uid not in (os.geteuid(), 0):
            return Answer(error="another user's server cannot be asked")
        if asker.pid == 0:  # of another PID namespace, which the agent's are not: they are below us
            return None
        if not asker.alive:
            return Answer(error="whoever asked has ended, so that nobody can tell who it was")
        if not self._trusts(asker.pid):
            return Answer(error="processes of the agent cannot ask the server")
        if not asker.alive:  # what was looked at may have been another process of the same number
            return Answer(error="whoever asked has ended, so that nobody can tell who it was")
        return None

    def _judge(self, line: bytes) -> Answer:
        try:
            request: AnyRequest = msgspec.json.decode(line, type=AnyRequest)
        except (msgspec.DecodeError, RecursionError):
            return Answer(error="not a request that this server knows; is it of another version?")
        try:
            return Answer(result=self._answer(request))
        except MyagentError as error:
            return Answer(error=str(error))
        except Exception:
            _log.exception("a control request failed")
            return Answer(error="internal error; the server's log has it")


def _start(pid: int) -> int | None:
    """When a process was started."""
    kin = tree.look(pid)
    return kin.start if kin is not None else None


def _bound(path: Path) -> socket.socket:
    """A socket at a path, private from its beginning."""
    if os.path.lexists(path):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise UnsafeState(path, "is not a socket", "remove it")
        path.unlink()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        with reachable(path) as address:
            listening.bind(address)
    except OSError as error:
        listening.close()
        raise UnsafeState(path, f"cannot be made ({error.strerror or error})", "serve a local disk") from None
    finally:
        os.umask(mask)
    return listening
