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

from myagent.cli.reading import Carried, read_sessions
from myagent.cli.terminal.output import data, say
from myagent.client.errors import NotMyagent
from myagent.client.naming import is_whole
from myagent.core.display import escape
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

    def work(arguments: argparse.Namespace, metadata: Metadata, lines: Iterable[bytes], carried: Carried) -> None:
        if directory is not None:
            if not is_whole(metadata.session_id):  # a path that leads elsewhere, perhaps
                raise NotMyagent(f"the id of a session is none: {escape(metadata.session_id)[:64]}")
            arguments.output = str(directory / f"{metadata.session_id}{SUFFIXES[arguments.format]}")
        _export(arguments, metadata, lines, carried)

    updates = arguments.format == "html"  # which tell of the agent's pictures
    every = arguments.all
    return read_sessions(arguments, lambda all_: all_() if every else arguments.sessions, work, updates=updates)


def _export(arguments: argparse.Namespace, metadata: Metadata, lines: Iterable[bytes], carried: Carried) -> None:
    pieces = render(arguments.format, metadata, lines, max_wait=arguments.max_wait, picture=carried.get)
    if arguments.output in (None, "-"):
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(encoding="utf-8", newline="\n")
        for piece in pieces:
            data(piece)
        if arguments.format == "jsonl" and (digests := carried.digests()):
            say(f"{len(digests)} pictures and files of the session are not in it; -o FILE keeps them beside")
    else:
        with _put_in_place(arguments.output) as file:
            file.writelines(pieces)
        if arguments.format == "jsonl":
            _keep_beside(arguments.output, carried)
        say(f"{arguments.output}: {metadata.head} events of session {metadata.session_id}")


def _keep_beside(path: str, carried: Carried) -> None:
    """The session's pictures and files in `PATH.blobs/`, each under its digest. Raises `CannotWrite`."""
    digests = carried.digests()
    if not digests:
        return
    directory = Path(f"{path}.blobs")
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise CannotWrite(str(directory), (error.strerror or str(error)).lower()) from None
    for digest in digests:
        content = carried.get(digest)
        if content is not None:
            with _put_in_place(str(directory / digest)) as file:
                file.buffer.write(content)
    say(f"{directory}: {len(digests)} pictures and files")


@contextmanager
def _put_in_place(path: str) -> Iterator[TextIO]:
    """A file that appears under its name when it is whole, and only you can read. Raises `CannotWrite`."""
    wanted = Path(path)
    temporary = wanted.with_name(f".{wanted.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "w", encoding="utf-8", newline="\n") as file:  # of bytes, its `buffer`
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, wanted)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise CannotWrite(path, (error.strerror or str(error)).lower()) from None
