"""`myagent acp`: a shared session as an agent of the Agent Client Protocol, on stdin and stdout, for an editor."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from myagent.cli import editor, serving, stdio, target
from myagent.cli.directory import given_directory
from myagent.cli.editor import Front, Incoming
from myagent.cli.terminal.output import say
from myagent.client import connect
from myagent.client.address import Address
from myagent.client.asking import list_sessions
from myagent.client.here import served_workspace, status
from myagent.core.display import escape
from myagent.core.messages import Metadata
from myagent.editors.editor import Editor
from myagent.editors.second import Second
from myagent.exceptions import MyagentError


class NothingServed(MyagentError):
    """No server runs for the directory, and none was to be started."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.directory = directory

    def __str__(self) -> str:
        return f"no server runs in {self.directory} or above: run `myagent serve` there, or give --serve here"


def run(arguments: argparse.Namespace) -> int:
    named = [arguments.remote, arguments.url, arguments.host, arguments.port]
    is_named = any(each is not None for each in named)
    if arguments.serve and is_named:
        arguments.usage_error("--serve is for this directory: give it without --remote, --url, --host and --port")
    if not arguments.serve and (arguments.agent or arguments.model or arguments.agent_command):
        arguments.usage_error("which agent runs is said with --serve; a server that runs has one")
    try:
        os.chdir(given_directory(arguments))
        stdio.check()
        return asyncio.run(_until_told(arguments, is_elsewhere=is_named or bool(os.environ.get(target.URL_VARIABLE))))
    except MyagentError as error:
        say(escape(target.told(error, arguments)))
        return target.exit_code(error)


async def _until_told(arguments: argparse.Namespace, *, is_elsewhere: bool) -> int:
    work = asyncio.create_task(_run(arguments, is_elsewhere=is_elsewhere), name="acp")
    told: list[int] = []

    def stop(number: int) -> None:
        told.append(number)
        work.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    try:
        await work
    except asyncio.CancelledError:
        return 128 + told[0] if told else 130
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    return 0


async def _run(arguments: argparse.Namespace, *, is_elsewhere: bool) -> None:
    async with AsyncExitStack() as stack:
        reader, write = await stack.enter_async_context(stdio.pipes())
        incoming = Incoming(reader)
        made = partial(
            editor.make_editor,
            directory=None if is_elsewhere else str(_shared(Path.cwd())),
            only_mine=arguments.only_mine,
            without_mcp=arguments.without_mcp,
            acp_v2=arguments.acp_v2,
        )
        early = made(label="")  # answers what comes before the editor has introduced itself
        while True:
            line = await incoming.next()
            if line is None:
                return
            if (name := editor.introduced(line)) is not None:
                break
            early.from_editor(line)
            await write(b"".join(frame + b"\n" for frame in early.frames()))
        try:
            front = await _joined(
                arguments, stack, made(label=arguments.label or name), incoming, write, name, is_elsewhere=is_elsewhere
            )
        except MyagentError as error:
            told = editor.refusal(line, escape(target.told(error, arguments)))
            await write(b"" if told is None else told + b"\n")
            raise
        await front.take(line)
        await front.run()


async def _joined(
    arguments: argparse.Namespace,
    stack: AsyncExitStack,
    side: Editor | Second,
    incoming: Incoming,
    write: stdio.Write,
    name: str,
    *,
    is_elsewhere: bool,
) -> Front:
    if not is_elsewhere and not await asyncio.to_thread(_runs_here):
        if not arguments.serve:
            raise NothingServed(Path.cwd())
        await stack.enter_async_context(serving.served(serving.arguments_of(arguments, Path.cwd())))
    address = await asyncio.to_thread(target.address, arguments)
    token = await asyncio.to_thread(target.token, arguments, address)
    client = connect(
        address,
        token=token,
        role=arguments.role,
        label=arguments.label or name,
        wants=("updates",),
        reconnect=True,
        insecure_plain=arguments.insecure_plain,
        on_state=editor.state_changed,
        locate=await asyncio.to_thread(target.locating, arguments),
    )
    await stack.enter_async_context(client)
    if client.welcome is not None:
        side.knows(client.welcome)
    return Front(client, side, incoming, write, lambda: _sessions(*client.server))


def _runs_here() -> bool:
    workspace = served_workspace(Path.cwd(), target.tell_untrusted)
    return workspace is not None and status(workspace) is not None


def _shared(here: Path) -> Path:
    """The directory that is shared: the nearest one above that is served, or this one."""
    return (served_workspace(here) or here).resolve()


def _sessions(address: Address, token: str) -> list[Metadata]:
    return editor.metadata_of(list_sessions(address, token))
