"""The arguments of the commands for whole sessions: rename, archive, delete; imports nothing heavy."""

from __future__ import annotations

import argparse

from myagent.cli.arguments.parsing import add_address, command, session_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RENAME = """\
Give a session a name, which is shown instead of its title. With an empty one it has its title again.

Only the owner of a server can; this takes the ownership for as long as it takes, if it is free.
"""

RENAME_EPILOG = """\
examples:
  myagent remote rename @latest 'release notes'
  myagent remote rename 0a1b ''

exit codes: 0 done, 2 wrong usage, 3 cannot connect or not allowed, 130 interrupted
"""

ARCHIVE = """\
Put sessions out of the way: `sessions` lists them with --all alone. The next prompt in one brings it back.

Only the owner of a server can; this takes the ownership for as long as it takes, if it is free.
"""

ARCHIVE_EPILOG = """\
examples:
  myagent remote archive @latest
  myagent remote archive --undo 0a1b 77f0

exit codes: 0 done, 2 wrong usage, 3 cannot connect or not allowed, 130 interrupted
"""

DELETE = """\
Delete sessions for good. When this has ended, nothing of what was said in them is left in the server's files; its audit
keeps that they were deleted, and by whom. What the agent keeps by itself, and what was exported, stays.

Only the owner of a server can; this takes the ownership for as long as it takes, if it is free. A session in which a
turn runs or waits cannot be deleted.
"""

DELETE_EPILOG = """\
examples:
  myagent remote delete 0a1b
  myagent remote delete --yes 0a1b 77f0

exit codes: 0 done, 2 wrong usage, 3 cannot connect or not allowed, 130 interrupted
"""


def add_keeping_parsers(commands: Any) -> None:
    command(commands, "rename", "give a session a name", RENAME, RENAME_EPILOG, "commands.keeping:rename", _add_rename)
    command(
        commands, "archive", "put sessions out of the way", ARCHIVE, ARCHIVE_EPILOG, "commands.keeping:archive",
        _add_archive,
    )  # fmt: skip
    command(
        commands, "delete", "delete sessions for good", DELETE, DELETE_EPILOG, "commands.keeping:delete", _add_delete
    )


def _add_rename(parser: argparse.ArgumentParser) -> None:
    add_address(parser)
    parser.add_argument("session", metavar="SESSION", type=session_name, help="its id, a part of it, or @latest")
    parser.add_argument("title", metavar="NAME", help="at most 200 characters")


def _add_archive(parser: argparse.ArgumentParser) -> None:
    add_address(parser)
    _add_sessions(parser)
    parser.add_argument("--undo", action="store_true", help="bring them back")


def _add_delete(parser: argparse.ArgumentParser) -> None:
    add_address(parser)
    _add_sessions(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _add_sessions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sessions", metavar="SESSION", type=session_name, nargs="+", help="its id, a part of it, or @latest"
    )
