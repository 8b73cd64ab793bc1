"""Endpoints as they are: what each is known to send in place of what OpenAI sends, and what a turn must make of it."""

from __future__ import annotations

import gzip
import json

from tests.agents.dialects import (
    CALLS,
    END,
    HELLO,
    A,
    B,
    Raw,
    begin,
    call,
    calls,
    chunk,
    ends_well,
    fails,
    lines,
    piece,
    said,
    sse,
    usage,
    whole,
)

ENDING_WELL = (
    ends_well("openai", sse(chunk({"role": "assistant", "content": ""}), chunk(HELLO), END, usage(11, 7)), used=18),
    ends_well(
        "azure: a first chunk about filters alone",
        sse(
            {"id": "", "model": "", "object": "", "created": 0, "choices": [], "prompt_filter_results": []},
            chunk(HELLO),
            END,
        ),
    ),
    ends_well(
        "azure: filter results without a delta",
        sse(
            chunk(HELLO),
            {**chunk(None), "choices": [{"index": 0, "finish_reason": None, "content_filter_offsets": {}}]},
            END,
        ),
    ),
    ends_well("vllm", sse(chunk({"role": "assistant", "content": None}), chunk(HELLO), END, usage(11, 7)), used=18),
    ends_well("llama.cpp: timings", sse(chunk(HELLO), chunk({}, "stop", timings={"predicted_n": 7}))),
    ends_well("tgi: eos_token, and no [DONE]", sse(chunk(HELLO), chunk({}, "eos_token"), done=False)),
    ends_well("groq: usage in a field of its own", sse(chunk(HELLO), chunk({}, "stop", x_groq={"usage": {}}))),
    ends_well("openrouter: comments", sse(": OPENROUTER PROCESSING\n\n", chunk(HELLO), ": X\n\n", END)),
    ends_well(
        "deepseek: reasoning_content", sse(chunk({"reasoning_content": "hm"}), chunk(HELLO), END), beside="thinking: hm"
    ),
    ends_well("gpt-oss: reasoning", sse(chunk({"reasoning": "hm"}), chunk(HELLO), END), beside="thinking: hm"),
    ends_well(
        "lm studio: both reasoning fields",
        sse(chunk({"reasoning": "hm", "reasoning_content": "hm"}), chunk(HELLO), END),
        beside="thinking: hm",
    ),
    ends_well(
        "magistral: thoughts and words as parts",
        sse(
            chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}),
            chunk({"content": [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]}),
            END,
        ),
        beside="thinking: hm",
    ),
    ends_well(
        "perplexity: usage with each chunk",
        sse(
            chunk({"content": "hel"}, usage=usage(11, 1)["usage"]),
            chunk({"content": "lo"}, "stop", usage=usage(11, 2)["usage"]),
        ),
        used=13,
    ),
    ends_well(
        "minimax: all of it once more at the end",
        sse(chunk(HELLO), {**said({"content": "hello"}), "usage": usage(11, 7)["usage"]}),
        used=18,
    ),
    ends_well("claude behind a gateway: end_turn", sse(chunk(HELLO), chunk({}, "end_turn"))),
    ends_well("cohere: COMPLETE", sse(chunk(HELLO), chunk({}, "COMPLETE"))),
    ends_well("gemini behind a gateway: STOP", sse(chunk(HELLO), chunk({}, "STOP"))),
    ends_well(
        "pings and empty events",
        sse('event: ping\ndata: {"type": "ping"}\n\n', "data: \n\n", "event: ping\n\n", chunk(HELLO), "data:\n\n", END),
    ),
    ends_well(
        "CRLF, and no space behind the colon",
        sse(f"data:{json.dumps(chunk(HELLO))}\r\n\r\n", f"data:{json.dumps(END)}\r\n\r\n", "data:[DONE]\r\n\r\n"),
    ),
    ends_well("a byte order mark", Raw((b"\xef\xbb\xbf", lines(chunk(HELLO), END)))),
    ends_well(
        "a character in two pieces",
        Raw((b'data: {"choices":[{"index":0,"delta":{"content":"h\xc3', b'\xa9"},"finish_reason":"stop"}]}\n\n')),
        says="hé",
    ),
    ends_well("chunks with nothing but choices", sse({"choices": [{"delta": HELLO, "finish_reason": "stop"}]})),
    ends_well(
        "an event stream that says it is plain text",
        sse(chunk(HELLO), END, headers=(("content-type", "text/plain; charset=utf-8"),)),
    ),
    ends_well(
        "an event stream that says it is JSON", sse(chunk(HELLO), END, headers=(("content-type", "application/json"),))
    ),
    ends_well("an event stream without a type", sse(chunk(HELLO), END, headers=())),
    ends_well(
        "JSON, one in each line",
        Raw(
            (b"".join(json.dumps(each).encode() + b"\n" for each in (chunk(HELLO), END)),),
            headers=(("content-type", "application/x-ndjson"),),
        ),
    ),
    ends_well(
        "gzip",
        Raw(
            (gzip.compress(lines(chunk(HELLO), END)),),
            headers=(("content-type", "text/event-stream"), ("content-encoding", "gzip")),
        ),
    ),
    ends_well(
        "text in place of a delta",
        sse(
            {
                "id": "c",
                "object": "text_completion",
                "choices": [{"index": 0, "text": "hello", "finish_reason": "stop"}],
            }
        ),
    ),
    ends_well("not streamed", whole({**said(HELLO), "usage": usage(11, 7)["usage"]}), used=18),
    ends_well("not streamed, and laid out", whole(json.dumps(said(HELLO), indent=2).encode())),
    ends_well("not streamed, without a reason", whole(said(HELLO, None))),
    ends_well("not streamed, as parts", whole(said({"content": [{"type": "text", "text": "hello"}]}))),
    ends_well(
        "not streamed, by a type of its own", whole(said(HELLO), media="application/vnd.api+json; charset=utf-8")
    ),
    ends_well("a reason that nobody knows, behind words", sse(chunk(HELLO), chunk({}, "because"))),
)

