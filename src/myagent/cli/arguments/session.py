"""The arguments of the commands for everyday use: connections by name, export, replay; imports nothing heavy."""

from __future__ import annotations

import argparse

from myagent.cli.arguments.parsing import add_address, command, seconds, session_name, speed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LOGIN = """\
Keep a server's URL and token under a name, for --remote NAME.

The token is asked for without being shown, or read from standard input: never from the command line, which others on
this machine can read. It is kept in the system's keyring where there is one (and the Python package keyring is
installed: the extra keyring), else in a file that only you can read. Which one, is said.
"""

LOGIN_EPILOG = """\
examples:
  myagent remote login work --url wss://agent.example.org
  pass show agent | myagent remote login work --url wss://agent.example.org --token-stdin
  myagent remote client --remote work

exit codes: 0 kept, 2 wrong usage, 3 the server cannot be reached, or refuses the token
"""

LOGOUT_EPILOG = """\
example:
  myagent remote logout work

exit codes: 0 forgotten, 2 wrong usage, 3 there is no such connection
"""

REMOTES_EPILOG = """\
examples:
  myagent remote remotes
  myagent remote remotes --json

exit codes: 0 done, 2 wrong usage, 3 a file of ours is unsafe
"""

ATTACH = """\
Sit in a session: a full-screen client to prompt, watch, answer, stop and hand over. F1 there shows its keys.

Works over SSH and in tmux, from 60 columns by 15 lines on, without a
mouse, and without colour (NO_COLOR=1). Keys that were typed before a permission request appeared are no answer to it.
Leaving with Ctrl+Q leaves the agent running.
"""

ATTACH_EPILOG = """\
examples:
  myagent remote attach
  myagent remote attach --remote work --session remote_20260101120000_0a1b2c3d
  myagent remote attach --role follower                    watch, and never become the owner
  myagent remote attach --plain                            line by line; /help there tells what can be done

exit codes: 0 left, 2 wrong usage, 3 cannot connect, not allowed, or lost for good, 129 and 143 ended by SIGHUP, SIGTERM
"""

EXPORT = """\
Write sessions to files, with its permission requests and decisions. This takes no role.

  jsonl       the events as the server sends them, one JSON object a line, without the agent's structured updates
  md          Markdown; all that the agent and people wrote is in code blocks
  html        one file without script or outside reference, safe to hand out
  asciicast   a terminal recording, for asciinema and its players, with the pauses that there were

Agent text is made harmless in all but jsonl. What was redacted before it was stored stays redacted; what was not is
in the file: read it before you hand it out. A file is put in place when it is whole, and only you can read it.
"""

EXPORT_EPILOG = """\
examples:
  myagent remote export remote_20260101120000_0a1b2c3d --format html -o session.html
  myagent remote export remote_20260101120000_0a1b2c3d --format jsonl | jq .type
  myagent remote export --all --format md -o sessions/     each in a file of its own
  myagent remote export remote_20260101120000_0a1b2c3d --format asciicast -o session.cast && asciinema play session.cast

exit codes: 0 done, 1 nobody read the output, 2 wrong usage, 3 cannot connect, not allowed or cannot write,
130 interrupted
"""

REPLAY = """\
Play a session on this terminal, from its beginning to where it stands. This takes no role.

It takes the time that it took, but for waits longer than --max-wait; what an older server stored, without times, is
played at an even pace. Into a pipe or a file, lines are written as they are in the end, without colours.
"""

REPLAY_EPILOG = """\
examples:
  myagent remote replay remote_20260101120000_0a1b2c3d
  myagent remote replay remote_20260101120000_0a1b2c3d --speed 4
  myagent remote replay remote_20260101120000_0a1b2c3d --speed 0          all at once
  myagent remote replay remote_20260101120000_0a1b2c3d --max-wait 3600    as it was

exit codes: 0 done, 1 nobody read the output, 2 wrong usage, 3 cannot connect or not allowed, 130 interrupted
"""


def add_session_parsers(commands: Any) -> None:
    command(
        commands,
        "login",
        "keep a server's URL and token by name",
        LOGIN,
        LOGIN_EPILOG,
        "commands.login:run",
        _add_login,
    )
    command(
        commands, "logout", "forget a connection", "Forget a connection by name, and its token.\n", LOGOUT_EPILOG,
        "commands.logout:run", _add_logout,
    )  # fmt: skip
    command(
        commands, "remotes", "list the connections by name", "List the connections that are kept here by name.\n",
        REMOTES_EPILOG, "commands.remotes:run", _add_remotes,
    )  # fmt: skip
    command(commands, "export", "write sessions to files", EXPORT, EXPORT_EPILOG, "commands.export:run", _add_export)
    command(
        commands,
        "replay",
        "play a session on this terminal",
        REPLAY,
        REPLAY_EPILOG,
        "commands.replay:run",
        _add_replay,
    )


def add_attach(commands: Any) -> None:
    command(
        commands, "attach", "sit in a session, full screen", ATTACH, ATTACH_EPILOG, "commands.attach:run", _add_attach
    )


def _add_login(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("name", metavar="NAME", help="letters, digits, dot, dash and underscore")
    add("--url", required=True, help="the server: ws://HOST:PORT, https://HOST/PATH, HOST:PORT, or an invite's link")
    add("--ca", metavar="FILE", help="with wss://: the certificates to trust, PEM; the file stays where it is")
    add("--token-stdin", action="store_true", help="read the token from standard input (default: ask for it)")
    add("--no-check", action="store_true", help="keep it without asking the server whether it is right")
    add("--insecure-plain", action="store_true", help="send the token unencrypted to another machine to check it")


def _add_logout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="as `myagent remote remotes` lists it")


def _add_remotes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON array; it holds no token")


def _add_attach(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("link", metavar="LINK", nargs="?", help="instead of --url: the server's address, or an invite's link")
    add_address(parser)
    add("--session", metavar="ID", type=session_name, help="the session to show first (default: the latest)")
    add(
        "--role", choices=("follower",), help="ask not to be the owner, even if nobody is (default: take what is given)"
    )
    add("--label", metavar="NAME", help="what others see of this client; proves nothing (default: USER@HOST)")
    add("--plain", action="store_true", help="line by line: for dumb terminals, screen readers and logs")


def _add_export(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_address(parser)
    add(
        "sessions", metavar="SESSION", type=session_name, nargs="*",
        help="its id, as `sessions` lists it, a part of it, @latest; as many as you like",
    )  # fmt: skip
    add("--all", action="store_true", help="all sessions, also those in the archive")
    add("--format", required=True, choices=("jsonl", "md", "html", "asciicast"), help="see above")
    add(
        "-o",
        "--output",
        metavar="FILE",
        help="where to (default: standard output); of several, a directory",
    )
    _add_max_wait(parser)


def _add_max_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-wait", metavar="SECONDS", type=seconds, default=3.0,
        help="the longest pause between two events of a recording or a replay (default 3)",
    )  # fmt: skip


def _add_replay(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_address(parser)
    add("session", metavar="SESSION", type=session_name, help="its id, as `sessions` lists it, a part of it, @latest")
    add("--speed", metavar="N", type=speed, default=1.0, help="times as fast (default 1; 0: no pauses)")
    _add_max_wait(parser)
    add("--raw", action="store_true", help="pass agent text to the terminal as it is; it can then drive the terminal")
