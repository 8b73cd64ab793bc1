"""What an ACP update reads like: text for people, trimmed state for latecomers, and the tool call to ask leave for.

Pure: no await, no clock. Agents are other people's programs, so every shape here is taken as it comes: a field that is
absent, of another type or of a newer version of the protocol is passed over, never an error.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from myagent.agents import ToolCall
from myagent.agents.said import Said, commands_in
from myagent.core.diffs import whole_text
from myagent.core.messages import Diff, Option
from myagent.core.permissions import REQUEST_BYTES

JSON = dict[str, Any]
Channel = Literal["stdout", "stderr"]

OUTPUT_CHARS = 4096  # of a tool's output in the text stream; all of it is in the update, up to UPDATE_BYTES
UPDATE_BYTES = 256 * 1024  # of one structured update; qwen-code 0.24 sends single updates of 570 KB
STRING_CHARS = 8192  # of a string inside an update that had to be trimmed
STATE_ITEMS = 100  # of commands, options, or values of an option kept for latecomers
STATE_CHARS = 120  # of a description kept for latecomers
TITLE_CHARS = 200
DIFF_LINES = 20_000  # of both sides together; comparing is quadratic at worst

UNSPECIFIED = "the agent does not say what it would run or change"

_MARKS = {"completed": "x", "in_progress": "~"}
_HEAD = ("sessionUpdate", "toolCallId", "messageId", "status", "kind")  # what stays of an update that is too large
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
        _hear(self._said.setdefault(call_id, Said()), call)
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


def content_text(block: Any) -> str:
    """A content block as text: its words, or what it is and how big."""
    match block:
        case {"type": "text", "text": str(text)}:
            return text
        case {"type": "image" | "audio" as kind, "data": str(data)}:
            return f"[{kind} {block.get('mimeType', '')}, {len(data) * 3 // 4} bytes]"
        case {"type": "resource_link", "uri": str(uri)}:
            return f"[{block.get('name') or 'link'}: {uri}]"
        case {"type": "resource", "resource": {"text": str(text)}}:
            return text
        case {"type": "resource", "resource": {"uri": str(uri)}}:
            return f"[resource: {uri}]"
        case _:
            return ""


def plan_text(entries: Any) -> str:
    """A plan as a list with boxes."""
    rows = [entry for entry in _dicts(entries) if entry.get("content")]
    if not rows:
        return ""
    return "plan:\n" + "".join(f"  [{_MARKS.get(str(row.get('status')), ' ')}] {row['content']}\n" for row in rows)


def call_title(call: JSON) -> str:
    return " ".join(str(call.get("title") or call.get("kind") or "tool call").split())


def diffs_of(call: JSON) -> tuple[Diff, ...]:
    """The changes of files that a tool call shows."""
    return tuple(
        Diff(path=str(item.get("path")), old_text=_text_or_none(item.get("oldText")), new_text=item["newText"])
        for item in _dicts(call.get("content"))
        if item.get("type") == "diff" and isinstance(item.get("newText"), str)
    )


def options_of(params: JSON) -> tuple[Option, ...]:
    """The answers that a permission request offers."""
    return tuple(
        Option(option_id=item["optionId"], name=str(item.get("name", "")), kind=str(item.get("kind", "")))
        for item in _dicts(params.get("options"))
        if isinstance(item.get("optionId"), str)
    )


def tool_call(call: JSON, options: tuple[Option, ...], said: Said | None = None) -> ToolCall:
    """What to ask leave for: everything that the agent said of this tool call; `said` is more than the call itself."""
    if said is None:
        _hear(said := Said(), call)
    diffs = diffs_of(call)
    raw = call.get("rawInput")
    kind = str(call.get("kind") or "other")
    shown = {key: call[key] for key in ("title", "kind", "locations", "content") if call.get(key)}
    parts = [request_text(call, diffs), *earlier(call, said)]
    if said.unspecified(kind):
        parts.append(UNSPECIFIED)
    if said.overflow:
        parts.append("x" * REQUEST_BYTES)  # nobody can be shown all of it, so nobody is asked
    return ToolCall(
        tool_name=tool_name(call),
        input=raw if raw not in (None, {}) else shown,
        text="\n".join(parts),
        title=call_title(call),
        kind=kind,
        diffs=diffs,
        options=options,
        plan={"call": call, "said": said.data()},
        flags=said.flags(call_title(call), kind, _texts(call)),
    )


def earlier(call: JSON, said: Said) -> Iterable[str]:
    """What was said of a call and is not part of it any more, each with what it was said as."""
    now = request_text(call, diffs_of(call))
    current = (call.get("rawInput"), call_title(call))
    rows = [("earlier title", title) for title in said.titles]
    rows += [("earlier file", path) for path in said.paths]
    for given in said.inputs:
        if given != current[0]:
            rows += [("earlier command", command) for command in commands_in(given)]
            rows.append(("earlier input", pretty(given)))
    rows += [("earlier text", text) for text in said.texts]
    rows += [("earlier change", unified(diff)) for diff in said.diffs]
    yield from (f"{label}: {text}" for label, text in dict.fromkeys(rows) if text not in now)


def tool_name(call: JSON) -> str:
    """The tool's own name where the agent tells it, else what kind of tool it is."""
    meta = call.get("_meta")
    said = [call.get("name")]
    if isinstance(meta, Mapping):
        said.append(meta.get("toolName"))
        said.extend(inner.get("toolName") for inner in meta.values() if isinstance(inner, Mapping))
    return next((name for name in said if isinstance(name, str) and name), str(call.get("kind") or "tool"))


