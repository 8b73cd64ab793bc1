"""How an invite's link is told to whoever made it: where it opens, and on a terminal a QR code of it."""

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path

import segno

from myagent.cli.pasting import quoted
from myagent.server.addresses import Page

_BORDER = 2  # light modules around the code: half of what ISO/IEC 18004 asks for, and enough for phones
_LIGHT_ON_DARK = "\x1b[38;5;231;48;5;16m{}\x1b[0m"  # whatever the terminal's own colours are


def reach_note(page: Page) -> list[str]:
    """What somebody should know who wants to open it on another machine."""
    if page.local:
        return [
            "this link opens on this machine alone; for a phone, serve with --host and --tls-cert, or put a proxy or "
            "tunnel in front (docs/operations.md)"
        ]
    if page.guessed:
        return ["the address is what this machine has on its way out; if others know a name of it: --allowed-host NAME"]
    return []


def revoking(invite_id: str, workspace: Path) -> str:
    """The command that ends an invite, as it is typed from here."""
    elsewhere = "" if Path.cwd() == workspace else f" --cwd {quoted(str(workspace))}"
    return f"myagent remote revoke {invite_id}{elsewhere}"


def qr_code(link: str, page: Page, *, wanted: bool | None) -> list[str]:
    """The lines of a QR code; none where it was not wanted, or, without a word about it, where nobody could use it."""
    if wanted is None:
        wanted = sys.stdout.isatty() and not page.local
    if not wanted:
        return []
    drawn = io.StringIO()
    segno.make(link, micro=False).terminal(drawn, border=_BORDER, compact=True)
    lines = drawn.getvalue().splitlines()
    if not _is_writable("".join(lines)):
        return ["no QR code: this terminal's encoding has no blocks to draw it with"]
    if sys.stdout.isatty() and shutil.get_terminal_size().columns < len(lines[0]):
        return [f"no QR code: the terminal is less than {len(lines[0])} columns wide"]
    plain = "NO_COLOR" in os.environ or not sys.stdout.isatty()
    return lines if plain else [_LIGHT_ON_DARK.format(line) for line in lines]


def _is_writable(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return False
    return True
