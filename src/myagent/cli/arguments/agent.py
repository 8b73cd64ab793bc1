"""The arguments of `myagent agent`, and those that choose an agent; imports nothing heavy."""

from __future__ import annotations

import argparse

from myagent.cli.arguments.parsing import Parser, command, count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

AGENT = """\
Let an agent answer one prompt, in this directory and on this terminal. Nothing listens, and nothing is kept.

What the agent says goes to stdout; its tool calls, and the output of the commands that it runs, go to stderr, as do our
own lines, which begin with [agent]. It asks here before it changes or runs anything; without a terminal to ask on, that
is denied. Agent text cannot drive the terminal: only colours, newlines and tabs pass, anything else is made visible.
"""

AGENT_EPILOG = """\
examples:
  myagent agent 'grep TODO src'                            the command agent: a prompt is a command
  myagent agent --model gpt-5-mini 'what is this repository about?'
  myagent agent --model qwen3 --base-url http://127.0.0.1:11434/v1 'run the tests, and mend what fails'
  myagent agent --acp --model gpt-5-mini                   for an editor that speaks ACP
  myagent agent --agent gemini 'explain src/main.c'        a hosted agent; see `myagent remote agents`

exit codes: 0 done, 1 the turn failed, 2 wrong usage, 3 the agent cannot run here, 130 interrupted
"""


def add_agent_parser(groups: Any) -> None:
    command(groups, "agent", "one turn of an agent, here", AGENT, AGENT_EPILOG, "commands.agent:run", _add_agent)


def _add_agent(parser: Parser) -> None:
    add = parser.add_argument
    add("prompt", metavar="PROMPT", nargs="?", help="what the agent shall do")
    add(
        "--acp",
        action="store_true",
        help="instead of a prompt: be an agent of the Agent Client Protocol on stdin and stdout, for editors and "
        "`myagent remote serve -- myagent agent --acp`; the client then says the directory and what is allowed",
    )
    add("--cwd", metavar="DIRECTORY", default=".", help="the workspace (default: this directory)")
    add_choice(parser)
    add(
        "--permission-mode",
        choices=("plan", "default", "bypassPermissions"),
        default="default",
        help="plan allows reading alone, default asks before anything is changed or run, bypassPermissions never asks "
        "(default: default)",
    )
    add("--allow-unsupervised", action="store_true", help="run an agent although it runs tools without asking anybody")
    add("--raw", action="store_true", help="pass the agent's bytes on as they are: it can drive the terminal")


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Which agent, and which model the model agent asks: what `myagent.cli.agent_choice` reads."""
    add = parser.add_argument
    add(
        "--agent",
        metavar="NAME",
        help="command (the default: no model, a prompt is a command), model (see --model), a known agent's name (see "
        "`myagent remote agents`), or 'exec:COMMAND {prompt}'",
    )
    add(
        "--trust-directory",
        action="store_true",
        help="host an agent although the settings of this directory have it start programs (hooks, MCP servers) that "
        "nobody is asked about; without it they are named, and asked about once, on a terminal, else refused; of the "
        "model agent: take the MCP servers of the directory's .mcp.json",
    )
    add(
        "--asking-mode",
        metavar="ID",
        help="of an agent that speaks ACP: its mode in which it asks, if you know that better than we do",
    )
    add(
        "--plan-mode",
        metavar="ID",
        help="of an agent that speaks ACP: its mode for plan turns, in which you know it to change nothing",
    )
    add(
        "--auth-method",
        metavar="ID",
        help="of an agent that speaks ACP: what to authenticate with, of the methods that it offers",
    )
    add(
        "--on-unasked",
        choices=("stop", "tell"),
        help="what happens when a hosted agent runs or changes something and nobody was asked: everybody is told, and "
        "stop ends the turn (default: stop for an agent that was verified to ask, else tell)",
    )
    add(
        "--model",
        metavar="NAME",
        help="of the model agent, which it implies (the extra models): its name at the endpoint",
    )
    add(
        "--base-url",
        metavar="URL",
        help="of the model agent: an OpenAI-compatible endpoint, as http://127.0.0.1:8080/v1 (default: "
        "$OPENAI_BASE_URL, else OpenAI's); the key is that of $MYAGENT_MODEL_API_KEY, else $OPENAI_API_KEY, else of "
        "these names in DIRECTORY/.env",
    )
    add(
        "--context",
        metavar="CHARACTERS",
        type=count,
        help="of the model agent: how much of a conversation it is told again; older turns are forgotten, and it is "
        "said (default 400000, some 100000 tokens)",
    )
    add(
        "--mcp",
        metavar="SERVER",
        action="append",
        default=[],
        help="of the model agent (the extra mcp): an MCP server for its tools, each call asked for: a "
        "command line or an address, with NAME= before it or without, or a FILE.json with mcpServers; may be repeated; "
        "nothing that lies in the directory itself without --trust-directory",
    )
