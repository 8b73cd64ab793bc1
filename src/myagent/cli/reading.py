"""Reads sessions of a server whole, for the commands `export` and `replay`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator

from myagent.cli import target
from myagent.cli.terminal.output import say
from myagent.client.asking import all_events, list_sessions, session
from myagent.client.errors import Refused
from myagent.client.naming import named
from myagent.core.messages import Metadata
from myagent.exceptions import MyagentError

TOLD_EVERY = 5000  # events between two lines of progress; shorter exports say nothing


def read_session(
    arguments: argparse.Namespace, work: Callable[[argparse.Namespace, Metadata, Iterable[bytes]], None]
) -> int:
    """Give `work` the session that the arguments name, and its events; the exit code."""
    return read_sessions(arguments, lambda _: [arguments.session], work)


def read_sessions(
    arguments: argparse.Namespace,
    wanted: Callable[[Callable[[], list[str]]], list[str]],
    work: Callable[[argparse.Namespace, Metadata, Iterable[bytes]], None],
) -> int:
    """The same for each session of those that are `wanted`, which is given what lists the ids of all."""
    name = ""
    try:
        address = target.address(arguments)
        address.check_plain(allowed=arguments.insecure_plain)
        token = target.token(arguments, address)
        names = wanted(lambda: [str(each["sessionId"]) for each in list_sessions(address, token)])
        ids = [named(address, token, each) for each in names]  # before anything is written
        for name in dict.fromkeys(ids):
            metadata = session(address, token, name)
            work(arguments, metadata, _counted(all_events(address, token, metadata), metadata.head))
    except Refused as refused:
        missing = refused.status == 404
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
