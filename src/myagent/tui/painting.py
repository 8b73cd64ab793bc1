"""How an item of a session looks: as lines of a terminal, safe whatever it holds, readable without colour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markdown import Markdown
from rich.padding import Padding
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from myagent.core.messages import (
    Activity,
    Diff,
    Gap,
    OptionSet,
    PermissionAllowed,
    PermissionRequest,
    PermissionResolved,
    Prompt,
    Question,
    QuestionResolved,
    TerminalState,
)
from myagent.export import facts
from myagent.export.parts import uncoloured
from myagent.text.carried import carried
from myagent.text.overwriting import shown
from myagent.text.terminal import visible
from myagent.text.times import absolute
from myagent.text.wording import diff_in_display, diff_lines, diffs_beyond_display, folded, one_line, warning
from myagent.tui.rows import Row, output, rendered
from myagent.tui.story import Item, Said, Told, Tool

TOOL_LINES = 12  # of a tool's output; the raw view has all of it

_STATUS = {"pending": "…", "in_progress": "~", "completed": "✓", "failed": "✗", "not_finished": "-"}
_DIM = Style(dim=True)
_MARK = Segment("! ", Style(color="yellow", dim=True))  # before what came to stderr
_DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}


@dataclass(frozen=True, slots=True)
class Manner:
    """How things are drawn now. `raw`: as they came, no Markdown; `prose`: this agent's messages are Markdown."""

    width: int
    raw: bool = False
    prose: bool = True
    owner: bool = False
    times: bool = False


def rows(item: Item, manner: Manner, console: Console) -> list[Row]:
    """The rows of an item. Whatever the libraries made of it is made harmless last of all."""
    width = max(1, manner.width)
    if isinstance(item, Said) and not _is_markdown(item, manner):
        text = visible(item.raw) if manner.raw else item.text
        if item.stream == "stderr":
            return list(output(text, width, style=_DIM, mark=_MARK))
        return list(output(text, width))
    options = console.options.update(width=width, height=None)
    shown = _renderable(item, manner)
    if manner.times and not isinstance(item, Said):
        shown = Group(shown, Text(f"  {absolute(item.at)}", style="dim"))
    return rendered(console.render_lines(shown, options, pad=False), width)


def _is_markdown(item: Said, manner: Manner) -> bool:
    return item.stream == "prose" and item.ended and not item.more and manner.prose and not manner.raw


def _renderable(item: Item, manner: Manner) -> RenderableType:
    match item:
        case Said():
            return Markdown(item.plain, hyperlinks=False, code_theme="ansi_dark")
        case Tool():
            if manner.raw:
                return Text(item.text.rstrip("\n"), style="dim")
            return Padding(Group(*_tool(item)), (0, 0, 0, 2 * item.depth)) if item.depth else Group(*_tool(item))
        case Told():
            return Group(*_told(item, manner))


def _tool(item: Tool) -> Iterator[RenderableType]:
    call = item.call
    if isinstance(call.get("entries"), list):
        yield Text("plan", style="bold")
        for entry in call["entries"]:
            if isinstance(entry, dict):
                mark = _STATUS.get(str(entry.get("status")), "?")
                yield Text(f"  {mark} {one_line(str(entry.get('content') or ''))}")
        return
    status = str(call.get("status") or "pending")
    title = one_line(str(call.get("title") or call.get("kind") or "tool call"))
    style = {"failed": "bold red", "completed": "green"}.get(status, "cyan")
    yield Text(f"{_STATUS.get(status, '?')} {title} ({one_line(status.replace('_', ' '))})", style=style)
    content = call.get("content")
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    for part in parts:
        yield from _content(part)
    if not any(part.get("type") == "content" for part in parts):
        yield from _results(item, {part.get("path") for part in parts})


