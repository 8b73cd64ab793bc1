"""`myagent remote export` and `replay`: a session as a file, or played on this terminal."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from myagent.cli import target
from myagent.client.asking import all_events, session
from myagent.client.errors import Refused
from myagent.client.incoming import read
from myagent.core.display import escape
from myagent.core.messages import Metadata
from myagent.exceptions import MyagentError
from myagent.export import render, with_gaps
from myagent.export.asciicast import steps
from myagent.text.terminal import RESET

TOLD_EVERY = 5000  # events between two lines of progress; shorter exports say nothing


class CannotWrite(MyagentError):
    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"cannot write {self.path}: {self.reason}"


def export(arguments: argparse.Namespace) -> int:
    return _run(arguments, _export)


def replay(arguments: argparse.Namespace) -> int:
    return _run(arguments, _replay)


def _export(arguments: argparse.Namespace, metadata: Metadata, lines: Iterable[bytes]) -> None:
    pieces = render(arguments.format, metadata, lines)
    if arguments.output in (None, "-"):
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(encoding="utf-8", newline="\n")
        sys.stdout.writelines(pieces)
        sys.stdout.flush()
    else:
        with _put_in_place(arguments.output) as file:
            file.writelines(pieces)
        _say(f"{arguments.output}: {metadata.head} events of session {metadata.session_id}")


def _replay(arguments: argparse.Namespace, metadata: Metadata, lines: Iterable[bytes]) -> None:
    try:
        for pause, text in steps(map(read, with_gaps(lines, metadata.session_id))):
            if arguments.speed:
                time.sleep(pause / arguments.speed)
            sys.stdout.write(text)
            sys.stdout.flush()
    finally:
        if sys.stdout.isatty():
            sys.stdout.write(RESET)


def _run(arguments: argparse.Namespace, work: Callable[[argparse.Namespace, Metadata, Iterable[bytes]], None]) -> int:
    try:
        address = target.address(arguments)
        address.check_plain(allowed=arguments.insecure_plain)
        token = target.token(arguments, address)
        metadata = session(address, token, arguments.session)
        work(arguments, metadata, _counted(all_events(address, token, metadata), metadata.head))
    except Refused as refused:
        missing = refused.status == 404
        _say(f"there is no session {arguments.session} on that server" if missing else target.told(refused, arguments))
        return 3
    except MyagentError as error:
        _say(str(error))
        return target.exit_code(error)
    return 0


def _counted(lines: Iterable[bytes], total: int) -> Iterator[bytes]:
    """Pass events on, and say on stderr how far it has come."""
    for count, line in enumerate(lines, 1):
        if count % TOLD_EVERY == 0:
            _say(f"{count} of {total} events")
        yield line


@contextmanager
def _put_in_place(path: str) -> Iterator[TextIO]:
    """A file that appears under its name when it is whole, and only you can read. Raises `CannotWrite`."""
    wanted = Path(path)
    temporary = wanted.with_name(f".{wanted.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, wanted)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise CannotWrite(path, (error.strerror or str(error)).lower()) from None


def _say(line: str) -> None:
    print(f"[remote] {escape(line)}", file=sys.stderr)
