"""What `claude -p` says in stream-json, as updates of the Agent Client Protocol.

Shapes were seen with claude 2.1.197. As with every agent, what is unknown here is passed over, never an error.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from myagent.agents import TurnEnd
from myagent.agents.rendering import JSON
from myagent.agents.rendering.bounds import cut
from myagent.agents.rendering.state import TITLE_CHARS

OLD_BYTES = 1 << 20  # of a file that is to be written over, for the diff

_KINDS = {
    **dict.fromkeys(("Write", "Edit", "MultiEdit", "NotebookEdit"), "edit"),
    **dict.fromkeys(("Glob", "Grep"), "search"),
    **dict.fromkeys(("WebFetch", "WebSearch"), "fetch"),
    "Read": "read",
    "Bash": "execute",
}
_SUBJECTS = ("file_path", "notebook_path", "path", "command", "pattern", "url", "query", "description")
_STOP_REASONS = ("end_turn", "max_tokens", "refusal")


@dataclass(slots=True)
class Stream:
    """One turn's messages. `streamed` are the ids of those whose text came in pieces, and is not said again."""

    cwd: Path
    streamed: set[str] = field(default_factory=set)
    _message: str = ""  # id of the message that is coming in pieces
    _diffs: set[str] = field(default_factory=set)  # ids of the tool calls that show a change

    def updates(self, message: JSON) -> Iterator[JSON]:
        """The updates that a message stands for, in order."""
        inner = message.get("parent_tool_use_id") is not None  # said by an agent of the agent: only its tools are shown
        match message:
            case {"type": "stream_event", "event": dict(event)} if not inner:
                yield from self._piece(event)
            case {"type": "assistant", "message": {"content": list(blocks), **rest}}:
                whole = not inner and rest.get("id") not in self.streamed
                for block in blocks:
                    for update in self._block(block, str(rest.get("id")), whole):
                        yield update | _within(message)
            case {"type": "user", "message": {"content": list(blocks)}}:
                for block in blocks:
                    if isinstance(block, dict) and block.get("type") == "tool_result":
                        yield self._result(block) | _within(message)

    def _piece(self, event: JSON) -> Iterator[JSON]:
        match event:
            case {"type": "message_start", "message": {"id": str(ident)}}:
                self._message = ident
                self.streamed.add(ident)
            case {"type": "content_block_delta", "delta": {"type": "text_delta", "text": str(text)}}:
                yield _chunk("agent_message_chunk", text, self._message)
            case {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": str(text)}}:
                yield _chunk("agent_thought_chunk", text, self._message)

    def _block(self, block: Any, message_id: str, whole: bool) -> Iterator[JSON]:
        match block:
            case {"type": "text", "text": str(text)} if whole:
                yield _chunk("agent_message_chunk", text, message_id)
            case {"type": "tool_use", "id": str(ident), "name": str(name), "input": dict(given)}:
                call = tool_call(ident, name, given, self.cwd)
                if call.get("content"):
                    self._diffs.add(ident)
                yield {"sessionUpdate": "tool_call", **call}

    def _result(self, block: JSON) -> JSON:
        ident, failed = str(block.get("tool_use_id")), bool(block.get("is_error"))
        update: JSON = {"sessionUpdate": "tool_call_update", "toolCallId": ident}
        update["status"] = "failed" if failed else "completed"
        if ident in self._diffs and not failed:
            return update  # its content is the change that it made, which says more than "done"
        said = block.get("content")
        blocks = [{"type": "text", "text": said}] if isinstance(said, str) else said if isinstance(said, list) else []
        return update | {"content": [{"type": "content", "content": each} for each in blocks]}


def _within(message: JSON) -> JSON:
    """The call of a subagent's that a message belongs to, where claude-agent-acp tells it as well."""
    parent = message.get("parent_tool_use_id")
    return {"_meta": {"claudeCode": {"parentToolUseId": parent}}} if isinstance(parent, str) else {}


def tool_call(ident: str, name: str, given: JSON, cwd: Path) -> JSON:
    """A use of a tool as ACP tells it: with its kind, its place, and the change of a file as a diff."""
    subject = next((given[key] for key in _SUBJECTS if isinstance(given.get(key), str)), "")
    path = given.get("file_path") or given.get("notebook_path")
    call: JSON = {
        "toolCallId": ident,
        "name": name,
        "title": cut(f"{name} {subject}".strip(), TITLE_CHARS),
        "kind": _KINDS.get(name, "other"),
        "status": "pending",
        "rawInput": given,
    }
    if isinstance(path, str):
        call["locations"] = [{"path": path}]
        call["content"] = list(_diffs(name, given, path, cwd))
    return call


def end_of(result: JSON) -> TurnEnd:
    """How a turn ended, from its `result` message."""
    session_id = result.get("session_id")
    agent_session_id = session_id if isinstance(session_id, str) else None
    if result.get("subtype") == "error_max_turns":
        return TurnEnd("max_turn_requests", agent_session_id=agent_session_id)
    if result.get("is_error"):
        errors = result.get("errors")
        said = result.get("result") or "; ".join(map(str, errors if isinstance(errors, list) else []))
        return TurnEnd("failed", 1, f"claude says: {said or result.get('subtype')}", agent_session_id)
    reason = result.get("stop_reason")
    return TurnEnd(str(reason) if reason in _STOP_REASONS else "end_turn", agent_session_id=agent_session_id)


def _chunk(kind: str, text: str, message_id: str) -> JSON:
    return {"sessionUpdate": kind, "content": {"type": "text", "text": text}, "messageId": message_id}


def _diffs(name: str, given: JSON, path: str, cwd: Path) -> Iterator[JSON]:
    edits = given.get("edits") if name == "MultiEdit" else [given]
    for edit in edits if isinstance(edits, list) else []:
        match edit:
            case {"old_string": str(old), "new_string": str(new)}:
                yield {"type": "diff", "path": path, "oldText": old, "newText": new}
    if name == "Write" and isinstance(given.get("content"), str):
        try:
            old_text = _text(cwd / path)
        except (OSError, ValueError):  # of the file as it is nothing can be shown: the input tells what will be in it
            return
        yield {"type": "diff", "path": path, "oldText": old_text, "newText": given["content"]}


def _text(path: Path) -> str | None:
    """What a file holds; `None` where there is none. Raises `OSError` or `ValueError` where it cannot be shown."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode) or status.st_size > OLD_BYTES:
        raise ValueError(path)
    return path.read_text()
