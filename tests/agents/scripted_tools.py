"""Which tool of an agent the scripted model calls, and with what: found by name, filled in from its JSON schema."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

JSON = dict[str, Any]
CONTENT = "hello from the scripted model\n"
WRITERS = ("write", "write_file", "Write", "create")
ASKERS = ("AskUserQuestion", "ask_user_question")
SHELLS = ("bash", "Bash", "run_shell_command")
CODEX_SHELLS = {"exec_command": "cmd", "shell_command": "command"}  # by the argument that is the command line
WRITES, RUNS = "write", "run"  # what codex's shell is used for


def writer_among(tools: Iterable[str]) -> str | None:
    return next((name for name in WRITERS if name in tools), None)


def asked_for(prompt: str, tools: Mapping[str, JSON]) -> tuple[str, JSON] | None:
    """The tool and the arguments that `FILE=`, `RUN=`, `LATER=` (a command in the background) or `QUESTION` in a prompt
    ask for, if there is such a tool."""
    if (command := re.search(r"LATER=(\S+)", prompt)) is not None:
        if "run_in_background" not in tools.get("Bash", {}).get("properties", {}):
            return None
        return "Bash", filled(tools["Bash"], "", unquote(command[1])) | {"run_in_background": True}
    if (command := re.search(r"RUN=(\S+)", prompt)) is not None:
        shell = next((name for name in (*SHELLS, RUNS) if name in tools), None)
        return None if shell is None else (shell, filled(tools[shell], "", unquote(command[1])))
    if "QUESTION" in prompt:
        options = [{"label": label, "description": f"the {label} one"} for label in ("Red", "Blue")]
        question = {"question": "Which colour?", "header": "Colour", "options": options, "multiSelect": False}
        asks = next((name for name in ASKERS if name in tools), None)
        return None if asks is None else (asks, {"questions": [question]})
    writer = writer_among(tools)
    path = next(iter(re.findall(r"FILE=(\S+)", prompt)), "")
    return None if writer is None else (writer, filled(tools[writer], path))


def codex_tools(tools: Mapping[str, JSON]) -> dict[str, JSON]:
    """Codex has a shell alone: what writes a file and what runs a command are both that shell."""
    shell = next((name for name in CODEX_SHELLS if name in tools), None)
    if shell is None:
        return {}
    hidden = {"shell": {"enum": [shell]}}
    required = ["shell"]
    return {
        WRITES: {"properties": {"path": {}, "content": {}, **hidden}, "required": required},
        RUNS: {"properties": {"command": {}, **hidden}, "required": required},
    }


def command_of(tool: str, arguments: JSON) -> tuple[str, JSON]:
    """The name and the arguments of codex's shell for one of `codex_tools`."""
    shell = arguments["shell"]
    if tool == WRITES:
        command = f"printf %s {shlex.quote(arguments['content'])} > {shlex.quote(arguments['path'])}"
    else:
        command = arguments["command"]
    return shell, {CODEX_SHELLS[shell]: command}


def filled(schema: JSON, path: str, command: str = "") -> JSON:
    """Arguments for a tool that writes a file or runs a command, as its schema wants them."""
    arguments: JSON = {}
    for name, its in schema.get("properties", {}).items():
        if "path" in name.lower():
            arguments[name] = path
        elif "content" in name.lower() or name == "file_text":
            arguments[name] = CONTENT
        elif name in ("command", "cmd"):
            arguments[name] = command
        elif name in schema.get("required", []):
            arguments[name] = fitting(its)
    return arguments


def fitting(schema: JSON) -> Any:
    """The plainest value that a JSON schema allows."""
    if "enum" in schema:
        return schema["enum"][0]
    match str(schema.get("type", "string")).lower():
        case "object":
            return {name: fitting(its) for name, its in schema.get("properties", {}).items()}
        case "array":
            return []
        case "boolean":
            return False
        case "integer" | "number":
            return 1
        case _:
            return "scripted"