def request_text(call: JSON, diffs: Sequence[Diff]) -> str:
    """The whole of what a human must read: title, command, paths, input, texts, and the changes as a unified diff."""
    parts = [call_title(call)]
    raw = call.get("rawInput")
    if isinstance(raw, Mapping):
        parts.extend(f"{key}: {raw[key]}" for key in ("command", "cwd") if isinstance(raw.get(key), str))
    parts.extend(f"file: {path}" for path in dict.fromkeys([*_paths(call), *(diff.path for diff in diffs)]))
    if raw not in (None, {}):
        parts.append(f"input: {pretty(raw)}")
    parts.extend(_texts(call))
    parts.extend(unified(diff) for diff in diffs)
    return "\n".join(parts)


def pretty(value: Any) -> str:
    """Data as JSON that can be read."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def unified(diff: Diff) -> str:
    """A change as a unified diff; when it is too long to compare, as all of the old and all of the new text; when there
    is no change, as the text."""
    if diff.old_text == diff.new_text:
        return whole_text(diff.path, diff.new_text)
    before = [] if diff.old_text is None else diff.old_text.splitlines(keepends=True)
    after = diff.new_text.splitlines(keepends=True)
    name = "/dev/null" if diff.old_text is None else diff.path
    if len(before) + len(after) > DIFF_LINES:
        whole = [("-", before), ("+", after)]
        lines = [f"--- {name}\n", f"+++ {diff.path}\n", *(sign + line for sign, side in whole for line in side)]
    else:
        lines = list(difflib.unified_diff(before, after, name, diff.path))
    return "".join(line if line.endswith("\n") else line + "\n\\ no newline at the end\n" for line in lines)


def state_of(update: JSON) -> JSON | None:
    """What a state-like update tells, trimmed, as keywords of `TurnIO.tell`; `None` for every other update."""
    match update.get("sessionUpdate"):
        case "available_commands_update":
            return {"commands": commands_state(update.get("availableCommands"))}
        case "config_option_update":
            return {"config": config_state(update.get("configOptions"))}
        case "usage_update":
            return {"usage": {key: update[key] for key in ("used", "size", "cost") if key in update}}
        case "current_mode_update":
            return {"mode": cut(str(update.get("currentModeId")), STATE_CHARS)}
        case "session_info_update":
            title = update.get("title")
            return {"title": cut(title, TITLE_CHARS)} if isinstance(title, str) else {}
        case _:
            return None


def commands_state(commands: Any) -> list[JSON]:
    """The agent's own commands, each with what it is for."""
    kept = []
    for item in _dicts(commands)[:STATE_ITEMS]:
        row = {"name": cut(str(item.get("name")), STATE_CHARS)}
        if isinstance(item.get("description"), str):
            row["description"] = cut(item["description"], STATE_CHARS)
        kept.append(row)
    return kept


