"""The command `myagent`: reads the arguments, and imports only what the chosen command needs."""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from myagent.cli.arguments.parsing import Parser
from myagent.cli.parser import make_parser
from myagent.exceptions import FileUnusable, MyagentError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # where the output goes


def main(arguments: Sequence[str] | None = None) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that is no UTF-8, a terminal that knows less
    try:
        try:
            return _run(arguments)
        finally:  # the interpreter would do it too late for a clear line
            if sys.stdout is not None:
                sys.stdout.flush()
    except MyagentError as error:
        _say(str(error))
        return 3
    except OSError as error:
        if (path := error.filename or _deleted_directory()) is not None:
            _say(str(FileUnusable(path, "use", error)))
            return 3
        if error.errno not in (errno.EPIPE, *FULL):
            raise
        from myagent.cli.terminal.output import abandon_stdout

        abandon_stdout()
        if error.errno != errno.EPIPE:
            _say(f"cannot write: {error.strerror}")
        return 1


def _say(line: str) -> None:
    from myagent.cli.terminal.output import say

    say(line)


def _deleted_directory() -> str | None:
    """What this directory is called, where it was deleted."""
    try:
        os.getcwd()
    except OSError:
        return os.environ.get("PWD", "this directory")
    return None


def _run(arguments: Sequence[str] | None) -> int:
    parser = make_parser()
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["__complete"]:  # what the shells ask; no command for people
        return _complete(parser, given[1:])
    chosen = parser.parse_args(given)
    try:
        return _find(chosen.run)(chosen)
    except KeyboardInterrupt:
        return 130


def _find(run: str) -> Callable[[argparse.Namespace], int]:
    """What runs a command, named `module:function`."""
    module, _, name = run.partition(":")
    found: Callable[[argparse.Namespace], int] = getattr(import_module(f"myagent.cli.{module}"), name)
    return found


def _complete(parser: Parser, words: Sequence[str]) -> int:
    from myagent.cli.generators.completion import candidates, split
    from myagent.cli.terminal.output import put

    if words[:1] == ["--line"]:  # a shell that takes words apart at `:` and `=`
        words = split(words[1])
    for each in candidates(parser, words):
        put(f"{each}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
