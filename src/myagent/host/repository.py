"""What has changed in a directory, as its git tells, with nothing of that directory being run.

A repository's own configuration and attributes can make git start programs (fsmonitor, filters, external diffs, hooks,
remote helpers that fetch what is missing), and an agent may write both. So git is not given them: it works in a git
directory of ours, made for one question and removed after it, with a copy of the index, the repository's objects to
read, and of its configuration only a few values that are words. Of the repository itself it is only asked, with
transports forbidden, where things are and what is checked out; for that it starts nothing.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from myagent.agents.tools.workspace import FileFailed, Workspace, is_state_directory
from myagent.exceptions import MyagentError

SECONDS = 10.0  # for one question, whatever is in the way
LIST_BYTES = 1 << 20  # that are read of a list of files
DIFF_BYTES = 256 << 10  # that are read of a difference: more than anybody reads in a page
FILES = 2000  # that are told of
INDEX_BYTES = 64 << 20  # of all that is copied, as long as it says that it is: an index of half a million files
GIT_KIB = 1536 << 10  # of memory that git may address: a small object can be large when it is inflated
ERROR_CHARACTERS = 500
BIG_FILE = "4m"  # what is larger has no difference that is shown, and is never read whole

_WORDS = {  # of its configuration, what git may be told: values that are looked at, and start nothing
    "core.filemode": ("true", "false"),
    "core.symlinks": ("true", "false"),
    "core.ignorecase": ("true", "false"),
    "core.autocrlf": ("true", "false", "input"),
    "core.eol": ("lf", "crlf", "native"),
}
_ALWAYS = (
    "--no-pager", "--literal-pathspecs", "-c", "core.fsmonitor=", "-c", "diff.external=",
    "-c", "core.hooksPath=/dev/null", "-c", f"core.bigFileThreshold={BIG_FILE}",
    "-c", "core.packedGitWindowSize=32m", "-c", "core.packedGitLimit=256m",  # within what it may address
)  # fmt: skip
_DIFF = (
    "diff", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--ignore-submodules=all",
    "--src-prefix=a/", "--dst-prefix=b/", "--unified=3",
)  # fmt: skip
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class NoChanges(MyagentError):
    """It cannot be told what has changed, and why."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return self.why


@dataclass(frozen=True, slots=True)
class ChangedPath:
    """`name`: from the top of the directory, bytes; `status`: git's two letters; lines that were added and removed,
    where git counts them."""

    name: bytes
    status: str
    added: int | None = None
    removed: int | None = None

    @property
    def key(self) -> str:
        """The name in ASCII, whatever its bytes: what a client asks for it by."""
        return quote(self.name)


