"""A shared session in half a minute: one owner drives, two followers watch, a third comes late and misses nothing.

Everything is real: a server on a free port of this machine, its log on disk, an agent that runs a command, a permission
request that the owner answers. Run it with `make demo`, or read it as an example of the Python API.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from pathlib import Path

from myagent.agents.builtin.command import CommandAgent
from myagent.client import Client, Message, connect
from myagent.core.messages import (
    AgentStderr,
    AgentStdout,
    PermissionRequest,
    PermissionResolved,
    Prompt,
    SessionEvent,
    TerminalState,
)
from myagent.server import Server

COMMAND = "!for part in parse compile link; do echo $part; sleep 0.4; done; wc -c < notes.txt"
WATCHERS = ("owner", "follower 1", "follower 2")


class Board:
    """Prints each event of the session when everybody who is connected has seen it, with who they are."""

    def __init__(self) -> None:
        self.seen: dict[int, list[str]] = {}
        self.events: dict[int, SessionEvent] = {}

    def saw(self, who: str, event: SessionEvent) -> None:
        seq = event.seq or 0
        assert self.events.setdefault(seq, event) == event, "two watchers saw different things"
        watchers = self.seen.setdefault(seq, [])
        watchers.append(who)
        if sorted(watchers) == sorted(WATCHERS) and (text := describe(event)):
            say(f"{seq:>3}  {text:<58} seen by {', '.join(WATCHERS)}")


async def follow(client: Client, who: str, board: Board) -> str:
    """Watch until the turn ends; the owner answers what is asked. Returns the session's id."""
    async for message in client:
        if not is_event(message):
            continue
        board.saw(who, message)
        if isinstance(message, PermissionRequest) and client.role == "owner":
            await asyncio.sleep(1.0)  # so that one can read the question
            await client.decide(message, "allow")
        if isinstance(message, TerminalState):
            return message.session_id
    raise AssertionError("the connection closed before the turn ended")


async def demo(workspace: Path) -> None:
    (workspace / "notes.txt").write_text("Twenty-four bytes here.\n")
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server(workspace, CommandAgent()))
        say(f"a server listens on {server.url}, its log is in {server.auth_path.parent}")
        clients = [
            await stack.enter_async_context(connect(server.url, token=server.token, label=who)) for who in WATCHERS
        ]
        for who, client in zip(WATCHERS, clients, strict=True):
            say(f"{who} connects and is told: role {client.role}")
        say(f"the owner sends a prompt: {COMMAND}\n")
        await clients[0].prompt(COMMAND)
        board = Board()
        sessions = await asyncio.gather(*(follow(c, w, board) for w, c in zip(WATCHERS, clients, strict=True)))

        say("\na follower comes late and reads the same session from its beginning:")
        late = connect(server.url, token=server.token, label="late", session=sessions[0], after=0)
        late_events = []
        async for message in await stack.enter_async_context(late):
            if is_event(message):
                late_events.append(message)
            if len(late_events) == len(board.events):
                break
        assert late_events == [board.events[seq] for seq in sorted(board.events)]
        say(f"it saw events 1 to {len(late_events)}, in order, none missing, none twice")
    say("the server stopped")


def is_event(message: Message) -> bool:
    return isinstance(message, SessionEvent) and message.seq is not None


def describe(event: SessionEvent) -> str:
    match event:
        case Prompt():
            return "the turn begins"
        case PermissionRequest():
            return f"permission asked for {event.request.tool_name}"
        case PermissionResolved():
            return f"permission: {event.outcome}, by {event.by}"
        case AgentStdout():
            return f"stdout: {event.chunk.strip()}"
        case AgentStderr():
            return f"stderr: {event.chunk.strip()}" if event.chunk.strip() else ""
        case TerminalState():
            return f"the turn ends with exit code {event.exit_code}"


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="myagent-demo-") as directory:
        asyncio.run(demo(Path(directory)))
    sys.exit(0)
