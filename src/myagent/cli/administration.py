"""Who may connect to the workspace here, changed for the commands `invite`, `invites`, `revoke` and `token rotate`.

A running server is asked over its control channel; without one, the state directory is taken and changed directly.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from myagent.access import asking
from myagent.access.registry import Access, AnyRequest
from myagent.access.state_directory import StateDir
from myagent.cli.directory import given_directory
from myagent.cli.target import tell_untrusted
from myagent.cli.terminal.output import data, put, say
from myagent.client.here import served_workspace
from myagent.core.audit import entry
from myagent.eventlog import Unit
from myagent.eventlog.sqlite import SqliteLog
from myagent.exceptions import MyagentError
from myagent.host.session_store import now

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}

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
    return float(int(matched.group(1)) * UNITS[matched.group(2)])


def find_workspace(arguments: argparse.Namespace) -> Path:
    """The directory of `--cwd`, or the nearest one above, that has been served. Raises `NothingServed`."""
    start = Path(arguments.cwd).resolve()
    workspace = served_workspace(start, tell_untrusted)
    if workspace is None:
        raise NothingServed(start)
    return workspace


def ask(workspace: Path, request: AnyRequest) -> Answer:
    """Have a request carried out, by the server that runs or else here. Raises `MyagentError`."""
    state = StateDir(workspace)
    answer = asking.ask(state.path, request)
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


def carry_out(
    arguments: argparse.Namespace,
    request: AnyRequest,
    show: Callable[[Answer], list[str]],
    complete: Callable[[Answer], Answer] = dict,
) -> int:
    """Run a command: have `request` carried out and print the answer, completed, as JSON or as `show` has it.

    Returns the exit code.
    """
    given_directory(arguments)
    try:
        answer = complete(ask(find_workspace(arguments), request))
    except MyagentError as error:
        say(str(error))
        return 3
    if arguments.json:
        data(f"{json.dumps(answer, indent=2)}\n")
    else:
        put("\n".join(show(answer)) + "\n", keep_colours=True)  # a QR code has colours
    return 0
