"""The command `myagent`: reads the arguments, and imports only what the chosen command needs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from myagent import __version__
from myagent.cli import remote

DESCRIPTION = """\
Run a coding agent on one machine and share its session live:
one owner drives it and answers its permission requests, any number of followers watch.
"""

EPILOG = """\
commands:
  myagent remote serve      share a directory: run its agent, let clients connect
  myagent remote client     drive a shared session, or watch it
  myagent remote sessions   list the sessions of a server

example, in two terminals in the same directory:
  myagent remote serve
  myagent remote client --prompt 'read README.md'
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="myagent",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"myagent {__version__}")
    commands = parser.add_subparsers(title="groups", dest="group", metavar="{remote}", required=True)
    remote.add_parsers(commands)
    chosen = parser.parse_args(arguments)
    try:
        return int(chosen.run(chosen))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
