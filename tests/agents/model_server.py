"""A scripted model on loopback, in the shape of the common APIs: OpenAI chat and responses, Gemini, Anthropic.

What it answers depends on the last prompt of the conversation alone:

- `STUB FILE=/path`, with a tool that writes files on offer: some words, and one call of that tool, its arguments filled
  from its JSON schema; when the tool's result comes back, "done";
- `STUB RUN=command`, the command quoted as in a URL, with a tool that runs commands on offer: the same with that tool;
- `SLOW`: words until the client goes away;
- `SCRIPT [step, …]`, in the OpenAI shape alone: the step for as many answers as the model has given since; a step is
  `{"say": "words", "think": "words", "calls": [[tool, arguments], …], "finish": "length"}`, all of it optional; in
  `say` the word `RESULT` stands for the results of the tools before; arguments that are a text are sent as they are;
- `FAIL 429`, in the OpenAI shape alone: this status; `GARBAGE`: an answer that is none;
- `CUT`: words, and then the connection breaks;
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

from tests.agents.scripted_tools import CONTENT, asked_for, codex_tools, command_of, fitting, writer_among

__all__ = ["CONTENT", "WORDS", "model_server"]

JSON = dict[str, Any]
WORDS = ("I ", "will ", "write ", "the ", "file. ")
REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)  # of the agent, beside what a human said
SLOW_WORDS, SLOW_SECONDS = 3000, 0.02


@dataclass(frozen=True)
class Answer:
    """What to say, and at most one tool call."""

    words: tuple[str, ...]
    tool: str = ""
    arguments: JSON = field(default_factory=dict)
    slow: bool = False
    thoughts: str = ""
    calls: tuple[tuple[str, Any], ...] = ()  # of a script
    finish: str = ""
    status: int = 200
    garbage: str = ""
    cut: bool = False


@dataclass(frozen=True)
class Asked:
    """A request in any of the shapes: the texts of its user messages, whether a tool's result is newer than the last of
    them, and its tools with their JSON schemas."""

    prompts: list[str]
    has_result: bool
    tools: dict[str, JSON]
    answers: int = 0  # since the last prompt
    results: str = ""  # of the tools since the last answer

    def answer(self) -> Answer:
        last = self.prompts[-1] if self.prompts else ""
        if (script := re.search(r"SCRIPT (\[.*\])", last, re.DOTALL)) is not None:
            return self._scripted(json.loads(script[1]))
        if (failing := re.search(r"FAIL (\d+)", last)) is not None:
            return Answer((), status=int(failing[1]))
        if "CUT" in last:
            return Answer(WORDS, cut=True)
        if "GARBAGE" in last:
            return Answer((), garbage=last.partition("GARBAGE")[2].strip())
        if self.has_result:
            return Answer(("All ", "done."))
        if "SLOW" in last:
            return Answer(tuple(f"word{number} " for number in range(SLOW_WORDS)), slow=True)
        if "RECALL" in last and writer_among(self.tools) is not None:
            markers = [found for text in self.prompts for found in re.findall(r"MARKER-\w+", text)]
            return Answer((markers[-1] if markers else "nothing",))
        if "STUB" in last and (call := asked_for(last, self.tools)) is not None:
            return Answer(WORDS, *call)
        return Answer(("ok",))

    def _scripted(self, steps: list[JSON]) -> Answer:
        step = steps[self.answers]
        words = step.get("say", "").replace("RESULT", self.results)
        calls = tuple((name, arguments) for name, arguments in step.get("calls", []))
        return Answer(
            (words,) if words else (), calls=calls, thoughts=step.get("think", ""), finish=step.get("finish", "")
        )


# --- OpenAI: POST /v1/chat/completions ------------------------------------------------------------------------------


def openai_asked(body: JSON) -> Asked:
    messages = body.get("messages", [])
    texts = [(message["role"], _text(message.get("content"))) for message in messages]
    texts = [(role, REMINDER.sub("", text)) for role, text in texts]
    texts = [(role, text) for role, text in texts if role != "user" or text.strip()]
    last = max((index for index, (role, _) in enumerate(texts) if role == "user"), default=-1)
    tools = {tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in body.get("tools") or []}
    since = texts[last + 1 :]
    has_result = any(role == "tool" for role, _ in since)
    answered = [index for index, (role, _) in enumerate(since) if role == "assistant"]
    results = "".join(text for role, text in since[answered[-1] if answered else 0 :] if role == "tool")
    return Asked([text for role, text in texts if role == "user"], has_result, tools, len(answered), results)


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
    if answer.thoughts:
        yield chunk({"reasoning_content": answer.thoughts})
    for word in answer.words:
        yield chunk({"content": word})
    calls = answer.calls or (((answer.tool, answer.arguments),) if answer.tool else ())
    for index, (name, arguments) in enumerate(calls):
        function = {"name": name, "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments)}
        call = {"index": index, "id": f"call_{number}_{index}", "type": "function", "function": function}
        yield chunk({"tool_calls": [call]})
    yield chunk({}, answer.finish or ("tool_calls" if calls else "stop"))
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


# --- OpenAI: POST /v1/responses, as codex asks: its tool is a shell, and what is to leave its sandbox is asked for ----


def responses_asked(body: JSON) -> Asked:
    rows = body.get("input", [])
    prompts = [
        (index, _text([{**part, "type": "text"} for part in row.get("content", [])]))
        for index, row in enumerate(rows)
        if row.get("type") == "message" and row.get("role") == "user"
    ]
    last = prompts[-1][0] if prompts else -1
    has_result = any(row.get("type") == "function_call_output" for row in rows[last + 1 :])
    tools = codex_tools({tool.get("name"): tool for tool in body.get("tools") or []})
    return Asked([text for _, text in prompts], has_result, tools)


def responses_events(answer: Answer, number: int, *, free: bool) -> Iterator[JSON | str]:
    said = {"type": "message", "role": "assistant", "id": f"msg_{number}"}
    yield {"type": "response.created", "response": {"id": f"resp_{number}"}}
    yield {"type": "response.output_item.added", "output_index": 0, "item": {**said, "content": []}}
    for word in answer.words:
        yield {"type": "response.output_text.delta", "item_id": f"msg_{number}", "delta": word}
    content = [{"type": "output_text", "text": "".join(answer.words)}]
    yield {"type": "response.output_item.done", "output_index": 0, "item": {**said, "content": content}}
    if answer.tool:
        name, arguments = command_of(answer.tool, answer.arguments)
        arguments |= {} if free else {"sandbox_permissions": "require_escalated"}
        call = {"type": "function_call", "call_id": f"call_{number}", "name": name, "arguments": json.dumps(arguments)}
        yield {"type": "response.output_item.done", "output_index": 1, "item": call}
    usage = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
    yield {"type": "response.completed", "response": {"id": f"resp_{number}", "usage": usage}}


# --- the server -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def model_server(asked: list[JSON] | None = None) -> AsyncIterator[str]:
    """Serve on a free port of loopback; gives the base URL. `asked` gets each request's body, with `authorization`."""
    numbers = itertools.count(1)
    connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections[task] = writer
        try:
            while (head := await _head(reader)) is not None:
                method, target, length, authorization = head
                body = json.loads(await reader.readexactly(length) or b"{}")
                if asked is not None and body:
                    asked.append(body | {"authorization": authorization})
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


