"""An OpenAI-compatible endpoint, through pydantic-ai: asked, waited for, and its failures in one sentence each.

What can go wrong there comes out as `EndpointFailed`. The key is in no sentence and in no log.
Importing this takes a second.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import logging
import re
from asyncio import sleep
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing

from openai import AsyncOpenAI, DefaultAsyncHttpxClient, OpenAIError, Timeout
from pydantic_ai import exceptions as problems
from pydantic_ai.direct import model_request_stream
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.tools import ToolDefinition

from myagent.agents.builtin import messages as told
from myagent.agents.builtin.dialects import INCOMPLETE, words_of
from myagent.agents.builtin.messages import Reply
from myagent.agents.builtin.outbound import Outbound
from myagent.agents.builtin.overflow import Overflow, overflow
from myagent.agents.tools.toolbox import Offer
from myagent.exceptions import MyagentError

ANSWER_SECONDS = 600.0  # without a byte of the answer; a large prompt on a small machine takes minutes to read
CONNECT_SECONDS = 10.0
TRIES = 2  # after a failure that may pass by itself: no connection, a rate limit, 5xx
WAIT_SECONDS = 60.0  # at most before trying again; who is to wait longer decides that for himself
LIST_SECONDS = 3.0  # for the list of its models, which is a convenience
MODELS = 200  # of it
SAID_CHARACTERS = 300  # of an endpoint's own words in a sentence of ours

_NO_KEY = "no-key"  # what is sent where there is none; servers of one's own do not look
_AGAIN = re.compile(r"(?:try again|retry)\w* (?:in|after) (\d+(?:\.\d+)?) ?(ms|m|s)", re.IGNORECASE)
_UNITS = {"ms": 0.001, "m": 60.0, "s": 1.0}

Hear = Callable[[bool, str], Awaitable[None]]  # whether it is a thought, and a piece of its text
Say = Callable[[str], Awaitable[None]]  # one line for whoever watches

logger = logging.getLogger(__name__)


class EndpointFailed(MyagentError):
    """The endpoint did not answer, or not as a model does. `wait`: seconds after which it may; `None`: it will not."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.wait = reason, wait

    def __str__(self) -> str:
        return self.reason


class ConversationTooLong(EndpointFailed):
    """The model cannot read all of it."""

    def __init__(self, reason: str, overflow: Overflow) -> None:
        super().__init__(reason)
        self.overflow = overflow


