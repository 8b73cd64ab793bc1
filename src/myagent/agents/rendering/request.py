"""The tool call that a human is asked about: the whole of what the agent said of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from myagent.agents import ToolCall
from myagent.agents.rendering import JSON
from myagent.agents.rendering.blocks import call_title, diffs_of, paths_of, pretty, texts_of, unified
from myagent.agents.rendering.bounds import dicts
from myagent.agents.said import Said, commands_in
from myagent.core.messages import Diff, Option
from myagent.core.permissions import REQUEST_BYTES

_BREAKS = re.compile(r"[^\S ]")  # of lines, and what else is no plain space
UNSPECIFIED = "the agent does not say what it would run or change"


def options_of(params: JSON) -> tuple[Option, ...]:
    """The answers that a permission request offers."""
    return tuple(
        Option(option_id=item["optionId"], name=str(item.get("name", "")), kind=str(item.get("kind", "")))
        for item in dicts(params.get("options"))
        if isinstance(item.get("optionId"), str)
    )


def tool_call(call: JSON, options: tuple[Option, ...], said: Said | None = None) -> ToolCall:
    """What to ask leave for: everything that the agent said of this tool call; `said` is more than the call itself."""
    if said is None:
        hear(said := Said(), call)
    diffs = diffs_of(call)
    raw = call.get("rawInput")
    kind = str(call.get("kind") or "other")
    shown = {key: call[key] for key in ("title", "kind", "locations", "content") if call.get(key)}
    if len(msgspec.json.encode(call)) > 2 * REQUEST_BYTES:
        said.overflow = True
    parts = [] if said.overflow else [request_text(call, diffs), *earlier(call, said)]
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
        flags=said.flags(call_title(call), kind, texts_of(call)),
        call_id=call["toolCallId"] if isinstance(call.get("toolCallId"), str) else None,
        paths=tuple(paths_of(call)),
        plan_repeats=False,  # it names the call itself
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
    if isinstance(title := call.get("title"), str) and _BREAKS.search(title.strip()):
        parts.append(title)  # on one line a second command passes for the rest of a remark
    raw = call.get("rawInput")
    if isinstance(raw, Mapping):
        parts.extend(f"{key}: {raw[key]}" for key in ("command", "cwd") if isinstance(raw.get(key), str))
    parts.extend(f"file: {path}" for path in dict.fromkeys([*paths_of(call), *(diff.path for diff in diffs)]))
    if raw not in (None, {}):
        parts.append(f"input: {pretty(raw)}")
    parts.extend(texts_of(call))
    parts.extend(_news_of(call))
    parts.extend(unified(diff) for diff in diffs)
    return "\n".join(parts)


def _news_of(call: JSON) -> list[str]:
    return [f"content: {pretty(item)}" for item in dicts(call.get("content")) if _is_news(item)]


def _is_news(item: JSON) -> bool:
    """Whether a piece of content has a form that we do not know, so that its words are not among the texts."""
    match item:
        case {"type": "content", "content": {"type": str()}} | {"type": "diff", "newText": str()}:
            return False
        case {"type": "terminal", **rest}:
            return bool(rest.keys() - {"terminalId", "_meta"})
        case _:
            return True


def hear(said: Said, call: JSON) -> None:
    """Keep what one update or request says of a call."""
    said.add(
        title=call_title(call) if call.get("title") else "",
        kind=str(call.get("kind") or ""),
        given=call.get("rawInput"),
        texts=[*texts_of(call), *_news_of(call)],
        diffs=diffs_of(call),
        paths=paths_of(call),
    )
