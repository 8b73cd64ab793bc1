"""The arguments of `myagent acp`; imports nothing heavy."""

from __future__ import annotations

from myagent.cli.arguments.agent import add_choice
from myagent.cli.arguments.parsing import Parser, add_address, command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ACP = """\
Be an agent of the Agent Client Protocol for an editor, on stdin and stdout: the session is one that is shared, with the
terminals, browsers and phones that are in it. What others do there appears in the editor, live.

Joins the server that runs in this directory or above, or that of --remote or --url. With --serve, one is started for
the directory if none runs, with the agent that is named; it ends with the editor. The first to join owns, as
everywhere: it prompts, and is asked for permissions; others watch. /who, /claim, /release and /handover, typed as
prompts, show and move that. A lost connection is made again beneath the editor, which loses nothing.
"""

ACP_EPILOG = """\
examples, of what an editor is told to start (docs/editors.md has it for each):
  myagent acp                                              the server of the directory
  myagent acp --serve --agent claude                       or a new one, if none runs
  myagent acp --remote work                                a server kept by `myagent remote login`
  myagent acp --url https://agent.example.org/#token=…     an invite: to watch
  myagent acp --acp-v2                                     for an editor of the protocol's draft of version 2

exit codes: 0 the editor has closed its side, 2 wrong usage, 3 cannot connect, not allowed, or lost for good,
129, 130 and 143 ended by SIGHUP, SIGINT, SIGTERM
"""


def add_editor_parser(groups: Any) -> None:
    command(groups, "acp", "a shared session, for an editor", ACP, ACP_EPILOG, "commands.acp:run", _add_acp)


def _add_acp(parser: Parser) -> None:
    add = parser.add_argument
    add("--cwd", metavar="DIRECTORY", default=".", help="the directory that is shared (default: this one)")
    add_address(parser)
    add(
        "--role", choices=("follower",), help="ask not to be the owner, even if nobody is (default: take what is given)"
    )
    add("--label", metavar="NAME", help="what others see of this editor (default: what it calls itself)")
    add(
        "--only-mine",
        action="store_true",
        help="tell the editor nothing of turns that others began, if it cannot bear what it did not ask for",
    )
    add(
        "--without-mcp",
        action="store_true",
        help="also for an editor that names MCP servers: they are not used, since the agent runs at the host",
    )
    add(
        "--acp-v2",
        action="store_true",
        help="also speak version 2 of the protocol, a draft, with an editor that asks for it (experimental)",
    )
    add("--serve", action="store_true", help="if no server runs for the directory, start one; it ends with the editor")
    add("agent_command", metavar="-- COMMAND", nargs="*", help="with --serve: start this agent; it must speak ACP")
    add_choice(parser)
    add(
        "--allow-unsupervised",
        action="store_true",
        help="with --serve: run an agent although it runs tools without asking anybody",
    )
