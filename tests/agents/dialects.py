"""Answers as endpoints write them, in parts to make them of, and a server that sends them; `dialect_table.py` has all.

A dialect is named after who speaks it. Its answers are given one after another, the last of them again and again; a
dialect whose first answer calls tools goes on with words.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

JSON = dict[str, Any]


@dataclass(frozen=True)
class Raw:
    """A response as it goes over the wire. `pieces` are written one by one; `cut`: the connection breaks after them."""

    pieces: tuple[bytes, ...]
    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("content-type", "text/event-stream"),)
    cut: bool = False


def chunk(delta: JSON | None, finish: str | None = None, **more: Any) -> JSON:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}


def usage(prompt: int, completion: int) -> JSON:
    numbers = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": numbers}


def lines(*events: JSON | str, done: bool = True) -> bytes:
    texts = [event if isinstance(event, str) else f"data: {json.dumps(event)}\n\n" for event in events]
    return "".join([*texts, "data: [DONE]\n\n" if done else ""]).encode()


def sse(*events: JSON | str, done: bool = True, **more: Any) -> Raw:
    return Raw((lines(*events, done=done),), **more)


def whole(body: Any, *, status: int = 200, media: str = "application/json", **headers: str) -> Raw:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Raw((data,), status, (("content-type", media), *named))


def said(message: JSON, finish: Any = "stop") -> JSON:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


def call(path: str, number: Any = 0, call_id: Any = "call", **more: Any) -> JSON:
    """A whole call of Write. A field that is `None` here is left out."""
    function = {"name": "Write", "arguments": json.dumps({"path": path, "content": "x"}), **more}
    fields = {"index": number, "id": call_id, "type": "function", "function": function}
    return {key: value for key, value in fields.items() if value is not None}


def piece(arguments: str, number: Any = 0, **more: Any) -> JSON:
    function = {"arguments": arguments, **more.pop("function", {})}
    return {"tool_calls": [{"index": number, "function": function, **more}]}


def begin(number: Any = 0, call_id: Any = "call", arguments: str = "") -> JSON:
    return piece(arguments, number, id=call_id, type="function", function={"name": "Write"})


A, B = '{"path": "a", "content": "x"}', '{"path": "b", "content": "x"}'
WORDS = sse(chunk({"content": "done"}), chunk({}, "stop"))
HELLO = {"content": "hello"}
END = chunk({}, "stop")
CALLS = chunk({}, "tool_calls")


@dataclass(frozen=True)
class Dialect:
    """What an endpoint answers, and what a turn must make of it.

    `says` is the whole of what the model said, `beside` a part of what stands beside that, `makes` the files that its
    calls made, `ends` the stop reason.
    """

    name: str
    answers: tuple[Raw, ...]
    says: str = "hello"
    beside: str = ""
    makes: frozenset[str] = frozenset()
    ends: str = "end_turn"
    used: int | None = None  # tokens


def ends_well(name: str, *answers: Raw, **more: Any) -> Dialect:
    return Dialect(name, answers, **more)


def calls(name: str, answer: Raw, makes: str = "a", **more: Any) -> Dialect:
    return Dialect(name, (answer, WORDS), **{"says": "done", "makes": frozenset(makes), **more})


def fails(name: str, answer: Raw, beside: str, says: str = "", **more: Any) -> Dialect:
    return Dialect(name, (answer,), says=says, beside=beside, ends="failed", **more)


@dataclass
class Endpoint:
    """`url`, and the requests that came."""

    url: str
    asked: list[JSON] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)


@asynccontextmanager
async def endpoint(answers: Sequence[Raw], answering: Callable[[JSON], Raw] | None = None) -> AsyncIterator[Endpoint]:
    """Give these answers, or what is answered to a request, on a free port of loopback; each ends its connection."""
    left = list(answers)
    answers_to = answering or (lambda _: left.pop(0) if len(left) > 1 else left[0])
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = next(int(line[15:]) for line in head.lower().splitlines() if line.startswith("content-length:"))
            here.asked.append(json.loads(await reader.readexactly(length)))
            here.heads.append(head)
            answer = answers_to(here.asked[-1])
            fields = "".join(f"{name}: {value}\r\n" for name, value in answer.headers)
            fields += "transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
            writer.write(f"HTTP/1.1 {answer.status} X\r\n{fields}".encode())
            for data in answer.pieces:
                writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                await writer.drain()
            if not answer.cut:
                writer.write(b"0\r\n\r\n")
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    here = Endpoint(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    try:
        yield here
    finally:
        server.close()
        await asyncio.gather(*tasks)
