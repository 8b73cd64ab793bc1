"""Reads sessions of a server whole, for the commands `export` and `replay`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator

from myagent.cli import target
from myagent.cli.terminal.output import say
from myagent.client.address import Address
from myagent.client.asking import all_events, blob, blobs, list_sessions, session
from myagent.client.errors import Refused
from myagent.client.naming import named
from myagent.core.messages import Metadata
from myagent.exceptions import MyagentError

TOLD_EVERY = 5000  # events between two lines of progress; shorter exports say nothing


class Carried:
    """The pictures and files of one session."""

    def __init__(self, address: Address, token: str, session_id: str) -> None:
        self._where = (address, token, session_id)

    def digests(self) -> list[str]:
        return blobs(*self._where)

    def get(self, digest: str) -> bytes | None:
        return blob(*self._where, digest)


Work = Callable[[argparse.Namespace, Metadata, Iterable[bytes], Carried], None]


def read_session(arguments: argparse.Namespace, work: Work) -> int:
    """Give `work` the session that the arguments name, its events, and its pictures and files; the exit code."""
    return read_sessions(arguments, lambda _: [arguments.session], work)


def read_sessions(
    arguments: argparse.Namespace,
    wanted: Callable[[Callable[[], list[str]]], list[str]],
    work: Work,
    *,
    updates: bool = False,
) -> int:
    """The same for each session of those that are `wanted`, which is given what lists the ids of all. `updates`: events
    come with their structured updates."""
    name = ""
    try:
        address = target.address(arguments)
        address.check_plain(allowed=arguments.insecure_plain)
        token = target.token(arguments, address)
        names = wanted(lambda: [str(each["sessionId"]) for each in list_sessions(address, token)])
        ids = [named(address, token, each) for each in names]  # before anything is written
        for name in dict.fromkeys(ids):
            metadata = session(address, token, name)
            lines = all_events(address, token, metadata, updates=updates)
            work(arguments, metadata, _counted(lines, metadata.head), Carried(address, token, metadata.session_id))
    except Refused as refused:
        missing = refused.status == 404 and not refused.by_relay
        say(f"there is no session {name} on that server" if missing else target.told(refused, arguments))
        return 3
    except MyagentError as error:
        say(str(error))
        return target.exit_code(error)
    return 0


def _counted(lines: Iterable[bytes], total: int) -> Iterator[bytes]:
    """Pass events on, and say on stderr how far it has come."""
    for count, line in enumerate(lines, 1):
        if count % TOLD_EVERY == 0:
            say(f"{count} of {total} events")
        yield line