@dataclass(frozen=True, slots=True)
class Status:
    """`branch`: what is checked out, empty where that has no name. `complete`: whether these are all."""

    branch: str
    files: tuple[ChangedPath, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """A unified diff, beginning with its first hunk; of what is no text there is none."""

    text: str
    complete: bool = True


@dataclass(frozen=True, slots=True)
class _Opened:
    """A repository, as git is asked about it."""

    top: Path
    below: bytes  # of the directory in it: empty, or with a slash at its end
    head: str  # the commit, or the empty tree
    branch: str
    env: dict[str, str] = field(repr=False)


class Repository:
    """The git repository that a directory is in, if it is in any."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()
        self._files = Workspace(directory)

    async def status(self) -> Status:
        """What is different from what is checked out. Raises `NoChanges`."""
        async with self._opened() as opened:
            where = opened.below.decode("utf-8", "surrogateescape").rstrip("/") or "."
            listing = (
                "status",
                "--porcelain=v1",
                "-z",
                "--untracked-files=all",
                "--no-renames",
                "--ignore-submodules=all",
            )
            listed, complete = await _git(opened.top, opened.env, (*listing, "--", where), LIST_BYTES)
            counts: dict[bytes, tuple[int, int]] = {}
            with suppress(NoChanges):  # a status without counts is better than none
                counted, _ = await _git(
                    opened.top, opened.env, (*_DIFF, "--numstat", "-z", opened.head, "--", where), LIST_BYTES
                )
                counts = dict(_counts(counted))
        found = []
        for entry in listed.split(b"\0")[:-1]:
            letters, name = entry[:2].decode("ascii", "replace"), entry[3:]
            if not name.startswith(opened.below) or _is_ours(name):
                continue
            added, removed = counts.get(name, (None, None))
            found.append(ChangedPath(name.removeprefix(opened.below), letters, added, removed))
        return Status(opened.branch, tuple(found[:FILES]), complete and len(found) <= FILES)

    async def difference(self, key: str) -> Difference:
        """How a file differs from what is checked out; of one that git does not know, all its lines. Raises
        `NoChanges`."""
        name = unquote_to_bytes(key)
        if not name or b"\0" in name or name.startswith(b"/") or b".." in name.split(b"/") or _is_ours(name):
            raise NoChanges("there is no such file here")
        async with self._opened() as opened:
            path = os.fsdecode(opened.below + name)
            await asyncio.to_thread(self._refuse_ours, name)
            known, _ = await _git(opened.top, opened.env, ("ls-files", "-z", "--", path), LIST_BYTES)
            at_head, _ = await _git(
                opened.top, opened.env, ("ls-tree", "-z", "--name-only", opened.head, "--", path), LIST_BYTES
            )
            if opened.below + name not in (*known.split(b"\0"), *at_head.split(b"\0")):
                return await asyncio.to_thread(self._unknown, name)
            text, complete = await _git(opened.top, opened.env, (*_DIFF, opened.head, "--", path), DIFF_BYTES)
        return _from_hunks(text, complete)

    def _refuse_ours(self, name: bytes) -> None:
        """What is a link to, or another name of, what only the server may read is not shown."""
        path = os.fsdecode(name)
        try:
            if not (self._directory / path).is_symlink():
                self._files.find(self._files.locate(path))
        except FileFailed as error:
            if "which no tool may touch" in error.reason:
                raise NoChanges("there is no such file here") from None
        except OSError:
            pass

    def _unknown(self, name: bytes) -> Difference:
        try:
            data = self._files.read(os.fsdecode(name)).data
        except FileFailed as error:
            raise NoChanges(error.reason) from None
        if b"\0" in data[:8192]:
            return Difference("")
        lines = data[:DIFF_BYTES].decode("utf-8", "replace").split("\n")
        if lines[-1] == "":
            lines.pop()
        body = "".join(f"+{line}\n" for line in lines)
        return Difference(f"@@ -0,0 +1,{len(lines)} @@\n{body}" if lines else "", len(data) <= DIFF_BYTES)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[_Opened]:
        """Git's view of the repository, from a git directory of ours. Raises `NoChanges`."""
        if shutil.which("git") is None:
            raise NoChanges("git is not installed here")
        try:
            async with asyncio.timeout(SECONDS):
                with tempfile.TemporaryDirectory(prefix="myagent-git-") as made:
                    yield await self._open(Path(made))
        except TimeoutError:
            raise NoChanges(f"git took longer than {SECONDS:g} s") from None

    async def _open(self, made: Path) -> _Opened:
        asking = {**_environment(made), "GIT_DISCOVERY_ACROSS_FILESYSTEM": "1"}

        async def ask(*arguments: str) -> str:
            said, _ = await _git(self._directory, asking, arguments, 64 << 10)
            return os.fsdecode(said).removesuffix("\n")

        async def maybe(*arguments: str) -> str:
            try:
                return await ask(*arguments)
            except NoChanges:
                return ""

        top = Path(await ask("rev-parse", "--show-toplevel"))
        below = await asyncio.to_thread(lambda: os.path.relpath(self._directory, os.path.realpath(top)))
        if below.split("/")[0] == "..":
            raise NoChanges("the files of this repository are elsewhere")
        git = Path(await ask("rev-parse", "--absolute-git-dir"))
        common = self._directory / await ask("rev-parse", "--git-common-dir")
        commit = await maybe("rev-parse", "--verify", "--quiet", "HEAD")
        branch = await maybe("symbolic-ref", "--short", "--quiet", "HEAD")
        form = await maybe("rev-parse", "--show-object-format") or "sha1"
        head = commit if commit.isalnum() else await ask("hash-object", "-t", "tree", "--no-filters", "/dev/null")
        words = {name: value for name in _WORDS if (value := await maybe("config", "--get", name)) in _WORDS[name]}
        await asyncio.to_thread(_make, made, git, common, commit, form, words)
        env = {
            **_environment(made), "GIT_DIR": str(made), "GIT_WORK_TREE": str(top),
            "GIT_INDEX_FILE": str(made / "index"), "GIT_OBJECT_DIRECTORY": str(common / "objects"),
        }  # fmt: skip
        prefix = b"" if below == "." else os.fsencode(below) + b"/"
        return _Opened(top, prefix, head, branch, env)


def _make(made: Path, git: Path, common: Path, commit: str, form: str, words: dict[str, str]) -> None:
    """A git directory with nothing in it that could start anything. Blocks."""
    for name in ("objects", "refs", "info"):
        (made / name).mkdir()
    (made / "HEAD").write_text(f"{commit or 'ref: refs/heads/none'}\n")
    sections = "".join(f"\t{name.removeprefix('core.')} = {value}\n" for name, value in words.items())
    extension = "[extensions]\n\tobjectFormat = sha256\n" if form == "sha256" else ""
    version = 1 if extension else 0
    (made / "config").write_text(
        f"[core]\n\trepositoryformatversion = {version}\n\tbare = false\n{sections}{extension}"
    )
    left = INDEX_BYTES - _copy(common / "info" / "exclude", made / "info" / "exclude", INDEX_BYTES)
    left -= _copy(git / "index", made / "index", left)
    for shared in sorted(git.glob("sharedindex.*"))[:8]:  # of an index that is split
        left -= _copy(shared, made / shared.name, left)


def _copy(source: Path, target: Path, most: int) -> int:
    """Copy a regular file, if it is there, with its times: by them git tells what it must look into. The bytes that it
    has. Raises `NoChanges`, having written nothing, where it has more than `most`."""
    try:
        descriptor = os.open(source, _FILE)
    except OSError:
        return 0
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return 0
        if status.st_size > most:
            raise NoChanges("this repository is too large to be looked at")
        with open(target, "xb") as copy:
            copy.write(file.read(status.st_size))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    return status.st_size


def _environment(home: Path) -> dict[str, str]:
    """Nothing of ours but where programs are; and whatever git might ask, or fetch, it does without."""
    return {
        "PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "XDG_CONFIG_HOME": str(home), "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "", "GIT_PAGER": "cat", "GIT_ASKPASS": "/bin/false", "GIT_NO_REPLACE_OBJECTS": "1",
    }  # fmt: skip


async def _git(where: Path, env: dict[str, str], arguments: Sequence[str], most: int) -> tuple[bytes, bool]:
    """What git says, at most so many bytes, and whether that is all. Raises `NoChanges` where it fails."""
    bounded = ("sh", "-c", 'ulimit -v "$0" && exec "$@"', str(GIT_KIB))
    process = await asyncio.create_subprocess_exec(
        *bounded, "git", *_ALWAYS, *arguments, cwd=where, env=env, start_new_session=True,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        complaint = asyncio.ensure_future(_read(process.stderr, 64 << 10))
        said, complete = await _read(process.stdout, most)
        if not complete:
            return said, False
        complained, _ = await complaint
        code = await process.wait()
    finally:
        complaint.cancel()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if code != 0:
        why = complained.decode("utf-8", "replace").removeprefix("fatal: ").strip()[:ERROR_CHARACTERS]
        raise NoChanges(why or f"git failed with {code}")
    return said, True


async def _read(stream: asyncio.StreamReader, most: int) -> tuple[bytes, bool]:
    parts, size = [], 0
    while part := await stream.read(64 << 10):
        parts.append(part[: most - size])
        size += len(part)
        if size > most:
            return b"".join(parts), False
    return b"".join(parts), True


def _counts(listed: bytes) -> list[tuple[bytes, tuple[int, int]]]:
    found = []
    for entry in listed.split(b"\0"):
        added, _, rest = entry.partition(b"\t")
        removed, _, name = rest.partition(b"\t")
        if added.isdigit() and removed.isdigit():  # of what is no text there is a dash
            found.append((name, (int(added), int(removed))))
    return found


def _from_hunks(diff: bytes, complete: bool) -> Difference:
    """Without what stands before the first hunk; what was cut ends with its last whole line."""
    at = diff.find(b"\n@@ ")
    if at < 0:
        return Difference("", complete)
    text = diff[at + 1 :]
    if not complete:
        text = text[: text.rfind(b"\n") + 1]
    return Difference(text.decode("utf-8", "replace"), complete)


def _is_ours(name: bytes) -> bool:
    return any(map(is_state_directory, os.fsdecode(name).split("/")))
