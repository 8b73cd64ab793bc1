"""`myagent remote export`: writes a session to a file or to stdout, or several to a directory."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from myagent.cli.reading import read_sessions
from myagent.cli.terminal.output import data, say
from myagent.core.messages import Metadata
from myagent.exceptions import MyagentError
from myagent.export import render


class CannotWrite(MyagentError):
    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"cannot write {self.path}: {self.reason}"


SUFFIXES = {"jsonl": ".jsonl", "md": ".md", "html": ".html", "asciicast": ".cast"}  # of files in a directory


def run(arguments: argparse.Namespace) -> int:
    if arguments.all == bool(arguments.sessions):
        arguments.usage_error("say which sessions, or --all")
    directory = None
    if arguments.all or len(arguments.sessions) > 1:
        if arguments.output in (None, "-"):
            arguments.usage_error("several sessions are written to a directory: say which with -o")
        directory = Path(arguments.output)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            say(str(CannotWrite(arguments.output, (error.strerror or str(error)).lower())))
            return 3

    def work(arguments: argparse.Namespace, metadata: Metadata, lines: Iterable[bytes]) -> None:
        if directory is not None:
            arguments.output = str(directory / f"{metadata.session_id}{SUFFIXES[arguments.format]}")
        _export(arguments, metadata, lines)

    return read_sessions(arguments, lambda everything: everything() if arguments.all else arguments.sessions, work)


def _export(arguments: argparse.Namespace, metadata: Metadata, lines: Iterable[bytes]) -> None:
    pieces = render(arguments.format, metadata, lines, max_wait=arguments.max_wait)
    if arguments.output in (None, "-"):
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(encoding="utf-8", newline="\n")
        for piece in pieces:
            data(piece)
    else:
        with _put_in_place(arguments.output) as file:
            file.writelines(pieces)
        say(f"{arguments.output}: {metadata.head} events of session {metadata.session_id}")


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
