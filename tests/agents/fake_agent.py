"""An ACP agent that does what the prompt says: well-behaved ones, and each kind of misbehaviour that a host must bear.

    python fake_agent.py [--modes a,b,…] [--mode-by config] [--store DIR] [--auth METHOD] [--at WHERE=WHAT] …

A prompt is `WORD REST`; the words are the functions `do_…` below. `--at initialize=hang` and the like misbehave before
any prompt. With `--store`, sessions can be loaded again, also by another process.
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
OPTIONS = [
    {"optionId": "forever", "name": "Always", "kind": "allow_always"},
    {"optionId": "yes", "name": "Yes", "kind": "allow_once"},
    {"optionId": "cancel", "name": "No", "kind": "reject_once"},
]


class Agent:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.modes: list[str] = options.modes.split(",") if options.modes else []
        self.mode = self.modes[0] if self.modes else ""
        self.ids = itertools.count()
        self.answers: dict[object, Queue[JSON]] = {}
        self.cancelled: dict[str, threading.Event] = {}
        self.cwd: dict[str, str] = {}
        self.lock = threading.Lock()
        self.taken_back: Queue[object] = Queue()  # requests of the client that it wants no answer to any more
        self.answered: set[str] = set()  # methods
        self.reading = True
        self.signed_in = not options.auth
        self.environment = dict(os.environ)
        self.chosen: JSON = {"m1": "big", "effort": "low", "fast": False, "model": "big", "auto_approve": False}
        self.set: list[list[Any]] = []  # what it was told to set

    # --- the connection ---------------------------------------------------------------------------------------------

    def serve(self) -> None:
        for line in sys.stdin.buffer:
            if self.options.heard:
                with Path(self.options.heard).open("ab") as heard:
                    heard.write(line)
            if not self.reading:
                threading.Event().wait()
            message = json.loads(line)
            if "method" not in message:
                if (waiting := self.answers.get(message["id"])) is not None:
                    waiting.put(message)
            elif message["method"] == "$/cancel_request":
                self.taken_back.put(message["params"]["requestId"])
            elif message["method"] == "session/cancel":
                self.cancelled[message["params"]["sessionId"]].set()
            else:
                threading.Thread(target=self.answer, args=(message,), daemon=True).start()

    def write(self, text: str) -> None:
        with self.lock:
            sys.stdout.write(text)
            sys.stdout.flush()

    def send(self, **message: Any) -> None:
        self.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")

    def ask(self, method: str, params: JSON, number: object = None) -> JSON:
        number = next(self.ids) if number is None else number
        self.answers[number] = Queue()
        self.send(id=number, method=method, params=params)
        return self.answers[number].get()

    def update(self, session: str, what: str, **fields: Any) -> None:
        self.send(method="session/update", params={"sessionId": session, "update": {"sessionUpdate": what, **fields}})

    def say(self, session: str, text: str, **fields: Any) -> None:
        self.update(session, "agent_message_chunk", content={"type": "text", "text": text}, **fields)

    # --- requests ---------------------------------------------------------------------------------------------------

    def answer(self, message: JSON) -> None:
        method, params = message["method"], message["params"]
        what = dict(entry.split("=") for entry in self.options.at).get(method)
        if what == "hang" or (what == "hang-again" and method in self.answered):
            return
        self.answered.add(method)
        if what == "leave":
            print("Fake is now called Forgery: install that instead", flush=True)
            os._exit(0)
        if what == "exit":
            print("no key found", file=sys.stderr, flush=True)
            os._exit(41)
        if what == "garbage":
            self.write("Welcome to FakeAgent!\n" * 1000)
            return
        try:
            if what == "refuse":
                raise Refused(-32603, "Internal error", {"details": "no such thing"})
            handler: Callable[[JSON], JSON] = getattr(self, "on_" + method.replace("/", "_"))
            self.send(id=message["id"], result=handler(params))
            if method == "session/prompt" and params["prompt"][0]["text"] == "later":
                self.goes_on(params["sessionId"])
        except Refused as error:
            self.send(id=message["id"], error=error.body)

    def on_initialize(self, params: JSON) -> JSON:
        self.capabilities: JSON = params["clientCapabilities"]
        ways = {"load", "resume", "close", "delete"} - {*self.options.never} if self.options.store else set()
        methods = [{"id": self.options.auth, "name": "Key", "description": "set FAKE_KEY"}] if self.options.auth else []
        if self.options.auth_terminal:
            terminal = {"type": "terminal", "args": ["--login", "a b"], "env": {"PLACE": "here"}}
            methods = [{"id": "terminal", "name": "In a terminal", **terminal}]
        return {
            "protocolVersion": self.options.version,
            "agentInfo": {"name": self.options.name, "version": "7.1"},
            "agentCapabilities": {
                "loadSession": "load" in ways,
                "promptCapabilities": dict.fromkeys(self.options.takes, True),
                "sessionCapabilities": {name: {} for name in ("close", "resume", "delete") if name in ways},
            },
            "authMethods": methods,
        }

    def on_authenticate(self, params: JSON) -> JSON:
        self.signed_in = params["methodId"] == self.options.auth
        return {}

    def on_session_new(self, params: JSON) -> JSON:
        if not self.signed_in:
            raise Refused(-32000, "Authentication required")
        session = f"fake-{os.getpid()}-{next(self.ids)}"
        self.cwd[session] = params["cwd"]
        self.meta = params.get("_meta")
        commands = [{"name": f"command-{number}", "description": "x" * 4000} for number in range(self.options.commands)]
        if commands:
            self.update(session, "available_commands_update", availableCommands=commands)
        return {"sessionId": session, **self.told_modes()}

    def on_session_load(self, params: JSON) -> JSON:
        session = params["sessionId"]
        history = Path(self.options.store) / session
        if not history.exists():
            raise Refused(-32602, "no such session")
        self.cwd[session] = params["cwd"]
        for line in history.read_text().splitlines():
            self.update(session, "user_message_chunk", content={"type": "text", "text": line})
            self.say(session, f"(once said about {line})")
        return self.told_modes()

    def on_session_resume(self, params: JSON) -> JSON:
        """As load, and nothing is told again."""
        if not (Path(self.options.store) / params["sessionId"]).exists():
            raise Refused(-32602, "no such session")
        self.cwd[params["sessionId"]] = params["cwd"]
        self.meta = params.get("_meta")
        return self.told_modes()

    def on_session_close(self, params: JSON) -> JSON:
        """Closed sessions are forgotten: a prompt in one is an error."""
        if self.options.refuse_close:
            raise Refused(-32603, "it is busy")
        del self.cwd[params["sessionId"]]
        self.log("closed " + params["sessionId"])
        return {}

    def on_session_delete(self, params: JSON) -> JSON:
        self.cwd.pop(params["sessionId"], None)
        (Path(self.options.store) / params["sessionId"]).unlink(missing_ok=True)
        return {}

    def log(self, line: str) -> None:
        with (Path(self.options.store) / "log").open("a") as log:
            log.write(line + "\n")

    def told_modes(self) -> JSON:
        return {**self.told_mode(), **self.told_offers()} if self.options.offer else self.told_mode()

    def told_offers(self) -> JSON:
        """A choice of models in either way, a level in groups, and a switch."""
        models = [{"modelId": name, "name": name} for name in ("big", "small")]
        if self.options.offer == "models":
            return {"models": {"currentModelId": self.chosen["model"], "availableModels": models}}
        levels = [{"name": "all", "options": [{"value": "low", "name": "Low"}, {"value": "high", "name": "High"}]}]
        rows = [{"value": model["modelId"], "name": model["name"]} for model in models]
        return {
            "configOptions": [
                *self.told_mode().get("configOptions", []),
                {"id": "m1", "category": "model", "type": "select", "currentValue": self.chosen["m1"], "options": rows},
                {"id": "effort", "type": "select", "currentValue": self.chosen["effort"], "options": levels},
                {"id": "fast", "type": "boolean", "currentValue": self.chosen["fast"]},
                *([self.told_approving()] if self.options.offer == "approving" else []),
            ]
        }

    def told_approving(self) -> JSON:
        """A switch by which it would ask nobody."""
        name = {"id": "auto_approve", "name": "Auto-approve"}
        return {**name, "type": "boolean", "currentValue": self.chosen["auto_approve"]}

    def on_session_set_model(self, params: JSON) -> JSON:
        self.chosen["model"] = params["modelId"]
        return {}

    def told_mode(self) -> JSON:
        if not self.modes:
            return {}
        if self.options.mode_by == "config":
            rows = [{"value": mode, "name": mode} for mode in self.modes]
            option = {"id": "m", "name": "Mode", "category": "mode", "type": "select", "currentValue": self.mode}
            return {"configOptions": [{**option, "options": rows}]}
        rows = [{"id": mode, "name": mode} for mode in self.modes]
        told: JSON = {"modes": {"currentModeId": self.mode, "availableModes": rows}}
        if self.options.mode_by == "both":  # qwen-code, mistral-vibe
            values = [{"value": mode, "name": mode} for mode in self.modes]
            option = {"id": "m", "name": "Mode", "category": "mode", "type": "select", "currentValue": self.mode}
            told["configOptions"] = [{**option, "options": values}]
        return told

    def on_session_set_mode(self, params: JSON) -> JSON:
        if self.options.mode_by == "config":
            raise Refused(-32601, "no such method")
        if params["modeId"] == self.options.refuse_mode:
            raise Refused(-32603, "Internal error", {"details": "not here"})
        self.mode = params["modeId"]
        self.set.append(["mode", self.mode])
        return {}

    def on_session_set_config_option(self, params: JSON) -> JSON:
        if params["configId"] in self.chosen:
            if params["value"] == "high":
                raise Refused(-32603, "not for this account")
            self.chosen[params["configId"]] = params["value"]
        else:
            self.mode = params["value"]
        self.set.append([params["configId"], params["value"]])
        return self.told_modes()

    def on_session_prompt(self, params: JSON) -> JSON:
        session, text = params["sessionId"], params["prompt"][0]["text"]
        if session not in self.cwd:
            raise Refused(-32602, "session is closed")
        self.cancelled[session], self.carried = threading.Event(), params["prompt"][1:]
        if self.options.store:
            with (Path(self.options.store) / session).open("a") as history:
                history.write(text + "\n")
        if text.startswith("/"):
            self.say(session, text)
            return {"stopReason": "end_turn"}
        word, _, rest = text.partition(" ")
        do: Callable[[str, str], JSON | None] = getattr(self, "do_" + word)
        return do(session, rest) or {"stopReason": "end_turn"}

    # --- prompts: good ones -----------------------------------------------------------------------------------------

    def do_say(self, session: str, rest: str) -> None:
        for word in rest.split(" "):
            self.say(session, word + " ", messageId="m1")

    def do_carried(self, session: str, rest: str) -> None:
        """Say what the prompt carries."""
        self.say(session, json.dumps(self.carried))

    def do_picture(self, session: str, rest: str) -> None:
        """Send a picture (base64) as part of the answer, and as what a tool brought."""
        image = {"type": "image", "mimeType": "image/png", "data": rest}
        self.update(session, "agent_message_chunk", content=image)
        content = [{"type": "content", "content": image}]
        self.update(session, "tool_call", toolCallId="shot", title="Screenshot", kind="read", status="completed",
                    content=content, rawOutput=[image])  # fmt: skip

    def do_meta(self, session: str, rest: str) -> None:
        self.say(session, json.dumps(self.meta))

    def do_chosen(self, session: str, rest: str) -> None:
        self.say(session, json.dumps(self.chosen))

    def do_mode(self, session: str, rest: str) -> None:
        self.say(session, self.mode)

    def do_env(self, session: str, rest: str) -> None:
        self.say(session, json.dumps({name: self.environment.get(name) for name in rest.split()}))

    def do_show(self, session: str, rest: str) -> None:
        """Send the updates that the prompt holds as JSON."""
        for update in json.loads(rest):
            self.send(method="session/update", params={"sessionId": session, "update": update})

    def do_write(self, session: str, rest: str) -> JSON:
        path, _, text = rest.partition(" ")
        place = Path(self.cwd[session]) / path
        call: JSON = {
            "toolCallId": f"call-{next(self.ids)}",
            "title": f"Write {path}",
            "kind": "edit",
            "status": "pending",
            "locations": [{"path": str(place)}],
            "rawInput": {"path": str(place), "content": text},
            "content": [{"type": "diff", "path": str(place), "oldText": None, "newText": text}],
        }
        self.update(session, "tool_call", **call)
        options = [option for option in OPTIONS if option["kind"] != self.options.without]
        params = {"sessionId": session, "toolCall": call, "options": options}
        outcome = {"outcome": "selected", "optionId": "yes"}
        if self.mode != "yolo":
            outcome = self.ask("session/request_permission", params)["result"]["outcome"]
        if outcome["outcome"] == "cancelled":
            return {"stopReason": "cancelled"}
        allowed = outcome["optionId"] in ("yes", "forever")
        if allowed:
            place.write_text(text)
        status = "completed" if allowed else "failed"
        self.update(session, "tool_call_update", toolCallId=call["toolCallId"], status=status)
        self.say(session, f"{outcome['optionId']}: {status}")
        return {"stopReason": "end_turn"}

    def do_elicit(self, session: str, rest: str) -> None:
        """Ask what `rest` says as JSON, and say the answer."""
        answer = self.ask("elicitation/create", {"sessionId": session, **json.loads(rest)})
        self.say(session, json.dumps(answer.get("result", answer.get("error"))))

    def do_survey(self, session: str, rest: str) -> None:
        """Ask as qwen-code does, of which `rest` is the tool call's `_meta` and the options, and say the answer."""
        meta, options = json.loads(rest)
        call: JSON = {"toolCallId": "s", "title": "Ask user", "kind": "think", "status": "pending", "_meta": meta}
        params = {"sessionId": session, "toolCall": call, "options": options}
        self.say(session, json.dumps(self.ask("session/request_permission", params).get("result")))

    def do_question(self, session: str, rest: str) -> None:
        """Ask which, and say what was chosen."""
        form = {"type": "object", "properties": {"which": {"enum": ["red", "blue"]}}, "required": ["which"]}
        params: JSON = {"sessionId": session, "mode": "form", "message": "which?", "requestedSchema": form}
        self.say(session, json.dumps(self.ask("elicitation/create", params).get("result")))

    def do_later(self, session: str, rest: str) -> None:
        """End; `goes_on` follows."""

    def goes_on(self, session: str) -> None:
        """Work after the turn, when there is a file `go`: speak, and write a file where that is allowed."""
        go = Path(self.cwd[session]) / "go"
        while not go.exists():
            time.sleep(0.005)
        go.unlink()
        self.say(session, "later")
        self.do_write(session, "changed something")
        self.update(session, "state_update", state="idle")

    def do_offered(self, session: str, rest: str) -> None:
        self.say(session, json.dumps(self.capabilities.get("elicitation")))

    def do_wait(self, session: str, rest: str) -> JSON:
        """Run a tool until cancelled."""
        self.update(session, "tool_call", toolCallId="w", title="Wait", kind="execute", status="in_progress")
        self.say(session, "waiting")
        self.cancelled[session].wait()
        return {"stopReason": "cancelled"}

    def do_read(self, session: str, rest: str) -> None:
        self.say(session, (Path(self.cwd[session]) / rest).read_text())

    def do_linger(self, session: str, rest: str) -> JSON:
        """Ask to start two processes, say their ids, and run until cancelled."""
        call: JSON = {"toolCallId": f"call-{next(self.ids)}", "title": "sleep", "kind": "execute", "status": "pending"}
        self.update(session, "tool_call", **call)
        self.ask("session/request_permission", {"sessionId": session, "toolCall": call, "options": OPTIONS})
        children = [subprocess.Popen(["sleep", "1000"]) for _ in range(2)]
        self.say(session, " ".join(str(child.pid) for child in children) + "\n")
        self.cancelled[session].wait()
        for child in children:
            child.kill()
            child.wait()
        return {"stopReason": "cancelled"}

    # --- prompts: bad ones ------------------------------------------------------------------------------------------

    def do_ignore_cancel(self, session: str, rest: str) -> None:
        self.update(session, "tool_call", toolCallId="w", title="Wait", kind="execute", status="in_progress")
        self.say(session, "deaf")
        threading.Event().wait()

    def do_garbage(self, session: str, rest: str) -> None:
        self.write('DEBUG: starting\n{"half": \n[1,2]\n"text"\nnull\n\n{}\n\x00\x01\n{"id": 77, "result": {}}\n')
        self.write("[" * 100_000 + "\n")
        sys.stdout.buffer.write(b"\xff\xfe not UTF-8\n")
        sys.stdout.flush()
        self.say(session, "still here")

    def do_half(self, session: str, rest: str) -> None:
        self.write('{"jsonrpc": "2.0", "method": "session/up')
        os._exit(0)

    def do_huge(self, session: str, rest: str) -> None:
        """One line of as many MiB; without an end when there are more than 64."""
        size = int(rest) << 20
        head = json.dumps({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": session}})[:-2]
        self.write(head + ', "update": {"sessionUpdate": "x_blob", "blob": "')
        for _ in range(size >> 20):
            self.write("x" * (1 << 20))
        self.write('"}}}\n')
        self.say(session, "sent")

    def do_unknown(self, session: str, rest: str) -> None:
        """Requests and notifications of no known method."""
        self.send(method="_fake/notify", params={"sessionId": session, "n": 1})
        self.send(method="_fake/notify", params={"n": 2})
        self.send(method="_fake/bare")
        self.update(session, "compaction_update", tokens=3)
        codes = [
            self.ask("craft/drainMidTurnQueue", {"sessionId": session})["error"]["code"],
            self.ask("fs/read_text_file", {"sessionId": session, "path": "/etc/passwd"})["error"]["code"],
        ]
        self.say(session, json.dumps(codes))

    def do_duplicate(self, session: str, rest: str) -> None:
        """The same request id twice at the same time, and the answer to the prompt twice."""
        call = {"toolCallId": "d", "title": "Twice", "kind": "other"}
        params = {"sessionId": session, "toolCall": call, "options": OPTIONS}
        self.answers["same"] = Queue()
        self.send(id="same", method="session/request_permission", params=params)
        self.send(id="same", method="session/request_permission", params=params)
        self.say(session, self.answers["same"].get()["result"]["outcome"]["optionId"])
        self.send(id=0, result={"protocolVersion": 9})

    def do_late(self, session: str, rest: str) -> None:
        """Ask and speak after the end of the turn."""

        def afterwards() -> None:
            call = {"toolCallId": "l", "title": "Late", "kind": "edit"}
            params = {"sessionId": session, "toolCall": call, "options": OPTIONS}
            time.sleep(0.05)  # part of the misbehaviour: well after the turn's end
            outcome = self.ask("session/request_permission", params)["result"]["outcome"]
            self.say(session, f"late: {outcome['outcome']}")

        self.afterwards = threading.Thread(target=afterwards, daemon=True)
        self.afterwards.start()

    def do_take_back(self, session: str, rest: str) -> None:
        """Ask, and take the question back: at once, or when the prompt says so. Then do it all the same, with `do`."""
        call: JSON = {"toolCallId": "b", "title": "Take back", "kind": "execute", "rawInput": {"command": "ls"}}
        number = f"back-{next(self.ids)}"
        self.answers[number] = Queue()
        params = {"sessionId": session, "toolCall": call, "options": OPTIONS}
        self.send(id=number, method="session/request_permission", params=params)
        if "later" in rest:
            self.say(session, "asked")
            while not (Path(self.cwd[session]) / "now").exists():
                time.sleep(0.01)  # until the test has seen the question
        self.send(method="$/cancel_request", params={"requestId": number})
        self.say(session, json.dumps(self.answers[number].get()["error"]["code"]))
        if "do" in rest.split():
            self.update(session, "tool_call", **call, status="completed")

    def do_until_taken_back(self, session: str, rest: str) -> None:
        """Say which request the client takes back."""
        self.say(session, "waiting")
        self.say(session, f" {self.taken_back.get()}")

    def do_strange(self, session: str, rest: str) -> None:
        """Requests of permission of the wrong shape."""
        call = {"toolCallId": "s", "title": "Strange"}
        wrong: list[Any] = [
            {"sessionId": session},
            {"sessionId": session, "toolCall": 7, "options": OPTIONS},
            {"sessionId": session, "toolCall": call, "options": []},
            {"sessionId": session, "toolCall": call, "options": "yes"},
            {"sessionId": "another", "toolCall": call, "options": OPTIONS},
        ]
        answers = [self.ask("session/request_permission", params) for params in wrong]
        self.say(session, json.dumps([answer.get("error", {}).get("code", "cancelled") for answer in answers]))

    def do_die(self, session: str, rest: str) -> None:
        self.update(session, "tool_call", toolCallId="x", title="Doomed", kind="execute", status="in_progress")
        self.say(session, "dying")
        print("out of cheese", file=sys.stderr, flush=True)
        if int(rest) < 0:
            os.kill(os.getpid(), -int(rest))
        os._exit(int(rest))

    def do_close(self, session: str, rest: str) -> None:
        """Close the output and run on."""
        self.say(session, "mute")
        os.close(1)
        threading.Event().wait()

    def do_fork(self, session: str, rest: str) -> None:
        """Leave a child that holds the pipes, and exit; with `away`, one that leaves the process group too."""
        child = subprocess.Popen(["sleep", "600"], start_new_session=rest.endswith("away"))
        Path(rest.split()[0]).write_text(str(child.pid))
        self.say(session, "forked")
        os._exit(5)

    def do_scribe(self, session: str, rest: str) -> None:
        """Leave a child that writes a file a moment after this agent has ended, as claude does with its history."""
        self.scribe = subprocess.Popen(["sh", "-c", f"cat; sleep 0.1; echo kept >{rest}"], stdin=subprocess.PIPE)

    def do_stop_reading(self, session: str, rest: str) -> None:
        """Take no more input, and run on; said when it is so."""
        self.reading = False
        self.say(session, "full")

    def do_chatter(self, session: str, rest: str) -> None:
        """More on stderr than a pipe holds."""
        for _ in range(64):
            print("x" * 32768, file=sys.stderr)
        self.say(session, "heard")

    def do_switch(self, session: str, rest: str) -> None:
        """Change the mode by itself."""
        self.mode = rest
        self.update(session, "current_mode_update", currentModeId=rest)

    def do_reconfigure(self, session: str, rest: str) -> None:
        """Change an option by itself."""
        self.chosen[rest] = True
        self.update(session, "config_option_update", **self.told_modes())

    def do_told(self, session: str, rest: str) -> None:
        """Say what it was told to set."""
        self.say(session, json.dumps(self.set))

    def do_refuse(self, session: str, rest: str) -> None:
        raise Refused(-32603, "Internal error", {"details": "the model is asleep"})

    def do_flood(self, session: str, rest: str) -> None:
        for number in range(int(rest)):
            self.say(session, f"{number} ")


class Refused(Exception):
    def __init__(self, code: int, message: str, data: Any = None) -> None:
        self.body = {"code": code, "message": message, "data": data}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--modes", default="")
    parser.add_argument("--mode-by", default="mode")
    parser.add_argument("--refuse-mode", default="")
    parser.add_argument("--store", default="")
    parser.add_argument("--auth", default="")
    parser.add_argument("--auth-terminal", action="store_true", help="signs in in a terminal")
    parser.add_argument("--heard", default="", help="a file for all that the client sends")
    parser.add_argument("--never", action="append", default=[], help="load, resume, close: not offered")
    parser.add_argument("--refuse-close", action="store_true")
    parser.add_argument("--name", default="fake")
    parser.add_argument("--version", type=int, default=1)
    parser.add_argument("--commands", type=int, default=0)
    parser.add_argument("--offer", default="", help="what may be chosen: as models, or as config options")
    parser.add_argument("--without", default="", help="a kind of option that is never offered")
    parser.add_argument("--takes", action="append", default=[], help="image, embeddedContext")
    parser.add_argument("--at", action="append", default=[])
    Agent(parser.parse_args()).serve()


if __name__ == "__main__":
    main()
