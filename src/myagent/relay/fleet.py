"""The page at a relay's own address: all workspaces of which a tab has a credential, those that wait for a human first.

It names no workspace by itself: who has no credential for one is not told that it is there.
"""

from __future__ import annotations

import gzip
from functools import cache
from importlib.resources import files

from websockets.http11 import Request, Response

from myagent.server.admission import takes_gzip
from myagent.server.http import page_answer
from myagent.server.static import PageFile, page_files

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
_OWN = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/fleet.js": ("fleet.js", "text/javascript; charset=utf-8"),
    "/fleet.css": ("fleet.css", "text/css; charset=utf-8"),
}


@cache
def _files() -> dict[str, PageFile]:
    """The page's own, and the modules of a workspace's page that it has its parts from."""
    page = files("myagent.relay") / "page"
    found = {path: each for path, each in page_files().items() if path.endswith((".js", "icon.svg"))}
    for path, (name, content_type) in _OWN.items():
        body = (page / name).read_bytes()
        policy = _POLICY if path == "/" else None
        found[path] = PageFile(body, content_type, gzip.compress(body, mtime=0), policy=policy)
    return found


def fleet_answer(path: str, request: Request) -> Response | None:
    """A file of the page; `None`: there is none at that path."""
    file = _files().get(path)
    if file is None or request.method != "GET":
        return None
    return page_answer(file, takes_gzip=takes_gzip(request))
