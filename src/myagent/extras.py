"""How to install an extra of this program, in the way in which the program itself was installed."""

from __future__ import annotations

import json
import shlex
import sys
from importlib.metadata import PackageNotFoundError, distribution
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname


def install(extra: str) -> str:
    """A command line to paste: for pipx, for uv's tools, for any other environment; from a checkout or not."""
    what = shlex.quote(f"{_source() or 'myagent'}[{extra}]")
    prefix = Path(sys.prefix).parts
    if "pipx" in prefix:
        return f"pipx install --force {what}"
    if ("uv", "tools") in pairwise(prefix):
        return f"uv tool install --force {what}"
    return f"{shlex.quote(sys.executable)} -m pip install {what}"


def _source() -> str | None:
    """The directory that it was installed from, if it was one (PEP 610)."""
    try:
        text = distribution("myagent").read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    url = urlsplit(str(json.loads(text).get("url", ""))) if text else None
    return url2pathname(url.path).rstrip("/") if url is not None and url.scheme == "file" else None
