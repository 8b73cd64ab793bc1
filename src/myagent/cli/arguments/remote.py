"""The arguments of `myagent remote serve | client | sessions | …`; what they do is imported when it is done."""

from __future__ import annotations

import argparse

from myagent.cli.arguments.access import add_access_parsers, add_audit_parser
from myagent.cli.arguments.agent import add_choice
from myagent.cli.arguments.carrying import add_attachments
from myagent.cli.arguments.keeping import add_keeping_parsers
from myagent.cli.arguments.parsing import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    EXIT_CODES,
    Parser,
    add_address,
    base_path,
    command,
    count,
    option,
    port,
    seconds,
    seq,
    size,
)
from myagent.cli.arguments.relay import RELAY, RELAY_EPILOG, add_publishing, add_relay
from myagent.cli.arguments.session import add_attach, add_session_parsers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SERVE = """\
Share a directory: run its agent, keep its sessions, and let clients connect.

The first client to connect becomes the owner: it drives the agent and answers its permission requests.
All later ones are followers: they see everything and can change nothing. When the owner leaves, the next NEW
connection becomes the owner; no follower is ever promoted by itself.
"""

SERVE_EPILOG = """\
examples:
  myagent remote serve
  myagent remote serve --port 0 --cwd ~/project
  myagent remote serve --invite                            print a link with which others can watch
  myagent remote serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem
  myagent remote serve --model qwen3 --base-url http://127.0.0.1:11434/v1   a model, with our own tools
  myagent remote serve --agent gemini                      an agent that we know how to start; see `remote agents`
  myagent remote serve -- my-agent --acp                   any command that speaks the Agent Client Protocol
  myagent remote serve --agent 'exec:aider --message {prompt}'   a plain command, asked for as a whole

Without an agent, prompts are commands: read, glob, grep, write, edit, !COMMAND LINE, help. An agent that would approve
its own tool calls is put into a mode that asks; one that has none is refused without --allow-unsupervised.
Everything that the server keeps is in DIRECTORY/.myagent/: the sessions, and the token that clients show.
exit codes: 0 stopped, 2 wrong or unsafe usage, 3 cannot serve here, or no longer: the disk failed
"""

AGENTS = """\
List the agents that `myagent remote serve --agent NAME` knows how to start: whether each is found here, its version,
and how to install it. Nothing is installed.
"""

AGENTS_EPILOG = """\
Any other command that speaks the Agent Client Protocol is hosted with: myagent remote serve -- COMMAND
exit codes: 0 done, 2 wrong usage
"""

CLIENT = """\
Connect to a server, show what the agent says, and ask here when it needs a permission.

With --prompt, submit one turn and exit with it. Without, watch until Ctrl+C.
The server says which role a client has:
  owner      drives the agent and is asked for permissions; the first client to connect
  follower   sees everything, can change nothing, is never asked
What the agent writes to stdout and stderr goes to stdout and stderr. Lines that begin with [remote] are the client's
own and go to stderr, so that a pipe gets the agent alone. Agent text cannot drive the terminal: only colours,
newlines and tabs pass, anything else is made visible.
"""

CLIENT_EPILOG = f"""\
examples:
  myagent remote client                                    watch all sessions
  myagent remote client --role follower                    watch, and never become the owner
  myagent remote client --prompt 'read README.md'          one turn in a new session
  myagent remote client --prompt '!make test' --session remote_20260101120000_0a1b2c3d
  myagent remote client --session remote_20260101120000_0a1b2c3d --after 0     from its beginning

The token is that of --token, else of --remote, else of $MYAGENT_REMOTE_TOKEN, else of .myagent/remote/auth.json in
this directory or the nearest one above, which is shown to this machine (loopback) and to that directory's own server
alone. That of the environment is shown to the server of $MYAGENT_REMOTE_URL if that is set, else to the one named here,
and never to one that was only found in a directory: that has its own. A directory that others may write, or have made,
is not believed. With wss://, certificates are checked against the system's authorities, or $SSL_CERT_FILE.
{EXIT_CODES}
"""

