"""Frames that no editor should send, each with what JSON-RPC has for it: an error's code, or no answer at all."""

from __future__ import annotations

import json
from typing import Any

PARSE, INVALID, UNKNOWN, PARAMS = -32700, -32600, -32601, -32602
GONE = -32002  # a session that is not open here
NOTHING = None

Row = tuple[bytes, int | None]


def _call(method: Any, params: Any = ..., **more: Any) -> bytes:
    whole = {"jsonrpc": "2.0", "id": 7, "method": method, **({} if params is ... else {"params": params}), **more}
    return json.dumps(whole).encode()


def _tell(method: Any, params: Any = ...) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "method": method, **({} if params is ... else {"params": params})}).encode()


BYTES: list[Row] = [
    (raw, PARSE)
    for raw in (
        b"", b" ", b"\x00", b"\xff\xfe", b"{", b"}", b"[", b'"', b"nul", b"NaN", b"-Infinity", b"{'a':1}", b"{a:1}",
        b'{"a":1,}', b'{"a":1}{"b":2}', b'{"jsonrpc":"2.0","id":1,"method":"x"', b'"\xed\xa0\x80"', b'{"a":"\\ud800"}',
        b"\xef\xbb\xbf{}", b"[" * 100_000, b'{"a":' * 100_000, b"GET / HTTP/1.1\r\n", b"Content-Length: 10\r\n\r\n{}",
        b'{"id":1e999}', b"01", b"+1", b"0x1", b"// {}", b"/*{}*/",
    )
]  # fmt: skip

SHAPES: list[Row] = [
    (raw, INVALID)
    for raw in (
        b"null", b"true", b"0", b"1.5", b'"initialize"', b"[]", b"[1]", b"[{}]", b"{}", b'{"jsonrpc":"2.0"}',
        b'[{"jsonrpc":"2.0","id":1,"method":"initialize"}]', b'{"id":1,"method":"session/list"}',
        b'{"jsonrpc":"1.0","id":1,"method":"session/list"}', b'{"jsonrpc":2.0,"id":1,"method":"session/list"}',
        b'{"jsonrpc":null,"id":1,"method":"session/list"}', b'{"jsonrpc":["2.0"],"id":1,"method":"session/list"}',
        b'{"jsonrpc":"2.0","id":1}', b'{"jsonrpc":"2.0","id":1,"result":1,"error":{}}', b'{"jsonrpc":"2.0","result":1}',
        b'{"jsonrpc":"2.0","error":{}}', b'{"jsonrpc":"2.0","id":1.5,"method":"x"}',
        b'{"jsonrpc":"2.0","id":true,"method":"x"}', b'{"jsonrpc":"2.0","id":[1],"method":"x"}',
        b'{"jsonrpc":"2.0","id":{"a":1},"method":"x"}', b'{"jsonrpc":"2.0","id":99999999999999999999,"method":"x"}',
        b'{"jsonrpc":"2.0","id":-99999999999999999999,"method":"x"}', b'{"jsonrpc":"2.0","id":1,"method":null}',
        b'{"jsonrpc":"2.0","id":1,"method":1}', b'{"jsonrpc":"2.0","id":1,"method":["session/list"]}',
        b'{"jsonrpc":"2.0","id":1,"method":{"a":1}}', b'{"jsonrpc":"2.0","method":7}', b'{"jsonrpc":"2.0","params":{}}',
        b'{"jsonrpc":"2.0","id":1.0,"result":null}', b'{"jsonrpc":"2.0","id":7,"id":8,"method":"session/list"}',
        b'{"jsonrpc":"2.0","id":7,"method":"session/list","method":"session/new","params":{"cwd":"/w"}}',
        b'{"jsonrpc":"2.0","id":7,"method":"session/list","params":{"cwd":"/a","cwd":"/w"}}',
        b'{"jsonrpc":"2.0","id":7,"method":"session/list","params":{"_meta":{"a":[{"b":1,"b":1}]}}}',
        b'{"jsonrpc":"2.0","id":1,"result":{"outcome":{"outcome":"selected","optionId":"deny","optionId":"allow"}}}',
        b'{"jsonrpc":"2.0","method":"session/cancel","params":{"sessionId":"s","session\\u0049d":"x"}}',
    )
]  # fmt: skip

METHODS: list[Row] = [
    (_call(name, {}), UNKNOWN)
    for name in (
        "", " ", "session", "session/", "session/New", "SESSION/NEW", "session/new ", " session/new", "session/fork",
        "session/promote", "session/set_model", "session/update", "session/request_permission",
        "session/cancel", "$/cancel_request", "initialized", "shutdown", "exit", "rpc.discover", "logout",
        "fs/read_text_file", "fs/write_text_file", "terminal/create", "elicitation/create", "providers/list",
        "nes/start", "_zed.dev/x", "x" * 100_000, "\u202esession/new", "session\x00new", "__init__", "../session/new",
    )
]  # fmt: skip

