"""The web page as the server answers it: its files, read once, and what a browser may do with them.

The page comes in two answers: itself with its style, and its script, joined from the modules; a second script brings
what the first look does not need. Scripts are named after their content, so that they may be kept for ever. Every file
has its own path, too.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from myagent.server.bundle import LATER, joined

# Nothing from elsewhere, nothing inline but the icon and the one style that the hash names, and no text ever becomes
# markup or script: with Trusted Types a browser refuses the assignment itself. The one policy that there may be names
# the service worker's file, whatever it is given (`push.js`). `connect-src 'self'` has the WebSocket of the same origin
# in it.
_POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'sha256-{style}'",
    "img-src 'self' data: blob:",
    "connect-src 'self'",
    "worker-src 'self'",
    "manifest-src 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types worker",
)
# What the service worker may do: ask this server. It has no document, and nothing is run in it but itself.
_WORKER = "worker.js"
_WORKER_POLICY = "default-src 'none'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
_STYLE = '<link rel="stylesheet" href="app.css">'
_INDENT = re.compile(r"\n\s+")
_REMARK = re.compile(r"/\*.*?\*/", re.DOTALL)
_AROUND = re.compile(r"\s*([{};,])\s*")
_COLON = re.compile(r":\s+")  # before a value; before a pseudo-class there is none behind it
_KEPT = "public, max-age=31536000, immutable"  # the longest that a cache takes


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file of the page, and the same compressed."""

    body: bytes
    content_type: str
    gzipped: bytes
    cache: str = "no-store"
    policy: str | None = None  # where it needs one of its own


@cache
def page_files() -> dict[str, PageFile]:
    """Every file of the page by its path on the server, the page itself being `/`. No request reads the disk."""
    sources = {
        path: file.read_bytes()
        for path, file in _below(files("myagent.web"), "")
        if f".{path.rpartition('.')[2]}" in _TYPES
    }
    scripts = joined({path: body.decode() for path, body in sources.items() if path.endswith(".js")}, "app.js")
    later = scripts.later.encode()
    first = scripts.first.replace(f'"{LATER}"', f'"./{_after_content("later.js", later)}"').encode()
    kept = {"app.js": first, "later.js": later}
    page = sources["index.html"].decode()
    page = _INDENT.sub("\n", page).replace(_STYLE, f"<style>{_style(sources['app.css'].decode())}</style>")
    # Asked for while the ticket is on its way, it would cost a connection of its own.
    page = page.replace('"icon.svg"', f'"data:image/svg+xml;base64,{base64.b64encode(sources["icon.svg"]).decode()}"')
    found = {}
    for name, body in kept.items():
        named = _after_content(name, body)
        page = page.replace(f'"{name}"', f'"{named}"')
        found[f"/{named}"] = _file(name, body, cache=_KEPT)
    for path, body in sources.items():
        if path != "index.html":
            found[f"/{path}"] = _file(path, body)
    found["/"] = _file("index.html", page.encode(), policy=page_policy())
    found[f"/{_WORKER}"] = _file(_WORKER, sources[_WORKER], policy=_WORKER_POLICY)
    return found


@cache
def page_policy() -> str:
    """The content security policy of the page."""
    style = _style((files("myagent.web") / "app.css").read_text()).encode()
    return "; ".join(_POLICY).format(style=base64.b64encode(hashlib.sha256(style).digest()).decode())


def _style(source: str) -> str:
    """Without comments, and the white space that says nothing."""
    return _COLON.sub(":", _AROUND.sub(r"\1", _REMARK.sub("", source)))


def _after_content(name: str, body: bytes) -> str:
    stem, _, ending = name.rpartition(".")
    return f"{stem}.{hashlib.sha256(body).hexdigest()[:16]}.{ending}"


def _file(name: str, body: bytes, cache: str = "no-store", policy: str | None = None) -> PageFile:
    return PageFile(body, _TYPES[f".{name.rpartition('.')[2]}"], gzip.compress(body, mtime=0), cache, policy)


def _below(directory: Traversable, path: str) -> Iterator[tuple[str, Traversable]]:
    for entry in directory.iterdir():
        if entry.is_dir():
            yield from _below(entry, f"{path}{entry.name}/")
        else:
            yield f"{path}{entry.name}", entry
