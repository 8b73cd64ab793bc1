"""`myagent remote logout`: forgets a connection by name."""

from __future__ import annotations

import argparse

from myagent.cli.target import exit_code
from myagent.cli.terminal.output import say
from myagent.client import remotes
from myagent.exceptions import MyagentError


def run(arguments: argparse.Namespace) -> int:
    try:
        remotes.forget(arguments.name)
    except MyagentError as error:
        say(str(error))
        return exit_code(error)
    say(f"{arguments.name} is forgotten")
    return 0