SESSIONS = """\
List the sessions of a server. This takes no role: whoever is the owner stays it.
"""

SESSIONS_EPILOG = f"""\
examples:
  myagent remote sessions
  myagent remote sessions --json --url wss://agent.example.org
  myagent remote sessions --search 'release notes'

{EXIT_CODES}
"""

DOCTOR = """\
Say who can reach a server, with which role and over what, and try the known attacks on it: no token, a token in the
query, a page of another site, a rebound name, plain ws:// beyond this machine, files that others can read.

One line each: safe, OPEN, or a note. In the directory that is served, the running server is examined; else that of
--url. It takes no role of the server and changes nothing there; the wrong tokens that it shows are counted as such.
"""

DOCTOR_EPILOG = """\
examples:
  myagent remote doctor
  myagent remote doctor --url wss://agent.example.org

exit codes: 0 nothing is open, 1 something is, 2 wrong usage, 3 cannot connect
"""


def add_parsers(groups: Any) -> None:
    groups.add_parser(
        "remote",
        help="share a live agent session: serve, client, sessions, invite, …",
        description="Share a live agent session.",
        fill=_add_commands,
    )


def add_everyday(commands: Any) -> None:
    """The commands that are used every day; they are also there without `remote`."""
    command(commands, "serve", "share a directory", SERVE, SERVE_EPILOG, "commands.serve:run", _add_serve)
    add_attach(commands)
    command(
        commands, "client", "drive a session, or watch it", CLIENT, CLIENT_EPILOG, "commands.client:run", _add_client
    )
    command(
        commands,
        "sessions",
        "list a server's sessions",
        SESSIONS,
        SESSIONS_EPILOG,
        "commands.sessions:run",
        _add_sessions,
    )


def _add_commands(remote: Parser) -> None:
    commands = remote.add_subparsers(title="commands", dest="command", required=True)
    add_everyday(commands)
    command(commands, "agents", "list the agents that can be hosted", AGENTS, AGENTS_EPILOG, "commands.agents:run")
    add_session_parsers(commands)
    add_keeping_parsers(commands)
    add_access_parsers(commands)
    add_audit_parser(commands)
    command(commands, "relay", "show what others serve", RELAY, RELAY_EPILOG, "commands.relay:run", add_relay)
    command(
        commands,
        "doctor",
        "try the known attacks on a server",
        DOCTOR,
        DOCTOR_EPILOG,
        "commands.doctor:run",
        add_address,
    )
    commands.metavar = f"{{{','.join(commands.choices)}}}"


