"""`myagent remote rename`, `archive` and `delete`: what becomes of whole sessions, asked for as the owner."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable

from myagent.cli import target
from myagent.cli.terminal.output import put, say
from myagent.client import Client, connect
from myagent.client.asking import list_sessions
from myagent.client.naming import resolve
from myagent.core.messages import Ack, Error
from myagent.exceptions import MyagentError
from myagent.text.wording import name_line, one_line

Ask = Callable[[Client, str], Awaitable[str]]


def rename(arguments: argparse.Namespace) -> int:
    title = arguments.title.strip()
    if len(title) > 200:
        arguments.usage_error("the name has more than 200 characters")
    arguments.sessions = [arguments.session]
    return _run(arguments, lambda client, session: client.rename(session, title), "renamed")


def archive(arguments: argparse.Namespace) -> int:
    put_away = not arguments.undo
    done = "archived" if put_away else "back from the archive"
    return _run(arguments, lambda client, session: client.archive(session, archived=put_away), done)


def delete(arguments: argparse.Namespace) -> int:
    if not arguments.yes and not sys.stdin.isatty():
        arguments.usage_error("there is no terminal to ask on; --yes deletes without asking")
    return _run(arguments, lambda client, session: client.delete(session), "deleted", sure=arguments.yes or _sure)


def _sure(titles: dict[str, str]) -> bool:
    for session, title in titles.items():
        put(f"  {session}  {one_line(title)}\n", error=True)
    put("Delete for good? [y/N] ", error=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _run(
    arguments: argparse.Namespace, ask: Ask, done: str, *, sure: bool | Callable[[dict[str, str]], bool] = True
) -> int:
    try:
        address = target.address(arguments)
        address.check_plain(allowed=arguments.insecure_plain)
        token = target.token(arguments, address)
        listed = list_sessions(address, token)
        wanted = dict.fromkeys(resolve(each, listed) for each in arguments.sessions)
        titles = {name: str(each.get("title") or "") for each in listed if (name := each["sessionId"]) in wanted}
        if callable(sure) and not sure(titles):
            say("nothing was deleted")
            return 3
        client = connect(address, token=token, insecure_plain=arguments.insecure_plain)
        return asyncio.run(_ask(client, ask, titles, done))
    except MyagentError as error:
        say(target.told(error, arguments))
        return target.exit_code(error)


async def _ask(client: Client, ask: Ask, titles: dict[str, str], done: str) -> int:
    """Ask for all of them; the exit code."""
    code = 0
    async with client:
        waiting = {await ask(client, session): session for session in titles}
        async for message in client:
            if isinstance(message, Ack) and message.id in waiting:
                session = waiting.pop(message.id)
                say(f"{session} is {done}", error=False)
            elif isinstance(message, Error) and message.id in waiting:
                session, code = waiting.pop(message.id), 3
                say(f"{session}: {one_line(message.message)}{_whose(client)}")
            if not waiting:
                break
    return code


def _whose(client: Client) -> str:
    owner = None if client.role == "owner" else client.owner
    return "" if owner is None else f"; {name_line(owner.label or owner.connection_id)} owns this workspace"