def _results(item: Tool, paths: set[Any]) -> Iterator[RenderableType]:
    """What a call brought that is not in its content: output as it comes, of which the end tells; raw results."""
    told = [line[2:] for line in item.text.splitlines() if line.startswith("  ")]
    lines = [line for line in told if line not in paths]
    if lines:
        more = [f"… {len(lines) - TOOL_LINES} lines before (F6 shows all)"] if len(lines) > TOOL_LINES else []
        shown = visible("\n".join([*more, *lines[-TOOL_LINES:]]))
        yield Padding(Text(shown, style="dim"), (0, 0, 0, 2))


def _content(part: dict[str, Any]) -> Iterator[RenderableType]:
    match part:
        case {"type": "diff", "path": str(path), "newText": str(new)}:
            old = part.get("oldText")
            yield from diff(Diff(path, old if isinstance(old, str) else None, new))
        case {"type": "content", "content": {"type": "text", "text": str(text)}}:
            lines = uncoloured(shown(text)).rstrip("\n").split("\n")
            seen = lines[:TOOL_LINES]
            if len(lines) > TOOL_LINES:
                seen.append(f"… {len(lines) - TOOL_LINES} more lines (F6 shows all)")
            yield Padding(Text("\n".join(seen), style="dim"), (0, 0, 0, 2))


def diff(change: Diff) -> Iterator[RenderableType]:
    for line in diff_lines(change):
        yield Text(f"  {line}", style=_DIFF_STYLES.get(line[:1], "dim"))


def _told(item: Told, manner: Manner) -> Iterator[RenderableType]:
    match item.event:
        case Prompt() as event:
            yield Text("")
            yield Text(f"▌ {facts.prompt(event)}", style="bold cyan")
            said = "\n".join((visible(event.prompt), *carried(event)))
            yield Text("\n".join(f"▌ {line}" for line in said.split("\n")), style="cyan")
        case Activity() as event:
            yield Text("")
            yield Text(f"▌ {facts.activity(event)}", style="bold cyan")
        case PermissionRequest() as event:
            yield Text(f"? {facts.asked(event)}", style="bold yellow")
            if item.resolved is None:
                whose = "F9 answers" if manner.owner else "not yours: the owner answers"
                yield Text(f"  waiting for a human ({whose})", style="yellow")
                yield Padding(_display(event), (0, 0, 0, 2))
        case PermissionAllowed() as event:
            yield Text(f"✓ {facts.allowed(event)}", style="bold yellow")
        case PermissionResolved() as event:
            good = event.outcome == "allow"
            yield Text(f"{'✓' if good else '✗'} {facts.resolved(event)}", style="bold green" if good else "bold red")
        case OptionSet() as event:
            yield Text(f"― {facts.chosen(event)}", style="bold magenta" if event.guarded else "dim")
        case Question() as event:
            yield Text(f"? {facts.question(event)}", style="bold yellow")
        case QuestionResolved() as event:
            yield Text(f"✓ {facts.answered(event)}", style="bold" if event.outcome == "accept" else "bold red")
        case TerminalState() as event:
            yield Text(f"― {facts.ended(event)}", style="dim" if event.exit_code == 0 else "bold red")
        case Gap() as event:
            yield Text(f"― {facts.gap(event)}", style="bold magenta")


def request(event: PermissionRequest) -> RenderableType:
    """All that a human should read before deciding."""
    parts: list[RenderableType] = [_display(event)]
    for change in diffs_beyond_display(event.request):
        parts += diff(change)
    parts += [Text(f"WARNING: {warning(flag)}", style="bold yellow") for flag in event.request.flags]
    return Group(*parts)


def _display(event: PermissionRequest) -> Text:
    """The display, whole; a diff in it has its colours."""
    lines = folded(visible(event.request.display))
    styles = [""] * len(lines)
    for change in event.request.diffs:
        for place in diff_in_display(change, lines) or ():
            styles[place] = _DIFF_STYLES.get(lines[place][:1], "dim")
    return Text("\n").join(Text(f"| {line}", style=style) for line, style in zip(lines, styles, strict=True))
