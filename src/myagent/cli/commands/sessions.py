"""`myagent remote sessions`: lists a server's sessions over plain HTTP, so that no role is taken."""

from __future__ import annotations

import argparse
import json
from typing import Any

from myagent.cli import target
from myagent.cli.terminal.output import data, put, say
from myagent.client.asking import list_sessions
from myagent.core.display import escape
from myagent.exceptions import MyagentError


def run(arguments: argparse.Namespace) -> int:
    try:
        address = target.address(arguments)
        address.check_plain(allowed=arguments.insecure_plain)
        sessions = list_sessions(address, target.token(arguments, address))
    except MyagentError as error:
        say(target.told(error, arguments))
        return target.exit_code(error)
    if not arguments.all:
        sessions = [each for each in sessions if not each.get("archived")]
    if arguments.json:
        data(f"{json.dumps(sessions, indent=2)}\n")
    else:
        put("\n".join(_table(sessions)) + "\n")
    return 0


def _table(sessions: list[dict[str, Any]]) -> list[str]:
    if not sessions:
        return ["no sessions yet"]
    rows = [("SESSION", "STATE", "UPDATED", "EVENTS", "TITLE")]
    rows += [
        tuple(_cell(session.get(name)) for name in ("sessionId", "state", "updatedAt", "head", "title"))  # type: ignore[misc]
        for session in sessions
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in rows
    ]


def _cell(value: object) -> str:
    return "" if value is None else escape(str(value)).replace("\n", " ")
