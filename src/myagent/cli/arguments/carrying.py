"""The options of a prompt that carries more than its text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

IMAGE = "a picture (PNG, JPEG, WebP or GIF) that goes with the prompt, where the agent takes them; may be repeated"
FILE = "a file that goes with the prompt, likewise; it is stored with the session, and not redacted"


def add_attachments(add: Callable[..., Any]) -> None:
    add("--image", metavar="FILE", action="append", default=[], help=IMAGE)
    add("--file", metavar="FILE", action="append", default=[], help=FILE)
