"""Between an editor's pipes and a server: lines to messages and back; the connection may be lost beneath."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

import msgspec

from myagent import __version__
from myagent.agents.processes.ndjson import Lines
from myagent.cli.stdio import Write
from myagent.cli.terminal.output import say
from myagent.client import Client, ClientError, Disconnected, NotConnected, PromptTooLarge
from myagent.client.state import State
from myagent.core.display import escape
from myagent.core.messages import Command, Error, Metadata
from myagent.editors import rpc
from myagent.editors.editor import Editor
from myagent.editors.second import Second
from myagent.editors.waiting import SessionsWanted
from myagent.exceptions import MyagentError

LINE_BYTES = 8 << 20  # of one message of the editor's: a prompt has at most a quarter of a megabyte, its JSON six times
READ_BYTES = 64 * 1024


class Incoming:
    """An editor's lines, one at a time."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader, self._cut, self._lines = reader, Lines(LINE_BYTES), list[bytes]()

    async def next(self) -> bytes | None:
        """`None` when the editor has closed its side. Raises `LineTooLong`."""
        while not self._lines:
            data = await self._reader.read(READ_BYTES)
            if not data:
                return None
            self._lines = [line for line in self._cut.feed(data) if line.strip()][::-1]
        return self._lines.pop()


def introduced(line: bytes) -> str | None:
    """What an editor calls itself, if a line is its `initialize`; `None` for any other line."""
    match rpc.read(line):
        case rpc.Request(method="initialize", params=params):
            info = params.get("clientInfo") or params.get("info")  # of version 1, of version 2
            named = [info.get("title"), info.get("name")] if isinstance(info, dict) else []
            return next((name for name in named if isinstance(name, str) and name.strip()), "editor")[:128]
    return None


def refusal(line: bytes, why: str) -> bytes | None:
    """The answer to a request that nobody serves; `None` for what wants none."""
    match rpc.read(line):
        case rpc.Request(id=number):
            return rpc.error(number, rpc.RpcError(rpc.INTERNAL_ERROR, why))
    return None


class Front:
    """One editor at one server. `fetch` lists the server's sessions; it blocks."""

    def __init__(
        self,
        client: Client,
        editor: Editor | Second,
        incoming: Incoming,
        write: Write,
        fetch: Callable[[], list[Metadata]],
    ) -> None:
        self._client, self._editor = client, editor
        self._incoming, self._write, self._fetch = incoming, write, fetch
        self._commands: asyncio.Queue[Command | SessionsWanted] = asyncio.Queue()

    async def run(self) -> None:
        """Serve until the editor closes its side. Raises a `ClientError` when the connection is gone for good, having
        told it to whoever waits in the editor."""
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._read(), name="acp read")
            following = tasks.create_task(self._follow(), name="acp follow")
            sending = tasks.create_task(self._send(), name="acp send")
            await asyncio.wait({reading, following}, return_when=asyncio.FIRST_COMPLETED)
            for task in (reading, following, sending):
                task.cancel()

    async def take(self, line: bytes) -> None:
        """Take one line of the editor's."""
        self._editor.from_editor(line)
        await self.flush()

    async def flush(self) -> None:
        for command in self._editor.commands():
            self._commands.put_nowait(command)
        if frames := self._editor.frames():
            await self._write(b"".join(frame + b"\n" for frame in frames))

    async def _read(self) -> None:
        while (line := await self._incoming.next()) is not None:
            await self.take(line)

    async def _follow(self) -> None:
        try:
            async for message in self._client:
                self._editor.from_server(message)
                await self.flush()
        except ClientError as error:
            self._editor.lost(escape(str(error)))
            await self.flush()
            raise

    async def _send(self) -> None:
        """Send in order; what cannot be sent now the editor's side gives again with the next connection."""
        while True:
            command = await self._commands.get()
            if isinstance(command, SessionsWanted):
                await self._list(command)
                continue
            try:
                await self._client.send(command)
            except (NotConnected, Disconnected):
                pass
            except PromptTooLarge as error:
                self._editor.from_server(Error(id=command.id, message=str(error), code="too_large"))
                await self.flush()

    async def _list(self, wanted: SessionsWanted) -> None:
        try:
            sessions: list[Metadata] | str = await asyncio.to_thread(self._fetch)
        except MyagentError as error:
            sessions = escape(str(error))
        self._editor.listed(wanted, sessions)
        await self.flush()


def new_id() -> str:
    return str(uuid.uuid4())


def metadata_of(rows: list[dict[str, object]]) -> list[Metadata]:
    """Sessions as a server lists them; one of another form is left out."""
    found = []
    for row in rows:
        try:
            found.append(msgspec.convert(row, Metadata))
        except msgspec.ValidationError:
            continue
    return found


def state_changed(state: State) -> None:
    """For the editor's own log."""
    if state.name == "reconnecting":
        say(escape(str(state)))


def make_editor(
    *, label: str, directory: str | None, only_mine: bool, without_mcp: bool, acp_v2: bool
) -> Editor | Second:
    editor = Editor(
        version=__version__,
        new_id=new_id,
        label=label,
        directory=directory,
        only_mine=only_mine,
        without_mcp=without_mcp,
    )
    return Second(editor) if acp_v2 else editor
