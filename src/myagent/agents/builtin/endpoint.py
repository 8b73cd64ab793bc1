"""An OpenAI-compatible endpoint, through pydantic-ai: the one place that knows that library.

What can go wrong there comes out as `EndpointFailed`, with one sentence. The key is in no sentence and in no log.
Importing this takes a second.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from openai import AsyncOpenAI, OpenAIError, Timeout
from pydantic_ai import exceptions as problems
from pydantic_ai.direct import model_request_stream
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.tools import ToolDefinition

from myagent.agents.rendering import JSON
from myagent.agents.tools.toolbox import Call, Offer
from myagent.exceptions import MyagentError

ANSWER_SECONDS = 600.0  # without a byte of the answer; a large prompt on a small machine takes minutes to read
CONNECT_SECONDS = 10.0
TRIES = 2  # after a failure that may pass by itself: no connection, a rate limit, 5xx
SAID_CHARACTERS = 300  # of an endpoint's own words in a sentence of ours

_NO_KEY = "no-key"  # what is sent where there is none; servers of one's own do not look
_STOPPED = "(stopped here)"

Hear = Callable[[bool, str], Awaitable[None]]  # whether it is a thought, and a piece of its text

logger = logging.getLogger(__name__)


class EndpointFailed(MyagentError):
    """The endpoint did not answer, or not as a model does."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the model. `stop_reason` is ACP's, of a turn that ends with it."""

    message: ModelMessage
    calls: tuple[Call, ...]
    stop_reason: str
    tokens: int  # read and written for it, as the endpoint counts them


