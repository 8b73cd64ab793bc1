"""MCP servers of the operator's choosing: started, listed, and called, through the protocol's own SDK.

A server's program runs in a group of its own, with the environment that commands get and what its entry adds, and in an
empty directory unless its entry names one: programs as `npx` and `python -m` look first into the directory they run in.
What a server says of its tools is told to the model, and never decides whether a call is asked for: each is.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import msgspec
from mcp import Client, types
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage

from myagent import __version__
from myagent.agents.builtin.mcp_config import McpServer, McpUnusable
from myagent.agents.builtin.outbound import Routed
from myagent.agents.processes.ndjson import READ_BYTES, Lines, LineTooLong, connected
from myagent.agents.processes.piped import PipedChild
from myagent.agents.processes.process import child_environment
from myagent.agents.rendering import JSON
from myagent.agents.tools.toolbox import External, Offer
from myagent.agents.tools.workspace import ToolFailed

START_SECONDS = 60.0  # `npx` fetches what it starts
CALL_SECONDS = 300.0
STOP_SECONDS = 2.0  # after its input was closed
TOOLS = 128  # of one server
DESCRIPTION_CHARACTERS = 2000
SCHEMA_BYTES = 32_000  # of one tool; a larger one is left out
STDERR_CHARACTERS = 400  # of its last words, in an error


class McpCallFailed(ToolFailed):
    """A server did not do what it was called for."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class McpServers:
    """All of them. `start` and `close` are idempotent; `tools` are those of the servers that run."""

    def __init__(self, servers: Sequence[McpServer], env: Mapping[str, str]) -> None:
        self._running = [_Running(server, env) for server in servers]

    async def start(self) -> None:
        """Start those that do not run. Raises `McpUnusable` for the first that does not answer."""
        started = await asyncio.gather(*(each.start() for each in self._running), return_exceptions=True)
        for outcome in started:
            if isinstance(outcome, BaseException):
                raise outcome

    def tools(self) -> dict[str, External]:
        found: dict[str, External] = {}
        for running in self._running:
            for tool in running.tools:
                name = _free_name(f"{running.server.name}__{tool.name}", found)
                schema = dict(tool.input_schema or {"type": "object"})
                offer = Offer(name, (tool.description or tool.name)[:DESCRIPTION_CHARACTERS], schema)
                found[name] = External(offer, running.server.name, tool.name, running.server.shown, running.call)
        return found

    async def close(self) -> None:
        await asyncio.gather(*(each.close() for each in self._running))


