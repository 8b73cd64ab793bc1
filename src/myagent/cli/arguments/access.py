"""The arguments of the commands about who may connect; what they do is imported when it is done."""

from __future__ import annotations

import argparse

from myagent.cli.arguments.parsing import Parser, command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

INVITE = """\
Make an invite: a credential with which somebody can watch and, unless --scope says otherwise, do nothing else.

It is shown once. It ends when its time is over, or when you revoke it; whoever is connected with it is then cut off.
This works while a server runs in the directory, and takes no role of it.
"""

INVITE_EPILOG = """\
examples:
  myagent remote invite
  myagent remote invite --label 'review on Friday' --expires 2h
  myagent remote invite --session remote_20260101120000_0a1b2c3d --uses 1
  myagent remote invite --scope approve --label Anna --expires 7d

exit codes: 0 done, 2 wrong usage, 3 not possible here
"""

AUDIT = """\
Show who did what: joins and leaves, the ownership, prompts, permission requests and decisions, invites. A line has
the time, what was done, the credential (`owner`, or an invite), and the ends of the ids of the connection and the
session; --json has everything.

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

PAIR = """\
Enrol a device of yours: makes a link and a QR code that are good once, for five minutes. The device that opens it gets
a credential of its own, keeps it when its browser is closed, is listed by `myagent remote invites` under the name that
it gives itself, and can be revoked alone.
"""

PAIR_EPILOG = """\
examples:
  myagent remote pair                                      a phone that can do what you can
  myagent remote pair --scope approve --label tablet       one that answers permission requests, and prompts nothing

exit codes: 0 done, 2 wrong usage, 3 not possible here
"""

INVITES_EPILOG = """\
examples:
  myagent remote invites
  myagent remote invites --json | jq -r '.invites[].id'

exit codes: 0 done, 2 wrong usage, 3 not possible here
"""

RULES = """\
List the rules that answer permission requests instead of the owner, or end some. A rule is made with an answer to a
request, in the page and in `attach`: for exactly what was asked, for commands that begin with the same words, or for
edits below a path. It never allows a request with warnings, nor what touches .git or .myagent.
"""

RULES_EPILOG = """\
examples:
  myagent remote rules
  myagent remote rules --revoke 3f9c01aa
  myagent remote rules --revoke-all

exit codes: 0 done, 2 wrong usage, 3 not possible here
"""

REVOKE = """\
End invites: at once, for good, and for whoever is connected with them.
"""

REVOKE_EPILOG = """\
examples:
  myagent remote revoke upkihut7
  myagent remote revoke --all

exit codes: 0 done, 2 wrong usage, 3 not possible here
"""

ROTATE = """\
Make a new owner token in place of the old one, and cut off whoever is connected with that.
"""

ROTATE_EPILOG = """\
examples:
  myagent remote token rotate
  myagent remote token rotate --cwd ~/project

exit codes: 0 done, 2 wrong usage, 3 not possible here
"""


ADOPT = """\
Take credentials for ours that were not made by this user on this machine: the owner token, the invites and the rules of
a directory that was moved, restored from a backup, or is on a volume. A server does not use them before.

Whoever made them may have kept the token: adopt what you know, and nothing that came with a clone or an archive.
"""

ADOPT_EPILOG = """\
examples:
  myagent remote adopt
  myagent remote adopt --cwd ~/project

