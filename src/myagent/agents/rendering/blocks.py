"""The pieces of an update as text: content blocks, plans, and what a tool call is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from myagent.agents.rendering import JSON
from myagent.agents.rendering.bounds import dicts
from myagent.core.diffs import unified_diff
from myagent.core.messages import Diff

_MARKS = {"completed": "x", "in_progress": "~"}


def content_text(block: Any) -> str:
    """A content block as text: its words, or what it is and how big."""
    match block:
        case {"type": "text", "text": str(text)}:
            return text
        case {"type": "image" | "audio" as kind, "data": str(data)}:
            return _brackets(kind, block, _decoded_size(data))
        case {"type": "image", "source": {"type": "base64", "data": str(data)} as source}:  # of claude's results
            return _brackets("image", {"mimeType": source.get("media_type")}, _decoded_size(data))
        case {"type": "resource_link", "uri": str()}:
            name = block.get("title") or block.get("name") or "link"
            return _brackets(f"{name}:", block, block.get("size"))
        case {"type": "resource", "resource": {"uri": str(), "text": str(text)} as resource}:
            return f"{_brackets('resource:', resource)}\n{text}"
        case {"type": "resource", "resource": {"text": str(text)}}:
            return text
        case {"type": "resource", "resource": {"uri": str()} as resource}:
            data = resource.get("blob")
            return _brackets("resource:", resource, _decoded_size(data) if isinstance(data, str) else None)
        case {"type": str(kind)} if kind != "text":
            return f"[{kind}]"  # newer than this, or not as it should be
        case _:
            return ""


def _brackets(what: str, block: JSON, size: Any = None) -> str:
    """A thing that is no text, by what is known of it."""
    mime, uri, words = (block.get(key) for key in ("mimeType", "uri", "description"))
    facts = [str(uri) if uri else "", str(mime) if mime else "", f"{size} bytes" if isinstance(size, int) else ""]
    return f"[{what} {', '.join(filter(None, facts))}" + (f": {words}]" if words else "]")


def _decoded_size(data: str) -> int:
    """Bytes that a base64 text stands for."""
    return len(data) * 3 // 4 - data[-2:].count("=")


def plan_text(entries: Any) -> str:
    """A plan as a list with boxes."""
    rows = [entry for entry in dicts(entries) if entry.get("content")]
    if not rows:
        return ""
    return "plan:\n" + "".join(f"  [{_MARKS.get(str(row.get('status')), ' ')}] {row['content']}\n" for row in rows)


def call_title(call: JSON) -> str:
    return " ".join(str(call.get("title") or call.get("kind") or "tool call").split())


def diffs_of(call: JSON) -> tuple[Diff, ...]:
    """The changes of files that a tool call shows."""
    return tuple(
        Diff(path=str(item.get("path")), old_text=_text_or_none(item.get("oldText")), new_text=item["newText"])
        for item in dicts(call.get("content"))
        if item.get("type") == "diff" and isinstance(item.get("newText"), str)
    )


def texts_of(call: JSON) -> list[str]:
    """What a tool call's content says, but for changes of files and terminals, which have forms of their own."""
    said = (_content_item(item) for item in dicts(call.get("content")))
    return [text for text in said if text.strip()]


def _content_item(item: JSON) -> str:
    match item.get("type"):
        case "content":
            return content_text(item.get("content"))
        case "diff" | "terminal":
            return ""
        case kind:
            return f"[{kind}]" if isinstance(kind, str) else ""


def paths_of(call: JSON) -> list[str]:
    return [item["path"] for item in dicts(call.get("locations")) if isinstance(item.get("path"), str)]


def pretty(value: Any) -> str:
    """Data as JSON that can be read."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def unified(diff: Diff) -> str:
    """A change as a unified diff; when there is no change, as the text."""
    return unified_diff(diff.path, diff.old_text, diff.new_text)


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def located(root: Path, given: Any) -> JSON:
    """The `locations` of a call, from the root as ACP wants them: the file that its input names, if any."""
    path = given.get("path") if isinstance(given, dict) else None
    return {"locations": [{"path": str(root / path)}]} if isinstance(path, str) and path not in ("", ".") else {}