CALLING = (
    calls("openai: a call in pieces", sse(chunk(begin()), chunk(piece(A[:9])), chunk(piece(A[9:])), CALLS)),
    calls(
        "openai: two calls in turn",
        sse(chunk(begin(0, "c1")), chunk(piece(A)), chunk(begin(1, "c2")), chunk(piece(B, 1)), CALLS),
        "ab",
    ),
    calls(
        "openai: two calls mixed",
        sse(
            chunk(begin(0, "c1")),
            chunk(begin(1, "c2")),
            chunk(piece(A[:9])),
            chunk(piece(B[:9], 1)),
            chunk(piece(A[9:])),
            chunk(piece(B[9:], 1)),
            CALLS,
        ),
        "ab",
    ),
    calls(
        "gemini: all of them carry index 0, whole",
        sse(chunk({"tool_calls": [call("a", 0, "c1")]}), chunk({"tool_calls": [call("b", 0, "c2")]}), CALLS),
        "ab",
    ),
    calls(
        "three calls in one delta, all with index 0",
        sse(chunk({"tool_calls": [call("a", 0, "c1"), call("b", 0, "c2"), call("c", 0, "c3")]}), CALLS),
        "abc",
    ),
    calls(
        "all of them carry index 0, in pieces",
        sse(
            chunk(begin(0, "c1")),
            chunk(piece(A[:9])),
            chunk(piece(A[9:])),
            chunk(begin(0, "c2")),
            chunk(piece(B)),
            CALLS,
        ),
        "ab",
    ),
    calls(
        "all of them carry index 0, and no id",
        sse(chunk({"tool_calls": [call("a", 0, None)]}), chunk({"tool_calls": [call("b", 0, None)]}), CALLS),
        "ab",
    ),
    calls(
        "ollama: no index, the call whole",
        sse(chunk({"tool_calls": [call("a", None), call("b", None, "c2")]}), END),
        "ab",
    ),
    calls(
        "no index and no id", sse(chunk({"tool_calls": [call("a", None, None), call("b", None, None)]}), CALLS), "ab"
    ),
    calls(
        "ollama: arguments that are an object",
        sse(chunk({"tool_calls": [call("a", arguments={"path": "a", "content": "x"})]}), END),
    ),
    calls(
        "vllm: an id made up for each piece",
        sse(chunk(begin(0, "r1")), chunk(piece(A[:9], id="r2")), chunk(piece(A[9:], id="r3")), CALLS),
    ),
    calls(
        "dashscope: an empty id and name with each piece",
        sse(
            chunk(begin()),
            chunk(piece(A[:9], id="", function={"name": ""})),
            chunk(piece(A[9:], id="", function={"name": None})),
            CALLS,
        ),
    ),
    calls(
        "the name and the id with each piece",
        sse(
            chunk(begin()),
            *(chunk(piece(part, id="call", function={"name": "Write"})) for part in (A[:9], A[9:])),
            CALLS,
        ),
    ),
    calls(
        "the name with each piece, and no id",
        sse(chunk(begin(0, None)), *(chunk(piece(part, function={"name": "Write"})) for part in (A[:9], A[9:])), CALLS),
    ),
    calls(
        "one id for all calls", sse(chunk({"tool_calls": [call("a", 0, "same"), call("b", 1, "same")]}), CALLS), "ab"
    ),
    calls("mistral: the call whole, with the reason", sse(chunk({"tool_calls": [call("a")]}, "tool_calls"))),
    calls("a call, and the reason stop", sse(chunk({"tool_calls": [call("a")]}), END)),
    calls("a call, and the reason tool-calls", sse(chunk({"tool_calls": [call("a")]}), chunk({}, "tool-calls"))),
    calls("words and a call", sse(chunk(HELLO), chunk({"tool_calls": [call("a")]}), CALLS), says="hello\ndone"),
    calls(
        "a function_call, as before there were tools",
        sse(
            chunk({"function_call": {"name": "Write", "arguments": A[:9]}}),
            chunk({"function_call": {"arguments": A[9:]}}),
            chunk({}, "function_call"),
        ),
    ),
    calls(
        "not streamed: calls without an index",
        whole(said({"content": None, "tool_calls": [call("a", None, "c1"), call("b", None, "c2")]}, "tool_calls")),
        "ab",
    ),
)

