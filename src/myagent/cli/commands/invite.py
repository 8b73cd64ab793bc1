"""`myagent remote invite | invites | revoke | token rotate`: who may connect to the workspace here.

A running server is asked over its control channel; without one, the state directory is taken and changed directly.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from myagent.access.registry import Access, AnyRequest, CreateInvite, ListInvites, RevokeInvites, RotateToken
from myagent.access.state_directory import StateDir
from myagent.cli.invitation import qr_code, reach_note, revoking
from myagent.cli.target import AUTH_FILE, TOKEN_VARIABLE
from myagent.core.audit import entry
from myagent.core.display import escape
from myagent.eventlog import Unit
from myagent.eventlog.sqlite import SqliteLog
from myagent.exceptions import MyagentError
from myagent.host.session_store import now
from myagent.server import control
from myagent.server.addresses import Page

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}

Answer = dict[str, Any]


class NothingServed(MyagentError):
    """No server has ever run here."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.directory = directory

    def __str__(self) -> str:
        return f"nothing was ever served in {self.directory} or above; run `myagent remote serve` there first"


def duration(text: str) -> float:
    """Seconds of `90s`, `30m`, `2h`, `7d`."""
    matched = re.fullmatch(r"([1-9]\d{0,8})([smhd])", text)
    if matched is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 90s, 30m, 2h or 7d")
    return float(int(matched.group(1)) * _UNITS[matched.group(2)])


def find_workspace(arguments: argparse.Namespace) -> Path:
    """The directory of `--cwd`, or the nearest one above, that has been served. Raises `NothingServed`."""
    start = Path(arguments.cwd).resolve()
    for directory in (start, *start.parents):
        if os.path.lexists(directory / AUTH_FILE):
            return directory
    raise NothingServed(start)


def ask(workspace: Path, request: AnyRequest) -> Answer:
    """Have a request carried out, by the server that runs or else here. Raises `MyagentError`."""
    state = StateDir(workspace)
    answer = control.ask(state.path, request)
    if answer is not None:
        return dict(answer)
    state.open()
    try:
        return _carry_out(state.path, request)
    finally:
        state.close()


def _carry_out(directory: Path, request: AnyRequest) -> Answer:
    records: list[bytes] = []
    access = Access(directory)
    access.record = lambda kind, fields: records.append(entry(kind, now(), fields))
    access.load()
    try:
        return access.answer(request)
    finally:
        if records:
            asyncio.run(_store(directory / "sessions.db", records))


async def _store(path: Path, records: list[bytes]) -> None:
    log = SqliteLog(path)
    await log.open()
    try:
        log.write(Unit(lambda _: None, audit=records))
        await log.flush()
    finally:
        await log.close()


def run_invite(arguments: argparse.Namespace) -> int:
    request = CreateInvite(
        lifetime=arguments.expires, label=arguments.label, session_id=arguments.session, uses=arguments.uses
    )
    return _run(arguments, request, lambda answer: _show_invite(answer, find_workspace(arguments), arguments.qr))


def run_invites(arguments: argparse.Namespace) -> int:
    return _run(arguments, ListInvites(), lambda answer: _table(answer["invites"], datetime.now(UTC)))


def run_revoke(arguments: argparse.Namespace) -> int:
    if bool(arguments.id) == arguments.all:
        arguments.usage_error("give the ids of invites (see `myagent remote invites`), or --all")
    request = RevokeInvites(invite_ids=None if arguments.all else arguments.id)
    return _run(arguments, request, _show_revoked)


def run_rotate(arguments: argparse.Namespace) -> int:
    return _run(arguments, RotateToken(), _show_rotated)


def _run(arguments: argparse.Namespace, request: AnyRequest, show: Callable[[Answer], list[str]]) -> int:
    if not Path(arguments.cwd).is_dir():
        arguments.usage_error(f"--cwd {arguments.cwd!r} is not a directory")
    try:
        answer = ask(find_workspace(arguments), request)
    except MyagentError as error:
        print(f"[remote] {error}", file=sys.stderr)
        return 3
    if isinstance(request, CreateInvite):
        page = _page(answer["server"])
        answer["link"] = None if page is None else page.link(answer["token"])
    if arguments.json:
        print(json.dumps(answer, indent=2))
    else:
        print("\n".join(show(answer)))
    return 0


def _page(server: Answer | None) -> Page | None:
    return Page(**server["page"]) if server else None


def _show_invite(answer: Answer, workspace: Path, qr: bool | None) -> list[str]:
    page = _page(answer["server"])
    what = f"session {answer['sessionId']}" if answer["sessionId"] else "all sessions"
    uses = f", good for {answer['uses']} connections" if answer["uses"] else ""
    lines = [f"invite {answer['id']}: watches {what}, until {answer['expiresAt']}{uses}"]
    if page is None:
        lines += [f"token: {answer['token']}", "no server runs here now; `myagent remote serve` will take this token"]
    else:
        lines.append(f"in a browser:   {answer['link']}")
        if (url := page.socket_url) is not None:
            session = f" --session {answer['sessionId']}" if answer["sessionId"] else ""
            client = f"{TOKEN_VARIABLE}={answer['token']} myagent remote client --url {url}{session}"
            lines.append(f"in a terminal:  {client}")
    lines.append(f"to end it:      {revoking(answer['id'], workspace)}")
    if page is not None:
        lines += reach_note(page)
        lines += qr_code(answer["link"], page, wanted=qr)
    return lines


def _show_revoked(answer: Answer) -> list[str]:
    if not answer["revoked"]:
        return ["there was no invite to revoke"]
    return [f"revoked {' '.join(answer['revoked'])}; connections closed: {answer['closed']}"]


def _show_rotated(answer: Answer) -> list[str]:
    return [
        f"a new owner token is in {escape(answer['authFile'])}; connections closed: {answer['closed']}",
        "whoever has the old one is out; invites are as they were",
    ]


def _table(invites: list[Answer], time: datetime) -> list[str]:
    if not invites:
        return ["no invites"]
    rows = [("ID", "SCOPE", "SESSION", "EXPIRES IN", "USES", "LAST SEEN", "NOW", "LABEL")]
    for invite in invites:
        left = (datetime.fromisoformat(invite["expiresAt"]) - time).total_seconds()
        uses = f"{invite['used']}/{invite['uses']}" if invite["uses"] else f"{invite['used']}"
        seen = (invite["lastSeen"] or "never").partition(".")[0]
        live = str(invite["connections"])
        session = invite["sessionId"] or "all"
        rows.append((invite["id"], invite["scope"], session, _left(left), uses, seen, live, escape(invite["label"])))
    widths = [max(len(row[column]) for row in rows) for column in range(7)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[7]]).rstrip()
        for row in rows
    ]


def _left(seconds: float) -> str:
    for unit in ("d", "h", "m"):
        if seconds >= _UNITS[unit]:
            return f"{int(seconds // _UNITS[unit])}{unit}"
    return f"{max(0, int(seconds))}s"