exit codes: 0 done, 2 wrong usage, 3 not possible here
"""


def add_access_parsers(commands: Any) -> None:
    """`invite`, `pair`, `invites`, `revoke`, `rules`, `token rotate` and `adopt`."""
    command(commands, "invite", "let somebody watch", INVITE, INVITE_EPILOG, "commands.invite:run", _add_invite)
    command(commands, "pair", "enrol a device of yours", PAIR, PAIR_EPILOG, "commands.pair:run", _add_pair)
    command(
        commands, "invites", "list the invites", "List the invites that are good now.\n", INVITES_EPILOG,
        "commands.invites:run", _add_common,
    )  # fmt: skip
    command(commands, "revoke", "end invites", REVOKE, REVOKE_EPILOG, "commands.revoke:run", _add_revoke)
    command(commands, "rules", "list or end remembered answers", RULES, RULES_EPILOG, "commands.rules:run", _add_rules)
    command(
        commands, "adopt", "use credentials that were made elsewhere", ADOPT, ADOPT_EPILOG, "commands.adopt:run",
        _add_common,
    )  # fmt: skip
    commands.add_parser("token", help="the owner token", description="The owner token.", fill=_add_token_commands)


def add_audit_parser(commands: Any) -> None:
    """`audit` and `audit verify`."""
    command(commands, "audit", "who did what", AUDIT, AUDIT_EPILOG, "commands.audit:run", _add_audit)


def _add_token_commands(token: Parser) -> None:
    actions = token.add_subparsers(title="commands", dest="action", metavar="{rotate}", required=True)
    command(actions, "rotate", "replace the owner token", ROTATE, ROTATE_EPILOG, "commands.token:rotate", _add_common)


def _add_invite(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--label", metavar="NAME", default="", help="whom it is for; shown in the list, and to others before their name"
    )
    add(
        "--scope", choices=("watch", "stop", "approve", "drive"), default="watch",
        help="what it allows, each all before it: watch, stop (the running turn), approve (answer requests), "
        "drive (own: prompt, and run what they like as you; default: watch)",
    )  # fmt: skip
    add(
        "--session",
        metavar="ID",
        help="show this session and no other, by its id, a part of it, or @latest (default: all)",
    )
    add("--expires", metavar="TIME", type=_duration, default=24 * 3600.0, help="90s, 30m, 2h, 7d (default 24h)")
    add(
        "--uses",
        metavar="N",
        type=_uses,
        help="good for N devices, each a browser tab or a user of a machine (default: any number)",
    )
    add(
        "--qr", action=argparse.BooleanOptionalAction,
        help="draw the link as a QR code (default: on a terminal, if the link opens on other machines)",
    )  # fmt: skip
    _add_common(parser)


def _add_pair(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--scope", choices=("approve", "drive"), default="drive",
        help="what the device may do: answer permission requests, or all that you can (default: drive)",
    )  # fmt: skip
    add("--label", metavar="NAME", default="", help="what others see of it (default: what the device calls itself)")
    add(
        "--expires", metavar="TIME", type=_duration, default=90 * 24 * 3600.0,
        help="how long the device can come back (default 90d); the link itself is good for five minutes",
    )  # fmt: skip
    add(
        "--qr", action=argparse.BooleanOptionalAction,
        help="draw the link as a QR code (default: on a terminal, if the link opens on other machines)",
    )  # fmt: skip
    _add_common(parser)


def _add_revoke(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "id", nargs="*", metavar="ID", help="of an invite or a device, as `myagent remote invites` lists it"
    )
    parser.add_argument("--all", action="store_true", help="all invites")
    _add_common(parser)


def _add_rules(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--revoke", metavar="ID", action="append", default=[], help="end this rule at once; may be repeated")
    add("--revoke-all", action="store_true", help="end all rules")
    _add_common(parser)


def _add_audit(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "action", nargs="?", choices=("show", "verify"), default="show",
        help="show it (the default), or prove that no record was changed, moved or dropped",
    )  # fmt: skip
    add("--session", metavar="ID", help="show what concerns this session: its id, a part of it, or @latest")
    add("--head", metavar="HASH", help="with verify: a head that you noted must be part of the chain")
    _add_common(parser, "one JSON object a line")


def _add_common(parser: argparse.ArgumentParser, json_help: str = "one JSON object") -> None:
    parser.add_argument("--json", action="store_true", help=json_help)
    parser.add_argument(
        "--cwd", metavar="DIRECTORY", default=".", help="directory that is served, or one below it (default: this one)"
    )


def _duration(text: str) -> float:
    from myagent.cli.administration import duration

    return duration(text)


def _uses(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 8 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of connections")
    return int(text)
