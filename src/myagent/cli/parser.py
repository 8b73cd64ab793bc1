"""The parser of the whole command line; light, since it is made for every `--help`."""

from __future__ import annotations

import argparse

from myagent import __version__
from myagent.cli import remote

DESCRIPTION = """\
Run a coding agent on one machine and share its session live:
one owner drives it and answers its permission requests, any number of followers watch.
"""

EPILOG = """\
commands:
  myagent remote serve      share a directory: run its agent, let clients connect
  myagent remote attach     sit in a session, full screen: prompt, watch, answer, hand over
  myagent remote client     drive a shared session, or watch it, from scripts too
  myagent remote sessions   list the sessions of a server
  myagent remote --help     all of them: invites, connections by name, export, audit, …
  myagent completion SHELL  make bash, zsh or fish complete all this

example, in two terminals in the same directory:
  myagent remote serve
  myagent remote client --prompt 'read README.md'
"""


COMPLETION = """\
Print what makes a shell complete this program's commands, options, session ids and connections by name.
"""

COMPLETION_EPILOG = """\
examples:
  myagent completion bash > ~/.local/share/bash-completion/completions/myagent
  myagent completion zsh > ~/.zfunc/_myagent            with ~/.zfunc in $fpath
  myagent completion fish > ~/.config/fish/completions/myagent.fish

exit codes: 0 done, 2 wrong usage
"""


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="myagent",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"myagent {__version__}")
    commands = parser.add_subparsers(title="groups", dest="group", metavar="{remote,completion}", required=True)
    remote.add_parsers(commands)
    completion = commands.add_parser(
        "completion",
        help="make a shell complete this program's words",
        description=COMPLETION,
        epilog=COMPLETION_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    completion.add_argument("shell", choices=("bash", "zsh", "fish"), help="which shell")
    completion.set_defaults(run=_run_completion)
    return parser


def _run_completion(arguments: argparse.Namespace) -> int:
    from myagent.cli.completion import SCRIPTS

    print(SCRIPTS[arguments.shell], end="")
    return 0
