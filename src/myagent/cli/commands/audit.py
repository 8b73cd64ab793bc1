"""`myagent remote audit [verify]`: shows who did what in a workspace, and proves that nothing of it was changed."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from myagent.access.state_directory import StateDir
from myagent.cli.administration import find_workspace
from myagent.cli.directory import given_directory
from myagent.cli.sessions_here import DATABASE, named_here
from myagent.cli.terminal.output import data, put, say
from myagent.core.audit import GENESIS, hash_of, verify
from myagent.core.display import escape
from myagent.eventlog import LogUnusable
from myagent.eventlog.database import looking_at
from myagent.exceptions import MyagentError

_FIRST = ("n", "time", "kind")  # of every record; what follows is the kind's own
_HIDDEN = ("prev", "label", "connection", "credential", "session", "turn", "request", "digest")  # but in --json
_ASKED = ("tool", "title", "target")  # what a permission request was about; told with its decision, too
_SHORT = 8  # characters of an id that tell it from others at a glance


def run(arguments: argparse.Namespace) -> int:
    if arguments.action == "verify" and arguments.session:
        arguments.usage_error("a chain is verified whole: leave --session out")
    if arguments.head is not None and not re.fullmatch(r"[0-9a-f]{64}", arguments.head):
        arguments.usage_error("--head takes a hash, as `audit verify` prints it: 64 digits of 0-9 and a-f")
    given_directory(arguments)
    try:
        workspace = find_workspace(arguments)
        path = StateDir(workspace).path / DATABASE
        if arguments.session is not None:
            arguments.session = named_here(workspace, arguments.session, also=_sessions(path))
        return _verify(path, arguments) if arguments.action == "verify" else _show(path, arguments)
    except MyagentError as error:
        say(str(error))
        return 3


def _sessions(path: Path) -> set[str]:
    """Those that are told of, also such as were deleted since."""
    body = "CAST(body AS TEXT)"
    query = f"SELECT DISTINCT json_extract({body}, '$.session') FROM audit WHERE json_valid({body})"  # noqa: S608 -- ours
    with looking_at(path) as connection:
        return {name for (name,) in connection.execute(query) if isinstance(name, str)}


def _show(path: Path, arguments: argparse.Namespace) -> int:
    names: dict[str, str] = {}
    asked: dict[str, dict[str, Any]] = {}
    with looking_at(path) as connection:
        for _, body in connection.execute("SELECT n, CAST(body AS BLOB) FROM audit ORDER BY n"):
            try:
                record: dict[str, Any] = json.loads(body)
            except ValueError:
                raise LogUnusable(
                    str(path), "an audit record is damaged", "see `myagent remote audit verify`"
                ) from None
            if record.get("kind") == "join" and record.get("label"):
                names[str(record.get("connection"))] = str(record["label"])
            if record.get("kind") == "request":
                asked[str(record.get("request"))] = {key: record[key] for key in _ASKED if key in record}
            elif record.get("kind") in ("decision", "resolved"):
                record = {**record, **asked.get(str(record.get("request")), {})}
            if arguments.session in (None, record.get("session")):
                if arguments.json:
                    data(f"{body.decode()}\n")
                else:
                    put(f"{_line(record, names)}\n")
    return 0


def _line(record: dict[str, Any], names: Mapping[str, str]) -> str:
    """For a human: when, what, with which credential, by which connection, in which session, and what is the kind's
    own. Ids are shortened; a label, which anybody may choose, is no more than that."""
    connection = str(record.get("connection", "-"))
    credential, short, session = (
        _word(str(each)[-_SHORT:]) for each in (record.get("credential", "-"), connection, record.get("session", "-"))
    )
    label = f"label={_word(names[connection])}" if connection in names else ""
    own = (f"{name}={_word(value)}" for name, value in record.items() if name not in (*_FIRST, *_HIDDEN))
    time, kind = _word(record.get("time"))[:19], _word(record.get("kind"))
    rest = " ".join(filter(None, (*own, label)))
    return f"{record.get('n')!s:>5} {time} {kind:<9} {credential:<8} {short:<8} {session:<8}  {rest}".rstrip()


def _word(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    shown = escape(text).replace("\n", "\\u{a}")
    return json.dumps(shown, ensure_ascii=False) if " " in shown or not shown else shown


def _verify(path: Path, arguments: argparse.Namespace) -> int:
    with looking_at(path) as connection:
        connection.execute("BEGIN")  # one moment of the log, whatever a running server adds
        end = connection.execute("SELECT value FROM meta WHERE key = 'audit'").fetchone()
        count, head = (0, GENESIS) if end is None else _end(str(end[0]))
        heads: set[str] = {GENESIS}

        def records() -> Iterator[tuple[int, bytes]]:
            for number, body in connection.execute("SELECT n, CAST(body AS BLOB) FROM audit ORDER BY n"):
                heads.add(hash_of(body))
                yield number, body

        verdict = verify(records(), count=count, head=head)
    fault = verdict.fault
    if fault is None and arguments.head is not None and arguments.head not in heads:
        fault = "no record has the hash that you gave: the trail was made anew, or cut, since you noted it"
    if arguments.json:
        checked = datetime.now(UTC).isoformat(timespec="seconds")
        facts = {"records": verdict.count, "head": verdict.head, "fault": fault, "checkedAt": checked}
        data(f"{json.dumps(facts)}\n")
    elif fault is None:
        put(f"the audit is whole: {verdict.count} records, head {verdict.head}\n")
    else:
        put(f"BROKEN after {verdict.count} good records: {fault}\n")
    return 0 if fault is None else 1


def _end(text: str) -> tuple[int, str]:
    count, _, head = text.partition(" ")
    return (int(count) if count.isdigit() else -1), head
