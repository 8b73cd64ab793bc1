"""A session as one HTML file that is safe to hand out: text and pictures, no script, nothing from anywhere else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator
from html import escape

from myagent.core.content import item_words
from myagent.core.messages import (
    Activity,
    Gap,
    ImageItem,
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
from myagent.core.pictures import picture_of
from myagent.export import facts
from myagent.export.parts import Output, Part, Pictures
from myagent.text.carried import carried
from myagent.text.terminal import visible
from myagent.text.wording import diff_lines, diffs_beyond_display, warning

STYLE = """
:root { color-scheme: light dark; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 2.5rem 0 .5rem; border-top: 1px solid #8888; }
h2 { padding-top: 1rem; } h3 { font-size: 1rem; margin: 0 0 .5rem; }
table { border-collapse: collapse; font-size: .9rem; } th { text-align: left; padding-right: 1.5rem; }
pre { margin: .5rem 0; padding: .6rem .8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
pre { font: 13px/1.45 ui-monospace, monospace; background: #8881; border-radius: 4px; }
.prompt { border-left: 4px solid #36c; } .stderr { border-left: 4px solid #a60; }
.request { border: 1px solid #a60; border-radius: 6px; padding: .8rem; margin: 1rem 0; }
img { max-width: 100%; max-height: 40rem; }
.warning { color: #a40; font-weight: 600; } .told { font-weight: 600; } .end { opacity: .75; }
ins, del { display: block; text-decoration: none; } ins { background: #0a03; } del { background: #d003; }
"""

POLICY = (
    "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'; img-src data:; base-uri 'none'; form-action 'none'"
)

INLINE_BYTES = 32 << 20  # of pictures in one file

_DIFF = {"+": "ins", "-": "del"}


class Inlined:
    """The pictures that a file holds itself, up to `INLINE_BYTES` together. `get`: the bytes of a digest."""

    def __init__(self, get: Callable[[str], bytes | None]) -> None:
        self._get, self._left = get, INLINE_BYTES

    def take(self, item: ImageItem) -> bytes | None:
        """The bytes, if they are the picture that they are said to be, and there is room for it."""
        if item.size > self._left:
            return None
        data = self._get(item.digest)
        picture = picture_of(data) if data is not None else None
        if data is None or picture is None or picture.mime_type != item.mime_type or len(data) > self._left:
            return None
        self._left -= len(data)
        return data


def render(metadata: Metadata, parts: Iterable[Part], pictures: Inlined | None = None) -> Iterator[str]:
    title = escape(facts.title(metadata))
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="robots" content="noindex">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<table>\n"
    )
    for name, value in facts.about(metadata):
        yield f"<tr><th>{name}</th><td>{escape(value)}</td></tr>\n"
    yield "</table>\n"
    for part in parts:
        yield from _part(part)
        yield from _pictures(part, pictures)
    yield "</body>\n</html>\n"


def _part(part: Part) -> Iterator[str]:
    match part:
        case Output():
            yield _pre(part.text, "stderr" if part.error else "stdout")
        case Prompt():
            yield f"<h2>{escape(facts.prompt(part))}{facts.when(part)}</h2>\n"
            yield _pre("\n".join((visible(part.prompt), *carried(part))), "prompt")
        case Activity():
            yield f"<h2>{escape(facts.activity(part))}{facts.when(part)}</h2>\n"
        case PermissionRequest():
            yield from _request(part)
        case PermissionResolved():
            yield f'<p class="told">{escape(facts.resolved(part))}{facts.when(part)}</p>\n'
        case PermissionAllowed():
            yield f'<p class="told">{escape(facts.allowed(part))}{facts.when(part)}</p>\n'
        case OptionSet():
            yield f'<p class="end">{escape(facts.chosen(part))}{facts.when(part)}</p>\n'
        case Question():
            yield f'<p class="told">{escape(facts.question(part))}{facts.when(part)}</p>\n'
        case QuestionResolved():
            yield f'<p class="told">{escape(facts.answered(part))}{facts.when(part)}</p>\n'
        case TerminalState():
            yield f'<p class="end">{escape(facts.ended(part))}{facts.when(part)}</p>\n'
        case Gap():
            yield f'<p class="end">{escape(facts.gap(part))}</p>\n'


def _pictures(part: Part, pictures: Inlined | None) -> Iterator[str]:
    """Those that belong to a part, as far as they may be in the file; each is named in words as well."""
    items = part.content if isinstance(part, Prompt) else part.items if isinstance(part, Pictures) else ()
    for item in items:
        if isinstance(item, ImageItem) and pictures is not None and (data := pictures.take(item)) is not None:
            source = f"data:{item.mime_type};base64,{base64.b64encode(data).decode()}"
            yield f'<p><img alt="{escape(item_words(item))}" src="{source}"></p>\n'


def _request(event: PermissionRequest) -> Iterator[str]:
    yield f'<section class="request">\n<h3>{escape(facts.asked(event))}{facts.when(event)}</h3>\n<table>\n'
    for name, value in facts.details(event):
        yield f"<tr><th>{name}</th><td>{escape(value)}</td></tr>\n"
    yield f"</table>\n{_pre(visible(event.request.display), 'display')}"
    for diff in diffs_beyond_display(event.request):
        yield f'<pre class="diff">{"".join(map(_diff_line, diff_lines(diff)))}</pre>\n'
    for flag in event.request.flags:
        yield f'<p class="warning">Warning: {escape(warning(flag))}</p>\n'
    yield "</section>\n"


def _diff_line(line: str) -> str:
    tag = None if line.startswith(("+++ ", "--- ")) else _DIFF.get(line[:1])
    return f"<{tag}>{escape(line)}</{tag}>" if tag else f"{escape(line)}\n"


def _pre(text: str, kind: str) -> str:
    # A newline right after <pre> would not be shown; this one takes its place.
    return f'<pre class="{kind}">\n{escape(text)}</pre>\n'
