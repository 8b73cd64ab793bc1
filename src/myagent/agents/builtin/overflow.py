"""How endpoints say that a conversation is longer than their model can read, and what they say of its limit. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

LEAST_TOKENS = 16  # a smaller number in such a sentence is no model's limit

# Of a status that says it without words.
TOO_LARGE_STATUS = 413

_CODES = frozenset(
    {
        *("context_length_exceeded", "exceed_context_size_error", "model_max_prompt_tokens_exceeded"),
        *("context_window_exceeded", "ContextWindowExceededError", "input_too_long", "prompt_too_long", "1261"),
    }
)
_NUMBER = r"(?P<limit>\d[\d,_]*)"
# Each with the limit where the sentence holds it; the sentence is in lower case.
_SENTENCES = tuple(
    re.compile(sentence)
    for sentence in (
        # OpenAI, Azure, vLLM, DeepSeek, OpenRouter, LiteLLM around them, SGLang, Mistral, Fireworks
        rf"maximum context length (?:is|of|\()?\s*{_NUMBER}",
        rf"model maximum context length:? {_NUMBER}",
        rf"{_NUMBER} maximum context length",
        rf"maximum (?:prompt|input|model|sequence|token) length (?:is|of|\()?\s*{_NUMBER}",  # xAI, vLLM, TensorRT-LLM
        rf"context length \({_NUMBER}",  # SGLang
        rf"configured limit of {_NUMBER}",  # OpenAI
        rf"exceeds? (?:the )?available context size(?: \({_NUMBER})?",  # llama.cpp
        rf"context length of only {_NUMBER}",  # LM Studio
        rf"exceed(?:s|ed)? (?:the )?(?:limit of|context limit:? (?:\d+ \+ \d+ >)?|model token limit:?) ?{_NUMBER}",
        rf"exceed context window of {_NUMBER}",  # llama-cpp-python
        rf"tokens? > {_NUMBER} maximum",  # Anthropic
        rf"maximum number of (?:input )?tokens (?:allowed )?\(?{_NUMBER}",  # Gemini
        rf"max_new_tokens` must be <= {_NUMBER}",  # TGI
        rf"`?inputs`? must have less than {_NUMBER}",  # TGI
        rf"number of tokens in the prompt cannot exceed {_NUMBER}",  # Cohere
        rf"range of input length should be \[\d+, {_NUMBER}\]",  # DashScope
        rf"context window limit \({_NUMBER}",  # Cloudflare
        rf"while limit is {_NUMBER}",  # Cerebras
        rf"greater than max_seq_len {_NUMBER}",  # TabbyAPI
        rf"request too large for .*\btokens per min.* limit:? {_NUMBER}",  # OpenAI, Groq: no waiting makes it smaller
        rf"max tokens of {_NUMBER} exceeded",  # Snowflake
        r"reduce (?:the|your) (?:length|prompt|input)|shorter (?:prompt|input)",
        r"context[ _]?(?:window|length|size) ?(?:is )?(?:was )?exceed",
        r"exceed\w* (?:the |this |model'?s? |maximum |max |its )*context",
        r"(?:prompt|input|inputs|request|conversation|messages?) (?:is|are|was) (?:too long|too large|longer than)",
        r"(?:prompt|input) too long|too many (?:input |prompt )?tokens",
        r"context window exceeds|prompt exceeds max|exceeds? (?:the )?max(?:imum)?[ _](?:prompt|input|context)",
        r"max_tokens must be at least 1, got -",  # vLLM, which had counted what is left
        r"tokens to keep from the initial prompt is greater than the context",  # LM Studio
    )
)
# Which such sentences are about something else than the length of the conversation.
_OTHERWISE = re.compile(r"context deadline|rate limit reached|quota|max_(?:completion_)?tokens is too large")
_HAD = re.compile(
    r"(?:resulted in|requested(?: a total of)?(?: about)?|contains?|given:?|received|input length|current length is|"
    r"request \(|length|requested:|input \(|prompt is too long:|count(?: of)?)\W*(\d[\d,_]*)"
)


@dataclass(frozen=True, slots=True)
class Overflow:
    """A conversation that is too long for its model: how long it may be and how long it was, in tokens, where said."""

    limit: int | None = None
    had: int | None = None


def overflow(status: int | None, code: str | None, words: str, body: Any = None) -> Overflow | None:
    """What an endpoint's error says of the length of the conversation; `None` where it is about something else."""
    line = " ".join(words.lower().split())
    if status in (401, 403, 404) or _OTHERWISE.search(line) is not None:
        return None
    inner = body.get("error", body) if isinstance(body, dict) else None
    fields = inner if isinstance(inner, dict) else {}
    found = [match for sentence in _SENTENCES if (match := sentence.search(line)) is not None]
    if not found and code not in _CODES and fields.get("type") not in _CODES and status != TOO_LARGE_STATUS:
        return None
    said = [_number(match["limit"]) for match in found if "limit" in match.re.groupindex and match["limit"]]
    limit = _positive(fields.get("n_ctx")) or next((number for number in said if number >= LEAST_TOKENS), None)
    had = _positive(fields.get("n_prompt_tokens"))
    if had is None and limit is not None:
        had = max((n for n in map(_number, _HAD.findall(line)) if n > limit), default=None)
    return Overflow(limit, had)


def _number(digits: str) -> int:
    return int(re.sub(r"\D", "", digits)[:12] or "0")


def _positive(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