async def _head(reader: asyncio.StreamReader) -> tuple[str, str, int, str] | None:
    request = await reader.readline()
    if not request.strip():
        return None
    method, target, _ = request.decode().split()
    length, authorization = 0, ""
    while (line := await reader.readline()).strip():
        name, _, value = line.decode().partition(":")
        if name.lower() == "content-length":
            length = int(value)
        elif name.lower() == "authorization":
            authorization = value.strip()
    return method, target, length, authorization


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
    elif path.endswith("/responses"):
        answer = responses_asked(body).answer()
        events, whole = responses_events(answer, number, free=_is_free(json.dumps(body))), {}
    elif "count" in path.lower():
        answer, events, whole = Answer(()), None, {"totalTokens": 11, "input_tokens": 11}
    else:
        answer, events, whole = (
            Answer(()),
            None,
            {"object": "list", "data": [{"id": "other", "object": "model"}], "models": []},
        )
    if answer.status != 200:
        events, whole = None, {"error": {"message": f"scripted\nfailure {answer.status}", "code": "scripted"}}
    if events is None:
        text = json.dumps(whole).encode()
        head = f"HTTP/1.1 {answer.status} Said\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
        writer.write(head.encode() + text)
        await writer.drain()
        return
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    if answer.garbage:
        _chunk(writer, answer.garbage.encode().decode("unicode_escape").encode())
        events = iter(())
    for event in events:
        data = event if isinstance(event, str) else json.dumps(event)
        name = f"event: {event['type']}\n" if isinstance(event, dict) and "type" in event else ""
        _chunk(writer, f"{name}data: {data}\n\n".encode())
        await writer.drain()
        if answer.slow:
            await asyncio.sleep(SLOW_SECONDS)
        if answer.cut and "file. " in data:
            writer.transport.abort()
            raise ConnectionResetError
    _chunk(writer, b"")
    await writer.drain()


def _is_free(body: str) -> bool:
    """Whether codex now runs without a sandbox: it says so whenever that changes."""
    modes = re.findall(r"sandbox_mode\W+is\W+([a-z-]+)", body)
    return modes[-1] == "danger-full-access" if modes else "danger-full-access" in body


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or [] if part.get("type", "text") == "text")


def _has(parts: list[JSON], key: str) -> bool:
    return any(key in part for part in parts)
