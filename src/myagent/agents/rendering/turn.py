"""The text of one turn: which message is being said, which tool calls are open, what each update adds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from myagent.agents import ToolCall
from myagent.agents.rendering import JSON
from myagent.agents.rendering.blocks import call_title, content_text, paths_of
from myagent.agents.rendering.notes import note_text
from myagent.agents.rendering.output import Output
from myagent.agents.rendering.request import hear, tool_call
from myagent.agents.said import Said
from myagent.core.messages import Option
from myagent.core.nesting import depth_of

Channel = Literal["stdout", "stderr"]

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
    as updates (not only inside a permission request), which are the ones that have to be closed. `prompt` is what the
    agent was prompted with: where it says that again, as the user's message, nothing is shown.
    """

    prompt: str = ""
    calls: dict[str, JSON] = field(default_factory=dict)
    announced: set[str] = field(default_factory=set)
    _said: dict[str, Said] = field(default_factory=dict)  # of each call, all that was ever said of it
    _outputs: dict[str, Output] = field(default_factory=dict)  # of each call
    _running: str | None = None  # the call whose output is being said
    _message: object = None  # id of the message being said
    _line_open: dict[Channel, bool] = field(default_factory=lambda: {"stdout": False, "stderr": False})
    _broken: bool = False  # something else was said since the last chunk of the message
    _thinking: bool = False
    _echoing: bool = False  # the user's message is being said

    def render(self, update: JSON) -> Rendered:
        """The text of one `session/update`, and what it changes here."""
        match update.get("sessionUpdate"):
            case "agent_message_chunk":
                return self._say(update)
            case "agent_thought_chunk" if _is_beside(update):
                text = content_text(update.get("content"))
                for call_id, call in self.calls.items():  # it may be the output of any of those that run
                    if call.get("status") == "in_progress" and text:
                        self._outputs.setdefault(call_id, Output()).heard(text)
                return self.beside(text)
            case "agent_thought_chunk":
                return self._think(content_text(update.get("content")))
            case "user_message_chunk":
                return self._echo(content_text(update.get("content")))
            case "compaction_summary_chunk" | "session_message_chunk":
                return self.beside(content_text(update.get("content")))
            case "tool_call" | "tool_call_update":
                return self._tool(update)
            case _:
                return self._note(note_text(update))

    def beside(self, text: str, *, on_new_line: bool = False, call_id: str | None = None) -> Rendered:
        """Text beside the answer that comes in pieces and is no update; with `call_id`, it is that call's output."""
        if not text:
            return Rendered("stderr", "")
        if call_id is not None:
            self._outputs.setdefault(call_id, Output()).heard(text)
        on_new_line = on_new_line or self._thinking or self._running is not None
        self._interrupt()
        return self._out("stderr", text, on_new_line)

    def break_line(self) -> str:
        """What ends the line on stderr, where one is open: somebody else says something there now."""
        gap = "\n" if self._line_open["stderr"] else ""
        self._line_open["stderr"] = False
        self._interrupt()
        return gap

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
        self._interrupt()
        self._message, self._broken = message, False
        return self._out("stdout", text, another)

    def _think(self, text: str) -> Rendered:
        if not text:
            return Rendered("stderr", "")
        begins = not self._thinking
        self._interrupt()
        self._thinking = True
        return self._out("stderr", "thinking: " + text if begins else text, begins)

    def _echo(self, text: str) -> Rendered:
        if not text.strip() or text.strip() in self.prompt:
            return Rendered("stderr", "")
        begins = not self._echoing
        self._interrupt()
        self._echoing = True
        return self._out("stderr", "user: " + text if begins else text, begins)

    def _note(self, text: str) -> Rendered:
        if not text:
            return Rendered("stderr", "")
        self._interrupt()
        return self._out("stderr", text, True)

    def _interrupt(self) -> None:
        """Something else is said now than what was being said."""
        self._thinking = self._echoing = False
        self._broken, self._running = True, None

    def _out(self, channel: Channel, text: str, on_new_line: bool) -> Rendered:
        gap = "\n" if on_new_line and self._line_open[channel] else ""
        self._line_open[channel] = not text.endswith("\n")
        return Rendered(channel, text, gap)

    def _tool(self, update: JSON) -> Rendered:
        call_id = str(update.get("toolCallId"))
        before = dict(self.calls.get(call_id, {}))
        call = self.merge(update)
        self.announced.add(call_id)
        output = self._outputs.setdefault(call_id, Output())
        status, title = call.get("status", "pending"), call_title(call)
        depth = depth_of(call, self.calls)
        below = f"└{'─' * (depth - 1)} " if depth else ""  # no space: that begins a line of output
        begins: list[str] = []
        ends: list[str] = []
        if status in _OPEN:
            if not before or call_title(before) != title:
                begins.append(f"{below}→ {title}{_where(call)}")
        elif before.get("status") != status:
            ends.append(f"{below}{'✓' if status == 'completed' else '✗'} {title}{_where(call)}: {status}")
        piece = output.piece(update)
        if status not in _OPEN:
            ends.extend("  " + text.replace("\n", "\n  ") for text in output.results(call))
        said = [self._note("".join(line + "\n" for line in begins)), self._piece(call_id, piece)]
        said.append(self._note("".join(line + "\n" for line in ends)))
        said = [each for each in said if each.text]
        if not said:
            return Rendered("stderr", "")
        return Rendered("stderr", said[0].text + "".join(each.gap + each.text for each in said[1:]), said[0].gap)

    def _piece(self, call_id: str, text: str) -> Rendered:
        """Output of a call that runs, indented; another piece of it goes on in its line."""
        if not text:
            return Rendered("stderr", "")
        begins = self._running != call_id
        self._interrupt()
        self._running = call_id
        indent = "  " if begins or not self._line_open["stderr"] else ""
        return self._out("stderr", indent + text[:-1].replace("\n", "\n  ") + text[-1], begins)


def _is_beside(update: JSON) -> bool:
    """Whether our own agent says of a thought that it is none, but text beside the answer."""
    match update.get("_meta"):
        case {"myagent": {"stream": "stderr"}}:
            return True
    return False


def _where(call: JSON) -> str:
    title, given = call_title(call), call.get("rawInput")
    named = given.get("path") if isinstance(given, dict) else None  # as the title may have it, from where it works
    known = f"/{named}" if isinstance(named, str) and named and named in title else None
    paths = [path for path in paths_of(call) if path not in title and not (known and path.endswith(known))]
    return f" ({', '.join(paths[:3])}{', …' if len(paths) > 3 else ''})" if paths else ""
