"""The answers of OpenAI-compatible endpoints, in the many ways in which they are written, as one: a stream of chunks.

Pure. What comes out is what OpenAI itself would send: calls told apart by their index, one usage, one of its four
finish reasons. What is no whole answer ends with an error object, so that nothing of it is taken for one:

    an error in any form       → an error with its words and its code
    an end without a reason    → an error, `INCOMPLETE`
    a reason that is a failure → an error that names it, `INCOMPLETE`
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

JSON = dict[str, Any]

EVENT_BYTES = 16 << 20  # of one event, and of an answer that does not stream
INCOMPLETE = "incomplete_answer"  # the code of an error that is found here
NESTED = 5  # how deep an error's words are looked for

# What endpoints call their finish reasons, without case and with `_` for `-`, space and dot.
_SPELLINGS = {
    "stop": "stop eos eos_token end_turn end stop_sequence stop_token stop_str complete completed finished finish done "
    "success normal",
    "tool_calls": "tool_calls tool_call tool_use function_call toolcalls",
    "length": "length max_tokens max_output_tokens max_completion_tokens max_length model_length "
    "model_context_window_exceeded",
    "content_filter": "content_filter contentfilter content_filtered safety sensitive refusal recitation blocklist "
    "prohibited_content spii guardrail_intervened error_toxic",
    "error": "error abort aborted cancel canceled cancelled timeout time_limit network_error failed incomplete "
    "insufficient_system_resource engine_overloaded overloaded malformed_function_call error_limit",
}
_REASONS = {spelling: reason for reason, spellings in _SPELLINGS.items() for spelling in spellings.split()}
_WORDS = (
    "error",
    "message",
    "detail",
    "msg",
    "Message",
    "error_message",
    "errorMessage",
    "error_msg",
    "errors",
    "title",
)


def words_of(body: Any, depth: int = NESTED) -> str:
    """What an error says, in whichever form an endpoint puts it; empty where it says nothing."""
    match body:
        case str():
            return body
        case list() if depth:
            return next(filter(None, (words_of(each, depth - 1) for each in body)), "")
        case dict() if depth:
            return next(filter(None, (words_of(body.get(key), depth - 1) for key in _WORDS)), "")
        case _:
            return ""


def reason_of(given: Any) -> str | None:
    """`stop`, `length`, `tool_calls`, `content_filter` or `error`; `unknown` for a word that none of us knows."""
    if given is None or given == "":
        return None
    if not isinstance(given, str):
        return "unknown"
    word = given.strip().lower().translate(str.maketrans("-. ", "___"))
    return _REASONS.get(word, "unknown")


class Lines:
    """Bytes in pieces of any size, as lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that ended. Raises `ValueError` for one that does not end."""
        *lines, self._rest = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n")
        if len(self._rest) > EVENT_BYTES:
            raise ValueError("an event is too long")
        return [line.decode("utf-8", "replace").removeprefix("\ufeff").rstrip("\r") for line in lines]

    def rest(self) -> list[str]:
        """The line that the end has ended."""
        rest, self._rest = self._rest, b""
        return [rest.decode("utf-8", "replace")] if rest else []


class Events:
    """Lines as server-sent events, or as JSON, one a line: (the event's name, its data)."""

    def __init__(self) -> None:
        self._name, self._data = "", []  # type: tuple[str, list[str]]

    def take(self, line: str) -> Iterator[tuple[str, str]]:
        name, colon, value = line.partition(":")
        if not line.strip():
            if data := "\n".join(self._data).strip():  # else it keeps the connection alive
                yield self._name, data
            self._name, self._data = "", []
        elif line.lstrip().startswith(("{", "[")):
            yield "", line
        elif colon and name == "data":
            self._data.append(value.removeprefix(" "))
        elif colon and name == "event":
            self._name = value.strip()


@dataclass(slots=True)
class _Call:
    """A tool call that is being written."""

    number: int  # ours, by which the calls of an answer are told apart
    index: Any  # the endpoint's
    call_id: str
    name: str = ""
    arguments: str = ""


class Answer:
    """One answer, event by event: what comes out of `take` and `end` are the chunks to go on with."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._said = False  # words, in a delta
        self._refused = False
        self._finished = False
        self._usage: JSON | None = None
        self.is_over = False  # nothing more is looked at

    def take(self, name: str, data: str) -> list[JSON]:
        """The chunks that an event means."""
        if self.is_over:
            return []
        if data.startswith("[DONE]"):
            return self.end()
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            if name == "error":
                return self._failed(data, None)
            if name in ("", "message"):
                return self._failed("an event is not JSON", INCOMPLETE)
            return []
        if isinstance(event, list) and len(event) == 1:  # Gemini's errors
            event = event[0]
        if not isinstance(event, dict):
            return self._failed("an event is no object", INCOMPLETE)
        if self._is_error(name, event):
            inner = event.get("error")
            code = (inner if isinstance(inner, dict) else event).get("code")
            kind = (inner if isinstance(inner, dict) else event).get("type")
            return self._failed(words_of(event) or json.dumps(event), code, kind, event)
        self._count(event)
        choices = event.get("choices")
        if choices is None:
            return []  # a ping, or the usage by itself
        if not isinstance(choices, list):
            return self._failed("its choices are no list", INCOMPLETE)
        return [] if not choices else self._chunk(event, choices[0])

    def end(self) -> list[JSON]:
        """The chunks that the end of an answer means."""
        if self.is_over:
            return []
        if not self._finished:
            return self._failed("the answer ended in the middle: no finish reason came", INCOMPLETE)
        self.is_over = True
        if self._usage is None:
            return []
        return [{"id": "usage", "object": "chat.completion.chunk", "created": 0, "model": "", "choices": []}
                | {"usage": self._usage}]  # fmt: skip

    # --- errors ------------------------------------------------------------------------------------------------

    def _failed(self, words: str, code: Any, kind: Any = None, event: JSON | None = None) -> list[JSON]:
        self.is_over = True
        error: JSON = {"message": words, "type": kind if isinstance(kind, str) else None}
        if code is not None:
            error["code"] = str(code)
        inner = (event or {}).get("error")
        for source in (event or {}, inner if isinstance(inner, dict) else {}):
            error |= {key: value for key, value in source.items() if key in ("n_ctx", "n_prompt_tokens", "retry_after")}
        return [{"error": error}]

    @staticmethod
    def _is_error(name: str, event: JSON) -> bool:
        if event.get("error") or name == "error" or event.get("object") == "error" or event.get("type") == "error":
            return True
        words = (event.get(key) for key in ("detail", "message", "error_msg", "msg"))
        is_chunk = event.get("choices") or event.get("usage")
        return not is_chunk and any(isinstance(each, str | list) and each for each in words)

    # --- chunks ------------------------------------------------------------------------------------------------

    def _count(self, event: JSON) -> None:
        """Keep the last usage; some endpoints send what it came to so far with each chunk."""
        usage = event.pop("usage", None)
        if isinstance(usage, dict):
            numbers = {key: value for key, value in usage.items() if isinstance(value, int) and value >= 0}
            if {"prompt_tokens", "completion_tokens"} & numbers.keys():
                prompt, completion = numbers.get("prompt_tokens", 0), numbers.get("completion_tokens", 0)
                total = numbers.get("total_tokens", prompt + completion)
                self._usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}

    def _chunk(self, event: JSON, choice: Any) -> list[JSON]:
        if not isinstance(choice, dict):
            return self._failed("its choice is no object", INCOMPLETE)
        delta, message = choice.get("delta"), choice.get("message")
        is_whole = isinstance(message, dict) and not isinstance(delta, dict)
        if is_whole:  # an answer in one piece; or all of it once more behind its pieces
            delta = {} if self._said or self._calls else message
        if not isinstance(delta, dict):
            delta = {"content": choice["text"]} if isinstance(choice.get("text"), str) else {}
        delta = self._delta(delta)
        given = choice.get("finish_reason")
        reason = reason_of(given) or ("stop" if is_whole else None)
        if reason == "unknown":
            if self._calls:
                return self._failed(f"the answer ended for a reason that is not known here: {given}", INCOMPLETE)
            reason = "stop"
        if reason == "error":
            return self._failed(f"the answer was broken off: {given}", INCOMPLETE)
        if reason in ("stop", "tool_calls"):
            reason = "content_filter" if self._refused else "tool_calls" if self._calls else "stop"
        self._finished = self._finished or reason is not None
        plain = {"id": str(event.get("id") or "c"), "object": "chat.completion.chunk", "created": 0}
        return [
            plain
            | {
                "model": str(event.get("model") or ""),
                "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
            }
        ]

    def _delta(self, given: JSON) -> JSON:
        """Words, thoughts and calls of a delta."""
        words, thoughts = _parts(given.get("content"))
        for key in ("reasoning_content", "reasoning", "thinking", "reasoning_text"):
            if not thoughts and isinstance(given.get(key), str):
                thoughts = given[key]
        if isinstance(refusal := given.get("refusal"), str) and refusal:
            self._refused = True
            words += refusal
        self._said = self._said or bool(words)
        calls = given.get("tool_calls")
        if calls is None and isinstance(given.get("function_call"), dict):  # as it was before there were tools
            calls = [{"index": 0, "function": given["function_call"]}]
        delta: JSON = {}
        if words:
            delta["content"] = words
        if thoughts:
            delta["reasoning_content"] = thoughts
        if told := [self._call(call) for call in calls or [] if isinstance(call, dict)]:
            delta["tool_calls"] = told
        return delta

    def _call(self, given: JSON) -> JSON:
        """A piece of a tool call, with a number that is its alone."""
        function = given.get("function")
        function = function if isinstance(function, dict) else {}
        index, call_id = given.get("index"), given.get("id")
        call_id = call_id if isinstance(call_id, str) else ""
        name = function["name"] if isinstance(function.get("name"), str) else ""
        arguments = function.get("arguments")
        arguments = arguments if isinstance(arguments, str) else "" if arguments is None else json.dumps(arguments)
        call = next((each for each in reversed(self._calls) if each.index == index), None)
        if call is None or _is_another(call, call_id, name):
            call = _Call(len(self._calls), index, call_id)
            self._calls.append(call)
        elif name == call.name:
            name = ""  # said again with each piece
        call.call_id = call.call_id or call_id
        call.name += name
        call.arguments += arguments
        return {
            "index": call.number,
            "id": call.call_id or None,
            "type": "function",
            "function": {"name": name or None, "arguments": arguments},
        } | ({"extra_content": given["extra_content"]} if "extra_content" in given else {})


def _is_another(call: _Call, call_id: str, name: str) -> bool:
    """Whether a piece with the same index as a call begins another one. Only what names a tool begins one: some
    endpoints make up an id for each piece."""
    if not name:
        return False
    if call_id and call.call_id:
        return call_id != call.call_id
    return _is_whole(call.arguments)


def _is_whole(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False


def _parts(content: Any) -> tuple[str, str]:
    """The words and the thoughts of a content, which may be a list of parts."""
    if isinstance(content, str):
        return content, ""
    words, thoughts = "", ""
    for part in content if isinstance(content, list) else []:
        match part:
            case str():
                words += part
            case {"type": "thinking", "thinking": thinking}:
                thoughts += _parts(thinking)[0]
            case {"text": str(text)}:
                words += text
            case _:
                pass
    return words, thoughts
