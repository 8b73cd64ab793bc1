"""What changes between two texts, line by line, at a cost that is bounded whatever the texts are."""

from __future__ import annotations

import difflib
import re

DIFF_CELLS = 1 << 20  # changed lines before × after: above it, a diff is all of the old lines and all of the new ones
DIFF_CONTEXT = 3  # lines


def unified_diff(path: str, before: str | None, after: str) -> str:
    """A unified diff of two texts, `None` being a file that does not exist; empty if they are the same."""
    changes = hunks(before or "", after)
    header = [f"--- {'/dev/null' if before is None else path}", f"+++ {path}"]
    return "".join(f"{line}\n" for line in (*header, *changes)) if changes else ""


def whole_text(path: str, text: str) -> str:
    """A file that is written as it is: its text, every line marked as unchanged."""
    lines = "".join(f" {part}\n" for line in _lines(text) for part in _ended(line))
    return f"--- {path}\n+++ {path} (nothing changes)\n{lines}"


def hunks(before: str, after: str) -> list[str]:
    """The lines of a unified diff that follow its header, without their newlines; none if the texts are the same.

    Lines end at a newline and nowhere else. What is too much to compare is shown as replaced.
    """
    old, new = _lines(before), _lines(after)
    if old == new:
        return []
    first = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    rest = min(len(old), len(new)) - first
    last = next((i for i in range(rest) if old[-1 - i] != new[-1 - i]), rest)
    if (len(old) - first - last) * (len(new) - first - last) <= DIFF_CELLS:
        # What is the same at both ends is cut off beforehand, and the line numbers put right after.
        skipped = max(0, first - DIFF_CONTEXT)
        kept = max(0, last - DIFF_CONTEXT)
        old, new = old[skipped : len(old) - kept], new[skipped : len(new) - kept]
        _, _, *diff = difflib.unified_diff(old, new, n=DIFF_CONTEXT)
        diff = [_moved(line, skipped) if line.startswith("@@") else line for line in diff]
    else:
        diff = [f"@@ -1,{len(old)} +1,{len(new)} @@\n"]
        diff += ["-" + line for line in old] + ["+" + line for line in new]
    return [part for line in diff for part in _ended(line)]


def _ended(line: str) -> tuple[str, ...]:
    return (line[:-1],) if line.endswith("\n") else (line, "\\ No newline at end of file")


def _moved(header: str, by: int) -> str:
    return re.sub(r"(?<=[-+])\d+", lambda match: str(int(match[0]) + by), header)


def _lines(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)
