"""A client that knows the wire and nothing else of myagent, and a scene to put it in.

Every message that any client of a scene ever receives is checked: the opening comes in order, the events of a session
are one rising run without a gap, and an event has the same bytes for everybody, live or replayed.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import websockets
from puppet import PATIENCE
from websockets.asyncio.client import ClientConnection, connect

from myagent.agents import Agent
from myagent.agents.builtin.command import CommandAgent
from myagent.server import Server, Settings

EVENTS = {
    "prompt",
    "activity",
    "agent_stdout",
    "agent_stderr",
    "permission_request",
    "permission_resolved",
    "terminal_state",
}

Message = dict[str, Any]


class Run:
    """What one connection has seen of the sessions, held against what it may see."""

    def __init__(self, known: dict[tuple[str, int], str] | None = None) -> None:
        self.known = {} if known is None else known  # (session, seq) → the event as somebody saw it
        self.seen: dict[str, int] = {}
        self._moves: dict[str, int] = {}  # id of a `resume` → where its `ack` moves the cursor to

    def will_move(self, message_id: str, after_seq: int) -> None:
        self._moves[message_id] = after_seq

    def start(self, session_id: str, after_seq: int) -> None:
        self.seen[session_id] = after_seq

    def take(self, text: str, message: Message) -> None:
        kind = message["type"]
        if kind == "ack" and message["id"] in self._moves:
            self.seen[message["sessionId"]] = self._moves[message["id"]]
        elif kind == "replayed":
            assert self.seen[message["sessionId"]] == message["head"]
        elif kind == "gap":
            self.seen[message["sessionId"]] = message["to"]
        elif kind not in EVENTS:
            assert "seq" not in message, message
        elif message.get("pending"):
            self._same(json.dumps({key: value for key, value in message.items() if key != "pending"}), message)
        else:
            session, seq = message["sessionId"], message["seq"]
            before = self.seen.get(session, seq - 1)
            assert seq == before + 1, f"{session}: event {seq} came after {before}"
            self.seen[session] = seq
            if "update" not in message:
                self._same(text, message)

    def _same(self, text: str, message: Message) -> None:
        place = (message["sessionId"], message["seq"])
        if message.get("pending") is None:
            assert self.known.setdefault(place, text) == text, f"two versions of event {place}"
        elif place in self.known:
            assert json.loads(self.known[place]) == json.loads(text)


class Client:
    """One connection, from its first message to its close."""

    def __init__(self, socket: ClientConnection, run: Run) -> None:
        self.socket, self.run = socket, run
        self.messages: list[Message] = []
        self.role = ""
        self.welcome: Message = {}

    @property
    def connection_id(self) -> str:
        return str(self.welcome["connectionId"])

    async def open(self) -> None:
        assert await self.next() == {"type": "ready", "protocolVersion": 1}
        role = await self.next()
        assert role["type"] == "role" and set(role) == {"type", "role"}
        self.role = role["role"]
        self.welcome = await self.next()
        assert self.welcome["type"] == "welcome"

    async def send(self, kind: str, **fields: Any) -> str:
        """Send a message; returns its id."""
        message = {"type": kind, "id": f"{kind}-{uuid.uuid4()}", **fields}
        if kind == "resume" and isinstance(fields.get("afterSeq"), int):
            self.run.will_move(message["id"], fields["afterSeq"])
        await self.socket.send(json.dumps(message))
        return str(message["id"])

    async def send_raw(self, data: str | bytes) -> None:
        await self.socket.send(data)

    async def next(self) -> Message:
        """The next message, whatever it is."""
        text = await asyncio.wait_for(self.socket.recv(), PATIENCE)
        assert isinstance(text, str)
        message: Message = json.loads(text)
        self.run.take(text, message)
        self.messages.append(message)
        return message

    async def until(self, kind: str, **fields: Any) -> Message:
        """Read on to the first message of a type with these fields."""
        while True:
            message = await self.next()
            if message["type"] == kind and fields.items() <= message.items():
                return message

    async def refused(self, message_id: str | None, code: str) -> Message:
        """Read on to the answer to a message, which must be this refusal."""
        while True:
            message = await self.next()
            if message["type"] in ("error", "ack", "pong") and message.get("id") == message_id:
                assert (message["type"], message.get("code")) == ("error", code), message
                return message

    async def acked(self, message_id: str, *, duplicate: bool = False) -> Message:
        """Read on to the answer to a message, which must be its `ack`."""
        while True:
            message = await self.next()
            if message["type"] in ("error", "ack", "pong") and message.get("id") == message_id:
                assert (message["type"], message.get("duplicate")) == ("ack", duplicate), message
                return message

    async def settle(self) -> list[Message]:
        """What comes until the server has answered all that was sent before, and has shown what that made."""
        start = len(self.messages)
        for _ in range(2):
            await self.until("pong", id=await self.send("ping"))
        return [message for message in self.messages[start:] if message["type"] != "pong"]

    async def closed(self) -> int:
        """Read on to the end; the close code, 1006 where there was no close frame."""
        try:
            while True:
                await self.next()
        except websockets.ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006

    async def leave(self) -> None:
        """Close with a close frame, and wait for the answer."""
        await self.socket.close()

    def drop(self) -> None:
        """Be gone without a close frame."""
        self.socket.transport.abort()

    def of(self, *kinds: str) -> list[Message]:
        """What has come so far of some types."""
        return [message for message in self.messages if message["type"] in kinds]


class Scene:
    """A server and whoever connects to it."""

    def __init__(self, server: Server, stack: AsyncExitStack) -> None:
        self.server = server
        self.known: dict[tuple[str, int], str] = {}
        self._stack = stack

    async def join(self, query: str = "", *, headers: Mapping[str, str] = MappingProxyType({})) -> Client:
        """Connect, and take the opening messages."""
        client = Client(await self.dial(query, headers=headers), Run(self.known))
        await client.open()
        return client

    async def dial(self, query: str = "", *, headers: Mapping[str, str] = MappingProxyType({})) -> ClientConnection:
        """Only connect."""
        given = {"Authorization": f"Bearer {self.server.token}", **headers}
        opening = connect(
            f"{self.server.url}/{query}", additional_headers=given, compression=None, max_queue=None, max_size=1 << 22,
            ping_interval=None, close_timeout=1, proxy=None,
        )  # fmt: skip
        return await self._stack.enter_async_context(opening)

    async def get(self, path: str, *, authorized: bool = True, method: str = "GET") -> tuple[int, bytes]:
        """A plain HTTP request: status and body."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        credential = f"Authorization: Bearer {self.server.token}\r\n" if authorized else ""
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.server.port}\r\n{credential}\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    async def events(self, session_id: str, query: str = "") -> list[Message]:
        """A page of a session's events over HTTP, checked against what was seen on the WebSocket."""
        status, body = await self.get(f"/sessions/{session_id}/events{query}")
        assert status == 200, body
        run = Run(self.known)
        events = []
        for line in body.decode().splitlines():
            run.take(line, json.loads(line))
            events.append(json.loads(line))
        return events

    async def turn(self, owner: Client, prompt: str, *, allow: bool = True, **fields: Any) -> Message:
        """Let the owner run a turn to its end, answering what it asks; returns the `terminal_state`."""
        message_id = await owner.send("user_message", prompt=prompt, **fields)
        while True:
            message = await owner.next()
            assert message["type"] != "error", message
            if message["type"] == "permission_request" and message["id"] == message_id:
                await decide(owner, message, "allow" if allow else "deny")
            elif message["type"] == "terminal_state" and message["id"] == message_id:
                return message


async def decide(client: Client, request: Message, kind: str, **fields: Any) -> str:
    """Answer a permission request, bound to what it showed."""
    decision = {"kind": kind, "digest": request["request"]["digest"], **fields}
    return await client.send(
        "permission_decision", permissionRequestId=request["permissionRequestId"], decision=decision
    )


@asynccontextmanager
async def scene(workspace: Path, agent: Agent | None = None, **settings: Any) -> AsyncIterator[Scene]:
    """Serve a directory, in this process; at the end everybody leaves and the server stops."""
    server = Server(workspace, agent or CommandAgent(), Settings(**settings))
    async with server, AsyncExitStack() as stack:
        yield Scene(server, stack)
