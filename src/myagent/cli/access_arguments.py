"""The arguments of the commands about who may connect; what they do is imported when it is done."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

Command = Callable[[Any, str, str, str, str, Callable[[argparse.Namespace], int]], argparse.ArgumentParser]

INVITE = """\
Make an invite: a credential with which somebody can watch, and can never drive, whatever they send.

It is shown once. It ends when its time is over, or when you revoke it; whoever is connected with it is then cut off.
This works while a server runs in the directory, and takes no role of it.
"""

INVITE_EPILOG = """\
examples:
  myagent remote invite
  myagent remote invite --label 'review on Friday' --expires 2h
  myagent remote invite --session remote_20260101120000_0a1b2c3d --uses 1

exit codes: 0 done, 2 wrong usage, 3 not possible here
"""

AUDIT = """\
Show who did what: joins and leaves, the ownership, prompts, permission requests and decisions, invites.

Every record holds the hash of the one before it. `verify` follows this chain, with or without a running server, and
names the first broken link. Note the head that it prints somewhere else: with --head it is later proved that the
records up to there are still the same.
"""

AUDIT_EPILOG = """\
examples:
  myagent remote audit
  myagent remote audit --session remote_20260101120000_0a1b2c3d --json
  myagent remote audit verify

exit codes: 0 done, 1 the chain is broken, 2 wrong usage, 3 not possible here
"""

_EXIT_CODES = "exit codes: 0 done, 2 wrong usage, 3 not possible here\n"


def add_access_parsers(commands: Any, command: Command) -> None:
    """`invite`, `invites`, `revoke` and `token rotate`."""
    invite = command(commands, "invite", "let somebody watch", INVITE, INVITE_EPILOG, _run_invite)
    invite.add_argument("--label", metavar="NAME", default="", help="what it is for; shown in the list")
    invite.add_argument("--session", metavar="ID", help="show this session and no other (default: all)")
    invite.add_argument(
        "--expires", metavar="TIME", type=_duration, default=24 * 3600.0, help="90s, 30m, 2h, 7d (default 24h)"
    )
    invite.add_argument("--uses", metavar="N", type=_uses, help="good for N connections (default: any number)")
    _add_common(invite)
    invites = command(
        commands, "invites", "list the invites", "List the invites that are good now.\n", _EXIT_CODES, _run_invites
    )
    _add_common(invites)
    revoke = command(
        commands, "revoke", "end invites",
        "End invites: at once, for good, and for whoever is connected with them.\n", _EXIT_CODES, _run_revoke,
    )  # fmt: skip
    revoke.add_argument("id", nargs="*", metavar="ID", help="of an invite, as `myagent remote invites` lists it")
    revoke.add_argument("--all", action="store_true", help="all invites")
    _add_common(revoke)
    token = commands.add_parser("token", help="the owner token", description="The owner token.", allow_abbrev=False)
    actions = token.add_subparsers(title="commands", dest="action", metavar="{rotate}", required=True)
    rotate = command(
        actions, "rotate", "replace the owner token",
        "Make a new owner token in place of the old one, and cut off whoever is connected with that.\n",
        _EXIT_CODES, _run_rotate,
    )  # fmt: skip
    _add_common(rotate)


def add_audit_parser(commands: Any, command: Command) -> None:
    """`audit` and `audit verify`."""
    audit = command(commands, "audit", "who did what", AUDIT, AUDIT_EPILOG, _run_audit)
    audit.add_argument(
        "action", nargs="?", choices=("show", "verify"), default="show",
        help="show it (the default), or prove that no record was changed, moved or dropped",
    )  # fmt: skip
    audit.add_argument("--session", metavar="ID", help="show what concerns this session")
    audit.add_argument("--head", metavar="HASH", help="with verify: a head that you noted must be part of the chain")
    _add_common(audit, "one JSON object a line")


def _add_common(parser: argparse.ArgumentParser, json_help: str = "one JSON object") -> None:
    parser.add_argument("--json", action="store_true", help=json_help)
    parser.add_argument(
        "--cwd", metavar="DIRECTORY", default=".", help="directory that is served, or one below it (default: this one)"
    )


def _duration(text: str) -> float:
    from myagent.cli.access import duration

    return duration(text)


def _uses(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 8 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of connections")
    return int(text)


def _run_invite(arguments: argparse.Namespace) -> int:
    from myagent.cli.access import run_invite

    return run_invite(arguments)


def _run_invites(arguments: argparse.Namespace) -> int:
    from myagent.cli.access import run_invites

    return run_invites(arguments)


def _run_revoke(arguments: argparse.Namespace) -> int:
    from myagent.cli.access import run_revoke

    return run_revoke(arguments)


def _run_rotate(arguments: argparse.Namespace) -> int:
    from myagent.cli.access import run_rotate

    return run_rotate(arguments)


def _run_audit(arguments: argparse.Namespace) -> int:
    from myagent.cli.audit import run

    return run(arguments)
