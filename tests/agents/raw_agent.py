"""An ACP agent that writes lines as JavaScript, C and hurried people write them: each prompt names a list of them."""

from __future__ import annotations

import json
import sys
from typing import Any

OPTIONS = r'[{"optionId":"y","name":"Yes","kind":"allow_once"},{"optionId":"n","name":"No","kind":"reject_once"}]'


def send(line: str | bytes) -> None:
    sys.stdout.buffer.write((line.encode() if isinstance(line, str) else line) + b"\n")
    sys.stdout.buffer.flush()


def update(kind: str, fields: str) -> str:
    told = f'{{"sessionUpdate":"{kind}",{fields}}}'
    return f'{{"jsonrpc":"2.0","method":"session/update","params":{{"sessionId":"s1","update":{told}}}}}'


def chunk(text: str, kind: str = "agent_message_chunk") -> str:
    return update(kind, f'"content":{{"type":"text","text":"{text}"}}')


def asking(ident: str, command: str) -> str:
    call = rf'{{"toolCallId":"c1","title":"run \ud83d","kind":"execute","rawInput":{{"command":"{command}"}}}}'
    params = f'{{"sessionId":"s1","toolCall":{call},"options":{OPTIONS}}}'
    return f'{{"jsonrpc":"2.0","id":{ident},"method":"session/request_permission","params":{params}}}'


def answer(ident: str, more: str = "") -> str:
    return f'{{"jsonrpc":"2.0","id":{ident},"result":{{"stopReason":"end_turn"{more}}}}}'


def said(prompt: str) -> list[str | bytes]:
    """The lines of a prompt before its answer."""
    return {
        "joined": [chunk(r"a \ud83d"), chunk(r"\ude00 b")],
        "thrice": [chunk(r"\ud83d"), chunk(r"\ude00\ud83d"), chunk(r"\ude00")],
        "between": [chunk(r"a \ud83d"), chunk("hm", "agent_thought_chunk"), chunk("b")],
        "lone": [chunk(r"x\ud83dy"), chunk("after")],
        "last": [chunk(r"end \ud83d")],
        "bytes": [chunk("x\0y").replace("\0", "\udcff").encode("utf-8", "surrogateescape"), chunk("after")],
        "output": [
            update("tool_call", '"toolCallId":"c1","title":"ls","kind":"execute","status":"in_progress"'),
            update("tool_call_update", r'"toolCallId":"c1","_meta":{"terminal_output_delta":{"data":"a \ud83d"}}'),
            update("tool_call_update", r'"toolCallId":"c1","_meta":{"terminal_output_delta":{"data":"\ude00 b"}}'),
        ],
    }.get(prompt, [])


def answered() -> str:
    """What came back for a request, in short."""
    message = json.loads(sys.stdin.readline())
    error: dict[str, Any] = message.get("error", {})
    return json.dumps([message["id"], error.get("code") or message["result"]["outcome"].get("optionId")])


def run(prompt: str, ident: int) -> None:
    for line in said(prompt):
        send(line)
    word, _, rest = prompt.partition(" ")
    if word == "ask":
        send(asking(rest, r"echo \ud83d"))
        send(chunk(json.dumps(answered())[1:-1]))
    if word == "number":
        send(answer(str(ident), f',"usage":{{"x":{rest}}}'))
    elif word == "float":
        send(answer(f"{ident}.0"))
    elif word == "deep":
        send(answer(str(ident), f',"x":{"[" * 9999}{"]" * 9999}'))
    else:
        send(answer(str(ident)))


if "bom" in sys.argv:
    sys.stdout.buffer.write(b"\xef\xbb\xbf")
for received in sys.stdin:
    asked = json.loads(received)
    match asked:
        case {"method": "initialize"}:
            result: dict[str, Any] = {"protocolVersion": 1, "agentCapabilities": {}, "authMethods": []}
            send(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}))
        case {"method": "session/new"}:
            send(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": {"sessionId": "s1"}}))
        case {"method": "session/prompt", "params": {"prompt": [{"text": str(text)}]}}:
            run(text, asked["id"])
        case {"method": str(), "id": int(number)}:
            send(json.dumps({"jsonrpc": "2.0", "id": number, "error": {"code": -32601, "message": "no"}}))
        case _:
            pass