ODD: list[Any] = [None, True, 0, -1, 1.5, "", "x", "/nowhere\x00", [], [1], {}, {"a": 1}]

NO_NAMES = [each for each in ODD if not isinstance(each, str)]
NO_SERVERS: list[Any] = [None, True, 0, "x", {}, {"a": 1}, [1], ["x"], [{}]]

SESSIONS: list[Row] = [
    *((_call("session/new", {"cwd": each, "mcpServers": []}), PARAMS) for each in ODD),
    *((_call("session/new", {"cwd": "/w", "mcpServers": each}), PARAMS) for each in NO_SERVERS),
    (_call("session/new", {}), PARAMS),
    (_call("session/new", {"mcpServers": []}), PARAMS),
    *((_call("session/load", {"sessionId": each, "cwd": "/w", "mcpServers": []}), PARAMS) for each in NO_NAMES),
    *((_call("session/resume", {"sessionId": "s", "cwd": each, "mcpServers": []}), PARAMS) for each in ODD),
    *((_call("session/list", {"cwd": each}), PARAMS) for each in ODD if each is not None),
    *((_call("session/close", {"sessionId": each}), GONE if isinstance(each, str) else PARAMS) for each in ODD),
    *((_call("session/attach", {"sessionId": each}), PARAMS) for each in NO_NAMES),
    *((_call("session/attach", {"sessionId": "s", "role": each}), PARAMS) for each in ODD if each),
    *((_call("session/attach", {"sessionId": "s", "historyPolicy": each}), PARAMS) for each in ODD if each),
    (_call("session/attach", {"sessionId": "s", "cwd": "elsewhere"}), PARAMS),
    *((_call("session/detach", {"sessionId": each}), -32001 if isinstance(each, str) else PARAMS) for each in ODD),
    *((_call("session/set_mode", {"sessionId": "s", "modeId": each}), PARAMS) for each in ODD),
    (_call("session/set_mode", {"sessionId": "other", "modeId": "plan"}), GONE),
    (_call("session/set_config_option", {"sessionId": "s", "configId": "x", "value": 1}), PARAMS),
    (_call("authenticate", {"methodId": "x"}), PARAMS),
]  # fmt: skip

PROMPTS: list[Row] = [
    *((_call("session/prompt", {"sessionId": "s", "prompt": each}), PARAMS) for each in ODD),
    *(
        (_call("session/prompt", {"sessionId": "s", "prompt": [each]}), PARAMS)
        for each in (
            *ODD, {"type": "text"}, {"type": "text", "text": None}, {"type": "text", "text": " "}, {"type": "Text"},
            {"type": "image", "data": "AA", "mimeType": "image/png"}, {"type": "audio", "data": "AA"},
            {"type": "resource_link", "name": "x"}, {"type": "resource_link", "uri": 1}, {"type": "resource"},
            {"type": "resource", "resource": []}, {"type": "resource", "resource": {"uri": "x", "blob": "AA"}},
            {"type": "resource", "resource": {"uri": 1, "text": "x"}}, {"type": "video"}, {"type": ["text"]},
        )
    ),
    (_call("session/prompt", {"sessionId": "s", "prompt": [{"type": "text", "text": "x" * 1001}]}), PARAMS),
    (_call("session/prompt", {"sessionId": "other", "prompt": [{"type": "text", "text": "x"}]}), GONE),
    (_call("session/prompt", {"prompt": [{"type": "text", "text": "x"}]}), PARAMS),
]  # fmt: skip

PARAMETERS: list[Row] = [(_call("session/list", each), PARAMS) for each in (True, 0, 1.5, "x", [], [1], ["cwd", "/w"])]

SILENT: list[Row] = [
    (raw, NOTHING)
    for raw in (
        _tell("session/cancel"), _tell("session/cancel", {}), _tell("session/cancel", []), _tell("session/cancel", 7),
        *(_tell("session/cancel", {"sessionId": each}) for each in ODD),
        _tell("$/cancel_request"), _tell("$/cancel_request", {}), _tell("$/cancel_request", [1]),
        *(_tell("$/cancel_request", {"requestId": each}) for each in ODD),
        _tell("nothing/of/this/name"), _tell("", {}), _tell("initialize", {"protocolVersion": 1}), _tell("x", "x"),
        b'{"jsonrpc":"2.0","id":1,"result":null}', b'{"jsonrpc":"2.0","id":"x","result":{}}',
        b'{"jsonrpc":"2.0","id":null,"result":{}}', b'{"jsonrpc":"2.0","id":424242,"error":{"code":1,"message":"x"}}',
        b'{"jsonrpc":"2.0","id":-1,"error":null}',
    )
]  # fmt: skip

ROWS: list[Row] = [*BYTES, *SHAPES, *METHODS, *SESSIONS, *PROMPTS, *PARAMETERS, *SILENT]
