"""From events to `session/update`: an agent's structured update where it has one, else the text."""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from myagent.core.content import item_words, worded
from myagent.core.messages import AgentStderr, AgentStdout, Prompt, TerminalState
from myagent.editors.rpc import JSON
from myagent.editors.schema import Kind, Status, Update

# Kinds of updates that are about the agent's own settings: those of a shared session are the host's, and told by it.
HOSTS = frozenset(("available_commands_update", "current_mode_update", "config_option_update", "session_info_update"))
FULL = 0.85  # of the most that an event's text may take: what is longer was cut, and goes on in the next event

_KINDS, _STATUSES = frozenset(get_args(Kind)), frozenset(get_args(Status))


def update_of(raw: Any) -> JSON | None:
    """An agent's update as version 1 has it; `None` for what that does not know."""
    if not isinstance(raw, dict) or raw.get("sessionUpdate") in HOSTS:
        return None
    try:
        update: JSON = msgspec.to_builtins(msgspec.convert(_lenient(worded(raw)), Update))
    except (ValueError, TypeError, RecursionError):  # msgspec.ValidationError is a ValueError
        return None
    return update


def _lenient(raw: JSON) -> JSON:
    """Of tool calls, what the protocol wants taken for absent where it does not fit."""
    if raw.get("sessionUpdate") not in ("tool_call", "tool_call_update"):
        return raw
    kept = dict(raw)
    if kept.get("kind") not in _KINDS:
        kept.pop("kind", None)
    if kept.get("status") not in _STATUSES:
        kept.pop("status", None)
    if raw["sessionUpdate"] == "tool_call" and not isinstance(kept.get("title"), str):
        kept["title"] = str(kept.get("toolCallId", ""))
    if isinstance(content := kept.get("content"), list):
        kept["content"] = [each for each in content if not (isinstance(each, dict) and each.get("type") == "terminal")]
    return kept


def message_id(turn: str) -> str:
    """Of a turn's prompt."""
    return f"{turn}/prompt"


def prompted(event: Prompt, *, is_named: bool) -> JSON:
    """A prompt as the user's message; `is_named`: with the name of who sent it, for it was somebody else."""
    words = "\n".join((event.prompt, *map(item_words, event.content)))
    text = f"{event.by}: {words}" if is_named else words
    return {
        "sessionUpdate": "user_message_chunk",
        "content": {"type": "text", "text": text},
        "messageId": message_id(event.id),
        "_meta": {"myagent": {"by": event.by, "turn": event.id}},
    }


def said(text: str) -> JSON:
    """Text as the agent's message."""
    return {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}


def beside(text: str) -> JSON:
    """Text beside the answer; `_meta` says so to those who know it (our own host does)."""
    return {
        "sessionUpdate": "agent_thought_chunk",
        "content": {"type": "text", "text": text},
        "_meta": {"myagent": {"stream": "stderr"}},
    }


def noted(**facts: Any) -> JSON:
    """What version 1 has no word for: nothing changes but `_meta`."""
    return {"sessionUpdate": "session_info_update", "_meta": {"myagent": facts}}


def ended(event: TerminalState) -> JSON:
    """The end of somebody else's turn, which version 1 has no word for either."""
    why = {} if event.message is None else {"message": event.message}
    return noted(turn=event.id, stopReason=event.stop_reason, exitCode=event.exit_code, **why)


class Output:
    """The output of one session's turns, as updates.

    An update goes with the first of the events that its text takes, so the others of them are skipped. A lone line's
    end waits for what comes next: before an update it only sets the texts of two apart.
    """

    def __init__(self) -> None:
        self._cut = False  # the last event was a piece of an update's text that goes on
        self._held: AgentStdout | AgentStderr | None = None

    def begin(self) -> None:
        self._cut, self._held = False, None

    def rest(self) -> list[JSON]:
        """What waited, where nothing comes any more."""
        held, self._held = self._held, None
        return [] if held is None else [_text(held)]

    def updates(self, event: AgentStdout | AgentStderr, *, most: int) -> list[JSON]:
        """`most`: bytes of the frame of an event."""
        full = len(event.chunk) * 6 >= most * FULL and len(msgspec.json.encode(event.chunk)) >= most * FULL
        if event.update is None:
            if self._cut:
                self._cut = full
                return []
            held = self.rest()
            if event.chunk == "\n":
                self._held = event
                return held
            return [*held, _text(event)] if event.chunk else held
        held = [] if type(self._held) is type(event) else self.rest()
        self._held = None
        update = update_of(event.update)
        self._cut = full and update is not None
        if update is None:
            return [*held, _text(event)] if event.chunk else held
        is_echo = update["sessionUpdate"] == "user_message_chunk" and not event.chunk.strip()
        return held if is_echo else [*held, update]


def _text(event: AgentStdout | AgentStderr) -> JSON:
    return said(event.chunk) if isinstance(event, AgentStdout) else beside(event.chunk)
