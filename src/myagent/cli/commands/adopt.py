"""`myagent remote adopt`: takes credentials for ours that were not made here."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from myagent.access.registry import Access, NotStored
from myagent.access.state_directory import StateDir
from myagent.cli.administration import find_workspace
from myagent.core.display import escape
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
        print(f"[remote] {error}", file=sys.stderr)
        return 3
    if arguments.json:
        print(json.dumps({"adopted": [str(path) for path in adopted]}, indent=2))
    else:
        print("\n".join(f"taken for ours: {escape(str(path))}" for path in adopted))
    return 0
