"""`myagent remote adopt`: takes credentials for ours that were not made here."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from myagent.access.registry import Access, NotStored
from myagent.access.state_directory import StateDir
from myagent.cli.administration import find_workspace
from myagent.cli.terminal.output import data, put, say
from myagent.exceptions import MyagentError


def run(arguments: argparse.Namespace) -> int:
    if not Path(arguments.cwd).is_dir():
        arguments.usage_error(f"--cwd {arguments.cwd!r} is not a directory")
    try:
        state = StateDir(find_workspace(arguments))
        state.open()  # a server that runs has credentials of its own
        try:
            adopted = Access(state.path).adopt()
        except OSError as error:
            raise NotStored("not all was adopted", error.strerror or str(error)) from None
        finally:
            state.close()
    except MyagentError as error:
        say(str(error))
        return 3
    if arguments.json:
        data(json.dumps({"adopted": [str(path) for path in adopted]}, indent=2) + "\n")
    else:
        put("".join(f"taken for ours: {path}\n" for path in adopted))
    return 0
