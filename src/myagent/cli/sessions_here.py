"""Which session of the workspace here is meant, by its log: also while no server runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from myagent.access.state_directory import StateDir
from myagent.client.naming import is_whole, resolve
from myagent.eventlog.database import looking_at

DATABASE = "sessions.db"  # in the state directory


class _Document(msgspec.Struct):
    """Of a session's state, what tells which one is meant."""

    updated_at: str = ""
    title: str = ""
    name: str = ""
    archived: bool = False


def named_here(workspace: Path, wanted: str, also: Iterable[str] = ()) -> str:
    """The id of a session, for what somebody wrote (its id, a part of it, `@latest`); a whole id is not looked up.
    `also`: ids of such as are no more. Raises `LogUnusable`, `NoSuchSession`, `Ambiguous`."""
    if is_whole(wanted):
        return wanted
    with looking_at(StateDir(workspace).path / DATABASE) as connection:
        rows = connection.execute("SELECT id, CAST(state AS BLOB) FROM sessions").fetchall()
    found = [(name, msgspec.json.decode(state or b"{}", type=_Document)) for name, state in rows]
    found.sort(key=lambda row: row[1].updated_at, reverse=True)
    sessions = [
        {"sessionId": name, "title": document.name or document.title, "archived": document.archived}
        for name, document in found
    ]
    known = {name for name, _ in rows}
    gone = [{"sessionId": name, "title": "(deleted)", "archived": True} for name in sorted(set(also) - known)]
    return resolve(wanted, [*sessions, *gone])