WITHOUT_WORDS = (
    ends_well("nothing at all", sse(chunk({"content": ""}), END), says="", beside="the model said nothing"),
    ends_well(
        "nothing after a tool's result",
        sse(chunk({"tool_calls": [call("a")]}), CALLS),
        sse(chunk({"content": ""}), END),
        says="",
        beside="the model said nothing",
        makes=frozenset("a"),
    ),
    ends_well(
        "reasoning alone",
        sse(chunk({"reasoning_content": "hm"}), END),
        says="",
        beside="the model thought, and said nothing",
    ),
    ends_well("white space alone", sse(chunk({"content": "\n\n"}), END), says="\n\n", beside="the model said nothing"),
    ends_well(
        "openai: a refusal",
        sse(chunk({"refusal": "I "}), chunk({"refusal": "won't."}), END),
        says="I won't.",
        beside="the model refused",
        ends="refusal",
    ),
    ends_well(
        "a refusal, not streamed",
        whole(said({"content": None, "refusal": "I won't."})),
        says="I won't.",
        beside="the model refused",
        ends="refusal",
    ),
    ends_well(
        "a refusal and a call",
        sse(chunk({"refusal": "No."}), chunk({"tool_calls": [call("a")]}), CALLS),
        says="No.",
        ends="refusal",
    ),
    ends_well(
        "azure: content_filter", sse(chunk({}, "content_filter")), says="", beside="a content filter", ends="refusal"
    ),
    ends_well("zhipu: sensitive", sse(chunk(HELLO), chunk({}, "sensitive")), ends="refusal"),
    ends_well("gemini: SAFETY", sse(chunk({}, "SAFETY")), says="", ends="refusal"),
    ends_well(
        "length, in the middle of a call",
        sse(chunk(begin()), chunk(piece(A)), chunk({}, "length")),
        says="",
        beside="cut off",
        ends="max_tokens",
    ),
    ends_well("gemini: MAX_TOKENS", sse(chunk(HELLO), chunk({}, "MAX_TOKENS")), beside="cut off", ends="max_tokens"),
)

