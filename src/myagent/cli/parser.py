"""The parser of the whole command line; light, since it is made for every `--help`."""

from __future__ import annotations

import argparse

from myagent import __version__
from myagent.cli.arguments import remote
from myagent.cli.arguments.agent import add_agent_parser
from myagent.cli.arguments.editor import add_editor_parser
from myagent.cli.arguments.parsing import Parser, command

DESCRIPTION = """\
Run a coding agent on one machine and share its session live:
one owner drives it and answers its permission requests, any number of followers watch.
"""

EPILOG = """\
commands (those of every day are short for `myagent remote …`):
  myagent serve             share a directory: run its agent, let clients connect
  myagent attach [LINK]     sit in a session, full screen: prompt, watch, answer, hand over
  myagent client            drive a shared session, or watch it, from scripts too
  myagent sessions          list the sessions of a server
  myagent remote --help     all of them: invites, connections by name, export, audit, …
  myagent agent PROMPT      one turn of an agent here, without a server
  myagent acp               a shared session for an editor (Zed, JetBrains, Neovim, Emacs, …)
  myagent completion SHELL  make bash, zsh or fish complete all this

example, in two terminals in the same directory:
  myagent serve
  myagent client --prompt 'read README.md'
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


def make_parser() -> Parser:
    parser = Parser(prog="myagent", description=DESCRIPTION, epilog=EPILOG, fill=_add_groups)
    return parser.filled()


def _add_groups(parser: Parser) -> None:
    parser.add_argument("--version", action="version", version=f"myagent {__version__}", help="show it and exit")
    commands = parser.add_subparsers(title="all of them; each has its own --help", dest="group", required=True)
    remote.add_parsers(commands)
    remote.add_everyday(commands)
    add_agent_parser(commands)
    add_editor_parser(commands)
    command(
        commands, "completion", "make a shell complete this program's words", COMPLETION, COMPLETION_EPILOG,
        "generators.completion:run", _add_completion,
    )  # fmt: skip


def _add_completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="which shell")
