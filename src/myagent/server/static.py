"""The web page as the server answers it: its files, read once, and what a browser may do with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

# Nothing inline, nothing from elsewhere, and no text ever becomes markup or script: with Trusted Types a browser
# refuses the assignment itself. `connect-src 'self'` has the WebSocket of the same origin in it.
PAGE_POLICY = "; ".join((
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
))  # fmt: skip

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file of the page."""

    body: bytes
    content_type: str


@cache
def page_files() -> dict[str, PageFile]:
    """Every file of the page by its path on the server, the page itself being `/`. No request reads the disk."""
    found = {}
    for path, file in _below(files("myagent.web"), "/"):
        content_type = _TYPES.get(f".{file.name.rpartition('.')[2]}")
        if content_type is not None:
            found["/" if path == "/index.html" else path] = PageFile(file.read_bytes(), content_type)
    return found


def _below(directory: Traversable, path: str) -> Iterator[tuple[str, Traversable]]:
    for entry in directory.iterdir():
        if entry.is_dir():
            yield from _below(entry, f"{path}{entry.name}/")
        else:
            yield f"{path}{entry.name}", entry
