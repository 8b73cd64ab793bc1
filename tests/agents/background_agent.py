"""An ACP agent that goes on after its turns have ended, as a test tells it: one line of JSON after another on a FIFO.

An order is `say`, `call`, `end_call`, `ask`, `idle` or `die`, with the number of a `session`. It says the answers.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
from typing import Any

JSON = dict[str, Any]
OPTIONS = [
    {"optionId": "yes", "name": "Allow", "kind": "allow_once"},
    {"optionId": "no", "name": "Reject", "kind": "reject_once"},
]
_LOCK = threading.Lock()
_ASKED: dict[Any, str] = {}  # request id → session


def send(**message: Any) -> None:
    with _LOCK:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def update(session: str, update_kind: str, /, **fields: Any) -> None:
    send(method="session/update", params={"sessionId": session, "update": {"sessionUpdate": update_kind, **fields}})


def say(session: str, text: str) -> None:
    update(session, "agent_message_chunk", content={"type": "text", "text": text})


def work(path: str) -> None:
    """Do what is asked for on the FIFO; of which session is told by its number."""
    numbers = itertools.count()
    # Open for writing as well: it never ends, and what comes between two writers is not lost.
    with open(os.open(path, os.O_RDWR), encoding="utf-8") as orders:
        for line in orders:
            order = json.loads(line)
            session = f"bg-{order.get('session', 0)}"
            match order["do"]:
                case "say":
                    say(session, order["text"])
                case "call":
                    update(session, "tool_call", toolCallId=order["id"], title=order["title"], kind="execute",
                           status="in_progress")  # fmt: skip
                case "end_call":
                    update(session, "tool_call_update", toolCallId=order["id"], status="completed")
                case "ask":
                    number = f"bg-ask-{next(numbers)}"
                    _ASKED[number] = session
                    call = {"toolCallId": order["id"], "title": order["title"], "kind": "edit"}
                    params = {"sessionId": session, "toolCall": call, "options": OPTIONS}
                    send(id=number, method="session/request_permission", params=params)
                case "idle":
                    update(session, "state_update", state="idle")
                case "die":
                    os._exit(3)


def main(path: str) -> None:
    threading.Thread(target=work, args=(path,), daemon=True).start()
    sessions = itertools.count()
    for line in sys.stdin:
        message = json.loads(line)
        number, method = message.get("id"), message.get("method")
        match method:
            case None:
                if (session := _ASKED.pop(number, None)) is not None:
                    say(session, f"[{message['result']['outcome'].get('optionId', 'cancelled')}]")
            case "initialize":
                send(id=number, result={"protocolVersion": 1, "agentCapabilities": {}, "agentInfo": {"name": "bg"}})
            case "session/new":
                send(id=number, result={"sessionId": f"bg-{next(sessions)}"})
            case "session/prompt":
                session = message["params"]["sessionId"]
                say(session, f"in {session}")
                send(id=number, result={"stopReason": "end_turn"})
            case "session/cancel":
                say(message["params"]["sessionId"], "[told to stop]")
            case _ if number is not None:
                send(id=number, error={"code": -32601, "message": "no"})


main(sys.argv[1])
