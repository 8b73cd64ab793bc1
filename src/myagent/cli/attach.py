"""`myagent remote attach`: connects, then gives the terminal to the full-screen client."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import sys
from typing import TYPE_CHECKING

from myagent.cli import plain, target
from myagent.cli.screen import abandon_stdout
from myagent.client import State, connect
from myagent.client.address import parse
from myagent.client.asking import page
from myagent.client.incoming import read
from myagent.core.display import escape
from myagent.core.messages import Event
from myagent.exceptions import MyagentError

if TYPE_CHECKING:
    from myagent.tui.app import Attach, FetchBefore


class NotInstalled(MyagentError):
    def __str__(self) -> str:
        return "attach needs the package textual: pip install 'myagent[tui]'; --plain works without it"


class NoTerminal(MyagentError):
    def __str__(self) -> str:
        return "attach needs a terminal; with --plain it works without one"


class UnknownSession(MyagentError):
    def __init__(self, session: str) -> None:
        super().__init__(session)
        self.session = session

    def __str__(self) -> str:
        return f"there is no session {self.session} on that server"


def run(arguments: argparse.Namespace) -> int:
    try:
        if arguments.plain:
            return asyncio.run(plain.run(arguments))
        if importlib.util.find_spec("textual") is None:
            raise NotInstalled
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise NoTerminal
        return asyncio.run(_run(arguments))
    except BrokenPipeError:
        abandon_stdout()
        return 1
    except MyagentError as error:
        print(f"[remote] {escape(str(error))}", file=sys.stderr)
        return target.exit_code(error)


async def _run(arguments: argparse.Namespace) -> int:
    from myagent.tui.app import Attach

    url, token = target.url(arguments), target.token(arguments)
    shown: list[Attach] = []

    def state_changed(state: State) -> None:
        for app in shown:
            app.state_changed(state)

    client = connect(
        url,
        token=token,
        role=arguments.role,
        label=arguments.label,
        wants=("updates",),
        reconnect=True,
        insecure_plain=arguments.insecure_plain,
        on_state=state_changed,
    )
    async with client:
        fetch = before(url, token)
        if arguments.session is not None and arguments.session not in client.sessions:
            await asyncio.to_thread(_check_session, fetch, arguments.session)
        app = Attach(client, fetch, session=arguments.session)
        shown.append(app)
        code = await app.run_async(mouse=False)
        shown.clear()
        if app.loss is not None:
            raise app.loss
    return code or 0


def before(url: str, token: str) -> FetchBefore:
    """What fetches a page of earlier events; `connect` has checked that the token may travel there."""
    address = parse(url)

    def fetch(session: str, seq: int, limit: int) -> list[Event]:
        lines = page(address, token, session, before=seq, limit=limit, updates=True)
        return [message for message in map(read, lines) if isinstance(message, Event)]

    return fetch


def _check_session(fetch: FetchBefore, session: str) -> None:
    from myagent.client import Refused

    try:
        fetch(session, 1, 1)
    except Refused as refused:
        raise (UnknownSession(session) if refused.status == 404 else refused) from None
