"""Find files by name and lines by pattern, within bounds; `main` is the process in which a regex is let loose.

Python's `re` can take exponential time and holds the interpreter's lock meanwhile: no thread and no timer of the
server could stop it. So `grep` runs in a process of its own, which is killed when its time is over.
Links to directories are not followed, `.git` and `.myagent` are skipped, and what was installed or cached is looked
into only where it is named.
"""

from __future__ import annotations

import fnmatch
import itertools
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from myagent.agents.tools.credentials import Places, covered
from myagent.agents.tools.workspace import FileFailed, Place, ToolFailed, Workspace, decoded, is_state_directory, shown

DEPTH = 100  # directories below each other; each is opened from the root down, so that depth costs its square
ENTRIES = 200_000  # looked at in one search: about a second, and far more than a checkout holds
PATTERN_CHARACTERS = 1024  # of a glob
GLOB_MATCHES = 1000  # listed; the rest is counted
GREP_MATCHES = 500
ALONE_SECONDS = 30  # after which the kernel ends a search: who asked may have been killed, and stops it no more
LINE_CHARACTERS = 300  # of a matching line, shown

# Directories full of what nobody wrote here; `**` does not enter them.
_MADE = {"node_modules", ".venv", "venv", ".tox", "__pycache__"}
_MADE |= {".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}

_ANYWHERE = None  # the segment `**`: any number of directories


class PatternInvalid(ToolFailed):
    """A pattern that cannot be searched for."""

    def __init__(self, pattern: str, reason: str) -> None:
        super().__init__(pattern, reason)
        self.pattern, self.reason = pattern, reason

    def __str__(self) -> str:
        return f"the pattern is not valid: {self.reason}"


def fixed_part(pattern: str) -> str:
    """The names at a glob pattern's beginning that are no pattern."""
    names = itertools.takewhile(lambda name: not re.search(r"[*?\[]", name), pattern.removeprefix("./").split("/"))
    return "/".join(names) or "."


def glob(workspace: Workspace, pattern: str, closed: Places | None = None) -> list[str]:
    """The paths that match, sorted, one a line, a directory's with a `/`; then a line for what was left out, if any.

    `*`, `?` and `[…]` match within a name, hidden ones too; `**` stands for any number of directories. Directories
    that are `closed`, as holding credentials, are listed and not looked into.
    """
    if len(pattern) > PATTERN_CHARACTERS:
        raise PatternInvalid(pattern, f"it has more than {PATTERN_CHARACTERS:,} characters")
    segments = pattern.removeprefix("./").split("/")
    if pattern.startswith("/") or ".." in segments or "\0" in pattern or not all(segments):
        raise PatternInvalid(pattern, 'name files from the top of the workspace, as in "src/**/*.py"')
    walk = _Walk(workspace, segments, closed)
    found = sorted(
        "/".join(parts) + "/" * is_directory
        for parts, is_directory in walk.from_directory(())
        if not (is_directory and segments[-1] == "**")
    )
    return _bounded(list(map(shown, found)), len(found), GLOB_MATCHES, walk)


def grep(
    workspace: Workspace, pattern: str, path: str = ".", places: Places | None = None, *, allowed: bool = False
) -> list[str]:
    """The lines that match in a file, or in all files below a directory, as `path:number:line`, sorted by path. Of
    `places` that hold credentials nothing is searched unless that is `allowed`, and then their lines are covered.

    For a process that may be killed: see the head of this file.
    """
    try:
        regex = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise PatternInvalid(pattern, str(error)) from error
    place = workspace.locate(path)
    walk = _Walk(workspace, ["**"], None if allowed else places)
    if os.path.isdir(workspace.root.joinpath(*place.parts)):
        files = sorted(parts for parts, is_directory in walk.from_directory(place.parts) if not is_directory)
    else:
        workspace.read(path)  # a file that was asked for by name fails in so many words
        files = [place.parts]
    lines: list[str] = []
    count = unsearched = 0
    above = workspace.root.parts[1:]
    for parts in files:
        name = "/".join(parts)
        try:
            leads_to = workspace.locate(name).parts  # a file may be a link
            secret = places is not None and places.hold((*above, *leads_to))
            if secret and not allowed:
                walk.closed_files += 1
                continue
            text = decoded(name, workspace.read(name))
        except FileFailed:
            unsearched += 1
            continue
        for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
            if regex.search(line):
                count += 1
                if count <= GREP_MATCHES:
                    lines.append(f"{shown(name)}:{number}:{_cut(covered(line) if secret else line)}")
    return _bounded(lines, count, GREP_MATCHES, walk, unsearched)


def main(arguments: Sequence[str]) -> int:
    """Grep for another process: root, pattern, path, `allowed` or nothing, changes of places that hold credentials;
    matches on stdout, or 2 and one sentence on stderr."""
    root, pattern, path, *rest = arguments
    allowed, changes = rest[:1] == ["allowed"], rest[1:]
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(ALONE_SECONDS)
    try:
        for line in grep(Workspace(Path(root)), pattern, path, Places(changes), allowed=allowed):
            print(line)
    except ToolFailed as error:
        print(error, file=sys.stderr)
        return 2
    return 0


class _Walk:
    """A walk that goes only where the pattern may still match: a set of positions in it goes along, as in an NFA."""

    def __init__(self, workspace: Workspace, segments: Sequence[str], closed: Places | None = None) -> None:
        self._workspace, self._closed_places = workspace, closed
        self.closed_files = 0  # and directories, that hold credentials
        self._segments = [_ANYWHERE if s == "**" else re.compile(fnmatch.translate(s)) for s in segments]
        self.entries = 0
        self.reached_depth = False
        self.passed_by: set[str] = set()

    def from_directory(self, start: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], bool]]:
        """Parts of each match, and whether it is a directory; in no order."""
        waiting = [(start, self._closed({0}))]
        while waiting:
            above, states = waiting.pop()
            for name, is_directory in self._list(above):
                self.entries += 1
                if self.entries > ENTRIES:
                    return
                below = self._closed(self._advanced(states, name, is_directory))
                if len(self._segments) in below:
                    yield (*above, name), is_directory
                if is_directory and self._is_closed((*above, name)) and below - {len(self._segments)}:
                    self.closed_files += 1
                elif is_directory and below - {len(self._segments)}:
                    if len(above) < DEPTH:
                        waiting.append(((*above, name), below))
                    else:
                        self.reached_depth = True

    def _is_closed(self, parts: tuple[str, ...]) -> bool:
        closed = self._closed_places
        return closed is not None and closed.hold((*self._workspace.root.parts[1:], *parts))

    def _list(self, parts: tuple[str, ...]) -> list[tuple[str, bool]]:
        try:
            with (
                self._workspace.directory(Place("/".join(parts), parts)) as descriptor,
                os.scandir(descriptor) as entries,
            ):
                return [
                    (entry.name, entry.is_dir(follow_symlinks=False))
                    for entry in entries
                    if entry.name != ".git" and not is_state_directory(entry.name)
                ]
        except FileFailed:  # unreadable, or gone since it was listed
            return []

    def _advanced(self, states: set[int], name: str, is_directory: bool) -> set[int]:
        advanced = set()
        may_enter = not (is_directory and name in _MADE)
        passes_by = False
        for state in states - {len(self._segments)}:
            segment = self._segments[state]
            if segment is _ANYWHERE:
                if may_enter:
                    advanced.add(state)
                passes_by |= not may_enter
            elif segment.match(name):
                advanced.add(state + 1)
        if passes_by and not advanced:
            self.passed_by.add(name)
        return advanced

    def _closed(self, states: set[int]) -> set[int]:
        for state, segment in enumerate(self._segments):
            if state in states and segment is _ANYWHERE:
                states.add(state + 1)
        return states


def _bounded(lines: list[str], count: int, limit: int, walk: _Walk, unsearched: int = 0) -> list[str]:
    kept = lines[:limit]
    if count > limit:
        kept.append(f"… and {count - limit:,} more")
    if unsearched:
        kept.append(f"(not searched, being binary, too large or unreadable: {unsearched:,})")
    if walk.closed_files:
        kept.append(f"(not looked into unless named and allowed, as holding credentials: {walk.closed_files:,})")
    if walk.passed_by:
        kept.append(f"(not looked into unless named: {', '.join(sorted(walk.passed_by))})")
    if walk.reached_depth:
        kept.append(f"(not looked into: what is more than {DEPTH} directories deep)")
    if walk.entries > ENTRIES:
        kept.append(f"(stopped after {ENTRIES:,} files and directories)")
    return kept


def _cut(line: str) -> str:
    if len(line) <= LINE_CHARACTERS:
        return line
    return f"{line[:LINE_CHARACTERS]}… [{len(line) - LINE_CHARACTERS:,} more characters]"
