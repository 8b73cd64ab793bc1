"""What version 1 of ACP says, in the forms of version 2's draft: pure, one piece at a time."""

from __future__ import annotations

import difflib
import posixpath
from typing import Any

from myagent.editors.rpc import JSON

SCHEMA_DATE = "2026-11-02"  # of the draft's schema that this follows: the one in the TypeScript SDK 2.4.0
MODE = "myagent:mode"  # the permission mode, as a config option: version 2 has no modes
PLAN = "plan"  # the id of an agent's plan: it has one
DIFF_LINES = 2000  # of both sides together: a longer one is told as all of the old and all of the new

STOP_REASONS = ("end_turn", "max_tokens", "max_turn_requests", "refusal", "cancelled")
WHOLE = {"agent_message_chunk": "agent_message", "agent_thought_chunk": "agent_thought"}


def introduction(first: JSON) -> JSON:
    """The answer to `initialize`."""
    capabilities = first["agentCapabilities"]
    prompt: JSON = {
        name: {} for name in ("image", "audio", "embeddedContext") if capabilities["promptCapabilities"][name]
    }
    attach = capabilities["sessionCapabilities"]["attach"]
    ours = {**capabilities["_meta"]["myagent"], "schema": SCHEMA_DATE, "experimental": True}
    return {
        "protocolVersion": 2,
        "info": first["agentInfo"],
        "capabilities": {
            "session": {"prompt": prompt, "delete": {}, "_meta": {"myagent": {"attach": attach}}},
            "_meta": {"myagent": ours},
        },
        "authMethods": [],
    }


def config_options(rows: list[JSON], modes: JSON | None) -> list[JSON]:
    """The config options, the permission mode first."""
    found = [{"configId": row["id"], **{key: row[key] for key in row if key != "id"}} for row in rows]
    if modes is None:
        return found
    values = [
        {"value": each["id"], "name": each["name"], "description": each["description"]}
        for each in modes["availableModes"]
    ]
    mode = {"configId": MODE, "name": "Permissions", "category": "mode", "type": "select"}
    return [{**mode, "currentValue": modes["currentModeId"], "options": values}, *found]


def commands(rows: list[JSON]) -> list[JSON]:
    found = []
    for row in rows:
        hint = {"input": {"type": "text", "hint": row["input"]["hint"]}} if "input" in row else {}
        found.append({"type": "command", "name": row["name"], "description": row["description"], **hint})
    return found


def permission(params: JSON, cwd: str) -> JSON:
    """The params of `session/request_permission`."""
    call = params["toolCall"]
    return {
        "sessionId": params["sessionId"],
        "title": call["title"],
        "subject": {"type": "tool_call", "toolCall": tool_call(call, cwd)},
        "options": params["options"],
        "_meta": params["_meta"],
    }


def tool_call(call: JSON, cwd: str) -> JSON:
    kept = {key: value for key, value in call.items() if key != "sessionUpdate"}
    if isinstance(kept.get("content"), list):
        kept["content"] = [_diff(each, cwd) if each["type"] == "diff" else each for each in kept["content"]]
    if isinstance(kept.get("locations"), list):
        kept["locations"] = [{**each, "path": _absolute(each["path"], cwd)} for each in kept["locations"]]
    return kept


def plan(update: JSON) -> JSON:
    rows = {"type": "items", "planId": PLAN, "entries": update["entries"]}
    return {"sessionUpdate": "plan_update", "plan": rows}


def idle(facts: JSON) -> JSON:
    """The end of a turn, of what `_meta.myagent` says of it."""
    reason = facts["stopReason"]
    state: JSON = {"sessionUpdate": "state_update", "state": "idle", "_meta": {"myagent": facts}}
    if reason in STOP_REASONS:
        return {**state, "stopReason": reason}
    why = facts.get("message") or f"the turn ended: {reason}"
    return {**state, "stopReason": "error", "error": {"code": -32603, "message": why}}


def state(name: str) -> JSON:
    return {"sessionUpdate": "state_update", "state": name}


def joined(blocks: list[JSON]) -> list[JSON]:
    """Content blocks with neighbouring plain texts made one."""
    found: list[JSON] = []
    for block in blocks:
        if found and block.keys() == found[-1].keys() == {"type", "text"}:
            found[-1] = {"type": "text", "text": found[-1]["text"] + block["text"]}
        else:
            found.append(block)
    return found


def _diff(content: JSON, cwd: str) -> JSON:
    path, old, new = _absolute(content["path"], cwd), content.get("oldText"), content["newText"]
    change = {"operation": "add" if old is None else "modify", "path": path, "fileType": "text"}
    patch = {"format": "git_patch", "text": _patch(path, old, new)}
    return {"type": "diff", "changes": [change], "patch": patch}


def _patch(path: str, old: str | None, new: str) -> str:
    before, after = [] if old is None else old.splitlines(), new.splitlines()
    names = ("/dev/null" if old is None else f"a{path}", f"b{path}")
    if len(before) + len(after) <= DIFF_LINES:
        lines = list(difflib.unified_diff(before, after, *names, lineterm=""))
    else:
        head = [f"--- {names[0]}", f"+++ {names[1]}", f"@@ -1,{len(before)} +1,{len(after)} @@"]
        lines = [*head, *(f"-{line}" for line in before), *(f"+{line}" for line in after)]
    mode = ["new file mode 100644"] if old is None else []
    return "\n".join([f"diff --git a{path} b{path}", *mode, *lines, ""])


def _absolute(path: str, cwd: str) -> str:
    return posixpath.normpath(posixpath.join(cwd or "/", path))


def facts_of(message: Any) -> JSON:
    """`_meta.myagent` of whatever may have it."""
    match message:
        case {"_meta": {"myagent": dict(facts)}}:
            return facts
    return {}
