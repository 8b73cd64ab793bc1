"""What an agent tells beside its answer, as text: notices, compaction, plans that have ids, its sub-agents."""

from __future__ import annotations

from typing import Any

from myagent.agents.rendering import JSON
from myagent.agents.rendering.blocks import content_text, plan_text
from myagent.agents.rendering.bounds import cut, dicts

NOTE_CHARS = 4096

_COMPACTION = {
    "in_progress": "the agent makes its conversation shorter",
    "completed": "the agent made its conversation shorter",
    "failed": "the agent could not make its conversation shorter",
    "cancelled": "the agent did not make its conversation shorter: cancelled",
}


def note_text(update: JSON) -> str:
    """An update that stands by itself, as whole lines; empty for one that says nothing, or that is no such update."""
    match update.get("sessionUpdate"):
        case "plan":
            return plan_text(update.get("entries"))
        case "plan_update":
            return _plan_update(update.get("plan"))
        case "plan_removed":
            return f"plan {_word(update.get('planId'))} was dropped\n"
        case "notice":
            title, more = _word(update.get("title")), _text(update.get("description"))
            return _lines(f"{_word(update.get('severity') or 'notice')}: {title}", more)
        case "compaction_update":
            status = _word(update.get("status"))
            said = _COMPACTION.get(status, f"compaction: {status}")
            words = "\n".join(content_text(block) for block in dicts(update.get("summary")))
            return _lines(said, "\n".join(filter(None, (words, _text(update.get("error"))))))
        case "subagent_update":
            return _subagent(update)
        case "session_message":
            blocks = update.get("content")
            words = "".join(content_text(block) for block in dicts(blocks if isinstance(blocks, list) else [blocks]))
            return _lines("message among agents:", words) if words else ""
        case str(kind) if kind not in SILENT:
            return _unknown(kind, update)
        case _:
            return ""


# Kinds that have another form than a note: text that runs on, tool calls, state, what hosts put in themselves.
SILENT = (
    *("user_message_chunk", "agent_message_chunk", "agent_thought_chunk"),
    *("compaction_summary_chunk", "session_message_chunk", "tool_call", "tool_call_update"),
    *("available_commands_update", "current_mode_update", "config_option_update"),
    *("session_info_update", "usage_update", "_notification", "_myagent/unasked"),
)


def _unknown(kind: str, update: JSON) -> str:
    """An update of a kind that is newer than this, or an agent's own: its words, where it has any."""
    words = [_text(update.get(key)) for key in ("title", "message", "text", "description", "summary", "error")]
    words.append(content_text(update.get("content")))
    return _lines(f"{_word(kind)}:", "\n".join(filter(None, words))) if any(words) else ""


def _plan_update(plan: Any) -> str:
    match plan:
        case {"type": "items"}:
            return plan_text(plan.get("entries"))
        case {"type": "markdown", "content": str(words)}:
            return _lines("plan:", words)
        case {"type": "file", "uri": str(uri)}:
            return f"plan: {_word(uri)}\n"
        case {"type": str(kind)}:
            return f"plan: ({_word(kind)})\n"
        case _:
            return ""


def _subagent(update: JSON) -> str:
    state = update.get("state")
    what = state.get("state") or state.get("type") if isinstance(state, dict) else state
    said = f"sub-agent {_word(update.get('title') or update.get('sessionId'))}"
    return _lines(said + (f": {_word(what)}" if what else ""), _text(update.get("description")))


def _lines(first: str, more: str) -> str:
    """A line, and more beneath it."""
    rest = cut(more.strip(), NOTE_CHARS).replace("\n", "\n  ") if more.strip() else ""
    return first + "\n" + (f"  {rest}\n" if rest else "")


def _word(value: Any) -> str:
    """Something short, on one line."""
    return " ".join(cut(str(value or "?"), NOTE_CHARS).split())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
