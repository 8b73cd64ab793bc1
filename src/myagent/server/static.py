"""The web page as the server answers it: its files, read once, and what a browser may do with them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

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
    for file in files("myagent.web").iterdir():
        content_type = _TYPES.get(f".{file.name.rpartition('.')[2]}")
        if content_type is not None:
            path = "/" if file.name == "index.html" else f"/{file.name}"
            found[path] = PageFile(file.read_bytes(), content_type)
    return found
