"""`myagent remote attach`: connects, then gives the terminal to the full-screen client."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from myagent.cli import target
from myagent.cli.terminal import plain
from myagent.cli.terminal.hangup import leaving
from myagent.cli.terminal.output import put, say
from myagent.client import State, connect
from myagent.client.address import Address
from myagent.client.asking import page
from myagent.client.incoming import read
from myagent.client.naming import named
from myagent.core.messages import Event
from myagent.exceptions import MyagentError
from myagent.extras import install

if TYPE_CHECKING:
    from myagent.tui.app import Attach
    from myagent.tui.finding import Pages


class NotInstalled(MyagentError):
    def __str__(self) -> str:
        return f"attach needs the package textual: {install('tui')}; --plain works without it"


class DumbTerminal(MyagentError):
    def __str__(self) -> str:
        return "this terminal cannot be drawn on (TERM says so); attach --plain works line by line"


class NoTerminal(MyagentError):
    def __str__(self) -> str:
        return "attach needs a terminal; with --plain it works without one"


def run(arguments: argparse.Namespace) -> int:
    try:
        if arguments.plain:
            return asyncio.run(plain.run(arguments))
        if importlib.util.find_spec("textual") is None:
            raise NotInstalled
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise NoTerminal
        if os.environ.get("TERM", "dumb") in ("dumb", "unknown", ""):
            raise DumbTerminal
        return asyncio.run(_run(arguments))
    except MyagentError as error:
        say(target.told(error, arguments))
        return target.exit_code(error)


async def _run(arguments: argparse.Namespace) -> int:
    from myagent.tui.app import Attach

    address = target.address(arguments)
    token = target.token(arguments, address)
    if arguments.session is not None:
        address.check_plain(allowed=arguments.insecure_plain)
        arguments.session = await asyncio.to_thread(named, address, token, arguments.session)
    shown: list[Attach] = []

    def state_changed(state: State) -> None:
        for app in shown:
            app.state_changed(state)

    client = connect(
        address,
        token=token,
        role=arguments.role,
        label=target.label(arguments),
        wants=("updates",),
        reconnect=True,
        insecure_plain=arguments.insecure_plain,
        on_state=state_changed,
        locate=target.locating(arguments),
    )
    async with client:
        fetch = pages(lambda: client.server)
        if arguments.session is not None and arguments.session not in client.sessions:
            await asyncio.to_thread(plain.check_session, address, token, arguments.session)
        app = Attach(client, fetch, session=arguments.session)
        shown.append(app)
        with leaving(app.exit):
            code = await app.run_async(mouse=False)
        shown.clear()
        for text in (*app.outbox.unsent, *app.prompt_box.drafts):
            put(f"[remote] not sent:\n{text}\n", error=True)
        if app.loss is not None:
            raise app.loss
    return code or 0


def pages(server: Callable[[], tuple[Address, str]]) -> Pages:
    """What fetches a page of events from where the server is now, with the token that may travel there."""

    def fetch(session: str, *, after: int | None = None, before: int | None = None, limit: int) -> list[Event]:
        lines = page(*server(), session, after=after, before=before, limit=limit, updates=True)
        return [message for message in map(read, lines) if isinstance(message, Event)]

    return fetch
