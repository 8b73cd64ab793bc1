"""A session as Markdown. Whatever came from an agent or a person is in code fences: it cannot pose as the record."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from myagent.core.messages import (
    Activity,
    Gap,
    Metadata,
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
from myagent.export.parts import Output, Part
from myagent.text.carried import carried
from myagent.text.terminal import visible
from myagent.text.wording import diff_lines, diffs_beyond_display, warning

_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~&])")


def render(metadata: Metadata, parts: Iterable[Part]) -> Iterator[str]:
    yield f"# {_plain(facts.title(metadata))}\n\n"
    yield "| | |\n|---|---|\n"
    yield from (f"| {name} | {_plain(value)} |\n" for name, value in facts.about(metadata))
    for part in parts:
        yield "\n"
        yield from _part(part)


def _part(part: Part) -> Iterator[str]:
    match part:
        case Output():
            yield from _fenced(part.text, "stderr" if part.error else "text")
        case Prompt():
            yield f"## {_plain(facts.prompt(part))}{facts.when(part)}\n\n"
            yield from _fenced("\n".join((visible(part.prompt), *carried(part))), "text")
        case Activity():
            yield f"## {_plain(facts.activity(part))}{facts.when(part)}\n"
        case PermissionRequest():
            yield from _request(part)
        case PermissionResolved():
            yield f"**{_plain(facts.resolved(part))}**{facts.when(part)}\n"
        case PermissionAllowed():
            yield f"**{_plain(facts.allowed(part))}**{facts.when(part)}\n"
        case OptionSet():
            yield f"*{_plain(facts.chosen(part))}*{facts.when(part)}\n"
        case Question():
            yield f"**{_plain(facts.question(part))}**{facts.when(part)}\n"
        case QuestionResolved():
            yield f"**{_plain(facts.answered(part))}**{facts.when(part)}\n"
        case TerminalState():
            yield f"*{_plain(facts.ended(part))}*{facts.when(part)}\n"
        case Gap():
            yield f"*{_plain(facts.gap(part))}*\n"


def _request(event: PermissionRequest) -> Iterator[str]:
    yield f"### {_plain(facts.asked(event))}{facts.when(event)}\n\n"
    yield from (f"- {name}: {_plain(value)}\n" for name, value in facts.details(event))
    yield from (f"- warning: {_plain(warning(flag))}\n" for flag in event.request.flags)
    yield "\n"
    yield from _fenced(visible(event.request.display), "text")
    for diff in diffs_beyond_display(event.request):
        yield "\n"
        yield from _fenced("\n".join(diff_lines(diff)), "diff")


def _fenced(text: str, language: str) -> Iterator[str]:
    """A code block with a fence longer than any in it."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    yield f"{fence}{language}\n{text}{'' if text.endswith(chr(10)) or not text else chr(10)}{fence}\n"


def _plain(text: str) -> str:
    """Text on one line that Markdown shows as it is."""
    return _SPECIAL.sub(r"\\\1", text)
