"""A scripted model on loopback, in the shape of the three common APIs: OpenAI chat, Gemini, and Anthropic messages.

What it answers depends on the last prompt of the conversation alone:

- `STUB FILE=/path`, with a tool that writes files on offer: some words, and one call of that tool, its arguments filled
  from its JSON schema; when the tool's result comes back, "done";
- `SLOW`: words until the client goes away;
- `RECALL`: the `MARKER-…` that an earlier prompt of the conversation held, or "nothing";
- anything else (titles, classifiers): "ok".
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

JSON = dict[str, Any]
CONTENT = "hello from the scripted model\n"
WORDS = ("I ", "will ", "write ", "the ", "file. ")
SLOW_WORDS, SLOW_SECONDS = 3000, 0.02
WRITERS = ("write", "write_file", "Write")


@dataclass(frozen=True)
class Answer:
    """What to say, and at most one tool call."""

    words: tuple[str, ...]
    tool: str = ""
    arguments: JSON = field(default_factory=dict)
    slow: bool = False


@dataclass(frozen=True)
class Asked:
    """A request in any of the shapes: the texts of its user messages, whether a tool's result is newer than the last of
    them, and its tools with their JSON schemas."""

    prompts: list[str]
    has_result: bool
    tools: dict[str, JSON]

    def answer(self) -> Answer:
        last = self.prompts[-1] if self.prompts else ""
        writer = next((name for name in WRITERS if name in self.tools), None)
        if self.has_result:
            return Answer(("All ", "done."))
        if "SLOW" in last:
            return Answer(tuple(f"word{number} " for number in range(SLOW_WORDS)), slow=True)
        if "RECALL" in last and writer is not None:
            markers = [found for text in self.prompts for found in re.findall(r"MARKER-\w+", text)]
            return Answer((markers[-1] if markers else "nothing",))
        if "STUB" in last and writer is not None:
            path = next(iter(re.findall(r"FILE=(\S+)", last)), "")
            return Answer(WORDS, writer, filled(self.tools[writer], path))
        return Answer(("ok",))


def filled(schema: JSON, path: str) -> JSON:
    """Arguments for a tool that writes a file, as its schema wants them."""
    arguments: JSON = {}
    for name, its in schema.get("properties", {}).items():
        if "path" in name.lower():
            arguments[name] = path
        elif "content" in name.lower():
            arguments[name] = CONTENT
        elif name in schema.get("required", []):
            arguments[name] = fitting(its)
    return arguments


def fitting(schema: JSON) -> Any:
    """The plainest value that a JSON schema allows."""
    if "enum" in schema:
        return schema["enum"][0]
    match str(schema.get("type", "string")).lower():
        case "object":
            return {name: fitting(its) for name, its in schema.get("properties", {}).items()}
        case "array":
            return []
        case "boolean":
            return False
        case "integer" | "number":
            return 1
        case _:
            return "scripted"


# --- OpenAI: POST /v1/chat/completions ------------------------------------------------------------------------------


def openai_asked(body: JSON) -> Asked:
    messages = body.get("messages", [])
    texts = [(message["role"], _text(message.get("content"))) for message in messages]
    last = max((index for index, (role, _) in enumerate(texts) if role == "user"), default=-1)
    tools = {tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in body.get("tools") or []}
    has_result = any(role == "tool" for role, _ in texts[last + 1 :])
    return Asked([text for role, text in texts if role == "user"], has_result, tools)


def openai_events(answer: Answer, number: int) -> Iterator[JSON | str]:
    def chunk(delta: JSON, reason: str | None = None) -> JSON:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return {
            "id": f"c{number}",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "stub",
            "choices": [choice],
        }

    yield chunk({"role": "assistant", "content": ""})
    for word in answer.words:
        yield chunk({"content": word})
    if answer.tool:
        function = {"name": answer.tool, "arguments": json.dumps(answer.arguments)}
        yield chunk({"tool_calls": [{"index": 0, "id": f"call_{number}", "type": "function", "function": function}]})
    yield chunk({}, "tool_calls" if answer.tool else "stop")
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    yield {"id": f"c{number}", "object": "chat.completion.chunk", "created": 1, "model": "stub", "choices": []} | {
        "usage": usage
    }
    yield "[DONE]"


def openai_whole(answer: Answer, number: int) -> JSON:
    message = {"role": "assistant", "content": "".join(answer.words)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    return {"id": f"c{number}", "object": "chat.completion", "created": 1, "model": "stub"} | {
        "choices": [choice],
        "usage": usage,
    }


# --- Gemini: POST /v1beta/models/M:streamGenerateContent ------------------------------------------------------------


def gemini_asked(body: JSON) -> Asked:
    contents = body.get("contents", [])
    if isinstance(contents, dict):
        contents = [contents]
    prompts = [
        (index, text)
        for index, content in enumerate(contents)
        if content.get("role", "user") == "user"
        and (text := "".join(part.get("text", "") for part in content.get("parts", [])))
    ]
    last = prompts[-1][0] if prompts else -1
    results = [index for index, content in enumerate(contents) if _has(content.get("parts", []), "functionResponse")]
    tools = {
        declared["name"]: declared.get("parametersJsonSchema") or declared.get("parameters") or {}
        for tool in body.get("tools") or []
        for declared in tool.get("functionDeclarations", [])
    }
    return Asked([text for _, text in prompts], bool(results) and results[-1] >= last, tools)


def gemini_events(answer: Answer, number: int) -> Iterator[JSON | str]:
    usage = {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18}

    def chunk(part: JSON, reason: str | None = None) -> JSON:
        candidate: JSON = {"index": 0, "content": {"role": "model", "parts": [part]}}
        if reason:
            candidate["finishReason"] = reason
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "stub", "responseId": f"r{number}"}

    for word in answer.words:
        yield chunk({"text": word})
    if answer.tool:
        yield chunk({"functionCall": {"id": f"call_{number}", "name": answer.tool, "args": answer.arguments}})
    yield chunk({"text": ""}, "STOP")


def gemini_whole(answer: Answer, number: int, body: JSON) -> JSON:
    """An answer in one piece; where JSON is wanted (the CLI has a model choose the model), one that fits the schema."""
    config = body.get("generationConfig", {})
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    text = json.dumps(fitting(schema)) if schema else "".join(answer.words)
    *_, last = gemini_events(answer, number)
    assert isinstance(last, dict)
    last["candidates"][0]["content"]["parts"] = [{"text": text}]
    return last


# --- Anthropic: POST /v1/messages -----------------------------------------------------------------------------------


def anthropic_asked(body: JSON) -> Asked:
    messages = body.get("messages", [])
    prompts = [
        (index, text)
        for index, message in enumerate(messages)
        if message["role"] == "user" and (text := _text(message["content"]))
    ]
    last = prompts[-1][0] if prompts else -1
    results = [
        index
        for index, message in enumerate(messages)
        if isinstance(message["content"], list)
        and any(part.get("type") == "tool_result" for part in message["content"])
    ]
    tools = {tool["name"]: tool.get("input_schema", {}) for tool in body.get("tools") or []}
    return Asked([text for _, text in prompts], bool(results) and results[-1] >= last, tools)


def anthropic_events(answer: Answer, number: int) -> Iterator[JSON | str]:
    usage = {"input_tokens": 11, "output_tokens": 7}
    message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": "stub", "content": []}
    yield {"type": "message_start", "message": message | {"stop_reason": None, "stop_sequence": None, "usage": usage}}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    for word in answer.words:
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
    yield {"type": "content_block_stop", "index": 0}
    if answer.tool:
        block = {"type": "tool_use", "id": f"toolu_{number}", "name": answer.tool, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(answer.arguments)}
        yield {"type": "content_block_start", "index": 1, "content_block": block}
        yield {"type": "content_block_delta", "index": 1, "delta": delta}
        yield {"type": "content_block_stop", "index": 1}
    reason = "tool_use" if answer.tool else "end_turn"
    yield {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}
    yield {"type": "message_stop"}


def anthropic_whole(answer: Answer, number: int) -> JSON:
    content = [{"type": "text", "text": "".join(answer.words)}]
    message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": "stub", "content": content}
    usage = {"input_tokens": 11, "output_tokens": 7}
    return message | {"stop_reason": "end_turn", "stop_sequence": None, "usage": usage}


# --- the server -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def model_server() -> AsyncIterator[str]:
    """Serve on a free port of loopback; gives the base URL."""
    numbers = itertools.count(1)
    connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections[task] = writer
        try:
            while (head := await _head(reader)) is not None:
                method, target, length = head
                body = json.loads(await reader.readexactly(length) or b"{}")
                await _respond(writer, method, target, body, next(numbers))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the agent was cancelled, or ended
        finally:
            del connections[task]
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in connections.values():
            writer.close()
        await asyncio.gather(*connections)


async def _head(reader: asyncio.StreamReader) -> tuple[str, str, int] | None:
    request = await reader.readline()
    if not request.strip():
        return None
    method, target, _ = request.decode().split()
    length = 0
    while (line := await reader.readline()).strip():
        name, _, value = line.decode().partition(":")
        if name.lower() == "content-length":
            length = int(value)
    return method, target, length


async def _respond(writer: asyncio.StreamWriter, method: str, target: str, body: JSON, number: int) -> None:
    path = target.partition("?")[0]
    if path.endswith("/chat/completions"):
        answer = openai_asked(body).answer()
        events = openai_events(answer, number) if body.get("stream") else None
        whole = openai_whole(answer, number)
    elif path.endswith((":streamGenerateContent", ":generateContent")):
        answer = gemini_asked(body).answer()
        events = gemini_events(answer, number) if "stream" in path else None
        whole = gemini_whole(answer, number, body)
    elif path.endswith("/messages"):
        answer = anthropic_asked(body).answer()
        events = anthropic_events(answer, number) if body.get("stream") else None
        whole = anthropic_whole(answer, number)
    elif "count" in path.lower():
        answer, events, whole = Answer(()), None, {"totalTokens": 11, "input_tokens": 11}
    else:
        answer, events, whole = Answer(()), None, {"object": "list", "data": [], "models": []}
    if events is None:
        text = json.dumps(whole).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
        writer.write(head.encode() + text)
        await writer.drain()
        return
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    for event in events:
        data = event if isinstance(event, str) else json.dumps(event)
        name = f"event: {event['type']}\n" if isinstance(event, dict) and "type" in event else ""
        _chunk(writer, f"{name}data: {data}\n\n".encode())
        await writer.drain()
        if answer.slow:
            await asyncio.sleep(SLOW_SECONDS)
    _chunk(writer, b"")
    await writer.drain()


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or [] if part.get("type", "text") == "text")


def _has(parts: list[JSON], key: str) -> bool:
    return any(key in part for part in parts)
