"""A model's messages, as pydantic-ai has them: made, kept, told again, shortened and summed up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from myagent.agents.rendering import JSON
from myagent.agents.tools.toolbox import Call

STOPPED = "(stopped here)"
NOTHING = "(nothing was said)"  # in place of an answer without words: many endpoints refuse to be told one
SUMMARY = "Summary of the conversation so far, of which the oldest turns had to be left out:\n\n"
UNDERSTOOD = "Understood."
TOLD_CHARACTERS = 400  # of a tool's result, where a conversation is told to be summed up


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the model. `stop_reason` is ACP's, of a turn that ends with it."""

    message: ModelMessage
    calls: tuple[Call, ...]
    stop_reason: str
    tokens: int  # read and written for it, as the endpoint counts them
    has_words: bool = True


def prompt(text: str) -> ModelMessage:
    return ModelRequest(parts=[UserPromptPart(text)])


def results(calls: Sequence[Call], told: Sequence[str]) -> ModelMessage:
    """What came of the tool calls of the last answer."""
    parts = [
        ToolReturnPart(tool_name=call.name, content=text, tool_call_id=call.call_id)
        for call, text in zip(calls, told, strict=True)
    ]
    return ModelRequest(parts=parts)


def closed(messages: Sequence[ModelMessage], partial: str) -> list[ModelMessage]:
    """The messages of a turn that was stopped, as a conversation can go on from them; `partial` is what had been said
    of the next answer."""
    messages = list(messages)
    if isinstance(last := messages[-1], ModelResponse):
        calls = reply(last).calls
        if not calls:
            return messages
        messages.append(results(calls, [STOPPED] * len(calls)))
    return [*messages, ModelResponse(parts=[TextPart(f"{partial}\n{STOPPED}" if partial else STOPPED)])]


def instructed(messages: Sequence[ModelMessage], instructions: str) -> list[ModelMessage]:
    """The messages as they are sent. What is kept holds no instructions: they change with the day and the directory."""
    return [
        replace(message, instructions=instructions) if isinstance(message, ModelRequest) else message
        for message in messages
    ]


def dump(messages: Sequence[ModelMessage]) -> bytes:
    """The messages of a turn as one line of JSON."""
    return ModelMessagesTypeAdapter.dump_json(list(messages), exclude_none=True)


def load(turn: bytes) -> list[ModelMessage]:
    """Raises `ValueError` where they cannot be read."""
    return ModelMessagesTypeAdapter.validate_json(turn)


def told_again(turn: bytes) -> list[JSON]:
    """A turn as ACP's updates: its prompt, what was said, and its tool calls. Raises as `load`."""
    updates: list[JSON] = []
    for part in (part for message in load(turn) for part in message.parts):
        match part:
            case UserPromptPart(content=str(text)):
                updates.append(_chunk("user_message_chunk", text))
            case TextPart(content=text):
                updates.append(_chunk("agent_message_chunk", text))
            case ToolCallPart(tool_name=name, tool_call_id=call_id):
                call = {"sessionUpdate": "tool_call", "toolCallId": call_id, "title": name, "status": "completed"}
                updates.append(call)
            case _:
                pass  # what only the model needs
    return updates


def summary(text: str) -> list[ModelMessage]:
    """A turn that stands for those that a text sums up."""
    return [prompt(f"{SUMMARY}{text}"), ModelResponse(parts=[TextPart(UNDERSTOOD)])]


def as_text(messages: Sequence[ModelMessage]) -> str:
    """A conversation in plain words, for one who is to sum it up."""
    lines: list[str] = []
    for part in (part for message in messages for part in message.parts):
        match part:
            case UserPromptPart(content=str(text)):
                lines.append(f"PERSON: {text}")
            case TextPart(content=text):
                lines.append(f"YOU: {text}")
            case ToolCallPart(tool_name=name):
                lines.append(f"YOU called {name} {part.args_as_json_str()[:TOLD_CHARACTERS]}")
            case ToolReturnPart(tool_name=name):
                lines.append(f"{name} gave: {shortened(str(part.content), TOLD_CHARACTERS)}")
            case _:
                pass
    return "\n".join(lines)


def shortened(text: str, characters: int) -> str:
    """A text, without its middle where it is longer."""
    if len(text) <= characters:
        return text
    head = characters // 2
    left_out = len(text) - characters
    return f"{text[:head]}\n[… {left_out} characters left out …]\n{text[len(text) - (characters - head) :]}"


def with_short_results(messages: Sequence[ModelMessage], characters: int) -> tuple[list[ModelMessage], int]:
    """The messages with no tool result longer than that, and how many were shortened."""
    changed: list[ModelMessage] = []
    count = 0
    for message in messages:
        if isinstance(message, ModelRequest):
            parts = list(message.parts)
            for number, part in enumerate(parts):
                if isinstance(part, ToolReturnPart) and len(text := str(part.content)) > characters + 100:
                    cut = shortened(text, characters)
                    parts[number] = ToolReturnPart(part.tool_name, content=cut, tool_call_id=part.tool_call_id)
                    count += 1
            message = replace(message, parts=parts)
        changed.append(message)
    return changed, count


def reply(whole: ModelResponse) -> Reply:
    """What a model's answer means. Its calls have ids that are theirs alone."""
    calls: list[Call] = []
    parts = []
    for part in whole.parts:
        if isinstance(part, ToolCallPart):
            if any(call.call_id == part.tool_call_id for call in calls):
                part = replace(part, tool_call_id=f"{part.tool_call_id}-{len(calls) + 1}")
            arguments = part.args if isinstance(part.args, str) else json.dumps(part.args or {})
            calls.append(Call(part.tool_name, arguments or "{}", part.tool_call_id))
            if not _is_object(arguments):  # some endpoints refuse to be told their own nonsense
                part = replace(part, args="{}")
        parts.append(part)
    has_words = any(isinstance(part, TextPart) and part.content.strip() for part in parts)
    if not calls and not has_words:
        parts = [*(part for part in parts if not isinstance(part, TextPart)), TextPart(NOTHING)]
    reasons = {"length": "max_tokens", "content_filter": "refusal"}
    reason = reasons.get(whole.finish_reason or "stop", "end_turn")
    return Reply(replace(whole, parts=parts), tuple(calls), reason, whole.usage.total_tokens, has_words)


def _chunk(kind: str, text: str) -> JSON:
    return {"sessionUpdate": kind, "content": {"type": "text", "text": text}}


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
