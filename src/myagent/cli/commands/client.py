"""`myagent remote client`: shows a session on this terminal, asks here for permissions, submits a prompt."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from myagent.cli import target
from myagent.cli.terminal.driver import NOT_ALLOWED, Driver, Wanted
from myagent.cli.terminal.output import Screen
from myagent.cli.terminal.question import Keyboard
from myagent.client import Attachment, ClientError, Refused, connect
from myagent.client.naming import named
from myagent.core.display import escape
from myagent.exceptions import MyagentError

GIVE_UP = 30.0  # seconds without a connection after which a prompt's client says so; a watcher goes on trying


def run(arguments: argparse.Namespace) -> int:
    if arguments.after is not None and arguments.session is None:
        arguments.usage_error("--after needs --session: events are numbered in their session")
    if arguments.permission_mode is not None and arguments.prompt is None:
        arguments.usage_error("--permission-mode belongs to a --prompt")
    if arguments.option and arguments.prompt is None:
        arguments.usage_error("--option belongs to a --prompt")
    if (arguments.image or arguments.file) and arguments.prompt is None:
        arguments.usage_error("--image and --file belong to a --prompt")
    has_terminal = sys.stdin is not None and sys.stdin.isatty()
    if arguments.prompt == "-":
        try:
            arguments.prompt = "" if sys.stdin is None else sys.stdin.buffer.read().decode()
        except UnicodeDecodeError:
            arguments.usage_error("--prompt -: what standard input gives is not UTF-8")
    if arguments.prompt is not None and not arguments.prompt.strip():
        arguments.usage_error("--prompt is blank")
    if arguments.timestamps and arguments.raw:
        arguments.usage_error("--timestamps is written before lines, which --raw has none of")
    screen = Screen(raw=arguments.raw, times=arguments.timestamps)
    try:
        return asyncio.run(_run(arguments, screen, has_terminal))
    except Refused as refused:
        missing = refused.status == 404 and arguments.session is not None and not refused.by_relay
        screen.say(
            escape(
                f"there is no session {arguments.session} on that server"
                if missing
                else target.told(refused, arguments)
            )
        )
        return NOT_ALLOWED
    except MyagentError as error:
        screen.say(escape(str(error)))
        return target.exit_code(error)


async def _run(arguments: argparse.Namespace, screen: Screen, has_terminal: bool) -> int:
    address = target.address(arguments)
    if arguments.session is not None:
        address.check_plain(allowed=arguments.insecure_plain)
        arguments.session = await asyncio.to_thread(named, address, target.token(arguments, address), arguments.session)
    images = [Attachment.read(path, "image") for path in arguments.image]
    wanted = Wanted(
        attachments=(*images, *(Attachment.read(path, "file") for path in arguments.file)),
        prompt=arguments.prompt,
        session=arguments.session,
        mode=arguments.permission_mode,
        options=dict(arguments.option),
        take_over=arguments.take_over,
    )
    driver = Driver(wanted, screen, Keyboard(sys.stdin.fileno()) if has_terminal else None)
    client = connect(
        address,
        token=target.token(arguments, address),
        session=arguments.session,
        after=arguments.after,
        role=arguments.role,
        label=target.label(arguments),
        reconnect=arguments.reconnect,
        reconnect_for=float("inf") if wanted.prompt is None else GIVE_UP,
        insecure_plain=arguments.insecure_plain,
        on_state=driver.state_changed,
        locate=target.locating(arguments),
    )
    work = driver.start(client)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, driver.interrupt)
    loop.add_signal_handler(signal.SIGTERM, driver.terminate)
    try:
        return await work
    except (asyncio.CancelledError, ClientError):
        if not driver.interrupted:
            raise
        return driver.exit_when_left
