"""Where an agent is: its directory, system and date, the workspace's `AGENTS.md`, and the state of its git repository.

Nothing of the directory runs for it. git starts programs that a repository's configuration names (fsmonitor, filters,
what fetches missing objects), so it is asked what has changed only where that configuration holds nothing but what is
known to start none.
"""

from __future__ import annotations

import asyncio
import platform
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from myagent.agents.processes.process import child_environment, run
from myagent.agents.tools.workspace import FileFailed, Workspace, decoded
from myagent.exceptions import MyagentError

AGENTS_FILE = "AGENTS.md"
AGENTS_CHARACTERS = 24_000  # some 6,000 tokens; a longer one is cut
GIT_SECONDS = 5.0
GIT_CHARACTERS = 1 << 20  # of its output that is looked at

# Names of a repository's own configuration that start nothing when git looks at what has changed.
_HARMLESS = re.compile(
    r"core\.(repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode|symlinks|autocrlf|eol|"
    r"safecrlf|longpaths|protecthfs|protectntfs|quotepath|abbrev|compression|whitespace|sparsecheckout|untrackedcache)"
    r"|remote\..*\.(url|fetch|pushurl|tagopt)|branch\..*|user\.(name|email)|push\.[a-z]+|pull\.[a-z]+|rebase\.[a-z]+"
    r"|init\.defaultbranch|gc\.[a-z]+|submodule\..*\.(active|url)|advice\.[a-z]+|color\..*"
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`text` is for the model. `agents_file` says what was read of `AGENTS.md`, for a human; empty if there is none."""

    text: str
    agents_file: str = ""


async def surroundings(root: Path, now: datetime) -> Surroundings:
    """What there is to know of a workspace. Nothing in it can make this fail."""
    guide, said = await asyncio.to_thread(_agents_file, root)
    system = " ".join(filter(None, (platform.system(), platform.release(), platform.machine())))
    lines = [
        "Where you are:",
        f"- workspace: {_one_line(str(root))}",
        f"- system: {system}",
        f"- date: {now:%A, %Y-%m-%d}",
        f"- git: {await git_state(root)}",
    ]
    if guide:
        lines += ["", f"What the workspace's {AGENTS_FILE} says of how to work in it:", "", guide]
    return Surroundings("\n".join(lines) + "\n", said)


def _agents_file(root: Path) -> tuple[str, str]:
    files = Workspace(root)
    try:
        found = files.find(files.locate(AGENTS_FILE))
        text = "" if found is None else decoded(AGENTS_FILE, found)
    except (FileFailed, MyagentError) as error:
        return "", f"{AGENTS_FILE} was not read: {error}"
    if not text.strip():
        return "", ""
    if len(text) <= AGENTS_CHARACTERS:
        return text, f"{AGENTS_FILE} was read ({len(text)} characters)"
    kept = f"{text[:AGENTS_CHARACTERS]}\n[… cut here: it has {len(text)} characters …]"
    return kept, f"{AGENTS_FILE} was read, its first {AGENTS_CHARACTERS} of {len(text)} characters"


async def git_state(root: Path) -> str:
    """In a few words: the branch, what has changed, and how far it is from its upstream."""
    configured = await _git(root, "config", "--list", "--show-scope", "--name-only", "-z")
    if configured is None:
        return "no repository, or git is not there"
    fields = configured.split("\0")
    own = [name for scope, name in zip(fields[::2], fields[1::2], strict=False) if scope in ("local", "worktree")]
    if not own:
        return "no repository"
    branch = (await _git(root, "symbolic-ref", "--short", "-q", "HEAD") or "").strip()
    if odd := [name for name in own if not _HARMLESS.fullmatch(name)]:
        shown = ", ".join(sorted({re.sub(r"\..*\.", ".", name)[:40] for name in odd})[:3])
        return f"branch {branch or '(detached)'}; not asked what has changed: its configuration sets {shown}"
    status = await _git(root, "status", "--porcelain=v2", "--branch", "--ignore-submodules=all", "--no-renames")
    if status is None:
        return f"branch {branch or '(detached)'}; what has changed could not be found out"
    rows = status.splitlines()
    found = {words[1]: words[2:] for row in rows if row.startswith("# ") and len(words := row.split()) > 2}
    changed = sum(not row.startswith(("#", "?")) for row in rows)
    untracked = sum(row.startswith("?") for row in rows)
    head = found.get("branch.oid", ["(initial)"])[0][:12]
    what = f"{changed} changed and {untracked} untracked files" if changed or untracked else "clean"
    where = f"branch {branch}" if branch else "detached"
    ahead = found.get("branch.ab")
    upstream = f", {' '.join(ahead)} from {found['branch.upstream'][0]}" if ahead and "branch.upstream" in found else ""
    return f"{where} at {head}, {what}{upstream}"


def _one_line(text: str) -> str:
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())


async def _git(root: Path, *arguments: str) -> str | None:
    """What git says; `None` where it fails, or takes too long."""
    said: list[str] = []

    async def hear(text: str) -> None:
        if sum(map(len, said)) < GIT_CHARACTERS:
            said.append(text)

    async def ignore(_: str) -> None:
        pass

    env = child_environment() | {
        "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C",
    }  # fmt: skip
    argv = ("git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "--no-pager", *arguments)
    try:
        async with asyncio.timeout(GIT_SECONDS):
            code = await run(argv, cwd=root, env=env, stdout=hear, stderr=ignore)
    except (TimeoutError, MyagentError):
        return None
    return "".join(said) if code == 0 else None
