"""The text of one turn: which message is being said, which tool calls are open, what each update adds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from myagent.agents import ToolCall
from myagent.agents.rendering import JSON
from myagent.agents.rendering.blocks import call_title, content_text, diffs_of, paths_of, plan_text, texts_of
from myagent.agents.rendering.bounds import cut
from myagent.agents.rendering.request import hear, tool_call
from myagent.agents.said import Said
from myagent.core.messages import Option

Channel = Literal["stdout", "stderr"]

OUTPUT_CHARS = 4096  # of a tool's output in the text stream; all of it is in the update, up to UPDATE_BYTES

_OPEN = ("pending", "in_progress")


@dataclass(slots=True)
class Rendered:
    """Text for one of the two streams, empty when the update renders to nothing; `gap` goes before it, and belongs to
    no update."""

    channel: Channel
    text: str
    gap: str = ""


@dataclass(slots=True)
class Rendering:
    """The state of one turn's text: which message is being said, and which tool calls are open.

    `calls` holds every tool call of the turn as the agent last described it, by id; `announced` those that were seen
    as updates (not only inside a permission request), which are the ones that have to be closed.
    """

    calls: dict[str, JSON] = field(default_factory=dict)
    announced: set[str] = field(default_factory=set)
    _said: dict[str, Said] = field(default_factory=dict)  # of each call, all that was ever said of it
    _message: object = None  # id of the message being said
    _line_open: dict[Channel, bool] = field(default_factory=lambda: {"stdout": False, "stderr": False})
    _broken: bool = False  # something else was said since the last chunk of the message
    _thinking: bool = False

    def render(self, update: JSON) -> Rendered:
        """The text of one `session/update`, and what it changes here."""
        match update.get("sessionUpdate"):
            case "agent_message_chunk":
                return self._say(update)
            case "agent_thought_chunk" if _is_beside(update):
                return self.beside(content_text(update.get("content")))
            case "agent_thought_chunk":
                return self._think(content_text(update.get("content")))
            case "plan":
                return self._note(plan_text(update.get("entries")))
            case "tool_call" | "tool_call_update":
                return self._note(self._tool(update))
            case _:
                return Rendered("stderr", "")

    def beside(self, text: str, *, on_new_line: bool = False) -> Rendered:
        """Text beside the answer that comes in pieces and is no update."""
        if not text:
            return Rendered("stderr", "")
        on_new_line = on_new_line or self._thinking
        self._thinking, self._broken = False, True
        return self._out("stderr", text, on_new_line)

    def merge(self, call: JSON) -> JSON:
        """Take over what a tool call now says of itself: absent or null means unchanged. The call as it stands."""
        call_id = str(call.get("toolCallId"))
        known = self.calls.setdefault(call_id, {})
        known.update((key, value) for key, value in call.items() if value is not None and key != "sessionUpdate")
        hear(self._said.setdefault(call_id, Said()), call)
        return known

    def asked(self, call: JSON, options: tuple[Option, ...]) -> ToolCall:
        """What a human is asked about a call: the call as it stands, and all that was said of it."""
        known = self.merge(call)
        return tool_call(dict(known), options, self._said[str(call.get("toolCallId"))])

    def close_open_calls(self) -> Iterable[tuple[str, JSON]]:
        """Text and update that close each tool call still open, as if the agent had said that it failed."""
        for call_id in sorted(self.announced):
            call = self.calls[call_id]
            if call.get("status", "pending") in _OPEN:
                update = {"sessionUpdate": "tool_call_update", "toolCallId": call_id, "status": "failed"}
                call["status"] = "failed"
                rendered = self._note(f"✗ {call_title(call)}: stopped\n")
                yield rendered.gap + rendered.text, update

    def _say(self, update: JSON) -> Rendered:
        text = content_text(update.get("content"))
        if not text:
            return Rendered("stderr", "")
        message = update.get("messageId")
        another = message != self._message or self._broken
        self._message, self._broken, self._thinking = message, False, False
        return self._out("stdout", text, another)

    def _think(self, text: str) -> Rendered:
        if not text:
            return Rendered("stderr", "")
        begins = not self._thinking
        self._thinking = self._broken = True
        return self._out("stderr", "thinking: " + text if begins else text, begins)

    def _note(self, text: str) -> Rendered:
        if not text:
            return Rendered("stderr", "")
        self._thinking, self._broken = False, True
        return self._out("stderr", text, True)

    def _out(self, channel: Channel, text: str, on_new_line: bool) -> Rendered:
        gap = "\n" if on_new_line and self._line_open[channel] else ""
        self._line_open[channel] = not text.endswith("\n")
        return Rendered(channel, text, gap)

    def _tool(self, update: JSON) -> str:
        call_id = str(update.get("toolCallId"))
        before = dict(self.calls.get(call_id, {}))
        call = self.merge(update)
        self.announced.add(call_id)
        status, title = call.get("status", "pending"), call_title(call)
        lines: list[str] = []
        if status in _OPEN:
            if not before or call_title(before) != title:
                lines.append(f"→ {title}{_where(call)}")
        elif before.get("status") != status:
            lines.append(f"{'✓' if status == 'completed' else '✗'} {title}{_where(call)}: {status}")
            lines.extend(_outcome(call))
        return "".join(line + "\n" for line in lines)


def _is_beside(update: JSON) -> bool:
    """Whether our own agent says of a thought that it is none, but text beside the answer."""
    match update.get("_meta"):
        case {"myagent": {"stream": "stderr"}}:
            return True
    return False


def _outcome(call: JSON) -> Iterable[str]:
    """What a finished tool call brought: the files that it changed, and its output."""
    for diff in diffs_of(call):
        if diff.path not in call_title(call):
            yield f"  {diff.path}"
    for text in texts_of(call):
        yield "  " + cut(text.strip(), OUTPUT_CHARS).replace("\n", "\n  ")


def _where(call: JSON) -> str:
    title = call_title(call)
    paths = [path for path in paths_of(call) if path not in title]
    return f" ({', '.join(paths[:3])}{', …' if len(paths) > 3 else ''})" if paths else ""
