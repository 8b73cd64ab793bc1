"""`myagent remote sessions`: lists a server's sessions over plain HTTP, so that no role is taken."""

from __future__ import annotations

import argparse
import json
from typing import Any

from myagent.cli import target
from myagent.cli.terminal.output import data, put, say
from myagent.client.asking import list_sessions, search
from myagent.client.errors import Refused
from myagent.core.display import escape
from myagent.exceptions import MyagentError
from myagent.text.times import absolute
from myagent.text.wording import state_word

_REST = ("updatedAt", "head", "title")
_NO_SEARCH = {
    403: "only the owner's token may search in all sessions",
    404: "there is no search on that server: it drops old events (--retain-events), or cannot keep an index",
}


def run(arguments: argparse.Namespace) -> int:
    try:
        address = target.address(arguments)
        address.check_plain(allowed=arguments.insecure_plain)
        token = target.token(arguments, address)
        if arguments.search is not None:
            return _search(arguments, search(address, token, arguments.search))
        sessions = list_sessions(address, token)
    except Refused as refused:
        no_search = arguments.search is not None and refused.status in _NO_SEARCH and not refused.by_relay
        say(_NO_SEARCH[refused.status] if no_search else target.told(refused, arguments))
        return 3
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


def _search(arguments: argparse.Namespace, found: dict[str, Any]) -> int:
    if arguments.json:
        data(f"{json.dumps(found, indent=2)}\n")
        return 0
    titles = {each.get("sessionId"): each.get("title") for each in found.get("sessions", ())}
    shown = ""
    for hit in sorted(found["hits"], key=lambda each: list(titles).index(each["sessionId"])):
        if hit["sessionId"] != shown:
            shown = hit["sessionId"]
            put(f"{_cell(shown)}  {_cell(titles[shown])}\n")
        at = hit.get("at")
        when = f"  {absolute(at)[:16]}" if isinstance(at, int) else ""
        put(f"  #{_cell(hit.get('seq'))}{when}  {' '.join(_cell(hit.get('text')).split())}\n")
    if not found["hits"]:
        put("not found\n")
    if not found.get("complete"):
        say("not all of it is indexed yet: ask again for the rest")
    return 0


def _state(session: dict[str, Any]) -> str:
    archived = ", archived" if session.get("archived") else ""
    return f"{state_word(str(session.get('state')), session.get('lastExitCode'))}{archived}"


def _table(sessions: list[dict[str, Any]]) -> list[str]:
    if not sessions:
        return ["no sessions yet"]
    rows = [("SESSION", "STATE", "UPDATED", "EVENTS", "TITLE")]
    rows += [
        tuple(_cell(each) for each in (session.get("sessionId"), _state(session), *map(session.get, _REST)))  # type: ignore[misc]
        for session in sessions
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in rows
    ]


def _cell(value: object) -> str:
    return "" if value is None else escape(str(value)).replace("\n", " ")
