"""Asks the server that holds a state directory, over its control socket: one JSON object a line, one answer a line.

A path of more than 107 bytes does not fit into a socket address, so the socket is reached through its directory's
descriptor.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from myagent.access.registry import AnyRequest
from myagent.exceptions import MyagentError

NAME = "control.sock"  # in the state directory
ANSWER_BYTES = 1 << 20
SECONDS = 5.0  # for one request, and for its answer


class Answer(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Either a `result` or an `error`, one line for a human."""

    result: Any = None
    error: str | None = None


class NoAnswer(MyagentError):
    """The server that holds the workspace could not be asked."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the running server could not be asked: {self.reason}"


class Declined(MyagentError):
    """The server's answer is an error."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return self.why


def ask(directory: Path, request: AnyRequest) -> Any | None:
    """Ask the server that holds a state directory; `None` if there is none. Raises `Declined`, `NoAnswer`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(SECONDS)
        try:
            if not stat.S_ISSOCK(os.lstat(directory / NAME).st_mode):  # a link may have come with a clone
                return None
            with reachable(directory / NAME) as address:
                asking.connect(address)
            asking.sendall(msgspec.json.encode(request) + b"\n")
            answer = msgspec.json.decode(_read_line(asking), type=Answer)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except TimeoutError:
            raise NoAnswer(f"no answer within {SECONDS:.0f} s") from None
        except OSError as error:
            raise NoAnswer((error.strerror or str(error)).lower()) from None
        except msgspec.DecodeError:
            raise NoAnswer("its answer is not one") from None
    if answer.error is not None:
        raise Declined(answer.error)
    return answer.result


def _read_line(asking: socket.socket) -> bytes:
    data = bytearray()
    while not data.endswith(b"\n") and len(data) < ANSWER_BYTES:
        piece = asking.recv(65536)
        if not piece:
            break
        data += piece
    return bytes(data)


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """An address for a socket's path, of whatever length that is."""
    if len(os.fsencode(path)) < 108:
        yield str(path)
        return
    descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)
