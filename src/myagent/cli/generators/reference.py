"""Writes docs/cli.md from the parsers: `python -m myagent.cli.generators.reference`; a test holds it to them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from myagent.cli.arguments.parsing import Parser
from myagent.cli.parser import make_parser

HEAD = """\
# The command line

This page is written by `python -m myagent.cli.generators.reference` from what `--help` is made of; do not edit it.

## Exit codes

The same for every command, as far as they apply:

| code | meaning |
|---|---|
| 0 | done; of a prompt: its turn ended well |
| 1 | the turn failed or was denied; of `doctor`: something is open; of the output: nobody reads it, or it is full |
| 2 | wrong or unsafe usage |
| 3 | cannot connect, not allowed, or not possible here |
| 130 | interrupted |

## Environment

| variable | meaning |
|---|---|
| `MYAGENT_REMOTE_URL` | the server, where neither `--remote`, `--url`, `--host` nor `--port` is given |
| `MYAGENT_REMOTE_TOKEN` | the token, where neither `--token` nor `--remote` is given |
| `MYAGENT_REMOTE_CA` | whom to trust with `wss://`, a PEM file, where neither `--ca` nor `--remote` is given |
| `MYAGENT_REMOTE_NOTIFY` | of `serve`: addresses as for `--notify`, separated by spaces |
| `NO_COLOR` | set to anything: no colour |
| `XDG_CONFIG_HOME` | the directory under which connections by name are kept (`myagent/remotes/`) |
| `SSL_CERT_FILE` | certificate authorities to trust with `wss://`, instead of the system's |
"""


def write() -> str:
    return "\n".join([HEAD, *_command(make_parser())])


def _command(parser: Parser) -> Iterator[str]:
    parser.filled()
    subcommands = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not subcommands:
        yield f"## `{parser.prog}`\n"
        yield _usage(parser) + "\n"
        yield _fenced(parser.description)
        rows = [_row(action) for action in parser._actions if action.help != argparse.SUPPRESS]
        yield "\n".join(["| argument | meaning |", "|---|---|", *rows]) + "\n"
        yield _fenced(parser.epilog)
    for action in subcommands:
        everyday = action.choices["remote"].commands() if "remote" in action.choices else ()
        for name, subparser in action.choices.items():
            if name in everyday:
                yield f"`{subparser.prog}` is short for `myagent remote {name}`.\n"
            else:
                yield from _command(subparser)


def _usage(parser: argparse.ArgumentParser) -> str:
    required = [_name(action) for action in parser._actions if action.option_strings and action.required]
    given = [
        {"*": f"[{_name(action)} …]", "?": f"[{_name(action)}]"}.get(str(action.nargs), _name(action))
        for action in parser._actions
        if not action.option_strings
    ]
    return "`" + " ".join([parser.prog, "[options]", *required, *given]) + "`"


def _row(action: argparse.Action) -> str:
    names = ", ".join(f"`{name}`" for name in action.option_strings)
    optional = action.nargs == "?"
    value = "" if action.nargs == 0 else f"`[{_metavar(action)}]`" if optional else f"`{_metavar(action)}`"
    help_text = (action.help or "") % {"default": action.default} if "%(" in (action.help or "") else action.help or ""
    return f"| {f'{names} {value}'.strip()} | {help_text.replace('|', chr(92) + '|')} |"


def _name(action: argparse.Action) -> str:
    return f"{action.option_strings[-1]} {_metavar(action)}" if action.option_strings else _metavar(action)


def _metavar(action: argparse.Action) -> str:
    if action.metavar is not None:
        return str(action.metavar)
    if action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.dest.upper()


def _fenced(text: str | None) -> str:
    return f"```text\n{(text or '').strip()}\n```\n"


if __name__ == "__main__":
    sys.stdout.write(write())