def _add_serve(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--host", default=DEFAULT_HOST, help=f"address to listen on (default {DEFAULT_HOST}: this machine only)")
    add(
        "--port",
        type=port,
        help=f"port to listen on (default: {DEFAULT_PORT}, or the next that is free; 0: any that is free)",
    )
    add("--cwd", metavar="DIRECTORY", default=".", help="directory to share (default: this one)")
    add(
        "--agent-user",
        metavar="NAME",
        help="run what the agent starts as this user of the system, who must be able to work in the directory; needs a "
        "server that root runs; then no process of the agent's can read the owner token",
    )
    add(
        "--sandbox",
        choices=("bwrap",),
        help="run what the agent starts in bubblewrap, where it sees neither .myagent nor other processes; the same "
        "user, so less than --agent-user",
    )
    add(
        "--invite", metavar="LABEL", nargs="?", const="",
        help="make an invite too, for a day, and print its link: whoever opens it watches, in a browser; on a terminal "
        "also as a QR code, if it opens on other machines",
    )  # fmt: skip
    add(
        "--pair", choices=("drive", "approve"), nargs="?", const="drive",
        help="also make a link, and a QR code, for a device of yours; as `myagent remote pair` (default: drive)",
    )  # fmt: skip
    add(
        "--permission-mode",
        choices=("plan", "default", "bypassPermissions"),
        default="default",
        help="of turns that ask for none: plan allows reading alone, default asks before anything is changed or run, "
        "bypassPermissions asks nothing and needs --allow-bypass (default: default)",
    )
    add_choice(parser)
    add("agent_command", metavar="-- COMMAND", nargs="*", help="start this agent; it must speak ACP on stdio")
    add(
        "--agent-option", metavar="KEY=VALUE", type=option, action="append", default=[],
        help="choose of what the agent offers for its sessions, such as model=haiku or effort=low; may be repeated; "
        "what is not offered is refused, with what is",
    )  # fmt: skip
    add(
        "--allow-unsupervised",
        action="store_true",
        help="host an agent although it runs tools without asking anybody",
    )
    add(
        "--agent-idle",
        metavar="SECONDS",
        type=seconds,
        default=600.0,
        help="close a session of a hosted agent in which nobody has said anything for so long, where the agent can "
        "have it again with the next prompt: each may cost it a process; what it still runs in there ends with that "
        "(default 600; 0: never)",
    )
    add("--allow-bypass", action="store_true", help="let the owner ask for turns that need no permission")
    add(
        "--owner-grace",
        metavar="SECONDS",
        type=seconds,
        default=10.0,
        help="keep the ownership this long for an owner whose connection dropped (default 10)",
    )
    add(
        "--takeover",
        choices=("own", "any"),
        default="own",
        help="from whom the ownership may be taken over without being asked: a connection with the same credential, or "
        "any that may drive (default: own)",
    )
    add(
        "--on-owner-leave",
        choices=("continue", "deny", "interrupt"),
        default="continue",
        help="what a running turn does when its owner leaves: go on, go on with its permission requests denied, "
        "or stop (default: continue)",
    )
    add(
        "--approve-by",
        metavar="N[:KINDS]",
        default="1",
        help="so many people, of different credentials, must allow what the agent asks, and one of them can deny it; "
        "with kinds (2:execute,delete) only for those, and for what says no kind (default: 1)",
    )
    add(
        "--owner-away",
        metavar="WHAT",
        default="wait",
        help="while nobody who may answer is connected, requests wait, are denied once that was so for deny:SECONDS, "
        "or a human is called at once (notify, with --notify) (default: wait)",
    )
    add(
        "--permission-timeout",
        metavar="SECONDS",
        type=seconds,
        default=600.0,
        help="deny a permission request that nobody answered (default 600)",
    )
    add(
        "--activity-quiet",
        metavar="SECONDS",
        type=seconds,
        default=10.0,
        help="an agent that goes on by itself after its turn, and says nothing for so long, has stopped (default 10)",
    )
    add(
        "--notify",
        metavar="URL",
        action="append",
        default=[],
        help="call a human here, through apprise (the extra notify): ntfy://…, mailto://…, slack://…: "
        "when a permission request waits, when a turn of over a minute, or one of the agent's own, ends with no owner "
        "there, when the owner is lost; may be repeated; as it holds secrets, better in $MYAGENT_REMOTE_NOTIFY",
    )
    add(
        "--notify-after",
        metavar="SECONDS",
        type=seconds,
        default=60.0,
        help="call, also devices that asked in the page to be called (extra push), when a request has waited "
        "so long (default 60)",
    )
    add("--notify-details", action="store_true", help="say in the call what is asked; what fits can be allowed there")
    add(
        "--stop-with-stdin",
        action="store_true",
        help="stop when standard input ends: for a program that starts this one, and may be killed",
    )
    add("--quiet", action="store_true", help="do not say who joins and leaves, what waits, and how it was answered")
    add("--tls-cert", metavar="FILE", help="certificate chain, PEM: serve wss:// (with --tls-key)")
    add("--tls-key", metavar="FILE", help="private key, PEM")
    add("--insecure-plain", action="store_true", help="listen beyond this machine without TLS: tokens can be read")
    add("--allow-origin", metavar="ORIGIN", action="append", default=[], help="a web page's origin; may be repeated")
    add("--allowed-host", metavar="HOST", action="append", default=[], help="a name of this server; may be repeated")
    add(
        "--base-path", metavar="PATH", type=base_path, default="",
        help="what a reverse proxy puts before every path of the page, like /agent",
    )  # fmt: skip
    add("--metrics-open", action="store_true", help="give /metrics to whoever asks, not to the owner token alone")
    add("--max-connections", metavar="N", type=count, default=1024, help="connections at a time (default 1024)")
    add(
        "--redact", metavar="PATTERN", action="append", default=[],
        help="regular expression (of RE2: no look-around): what matches within a line is covered "
        "before it is stored or shown; an unfinished line then waits for its end; may be repeated",
    )  # fmt: skip
    add(
        "--credential-place", metavar="PATTERN", action="append", default=[],
        help="the end of a path that holds credentials, beside .ssh, .aws, .env and the other known ones, such as "
        "vault/*.json: our own tools ask before they read it, in every mode, and show it covered; !PATTERN takes one "
        "off; may be repeated",
    )  # fmt: skip
    add(
        "--redact-known", action=argparse.BooleanOptionalAction, default=True,
        help="cover keys that show what they are, such as ghp_… and AKIA… (default: on)",
    )  # fmt: skip
    add("--retain-events", metavar="N", type=count, help="keep the last N events of each session (default: all)")
    add(
        "--max-log",
        metavar="SIZE",
        type=size,
        default="8G",
        help="take nothing new once the event log is so large (default: 8G; 0: until the disk is full)",
    )
    add_publishing(parser)


def _add_client(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_address(parser)
    add(
        "--prompt",
        metavar="TEXT",
        help="submit this as a turn, show it, exit with it (-: what standard input gives); owner only",
    )
    add(
        "--session",
        metavar="ID",
        help="the session to prompt or to watch: its id, a part of it, or @latest (default: a new one; all)",
    )
    add("--continue", dest="session", action="store_const", const="@latest", help="the same as --session @latest")
    add("--after", metavar="SEQ", type=seq, help="start that session after this event; 0 is its beginning")
    add(
        "--role", choices=("follower",), help="ask not to be the owner, even if nobody is (default: take what is given)"
    )
    add("--label", metavar="NAME", help="what others see of this client; proves nothing (default: USER@HOST)")
    add(
        "--permission-mode",
        choices=("plan", "default", "bypassPermissions"),
        help="of the prompt (default: the server's)",
    )
    add(
        "--option", metavar="NAME=VALUE", type=option, action="append", default=[],
        help="choose of what the agent offers for the session before the prompt, such as model=haiku, effort=low or "
        "mode=plan; may be repeated; it holds until another is chosen",
    )  # fmt: skip
    add_attachments(add)
    add(
        "--take-over",
        action="store_true",
        help="take the ownership from another connection with the same credential (see --takeover of serve)",
    )
    add("--raw", action="store_true", help="pass agent text to the terminal as it is; it can then drive the terminal")
    add(
        "--timestamps",
        action="store_true",
        help="begin each line with the time, here, at which the server had the whole of it",
    )
    add(
        "--reconnect",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="come back after a lost connection and miss nothing; with --prompt, give up after 30 s (default: on)",
    )


def _add_sessions(parser: argparse.ArgumentParser) -> None:
    add_address(parser)
    parser.add_argument("--json", action="store_true", help="one JSON array, as the server tells it")
    parser.add_argument("--all", action="store_true", help="also those in the archive")
    parser.add_argument(
        "--search", metavar="WORDS", help="say where all of these words were said, in all sessions; owner's token only"
    )
