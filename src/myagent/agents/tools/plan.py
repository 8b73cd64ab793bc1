"""What a permission was asked for, as facts that can be taken again at launch: what changed in between is not run.

A plan is JSON-able: a name that a human understands ("file run.sh") → what was found there. The permission's digest
depends on it. It sees what a shell line names. Of a line that names files in ways that only the shell can resolve (a
pattern, a variable, a loop, `find -exec`) it sees every file of the directory. It does not see what the named programs
go on to read by themselves, as `make` its Makefile: `dependence` says so. The moment between the second look and the
launch stays, as it does for every check of a path.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from myagent.agents.tools.workspace import ToolFailed, shown

HASHED_BYTES = 1 << 20  # a file up to this size is known by its content; a larger one by size, times and inode
HASHED_FILES = 64  # of one command line; further ones are known by size, times and inode
NAMED_DIRECTORIES = 16  # of one command line, in which its other words are looked for
TREE_FILES = 20_000  # of the workspace, that a line which names them by patterns depends on
NESTED_LINES = 3  # `sh -c "sh -c '…'"`: how deep command lines are looked for in words

# What makes a line name files that are not written in it: expansions, patterns, and commands that run what they find.
_RESOLVED_LATER = re.compile(
    r"[$`*?\[{]|<\(|\b(?:cd|pushd)\b.*\b(?:cd|pushd)\b|(?:^|[\s;|&(])(?:find|fd|xargs|parallel|eval|for|while|until|read|case)\s",
    re.DOTALL,
)
# Programs that read files of the directory by themselves, and run what stands there.
_READERS = re.compile(
    r"(?:^|[\s;|&(/])(make|just|task|rake|npm|npx|pnpm|yarn|bun|deno|cargo|go|gradle|gradlew|mvn|ant|bazel|cmake|ninja|"
    r"meson|tox|nox|pytest|pre-commit|docker-compose|docker|vagrant|ansible-playbook|terraform|composer|bundle|git|"
    r"python3? +-m|uv|poetry|hatch|pip3?|dotnet|swift|mix|sbt|stack|cabal)(?=$|[\s;|&)])"
)

Plan = dict[str, Any]


class PlanChanged(ToolFailed):
    """Something is not as it was when leave was asked; nothing ran."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names)
        self.names = tuple(names)

    def __str__(self) -> str:
        return f"changed after leave was asked, so nothing was run: {', '.join(self.names)}"


def differences(before: Plan, now: Plan) -> list[str]:
    """The names of what differs, sorted."""
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def content_digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def command_plan(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Plan:
    """The plan of `argv`, whose last word is a shell's command line. Blocks while it reads files."""
    plan: Plan = {
        "argv": list(argv),
        "working directory": [str(cwd), *_inode(cwd)],
        "environment": content_digest(json.dumps(dict(env), sort_keys=True).encode()),
    }
    named = list(dict.fromkeys((argv[0], *words(argv[-1]))))
    search_path = os.pathsep.join(os.path.join(cwd, entry) for entry in env["PATH"].split(os.pathsep))
    # Also the directories that are named: `cd src && ./run.sh`.
    directories = [path for word in named if os.path.isdir(path := _joined(cwd, word))]
    bases = [cwd, *directories[:NAMED_DIRECTORIES]]
    hashed = 0
    if _RESOLVED_LATER.search(argv[-1]):
        plan |= _tree(cwd)
    for word in named:
        if executable := shutil.which(word, path=search_path):
            plan[f"command {shown(word)}"] = [os.path.realpath(executable), _look(Path(executable), with_content=False)]
        for path in dict.fromkeys(_joined(base, word) for base in bases):
            found = _look(path, with_content=hashed < HASHED_FILES)
            if found is not None:
                plan[f"file {shown(os.path.relpath(path, cwd))}"] = [os.path.realpath(path), found]
                hashed += isinstance(found, str)
    return plan


def dependence(line: str, plan: Plan) -> str:
    """What a human should know of the files on which a command line depends; empty where the plan holds all of them."""
    said = []
    if "more files than can be looked at" in plan:
        said.append(f"files that its patterns and variables name: here are more than {TREE_FILES}")
    elif _RESOLVED_LATER.search(line):
        said.append("files elsewhere that its patterns and variables name; those in this directory are checked again")
    if readers := list(dict.fromkeys(" ".join(match.split()) for match in _READERS.findall(line))):
        said.append(f"what {', '.join(readers)} {'reads by itself' if len(readers) == 1 else 'read by themselves'}")
    return f"depends on files that may change: {'; and '.join(said)}" if said else ""


def _tree(root: Path) -> Plan:
    """Every file below a directory, and every link, by facts that cannot be set back. Not what git and we write."""
    found: Plan = {}
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            entries = sorted(os.scandir(root / below), key=lambda entry: entry.name)
        except OSError:  # gone, or not ours to read: a fact too
            found[f"file {shown(below)}"] = []
            continue
        for entry in entries:
            path = os.path.join(below, entry.name)
            if path == ".myagent" or (below == ".git" and entry.name not in ("hooks", "config")):
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                else:
                    found[f"file {shown(path)}"] = _facts(entry.stat(follow_symlinks=False))
            except OSError:
                found[f"file {shown(path)}"] = []
            if len(found) > TREE_FILES or len(waiting) > TREE_FILES:
                return {"more files than can be looked at": TREE_FILES}
    return found


def words(line: str, depth: int = NESTED_LINES) -> Iterator[str]:
    """Every word of a command line that could be a command or a file. More than are: an extra fact does no harm."""
    lexer = shlex.shlex(line.replace("`", " "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        found = list(lexer)
    except ValueError:  # a quote without its end
        found = line.split()
    for word in found:
        yield word
        if "=" in word:  # --rcfile=run.sh, ENV=run.sh
            yield word.partition("=")[2]
        if depth and word != line and re.search(r"[\s;|&()<>$]", word):
            yield from words(word, depth - 1)


def _joined(base: Path, word: str) -> Path:
    return base / os.path.expanduser(word) if "\0" not in word else base


def _look(path: Path, *, with_content: bool) -> str | list[int] | None:
    """What is at a path: the digest of its content, or its facts; `None` if it is no regular file."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return None
        if not with_content or status.st_size > HASHED_BYTES:
            return _facts(status)
        if status.st_size == 0:  # and what /proc says of itself, which is another thing at each look
            return "empty"
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY), "rb") as file:
            return content_digest(file.read(HASHED_BYTES + 1) or b"")  # None: it would have to be waited for
    except OSError as error:  # unreadable is a fact too; absent, or no possible path, is none
        return [] if isinstance(error, PermissionError) else None


def _facts(status: os.stat_result) -> list[int]:
    """Device, inode, size, mtime and ctime: the last one cannot be set back by whoever writes the file."""
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _inode(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:  # gone: a fact that differs from what it was
        return []
    return [status.st_dev, status.st_ino]