class Endpoint:
    """A model at an address. Raises `ProxyUnusable` where the way there is none."""

    def __init__(self, model: str, base_url: str, key: str | None, env: Mapping[str, str]) -> None:
        self.model, self._base_url, self._key = model, base_url, key
        outbound = Outbound(env)
        outbound.way(base_url)
        timeout = Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        self._client = AsyncOpenAI(
            api_key=key or _NO_KEY,
            base_url=base_url,
            max_retries=0,  # we wait ourselves, and say so
            timeout=timeout,
            http_client=DefaultAsyncHttpxClient(transport=outbound, timeout=timeout, trust_env=False),
        )
        self._model = OpenAIChatModel(model, provider=OpenAIProvider(openai_client=self._client))

    async def close(self) -> None:
        await self._client.close()

    def of(self, model: str) -> Endpoint:
        """Another model at the same address; closed with this one."""
        if model == self.model:
            return self
        other = copy.copy(self)
        other.model = model
        other._model = OpenAIChatModel(model, provider=OpenAIProvider(openai_client=self._client))
        return other

    async def models(self) -> list[str]:
        """The names of the models that it offers, as far as it says so."""
        try:
            async with asyncio.timeout(LIST_SECONDS):
                listed = await self._client.models.list()
                return sorted({str(each.id) for each in listed.data})[:MODELS]
        except (OpenAIError, TimeoutError, ValueError, TypeError, AttributeError):
            return []

    @staticmethod
    def size(messages: Sequence[ModelMessage], offers: Sequence[Offer], instructions: str) -> int:
        """About how many characters a request has."""
        return len(told.dump(messages)) + len(instructions) + sum(len(json.dumps(offer.schema)) for offer in offers)

    async def ask(
        self, messages: Sequence[ModelMessage], offers: Sequence[Offer], instructions: str, *, hear: Hear, say: Say
    ) -> Reply:
        """Let the model go on from these messages; `hear` gets its words as they come, `say` why it takes longer.

        Raises:
            ConversationTooLong: there are too many messages.
            EndpointFailed: everything else; also for an answer of which only a part came.
        """
        heard = False

        async def listen(is_thought: bool, text: str) -> None:
            nonlocal heard
            heard = True
            await hear(is_thought, text)

        for attempt in itertools.count():
            try:
                return await self._ask(told.instructed(messages, instructions), offers, listen)
            except EndpointFailed as failed:
                if failed.wait is None or failed.wait > WAIT_SECONDS or heard or attempt >= TRIES:
                    raise
                wait = failed.wait or 2.0**attempt
                await say(f"{failed}; waiting {wait:.3g} s, then asking again ({attempt + 1} of {TRIES})")
                await sleep(wait)
        raise AssertionError("counted to the end")

    async def _ask(self, messages: Sequence[ModelMessage], offers: Sequence[Offer], hear: Hear) -> Reply:
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
        if whole is None:
            raise EndpointFailed(f"{self._base_url} did not answer as a model does: its answer is empty")
        return told.reply(whole)

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
            raise self._failure(error) from error
        except OpenAIError as error:
            logger.debug("the endpoint failed", exc_info=True)
            raise EndpointFailed(f"{self._base_url}: {self._said(str(error))}") from error
        except (ValueError, TypeError, AttributeError, LookupError) as error:  # what parsing nonsense ends in
            logger.debug("the endpoint's answer is no model's", exc_info=True)
            raise EndpointFailed(f"{self._base_url} did not answer as a model does ({type(error).__name__})") from error

    def _failure(self, error: problems.AgentRunError) -> EndpointFailed:
        body, words = getattr(error, "body", None), _own_words(error)
        status, code = getattr(error, "status_code", None), getattr(error, "provider_error_code", None)
        found = overflow(status, code, words, body)
        if found is None and isinstance(error, problems.ModelContextWindowExceededError):
            found = Overflow()
        if found is not None:
            tokens = f" ({found.limit} tokens)" if found.limit else ""
            return ConversationTooLong(f"the conversation is longer than {self.model} can read{tokens}", found)
        return EndpointFailed(self._sentence(error, words), self._wait(error, words))

    @staticmethod
    def _wait(error: problems.AgentRunError, words: str) -> float | None:
        """Seconds after which it may answer; 0 where it does not say; `None` where waiting does not help."""
        match error:
            case problems.ModelTimeoutError():
                return None  # it was waited for long enough
            case problems.ModelRateLimitError() | problems.ModelUnavailableError() | problems.ModelServerError():
                return _asked_to_wait(error, words) or 0.0
            case problems.ModelConnectionError():
                return 0.0
            case _:
                return None

    def _sentence(self, error: problems.AgentRunError, words: str) -> str:
        said = self._said(words)
        match error:
            case problems.ModelAuthenticationError() if self._key is None:
                return f"{self._base_url} wants a key: set OPENAI_API_KEY, or write it into .env"
            case problems.ModelAuthenticationError():
                return f"{self._base_url} refused the key: {said}"
            case problems.ModelNotFoundError():
                return f"{self._base_url} has no model {self.model}, or is no endpoint: {said}"
            case problems.ModelQuotaExceededError():
                return f"{self._base_url} says that what was paid for is used up: {said}"
            case problems.ModelRateLimitError():
                wait = _asked_to_wait(error, words)
                when = f"; it says to wait {wait:.3g} s" if wait else ""
                return f"{self._base_url} takes no more requests for now (rate limit){when}"
            case problems.ModelTimeoutError():
                return f"{self._base_url} did not answer in time"
            case problems.ModelConnectionError():
                return f"cannot reach {self._base_url}, or the connection broke off: {said}"
            case problems.ModelAPIError(provider_error_code=code) if code == INCOMPLETE:
                return f"{self._base_url} did not answer as a model does: {said}"
            case problems.ModelHTTPError(status_code=status, in_stream=False):
                return f"{self._base_url} answered {status}: {said}"
            case problems.ModelAPIError(in_stream=True):
                return f"{self._base_url} broke off its answer: {said}"
            case _:
                return f"{self._base_url} did not answer as a model does: {said}"

    def _said(self, text: str) -> str:
        """Words of the endpoint, within one line of ours, and never with the key."""
        if self._key is not None:
            text = text.replace(self._key, "[redacted]")
        line = " ".join(text.split())
        return line if len(line) <= SAID_CHARACTERS else f"{line[:SAID_CHARACTERS]}…"


async def _pass(hear: Hear, is_thought: bool, text: str) -> None:
    if text:
        await hear(is_thought, text)


def _asked_to_wait(error: problems.AgentRunError, words: str) -> float | None:
    """Seconds that an endpoint asks for, in its header or in its words."""
    if wait := getattr(error, "retry_after", None):
        return float(wait)
    if (found := _AGAIN.search(words)) is None:
        return None
    return float(found[1]) * _UNITS[found[2].lower()]


def _own_words(error: problems.AgentRunError) -> str:
    """What the endpoint itself says of an error, if anything."""
    words = words_of(getattr(error, "body", None))
    if words.lstrip().startswith("<"):
        return "(a web page)"
    return words or str(error)
