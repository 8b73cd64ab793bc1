"""A program that speaks as `claude -p` does with stream-json (shapes seen with 2.1.197), and does what the prompt says.

    python fake_claude.py [--store DIR] [--at initialize=hang] ARGUMENTS OF CLAUDE

A prompt is `WORD REST`; the words are the functions `do_…` below. With `--store`, conversations can be resumed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from typing import Any

JSON = dict[str, Any]
MODELS = [
    {"value": "default", "resolvedModel": "big-1", "supportedEffortLevels": ["low", "high"]},
    {"value": "small", "resolvedModel": "small-2"},
]


class Interrupted(Exception):
    pass


class Claude:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.session = options.resume or f"fake-{os.getpid()}"
        self.history = Path(options.store, self.session) if options.store else None
        self.ids, self.prompts = itertools.count(), itertools.count()
        self.answers: dict[str, Queue[JSON]] = {}
        self.interrupted = threading.Event()
        self.lock = threading.Lock()
        self.carried: list[JSON] = []  # of the last prompt, beside its text

    def serve(self) -> None:
        if self.options.resume and not (self.history and self.history.exists()):
            print(f"No conversation found with session ID: {self.session}", file=sys.stderr, flush=True)
            self.result(is_error=True, subtype="error_during_execution", errors=["No conversation found"])
            sys.exit(1)
        for line in sys.stdin.buffer:
            if self.options.heard:
                with Path(self.options.heard).open("ab") as heard:
                    heard.write(line)
            message = json.loads(line)
            match message:
                case {"type": "control_request", "request_id": number, "request": {"subtype": "initialize"}}:
                    self.initialize(number)
                case {"type": "control_request", "request_id": number, "request": {"subtype": "interrupt"}}:
                    if self.options.at != "interrupt=hang":
                        self.interrupted.set()
                        for ask, waiting in self.answers.items():
                            self.send(type="control_cancel_request", request_id=ask)
                            waiting.put({"behavior": "deny", "interrupt": True})
                        self.respond(number)
                case {"type": "control_response", "response": {"request_id": number, **rest}}:
                    self.send(**message)  # --replay-user-messages
                    if (queue := self.answers.pop(number, None)) is not None:
                        queue.put(rest.get("response") or rest)
                case {"type": "user", "message": {"content": [{"text": text}, *carried]}}:
                    self.carried = carried
                    if self.options.at == "prompt=overtaken" and next(self.prompts):
                        self.told("something else has ended", is_error=True, result="this is of another turn")
                    self.send(**message)  # --replay-user-messages
                    threading.Thread(target=self.turn, args=(text,), daemon=True).start()

    def initialize(self, number: str) -> None:
        match self.options.at:
            case "initialize=hang":
                return
            case "initialize=refuse":
                error = {"subtype": "error", "request_id": number, "error": "please sign in"}
                self.send(type="control_response", response=error)
            case "initialize=exit":
                print("no key found", file=sys.stderr, flush=True)
                os._exit(41)
            case _:
                commands = [{"name": "review", "description": "Look at it", "argumentHint": ""}]
                self.respond(number, {"commands": commands, "models": MODELS})

    def turn(self, text: str) -> None:
        history = self.history
        self.send(type="system", subtype="init", session_id=self.session, model=self.options.model, tools=[])
        earlier = history.read_text() if history and history.exists() else ""
        if history:
            history.write_text(f"{earlier}{text}\n")
        word, _, rest = text.partition(" ")
        do: Callable[[str], JSON | None] = getattr(self, "do_" + word.removeprefix("/"))
        try:
            self.result(**(do(earlier if word == "recall" else rest) or {}))
            if word == "later":
                self.goes_on()
        except Interrupted:
            self.result(is_error=True, subtype="error_during_execution", terminal_reason="aborted_streaming")

    # --- what it sends ----------------------------------------------------------------------------------------------

    def send(self, **message: Any) -> None:
        with self.lock:
            sys.stdout.write(json.dumps(message) + "\n")
            sys.stdout.flush()

    def respond(self, number: str, response: JSON | None = None) -> None:
        body = {"subtype": "success", "request_id": number, **({"response": response} if response else {})}
        self.send(type="control_response", response=body)

    def result(self, **fields: Any) -> None:
        plain = {"subtype": "success", "is_error": False, "stop_reason": "end_turn", "session_id": self.session}
        self.send(type="result", **plain | fields)

    def event(self, **event: Any) -> None:
        self.send(type="stream_event", event=event, session_id=self.session, parent_tool_use_id=None)

    def say(self, *texts: str, kind: str = "text") -> None:
        message = f"msg_{next(self.ids)}"
        self.event(type="message_start", message={"id": message, "content": []})
        for text in texts:
            self.event(type="content_block_delta", index=0, delta={"type": f"{kind}_delta", kind: text})
        self.block({"type": "text", "text": "".join(texts)}, message)

    def block(self, block: JSON, message: str, parent: str | None = None) -> None:
        self.send(type="assistant", message={"id": message, "content": [block]}, parent_tool_use_id=parent)

    def use(self, name: str, given: JSON) -> tuple[str, JSON]:
        """Announce a tool call and ask leave for it; its id and the answer."""
        ident = f"toolu_{next(self.ids)}"
        self.block({"type": "tool_use", "id": ident, "name": name, "input": given}, f"msg_{ident}")
        request = {"subtype": "can_use_tool", "tool_name": name, "input": given, "tool_use_id": ident}
        answer = self.ask(request)
        if answer.get("behavior") != "allow":
            self.done(ident, str(answer.get("message")), is_error=True)
            if answer.get("interrupt"):
                raise Interrupted
        return ident, answer

    def ask(self, request: JSON) -> JSON:
        number = f"ask-{next(self.ids)}"
        queue = self.answers[number] = Queue[JSON]()
        self.send(type="control_request", request_id=number, request=request)
        return queue.get()

    def done(self, ident: str, said: Any, **fields: Any) -> None:
        block = {"type": "tool_result", "tool_use_id": ident, "content": said, **fields}
        self.send(type="user", message={"role": "user", "content": [block]}, parent_tool_use_id=None)

    # --- prompts ----------------------------------------------------------------------------------------------------

    def do_say(self, rest: str) -> None:
        self.say(*(f"{word} " for word in rest.split(" ")))

    def do_review(self, rest: str) -> None:
        self.say(rest)

    def do_think(self, rest: str) -> None:
        self.say(rest, kind="thinking")

    def do_screenshot(self, rest: str) -> None:
        """Bring back the picture that came with the prompt, as the result of a tool."""
        ident, _ = self.use("Bash", {"command": "screenshot"})
        self.done(ident, self.carried[:1])

    def do_read(self, rest: str) -> None:
        self.say(Path(rest).read_text())

    def do_recall(self, earlier: str) -> None:
        self.say(earlier)

    def do_arguments(self, rest: str) -> None:
        self.say(json.dumps(sys.argv))

    def do_write(self, rest: str) -> None:
        path, _, text = rest.partition(" ")
        ident, answer = self.use("Write", {"file_path": str(Path(path).absolute()), "content": text})
        if answer.get("behavior") == "allow":
            Path(answer["updatedInput"]["file_path"]).write_text(answer["updatedInput"]["content"])
            self.done(ident, "File created")

    def do_bash(self, rest: str) -> None:
        ident, answer = self.use("Bash", {"command": rest, "description": "try it"})
        if answer.get("behavior") == "allow":
            self.done(ident, subprocess.run(rest, shell=True, capture_output=True, text=True).stdout)

    def do_question(self, rest: str) -> None:
        options = [{"label": label, "description": f"the {label} one"} for label in ("Red", "Blue")]
        asked = {"question": "Which?", "header": "Colour", "options": options, "multiSelect": False}
        ident, answer = self.use("AskUserQuestion", {"questions": [asked]})
        if answer.get("behavior") == "allow":
            self.done(ident, json.dumps(answer["updatedInput"]["answers"]))
            self.say(answer["updatedInput"]["answers"]["Which?"])

    def do_later(self, rest: str) -> None:
        """End with a task in the background; `goes_on` follows."""
        self.send(type="system", subtype="task_started", task_id="t1", tool_use_id="toolu_bg", task_type="local_bash")

    def goes_on(self) -> None:
        """The task ends when there is a file `go`: the model is told, speaks, and writes a file where it may."""
        while not Path("go").exists():
            time.sleep(0.005)
        Path("go").unlink()
        self.send(type="system", subtype="task_notification", task_id="t1", status="completed", summary="it ended")
        self.told("later", "changed something")

    def told(self, words: str, write: str = "", **how: Any) -> None:
        """A turn that nobody prompted."""
        self.send(type="system", subtype="init", session_id=self.session, model=self.options.model, tools=[])
        self.say(words)
        if write:
            self.do_write(write)
        self.result(**how)

    def do_linger(self, rest: str) -> None:
        children = [subprocess.Popen(["sleep", "1000"]) for _ in range(2)]
        self.say(f"{children[0].pid} {children[1].pid}\n")
        self.interrupted.wait()
        raise Interrupted

    def do_refuse(self, rest: str) -> JSON:
        return {"is_error": True, "result": "the model is asleep"}

    def do_whole(self, rest: str) -> None:
        """A message that never came in pieces, and one of an agent of the agent."""
        self.block({"type": "text", "text": rest}, "msg_synthetic")
        self.block({"type": "text", "text": "inner voice"}, "msg_inner", parent="toolu_task")

    def do_strange(self, rest: str) -> None:
        """Requests that nobody knows, and messages of no known type."""
        self.send(type="rate_limit_event", detail={"deep": [1, 2]})
        self.send(type="stream_event", event="none")
        self.send(type="assistant", message={"content": ["none", {"type": "tool_use"}]})
        self.say(self.ask({"subtype": "mcp_message"})["error"])

    def do_garbage(self, rest: str) -> None:
        for line in ("Welcome!", "[1, 2]", "{", '{"type": 7}', '{"no": "type"}'):
            with self.lock:
                print(line, flush=True)
        self.send(type="control_response", response={"subtype": "success", "request_id": "never-asked"})
        self.say("still here")

    def do_die(self, rest: str) -> None:
        self.say("dying")
        print("out of cheese", file=sys.stderr, flush=True)
        os._exit(int(rest))


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--store")
    parser.add_argument("--at", default="")
    parser.add_argument("--heard", default="", help="a file for all that is said to it")
    parser.add_argument("--resume")
    parser.add_argument("--model", default="big-1")
    Claude(parser.parse_known_args()[0]).serve()


if __name__ == "__main__":
    main()
