"""What every command's parser is made of: filled when it is used, naming what runs it; imports nothing heavy."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Sequence

TYPE_CHECKING = False  # as that of `typing`, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any, NoReturn

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8765
FEW = 5  # choices that a wrong one is told all of

EXIT_CODES = "exit codes: 0 done, 1 the turn failed, 2 wrong usage, 3 cannot connect or not allowed, 130 interrupted"

_PATHS = ("DIRECTORY", "FILE")  # metavars of what may be named in any bytes
_HALF = re.compile("[\ud800-\udfff]")  # what Python makes of a byte that is no UTF-8

Fill = Callable[["Parser"], None]


class Parser(argparse.ArgumentParser):
    """`fill` adds its arguments once it is known that this one is wanted: making all would take longest of all."""

    def __init__(self, *, fill: Fill | None = None, **more: Any) -> None:
        super().__init__(add_help=False, allow_abbrev=False, formatter_class=_formatter, **more)
        self._fill = fill
        self._filled = False

    def filled(self) -> Parser:
        if not self._filled:
            self._filled = True
            self.add_argument("-h", "--help", action="help", help="show this and exit")
            if self._fill is not None:
                self._fill(self)
        return self

    def commands(self) -> Collection[str]:
        """The names of its own commands."""
        self.filled()
        chosen = [action.choices for action in self._actions if isinstance(action, argparse._SubParsersAction)]
        return list(chosen[0]) if chosen else []

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        self.filled()
        given = sys.argv[1:] if args is None else list(args)
        if self._subparsers is not None:
            if not given:
                self.print_help(sys.stderr)
                self.exit(2)
            if given[0].startswith("-") and given[0] not in self._option_string_actions:
                self._refuse(given[:1])
        found, extras = super().parse_known_args(given, namespace)
        if extras:
            self._refuse(extras)
        for action in self._actions:
            if action.metavar not in _PATHS:
                self._check_text(action, getattr(found, action.dest, None))
        return found, extras

    def error(self, message: str) -> NoReturn:
        """One line that says what is wrong, one where to look: the whole usage would bury it."""
        message = re.sub(r"^argument (\S+): ignored explicit argument (.*)$", r"\1 takes no value, not \2", message)
        self.exit(2, f"{self.prog}: error: {message}\nsee: {self.prog} --help\n")

    def _check_text(self, action: argparse.Action, value: Any) -> None:
        """Refuse text with bytes that are no UTF-8: it could not be sent as what it is."""
        if isinstance(value, list | tuple):
            for each in value:
                self._check_text(action, each)
        elif isinstance(value, str) and not value.isascii() and _HALF.search(value):
            name = "/".join(action.option_strings) or action.metavar or action.dest
            self.error(f"{name} is not UTF-8 text: {value[:40]!r}")

    def _refuse(self, extras: Sequence[str]) -> NoReturn:
        """Name the first argument that means nothing; an option without its value, which may be a secret."""
        for each in extras:
            if each.startswith("-") and each != "--":
                name = each.partition("=")[0]
                self.error(f"unknown option {name}{_similar(name, self._option_string_actions)}")
        self.error(f"unexpected argument {extras[0]!r}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = list(map(str, action.choices))
            listed = f"; there is: {', '.join(known)}"
            hint = _similar(str(value), known) or listed if len(known) > FEW else listed
            raise argparse.ArgumentError(action if action.option_strings else None, f"there is no {value!r}{hint}")


def command(
    commands: Any, name: str, help_: str, description: str, epilog: str, run: str, fill: Fill | None = None
) -> None:
    """Add a command; `run` is what runs it, `module:function` below `myagent.cli`, imported when it does."""
    parser: Parser = commands.add_parser(name, help=help_, description=description, epilog=epilog, fill=fill)
    parser.set_defaults(run=run, usage_error=parser.error)


def add_address(parser: argparse.ArgumentParser) -> None:
    """Which server, with which token: what `myagent.cli.target` reads."""
    add = parser.add_argument
    add("--remote", metavar="NAME", help="the server and token kept under this name by `myagent remote login`")
    add(
        "--url",
        help="the server: ws://HOST:PORT, https://HOST/PATH, HOST:PORT, or an invite's link, token and all "
        "(default: $MYAGENT_REMOTE_URL, else the server that runs in this directory or above; with a token given, "
        f"else ws://{DEFAULT_HOST}:{DEFAULT_PORT})",
    )
    add("--host", help="instead of --url: its host")
    add("--port", type=port, help="instead of --url: its port")
    add(
        "--token", help="the token; readable by others on this machine while the client runs, better in the environment"
    )
    add_ca(parser)
    add("--insecure-plain", action="store_true", help="send the token unencrypted to another machine")


def add_ca(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ca",
        metavar="FILE",
        help="with wss://: trust the authorities, or the very certificate, in this PEM file and no others (default: "
        "that of --remote, else $MYAGENT_REMOTE_CA, else the system's)",
    )


# --- kinds of values ------------------------------------------------------------------------------------------------


def port(text: str) -> int:
    return _number(text, 0, 65535, "a port: a number from 0 to 65535")


def count(text: str) -> int:
    return _number(text, 1, 10**9, "a number from 1 on")


def size(text: str) -> int:
    """Bytes: `500M`, `8G`; 0 is no limit."""
    matched = re.fullmatch(r"(\d{1,12})([KMGT]?)", text.upper())
    if matched is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 500M or 8G")
    return int(matched[1]) << 10 * " KMGT".index(matched[2] or " ")


def seq(text: str) -> int:
    return _number(text, 0, 2**53 - 1, "an event's number, from 0 on")


def seconds(text: str) -> float:
    return _real(text, 10**7, "a number of seconds")


def speed(text: str) -> float:
    return _real(text, 10**6, "a speed: a number from 0 on")


def base_path(text: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*/?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a path like /agent")
    return text.rstrip("/")


def session_id(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_]{1,64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no session id")
    return text


def session_name(text: str) -> str:
    """A session's id, a part of one, or `@latest`; which it is, is known when it is looked up."""
    return text if text == "@latest" else session_id(text)


def option(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def _number(text: str, low: int, high: int, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 18 and low <= int(text) <= high):
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return int(text)


def _real(text: str, high: int, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return number


# --- how help and errors look -----------------------------------------------------------------------------------------


def _similar(given: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # only when something is wrong: help has no time for it

    close = get_close_matches(given, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, width=_columns() - 2)


def _columns() -> int:
    """As `shutil.get_terminal_size`, whose module takes a tenth of the time that help may take."""
    given = os.environ.get("COLUMNS", "")
    if given.isdigit() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (AttributeError, ValueError, OSError):  # no stdout, or none that is a terminal
        return 80