class Endpoint:
    """A model at an address."""

    def __init__(self, model: str, base_url: str, key: str | None, instructions: str) -> None:
        self._name, self._base_url, self._key, self._instructions = model, base_url, key, instructions
        self._client = AsyncOpenAI(
            api_key=key or _NO_KEY,
            base_url=base_url,
            max_retries=TRIES,
            timeout=Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
        )
        self._model = OpenAIChatModel(model, provider=OpenAIProvider(openai_client=self._client))

    async def close(self) -> None:
        await self._client.close()

    async def ask(self, messages: Sequence[ModelMessage], offers: Sequence[Offer], hear: Hear) -> Reply:
        """Let the model go on from these messages; `hear` gets its words as they come. Raises `EndpointFailed`."""
        tools = [
            ToolDefinition(name=offer.name, description=offer.description, parameters_json_schema=offer.schema)
            for offer in offers
        ]
        whole: ModelResponse | None = None
        async with aclosing(self._stream(messages, ModelRequestParameters(function_tools=tools))) as stream:
            async for item in stream:
                match item:
                    case ModelResponse():
                        whole = item
                    case PartStartEvent(part=TextPart(content=str(text)) | ThinkingPart(content=str(text)) as part):
                        await _pass(hear, isinstance(part, ThinkingPart), text)
                    case PartDeltaEvent(delta=TextPartDelta(content_delta=str(text))):
                        await _pass(hear, False, text)
                    case PartDeltaEvent(delta=ThinkingPartDelta(content_delta=str(text))):
                        await _pass(hear, True, text)
                    case _:
                        pass  # a tool call on its way, which is looked at when it is whole
        if whole is None or not any(isinstance(part, TextPart | ToolCallPart) for part in whole.parts):
            raise EndpointFailed(f"{self._base_url} answered with neither words nor a tool call")
        return _reply(whole)

    async def _stream(
        self, messages: Sequence[ModelMessage], parameters: ModelRequestParameters
    ) -> AsyncGenerator[ModelResponseStreamEvent | ModelResponse]:
        """The events of an answer, then the whole of it."""
        try:
            async with model_request_stream(
                self._model, messages, model_request_parameters=parameters, instrument=False
            ) as stream:
                async for event in stream:
                    yield event
                yield stream.get()
        except problems.AgentRunError as error:
            logger.debug("the endpoint failed", exc_info=True)
            raise EndpointFailed(self._sentence(error)) from error
        except OpenAIError as error:
            logger.debug("the endpoint failed", exc_info=True)
            raise EndpointFailed(f"{self._base_url}: {self._said(str(error))}") from error
        except (ValueError, TypeError, AttributeError, LookupError) as error:  # what parsing nonsense ends in
            logger.debug("the endpoint's answer is no model's", exc_info=True)
            raise EndpointFailed(f"{self._base_url} did not answer as a model does ({type(error).__name__})") from error

    def _sentence(self, error: problems.AgentRunError) -> str:
        said = self._said(_own_words(error))
        match error:
            case problems.ModelAuthenticationError() if self._key is None:
                return f"{self._base_url} wants a key: set OPENAI_API_KEY, or write it into .env"
            case problems.ModelAuthenticationError():
                return f"{self._base_url} refused the key: {said}"
            case problems.ModelNotFoundError():
                return f"{self._base_url} has no model {self._name}, or is no endpoint: {said}"
            case problems.ModelRateLimitError(retry_after=wait):
                when = f"; it says to wait {wait:.0f} s" if wait else ""
                return f"{self._base_url} takes no more requests for now (rate limit){when}"
            case problems.ModelContextWindowExceededError():
                return f"the conversation is longer than {self._name} can read; see --context"
            case problems.ModelTimeoutError():
                return f"{self._base_url} did not answer in time"
            case problems.ModelConnectionError():
                return f"cannot reach {self._base_url}, or the connection broke off: {said}"
            case problems.ModelHTTPError(status_code=status):
                return f"{self._base_url} answered {status}: {said}"
            case _:
                return f"{self._base_url} did not answer as a model does: {said}"

    def _said(self, text: str) -> str:
        """Words of the endpoint, within one line of ours, and never with the key."""
        if self._key is not None:
            text = text.replace(self._key, "[redacted]")
        line = " ".join(text.split())
        return line if len(line) <= SAID_CHARACTERS else f"{line[:SAID_CHARACTERS]}…"

    # --- messages ----------------------------------------------------------------------------------------------

    def prompt(self, text: str) -> ModelMessage:
        return ModelRequest(parts=[UserPromptPart(text)], instructions=self._instructions)

    def results(self, calls: Sequence[Call], told: Sequence[str]) -> ModelMessage:
        """What came of the tool calls of the last answer."""
        parts = [
            ToolReturnPart(tool_name=call.name, content=text, tool_call_id=call.call_id)
            for call, text in zip(calls, told, strict=True)
        ]
        return ModelRequest(parts=parts, instructions=self._instructions)

    def closed(self, messages: Sequence[ModelMessage], partial: str) -> list[ModelMessage]:
        """The messages of a turn that was stopped, as a conversation can go on from them; `partial` is what had been
        said of the next answer."""
        messages = list(messages)
        if isinstance(last := messages[-1], ModelResponse):
            calls = _reply(last).calls
            if not calls:
                return messages
            messages.append(self.results(calls, [_STOPPED] * len(calls)))
        return [*messages, ModelResponse(parts=[TextPart(f"{partial}\n{_STOPPED}" if partial else _STOPPED)])]

    def dump(self, messages: Sequence[ModelMessage]) -> bytes:
        """The messages of a turn as one line of JSON."""
        return ModelMessagesTypeAdapter.dump_json(list(messages), exclude_none=True)

    def load(self, turn: bytes) -> list[ModelMessage]:
        """Raises `ValueError` where they cannot be read."""
        return ModelMessagesTypeAdapter.validate_json(turn)

    def told_again(self, turn: bytes) -> list[JSON]:
        """A turn as ACP's updates: its prompt, what was said, and its tool calls. Raises as `load`."""
        updates: list[JSON] = []
        for part in (part for message in self.load(turn) for part in message.parts):
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


def _chunk(kind: str, text: str) -> JSON:
    return {"sessionUpdate": kind, "content": {"type": "text", "text": text}}


async def _pass(hear: Hear, is_thought: bool, text: str) -> None:
    if text:
        await hear(is_thought, text)


def _own_words(error: problems.AgentRunError) -> str:
    """What the endpoint itself says of an error, if anything."""
    body = getattr(error, "body", None)
    if isinstance(body, dict):
        inner = body.get("error")
        body = body.get("message") or (inner.get("message") if isinstance(inner, dict) else inner) or body
    return str(body or error)


def _reply(whole: ModelResponse) -> Reply:
    calls: list[Call] = []
    parts = []
    for part in whole.parts:
        if isinstance(part, ToolCallPart):
            arguments = part.args if isinstance(part.args, str) else json.dumps(part.args or {})
            calls.append(Call(part.tool_name, arguments or "{}", part.tool_call_id))
            if not _is_object(arguments):  # some endpoints refuse to be told their own nonsense
                part = replace(part, args="{}")
        parts.append(part)
    reasons = {"length": "max_tokens", "content_filter": "refusal"}
    reason = reasons.get(whole.finish_reason or "stop", "end_turn")
    return Reply(replace(whole, parts=parts), tuple(calls), reason, whole.usage.total_tokens)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