def config_state(options: Any) -> list[JSON]:
    """The agent's settings with their values, without the prose."""
    return [
        {
            "id": cut(str(item.get("id")), STATE_CHARS),
            "name": cut(str(item.get("name", "")), STATE_CHARS),
            "value": trimmed(item.get("currentValue"), STATE_CHARS),
            "values": [cut(value, STATE_CHARS) for value in option_values(item)[:STATE_ITEMS]],
        }
        for item in _dicts(options)[:STATE_ITEMS]
    ]


def option_values(option: JSON) -> list[str]:
    """The values that a select option offers, also where they come in groups."""
    rows = _dicts(option.get("options"))
    flat = [row for group in rows for row in (_dicts(group["options"]) if "options" in group else [group])]
    return [row["value"] for row in flat if isinstance(row.get("value"), str)]


def fit(update: JSON) -> JSON:
    """The update itself, or, when it is larger than `UPDATE_BYTES`, what is left of it when long strings are cut."""
    if len(msgspec.json.encode(update)) <= UPDATE_BYTES:
        return update
    small: JSON = trimmed(update, STRING_CHARS)
    if len(msgspec.json.encode(small)) <= UPDATE_BYTES:
        return small
    head: JSON = {key: small[key] for key in _HEAD if key in small}
    return {**head, "_meta": {"myagent": {"omitted": "larger than the limit for one update"}}}


def trimmed(value: Any, chars: int) -> Any:
    """The same data with every string cut to `chars`."""
    match value:
        case str():
            return cut(value, chars)
        case Mapping():
            return {key: trimmed(item, chars) for key, item in value.items()}
        case list() | tuple():
            return [trimmed(item, chars) for item in value]
        case _:
            return value


def cut(text: str, chars: int) -> str:
    """At most `chars` characters of a text, and how many are missing."""
    return text if len(text) <= chars else f"{text[:chars]}… ({len(text) - chars} more characters)"


def _hear(said: Said, call: JSON) -> None:
    """Keep what one update or request says of a call."""
    said.add(
        title=call_title(call) if call.get("title") else "",
        kind=str(call.get("kind") or ""),
        given=call.get("rawInput"),
        texts=_texts(call),
        diffs=diffs_of(call),
        paths=_paths(call),
    )


def _outcome(call: JSON) -> Iterable[str]:
    """What a finished tool call brought: the files that it changed, and its output."""
    for diff in diffs_of(call):
        if diff.path not in call_title(call):
            yield f"  {diff.path}"
    for text in _texts(call):
        yield "  " + cut(text.strip(), OUTPUT_CHARS).replace("\n", "\n  ")


def _texts(call: JSON) -> list[str]:
    blocks = [item.get("content") for item in _dicts(call.get("content")) if item.get("type") == "content"]
    return [text for block in blocks if (text := content_text(block)).strip()]


def _where(call: JSON) -> str:
    title = call_title(call)
    paths = [path for path in _paths(call) if path not in title]
    return f" ({', '.join(paths[:3])}{', …' if len(paths) > 3 else ''})" if paths else ""


def _paths(call: JSON) -> list[str]:
    return [item["path"] for item in _dicts(call.get("locations")) if isinstance(item.get("path"), str)]


def _dicts(value: Any) -> list[JSON]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None
