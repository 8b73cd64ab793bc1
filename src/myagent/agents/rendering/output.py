"""What a tool call brings: a command's output as it comes, and the results of a call that has ended, each told once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from myagent.agents.rendering import JSON
from myagent.agents.rendering.blocks import call_title, content_text, diffs_of, pretty, texts_of
from myagent.agents.rendering.bounds import cut, dicts

OUTPUT_CHARS = 4096  # of a result in the text stream; all of it is in the update, up to bounds.UPDATE_BYTES
HEAD_CHARS = 4096  # of what was told of a call, kept to know it when it comes again
SHORT_CHARS = 8  # that may be part of anything

# Output in pieces, of which an agent uses one: codex-acp; claude-agent-acp and others as Zed has it; codex-acp's MCP.
LIVE = ("terminal_output_delta", "terminal_output", "mcp_output_delta")
# Where tools put what they have to say, in the order in which it is told.
_WORDS = (
    *("output", "stdout", "stderr", "aggregated_output", "formatted_output"),
    *("content", "text", "result", "message", "error"),
)
_STATUS = ("exit_code", "exitCode", "exit_status", "returncode")


@dataclass(slots=True)
class Output:
    """Of one tool call. `live`: it came in pieces."""

    live: bool = False
    _told: list[str] = field(default_factory=list)  # heads of what was told, without spaces
    _status: int | str | None = None

    def piece(self, update: JSON) -> str:
        """What an update carries of the output of something that runs."""
        text = live_piece(update)
        if text:
            self.heard(text)
        return text

    def heard(self, text: str) -> None:
        """Take note of output that was said as it came, so that the call's result does not say it again."""
        if not self.live:
            self.live = True
            self._told.insert(0, "")
        if len(self._told[0]) < HEAD_CHARS:
            self._told[0] = (self._told[0] + _squeezed(text))[:HEAD_CHARS]

    def results(self, call: JSON) -> Iterable[str]:
        """What a call that has ended shows and was not told yet: files that it changed, its words, how it exited."""
        for diff in diffs_of(call):
            if diff.path not in call_title(call) and self._is_new(diff.path):
                yield diff.path
        for text in texts_of(call):
            if self._is_new(text):
                yield cut(text.strip(), OUTPUT_CHARS)
        for text in raw_texts(call.get("rawOutput"), with_data=not diffs_of(call)):
            if self._is_new(text):
                yield cut(text.strip(), OUTPUT_CHARS)
        status = exit_status(call)
        if status not in (None, 0, self._status):
            yield f"killed by {status}" if isinstance(status, str) else f"exit status {status}"
        self._status = status if status is not None else self._status
        terminal = any(item.get("type") == "terminal" for item in dicts(call.get("content")))
        if terminal and not self._told and self._is_new("(no output)"):
            yield "(no output)"

    def _is_new(self, text: str) -> bool:
        """Whether that was not told before, also in other words around it; now it is."""
        head = _squeezed(text)[:HEAD_CHARS]
        if not head or any(_same(head, told) for told in self._told):
            return False
        self._told.append(head)
        return True


def live_piece(update: JSON) -> str:
    """The piece of a running command's output in one update; empty where there is none."""
    meta = update.get("_meta")
    if not isinstance(meta, Mapping):
        return ""
    for key in LIVE:
        match meta.get(key):
            case {"data": str(data)}:
                return data
    return ""


def exit_status(call: JSON) -> int | str | None:
    """How a command ended: its exit status, or the name of the signal; `None` where that is not told."""
    meta, raw = call.get("_meta"), call.get("rawOutput")
    match meta.get("terminal_exit") if isinstance(meta, Mapping) else None:
        case {"signal": str(signal)} if signal:
            return signal
        case {"exit_code": int(code)}:
            return code
    if isinstance(raw, Mapping):
        return next((raw[key] for key in _STATUS if type(raw.get(key)) is int), None)
    return None


def raw_texts(raw: Any, *, with_data: bool = True) -> list[str]:
    """The words of a raw result; `with_data`: where it has none, the data themselves."""
    if raw in (None, "", [], {}):
        return []
    match raw:
        case str():
            return [raw]
        case list():
            texts = [content_text(block) for block in dicts(raw)]
            if len(texts) == len(raw) and any(texts):
                return [text for text in texts if text.strip()]
        case Mapping():
            found = [raw_texts(raw.get(key), with_data=False) for key in _WORDS]
            if any(found):
                return [text for texts in found for text in texts]
            if set(raw) <= {*_STATUS}:
                return []
    return [pretty(raw)] if with_data else []


def _same(head: str, told: str) -> bool:
    """Whether one holds most of the other; of very short ones, whether they are equal."""
    if min(len(head), len(told)) < SHORT_CHARS:
        return head == told
    return head in told or (told in head and 2 * len(told) >= len(head))


def _squeezed(text: str) -> str:
    """A text as it is compared: agents put fences around what they quote, and break lines where they like."""
    return "".join(text.replace("```console", "").replace("```", "").split())
