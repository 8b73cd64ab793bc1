"""What sessions hold beside their events: pictures and files, each stored once in its session, by its SHA-256.

`<directory>/<session id>/<digest>`, readable by its user alone. A blob is there whole or not at all: it is written
under another name, synced, and renamed. What was uploaded and belongs to no session yet waits in `staged`, until the
server stops. A session's directory goes with it: each file is overwritten before it is removed, and one whose session
is gone (a crash came between) is removed at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from myagent.exceptions import MyagentError

STAGED_BYTES = 64 << 20  # uploaded, and carried by no prompt yet; beyond that the oldest goes
_PIECE = 1 << 20  # overwritten at a time
_STAGED = "staged"

T = TypeVar("T")


class BlobsFull(MyagentError):
    """A session may hold no more."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"the pictures and files of one session may have {self.limit} bytes together"


@dataclass(slots=True)
class _Held:
    """What a session holds, for so many: prompts and events that name it, or are about to."""

    size: int
    holders: int = 0
    stored: bool = False  # whole, under its name


class Blobs:
    """Of one workspace; `session_bytes` is what one session may hold. Files are touched by one thread of its own."""

    def __init__(self, directory: Path, *, session_bytes: int) -> None:
        self._directory = directory
        self._limit = session_bytes
        self._held: dict[str, dict[str, _Held]] = {}  # by session and digest
        self._staged: dict[tuple[str, str], int] = {}  # by whose it is and digest, the oldest first
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="blobs")

    def open(self, sessions: Collection[str]) -> None:
        """Remove what belongs to none of the sessions, and look at what is there. Raises `OSError`."""
        if not self._directory.is_dir():
            return
        for entry in list(os.scandir(self._directory)):
            if entry.name not in sessions or not entry.is_dir(follow_symlinks=False):
                _remove(Path(entry.path))
                continue
            found = self._held[entry.name] = {}
            for each in list(os.scandir(entry.path)):
                if _is_digest(each.name):
                    size = each.stat(follow_symlinks=False).st_size
                    found[each.name] = _Held(size, holders=1, stored=True)
                else:
                    _remove(Path(each.path))

    async def stage(self, whose: str, digest: str, data: bytes) -> None:
        """Keep what was uploaded until a prompt of the same credential carries it. Raises `OSError`."""
        self._staged[whose, digest] = len(data)  # at once: who looks for it now waits behind it
        try:
            await self._run(partial(_write, self._staged_path(whose, digest), data))
        except BaseException:
            self._staged.pop((whose, digest), None)
            raise
        while sum(self._staged.values()) > STAGED_BYTES:
            oldest = next(iter(self._staged))
            del self._staged[oldest]
            await self._run(partial(_remove, self._staged_path(*oldest)))

    def is_staged(self, whose: str, digest: str) -> bool:
        return (whose, digest) in self._staged

    async def find(self, whose: str, session_id: str, digest: str) -> bytes | None:
        """What a prompt names, of the session or just uploaded; `None` if it is neither. Raises `OSError`."""
        if digest in self._held.get(session_id, {}):
            return await self.read(session_id, digest)
        if not self.is_staged(whose, digest):
            return None
        return await self._run(partial(_read, self._staged_path(whose, digest), digest))

    async def keep(self, session_id: str, data: bytes) -> str:
        """Store something in a session, if it is not there; its digest. Whoever keeps it is one more holder.

        Raises `BlobsFull`, `OSError`.
        """
        digest = hashlib.sha256(data).hexdigest()
        held = self._held.setdefault(session_id, {})
        blob = held.get(digest)
        if blob is None:
            if sum(each.size for each in held.values()) + len(data) > self._limit:
                raise BlobsFull(self._limit)
            blob = held[digest] = _Held(len(data))  # at once: another may be on its way
        blob.holders += 1
        if blob.stored:
            return digest
        try:  # also where another is writing it: that may fail
            await self._run(partial(_write, self.path(session_id, digest), data))
        except BaseException:
            self._let_go(session_id, digest, blob)
            raise
        blob.stored = True
        return digest

    def _let_go(self, session_id: str, digest: str, blob: _Held) -> bool:
        """One holder less; whether it was the last one."""
        blob.holders -= 1
        held = self._held.get(session_id, {})
        if blob.holders or held.get(digest) is not blob:
            return False
        del held[digest]
        return True

    def used(self, whose: str, digests: Collection[str]) -> None:
        """A prompt that carries them is stored: they need not wait any longer."""
        for digest in digests:
            if self._staged.pop((whose, digest), None) is not None:
                path = self._staged_path(whose, digest)
                self._thread.submit(_remove, path)

    async def discard(self, session_id: str, digests: Collection[str]) -> None:
        """A prompt was refused, which kept these: they go, except what something else has kept as well."""
        for digest in digests:
            blob = self._held.get(session_id, {}).get(digest)
            if blob is not None and self._let_go(session_id, digest, blob):
                await self._run(partial(_remove, self.path(session_id, digest)))
        if not self._held.get(session_id):
            await self.forget(session_id)

    def listed(self, session_id: str) -> dict[str, int]:
        """What a session holds: digests and sizes."""
        return {digest: blob.size for digest, blob in self._held.get(session_id, {}).items()}

    def holds(self, session_id: str, digest: str) -> bool:
        return digest in self._held.get(session_id, {})

    async def read(self, session_id: str, digest: str) -> bytes | None:
        """The bytes, `None` where there are none, or others than were stored. Raises `OSError`."""
        if not self.holds(session_id, digest):
            return None
        return await self._run(partial(_read, self.path(session_id, digest), digest))

    def path(self, session_id: str, digest: str) -> Path:
        return self._directory / session_id / digest

    async def forget(self, session_id: str) -> None:
        """Overwrite and remove all that a session has. Raises `OSError`."""
        self._held.pop(session_id, None)
        await self._run(partial(_remove, self._directory / session_id))

    def sessions(self) -> list[str]:
        """Those that have something."""
        return list(self._held)

    async def close(self) -> None:
        """Remove what waits, and wait for what is being written; idempotent."""
        self._staged.clear()
        with contextlib.suppress(RuntimeError, OSError):  # it was closed before; the next start removes it
            await self._run(partial(_remove, self._directory / _STAGED))
        self._thread.shutdown()

    def _staged_path(self, whose: str, digest: str) -> Path:
        return self._directory / _STAGED / f"{hashlib.sha256(whose.encode()).hexdigest()[:16]}-{digest}"

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _is_digest(name: str) -> bool:
    return len(name) == 64 and not name.strip("0123456789abcdef")


def _write(path: Path, data: bytes) -> None:
    for directory in (path.parent.parent, path.parent):
        directory.mkdir(mode=0o700, exist_ok=True)  # never its own parents: when the state is gone, it stays gone
    beside = path.parent / f"{secrets.token_hex(8)}.part"
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    for directory in (path.parent, path.parent.parent):
        _sync(directory)


def _read(path: Path, digest: str) -> bytes | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    return data if hashlib.sha256(data).hexdigest() == digest else None


def _remove(path: Path) -> None:
    """A file, or a directory with all its files, each overwritten first, as the log does with what is deleted."""
    if path.is_symlink():
        path.unlink()
    elif path.is_dir():
        for each in list(path.iterdir()):
            _remove(each)
        shutil.rmtree(path)
        _sync(path.parent)
    elif path.exists():
        with open(path, "r+b") as file:
            left = os.fstat(file.fileno()).st_size
            while left > 0:
                left -= file.write(bytes(min(left, _PIECE)))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