_CALL = chunk({"tool_calls": [call("a")]})
_ERROR = {"message": "the GPU fell over", "type": "server_error", "code": None}
BROKEN = (
    fails("words, and a clean end", sse(chunk(HELLO), done=False), "ended in the middle", "hello"),
    fails("words, and [DONE]", sse(chunk(HELLO)), "ended in the middle", "hello"),
    fails("a call, and a clean end", sse(_CALL, done=False), "ended in the middle"),
    fails("a call, and [DONE]", sse(_CALL), "ended in the middle"),
    fails("a call, and the connection breaks", sse(_CALL, done=False, cut=True), "the connection broke off"),
    fails("a call, and an error object", sse(_CALL, {"error": _ERROR}, CALLS), "the GPU fell over"),
    fails("a call with its reason, and an error object", sse(_CALL, CALLS, {"error": _ERROR}), "the GPU fell over"),
    fails("vllm: object error", sse(_CALL, {"object": "error", **_ERROR, "code": 500}), "the GPU fell over"),
    fails("an error that is a text", sse(_CALL, {"error": "the GPU fell over"}), "the GPU fell over"),
    fails(
        "event: error",
        sse(_CALL, 'event: error\ndata: {"reason": "x", "message": "the GPU fell over"}\n\n'),
        "the GPU fell over",
    ),
    fails("event: error, and no JSON", sse(_CALL, "event: error\ndata: the GPU fell over\n\n"), "the GPU fell over"),
    fails(
        "claude behind a gateway: type error",
        sse(_CALL, {"type": "error", "error": {"type": "api_error", "message": "the GPU fell over"}}),
        "the GPU fell over",
    ),
    fails("fastapi: detail", sse(_CALL, {"detail": "the GPU fell over"}), "the GPU fell over"),
    fails("openrouter: the reason error", sse(_CALL, chunk({}, "error")), "broken off: error"),
    fails("sglang: abort", sse(_CALL, chunk({}, "abort")), "broken off: abort"),
    fails(
        "deepseek: insufficient_system_resource", sse(_CALL, chunk({}, "insufficient_system_resource")), "broken off"
    ),
    fails("gemini: MALFORMED_FUNCTION_CALL", sse(_CALL, chunk({}, "MALFORMED_FUNCTION_CALL")), "broken off"),
    fails("a call, and a reason that nobody knows", sse(_CALL, chunk({}, "because")), "not known here: because"),
    fails("a call, and no JSON", sse(_CALL, "data: {not json\n\n", CALLS), "not JSON"),
    fails("a call, and half an event", Raw((lines(_CALL, done=False), b'data: {"choices": [{"del')), "not JSON"),
    fails("choices that are none", sse({"choices": 7}), "no list"),
    fails("a choice that is none", sse({"choices": ["x"]}), "no object"),
    fails("an empty body", Raw(()), "ended in the middle"),
    fails("a web page", whole(b"<html>hello</html>", media="text/html"), "a web page"),
    fails("not streamed: an error in place of an answer", whole({"error": _ERROR}), "the GPU fell over"),
    fails("not streamed: half of it", whole(json.dumps(said({"tool_calls": [call("a")]})).encode()[:-9]), "not JSON"),
    fails(
        "gzip that is none",
        Raw((b"hello",), headers=(("content-type", "text/event-stream"), ("content-encoding", "gzip"))),
        "",
    ),
    fails(
        "gemini: an error in a list",
        whole([{"error": {"code": 400, "message": "no such field"}}], status=400),
        "answered 400: no such field",
    ),
    fails(
        "fastapi: details",
        whole({"detail": [{"loc": ["body"], "msg": "no such field"}]}, status=422),
        "answered 422: no such field",
    ),
    fails(
        "ollama: an error that is a text", whole({"error": "no such field"}, status=400), "answered 400: no such field"
    ),
    fails("aws: Message", whole({"Message": "no such field"}, status=400), "answered 400: no such field"),
    fails(
        "nginx: a web page",
        whole(b"<html><h1>502 Bad Gateway</h1></html>", status=502, media="text/html"),
        "answered 502: (a web page)",
    ),
    fails("an error without a word", Raw((), status=400), "answered 400"),
    fails(
        "quota",
        whole({"error": {"message": "you have no credit", "code": "insufficient_quota"}}, status=429),
        "is used up: you have no credit",
    ),
)

DIALECTS = (*ENDING_WELL, *CALLING, *WITHOUT_WORDS, *BROKEN)