def _free_name(wanted: str, taken: Mapping[str, Any]) -> str:
    """A name as endpoints take them, that no other tool has."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", wanted)[:60]
    return next(each for each in (name, *(f"{name}_{n}" for n in range(2, 999))) if each not in taken)


class _Running:
    """One server. The SDK wants its client entered and left by the same task, which `_task` is."""

    def __init__(self, server: McpServer, env: Mapping[str, str]) -> None:
        self.server, self._env = server, env
        self.tools: list[types.Tool] = []
        self._client: Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._stderr = ""

    async def start(self) -> None:
        if self._task is not None and not self._task.done():
            return
        self._ended.clear()
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(ready), name=f"MCP server {self.server.name}")
        try:
            async with asyncio.timeout(START_SECONDS):
                await asyncio.wait({ready, self._task}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            await self.close()
            raise McpUnusable(
                self.server.name, f"it did not answer in {START_SECONDS:g} s{self._last_words()}"
            ) from None
        if not ready.done():
            await asyncio.wait([self._task])
            error = self._task.exception()
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            reason = f"it could not be started ({error})" if isinstance(error, OSError) else "it does not answer as one"
            raise McpUnusable(self.server.name, f"{reason}{self._last_words()}") from error

    async def call(self, name: str, arguments: JSON) -> str:
        """Call a tool; what came of it, as text. Raises `McpCallFailed`."""
        if self._client is None:
            raise McpCallFailed(f"the MCP server {self.server.name} has ended{self._last_words()}")
        try:
            result = await self._client.call_tool(name, arguments, read_timeout_seconds=CALL_SECONDS)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # of any server, and of the SDK around it: told to the model
            gone = " (it has ended)" if self._ended.is_set() else ""
            raise McpCallFailed(f"the MCP server {self.server.name} failed: {error}{gone}") from error
        text = _text_of(result)
        if result.is_error:
            raise McpCallFailed(text or "the tool failed")
        return text

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            self._ended.set()
            await asyncio.wait([task], timeout=4 * STOP_SECONDS)
            task.cancel()
            await asyncio.wait([task])

    async def _run(self, ready: asyncio.Future[None]) -> None:
        info = types.Implementation(name="myagent", version=__version__)
        try:
            async with Client(self._transport(), client_info=info, cache=None) as client:
                self.tools = await _listed(client)
                self._client = client
                ready.set_result(None)
                await self._ended.wait()
        finally:
            self._client, self.tools = None, []

    def _transport(self) -> AbstractAsyncContextManager[Any]:
        return self._streamed() if self.server.url else self._piped()

    @asynccontextmanager
    async def _streamed(self) -> AsyncIterator[Any]:
        timeout = httpx2.Timeout(30.0, read=CALL_SECONDS)
        headers = dict(self.server.headers)
        async with (
            httpx2.AsyncClient(transport=Routed(self._env), headers=headers, timeout=timeout, trust_env=False) as http,
            streamable_http_client(self.server.url, http_client=http) as streams,
        ):
            yield streams

    @asynccontextmanager
    async def _piped(self) -> AsyncIterator[Any]:
        with tempfile.TemporaryDirectory(prefix="myagent-mcp-") as empty:
            env = child_environment(self._env) | dict(self.server.env)
            child = await connected(self.server.argv, cwd=self.server.cwd or Path(empty), env=env)
            to_client, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
            outgoing, from_client = anyio.create_memory_object_stream[SessionMessage](0)
            tasks = [
                asyncio.create_task(work, name=f"MCP server {self.server.name}: {what}")
                for what, work in (
                    ("stdout", self._hear(child, to_client)),
                    ("stdin", _tell(child, from_client)),
                    ("stderr", self._overhear(child)),
                )
            ]
            try:
                yield incoming, outgoing
            finally:
                try:
                    await _ended(child)
                except BaseException:
                    child.signal(signal.SIGKILL)
                    raise
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                for stream in (to_client, incoming, outgoing, from_client):
                    stream.close()

    async def _hear(self, child: PipedChild, to_client: Any) -> None:
        """Pass on what it says, until it has ended or says what cannot be read."""
        lines = Lines()
        try:
            while data := await child.stdout.read(READ_BYTES):
                for line in lines.feed(data):
                    if line.strip():
                        await to_client.send(_message(line))
        except (LineTooLong, anyio.BrokenResourceError, anyio.ClosedResourceError, ConnectionError):
            pass
        to_client.close()
        self._ended.set()

    async def _overhear(self, child: PipedChild) -> None:
        while data := await child.stderr.read(READ_BYTES):
            self._stderr = (self._stderr + data.decode("utf-8", "replace"))[-STDERR_CHARACTERS:]

    def _last_words(self) -> str:
        words = " ".join(self._stderr.split())
        return f": {words}" if words else ""


async def _tell(child: PipedChild, from_client: Any) -> None:
    try:
        async for message in from_client:
            text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
            child.stdin.write(f"{text}\n".encode())
            await child.stdin.drain()
    except (ConnectionError, anyio.ClosedResourceError):
        pass


async def _ended(child: PipedChild) -> None:
    """End it: its input is closed, then its group is told, then killed."""
    child.stdin.close()
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await child.exited.wait()
            break
        except TimeoutError:
            child.signal(number)
    await child.exited.wait()
    child.close_pipes()


def _message(line: bytes) -> SessionMessage | Exception:
    try:
        return SessionMessage(types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        return error


async def _listed(client: Client) -> list[types.Tool]:
    found: list[types.Tool] = []
    cursor = None
    while len(found) < TOOLS:
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        if (cursor := page.next_cursor) is None or not page.tools:
            break
    return [tool for tool in found[:TOOLS] if len(msgspec.json.encode(tool.input_schema)) <= SCHEMA_BYTES]


def _text_of(result: types.CallToolResult) -> str:
    """What a tool gave, as far as it can be told in words."""
    told = []
    for block in result.content:
        match block:
            case types.TextContent(text=text):
                told.append(text)
            case types.EmbeddedResource(resource=types.TextResourceContents(text=text)):
                told.append(text)
            case types.ResourceLink(uri=uri):
                told.append(f"(a resource: {uri})")
            case _:
                told.append(f"({block.type}, which is not told to the model)")
    if not told and result.structured_content is not None:
        told.append(json.dumps(result.structured_content))
    return "\n".join(told)
