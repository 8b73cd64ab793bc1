"""The files of a workspace, and no others: every path is resolved, judged, then opened component by component.

A path is resolved once, with its links; what comes out is opened from the root down, each component relative to the
one before and never through a link. So a link that was swapped in after the judgement is refused, not followed.
`.myagent` (tokens, the log) is out of bounds by name, by identity, and by hard link.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from myagent.exceptions import MyagentError

FILE_BYTES = 4 << 20  # the largest file that is read, edited or replaced: beyond any source file, still quick to show
STATE_DIRECTORY = ".myagent"

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

Identity = tuple[int, int]  # device, inode


class ToolFailed(MyagentError):
    """A tool could not do what was asked; nothing was changed."""


class FileFailed(ToolFailed):
    """A path that may not, or cannot, be used."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path or '(no path)'}: {self.reason}"


class PathRefused(FileFailed):
    """A path that is out of bounds."""


@dataclass(frozen=True, slots=True)
class Place:
    """A path, resolved: `parts` lead from the root to it without a link. It need not exist."""

    given: str
    parts: tuple[str, ...]

    @property
    def shown(self) -> str:
        return shown("/".join(self.parts)) or "."


@dataclass(frozen=True, slots=True)
class Contents:
    """A regular file as it was read."""

    data: bytes
    status: os.stat_result


class Workspace:
    """A directory whose files may be read and replaced. Every method blocks; `OSError` comes out as `FileFailed`."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def locate(self, path: str) -> Place:
        """Resolve a path, relative to the root or absolute, and judge where it leads.

        Raises:
            PathRefused: it has a `..`, leads out of the workspace, or into `.myagent`.
        """
        if not path or "\0" in path:
            raise PathRefused(path.replace("\0", ""), "is not a path")
        if ".." in path.split("/"):
            raise PathRefused(path, 'may not contain ".."; name the file from the top of the workspace')
        root = str(self.root)
        try:
            resolved = os.path.realpath(os.path.join(root, path))
        except (OSError, ValueError) as error:
            raise PathRefused(shown(path), "is not a path") from error
        if resolved != root and not resolved.startswith(root.rstrip("/") + "/"):
            raise PathRefused(path, "leads out of the workspace")
        parts = tuple(part for part in resolved[len(root) :].split("/") if part)
        if any(map(is_state_directory, (*path.split("/"), *parts))):
            raise _state_refused(path)
        return Place(path, parts)

    @contextmanager
    def directory(self, place: Place, *, create: bool = False) -> Iterator[int]:
        """Open the directory at a place, all of its `parts`; `create` makes those that are missing."""
        protected = self._protected()
        with _failing_as(place.given):
            descriptor = os.open(self.root, _DIRECTORY & ~os.O_NOFOLLOW)
        try:
            for part in place.parts:
                with _failing_as(place.given):
                    below = _open_directory(part, descriptor, create)
                os.close(descriptor)
                descriptor = below
                if identity(os.fstat(descriptor)) in protected:
                    raise _state_refused(place.given)
            yield descriptor
        finally:
            os.close(descriptor)

    def read(self, path: str) -> Contents:
        """Read a regular file of at most `FILE_BYTES` bytes."""
        found = self.find(self.locate(path))
        if found is None:
            raise FileFailed(path, "there is no such file")
        return found

    def find(self, place: Place) -> Contents | None:
        """Read the file at a place; `None` if there is none."""
        if not place.parts:
            raise FileFailed(place.given, "is a directory")
        try:
            with self.directory(Place(place.given, place.parts[:-1])) as above:
                return self._read_at(above, place)
        except FileMissing:
            return None

    def replace(self, place: Place, data: bytes, expected: Contents | None) -> None:
        """Put `data` at a place, at once and whole: a temporary file beside it takes its name.

        The mode stays but for setuid and setgid, and the owner if we may set it; a new file gets what the umask allows,
        and its directories are made. A file with several names (hard links) keeps its old content under the others.

        Raises:
            FileFailed: what is there is not `expected` (`None`: nothing): somebody else wrote in the meantime.
        """
        *_, name = place.parts
        with self.directory(Place(place.given, place.parts[:-1]), create=True) as above, _failing_as(place.given):
            temporary = f".{secrets.token_hex(8)}.tmp"
            descriptor = os.open(temporary, _NEW_FILE, 0o666 if expected is None else 0o600, dir_fd=above)
            try:
                with open(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    if expected is not None:
                        _dress_like(descriptor, expected.status)
                    os.fsync(descriptor)
                if not _is_still(above, name, expected):
                    raise FileFailed(place.given, "somebody else changed it just now")
                os.rename(temporary, name, src_dir_fd=above, dst_dir_fd=above)
            except BaseException:
                os.unlink(temporary, dir_fd=above)
                raise

    def _read_at(self, above: int, place: Place) -> Contents:
        name = place.parts[-1]
        with _failing_as(place.given):
            # Looked at before it is opened: opening a device can already do something.
            _require_regular(os.stat(name, dir_fd=above, follow_symlinks=False), place)
            descriptor = os.open(name, _FILE, dir_fd=above)
            with open(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                _require_regular(status, place)
                if status.st_nlink > 1 and identity(status) in self._state_files():
                    raise _state_refused(place.given)
                data = file.read(FILE_BYTES + 1)
        if len(data) > FILE_BYTES:
            size = max(status.st_size, len(data))
            raise FileFailed(place.given, f"is too large: {size:,} bytes, the limit is {FILE_BYTES:,}")
        return Contents(data, status)

    def _protected(self) -> set[Identity]:
        found = set()
        for directory in (self.root / STATE_DIRECTORY, self.root / STATE_DIRECTORY / "remote"):
            try:
                found.add(identity(directory.stat()))
            except OSError:  # it is not there: nothing to protect
                pass
        return found

    def _state_files(self) -> Iterator[Identity]:
        for directory, _, names in os.walk(self.root / STATE_DIRECTORY):
            for name in names:
                try:
                    yield identity(os.lstat(os.path.join(directory, name)))
                except FileNotFoundError:  # gone since it was listed
                    pass


class FileMissing(FileFailed):
    """Nothing of that name is there."""


def decoded(path: str, contents: Contents) -> str:
    """The text of a file. Raises `FileFailed` when it is binary (a NUL byte), or not UTF-8."""
    if b"\0" in contents.data:
        raise FileFailed(path, f"is binary, {len(contents.data):,} bytes")
    try:
        return contents.data.decode()
    except UnicodeDecodeError as error:
        raise FileFailed(path, f"is not UTF-8 text (byte {error.start:,}), {len(contents.data):,} bytes") from error


def shown(name: str) -> str:
    """A file name as one line of text that can be encoded: bytes that are not UTF-8 become U+FFFD, a newline U+240A."""
    return os.fsencode(name).decode("utf-8", "replace").replace("\n", "\u240a")


def identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def is_state_directory(name: str) -> bool:
    return name.casefold() == STATE_DIRECTORY  # some file systems do not tell capitals apart


def _state_refused(path: str) -> PathRefused:
    return PathRefused(path, f"leads into {STATE_DIRECTORY}, which no tool may touch")


def _open_directory(name: str, above: int, create: bool) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=above)
    except FileNotFoundError:
        if not create:
            raise
    try:
        os.mkdir(name, dir_fd=above)
    except FileExistsError:  # somebody else was faster
        pass
    return os.open(name, _DIRECTORY, dir_fd=above)


def _require_regular(status: os.stat_result, place: Place) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise FileFailed(place.given, "is a directory")
    if stat.S_ISLNK(status.st_mode):
        raise PathRefused(place.given, "became a link while it was being opened")
    if not stat.S_ISREG(status.st_mode):
        raise FileFailed(place.given, "is not a regular file")


def _dress_like(descriptor: int, status: os.stat_result) -> None:
    mine = os.fstat(descriptor)
    if (mine.st_uid, mine.st_gid) != (status.st_uid, status.st_gid):
        try:
            os.fchown(descriptor, status.st_uid, status.st_gid)
        except PermissionError:  # only root gives files away
            pass
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode) & ~(stat.S_ISUID | stat.S_ISGID))


def _is_still(above: int, name: str, expected: Contents | None) -> bool:
    try:
        now = os.stat(name, dir_fd=above, follow_symlinks=False)
    except FileNotFoundError:
        return expected is None
    return expected is not None and _version(now) == _version(expected.status)


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@contextmanager
def _failing_as(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise FileMissing(path, "there is no such file") from error
    except NotADirectoryError as error:  # also what a link in place of a directory gives
        raise PathRefused(path, "a part of it is not a directory, or became a link just now") from error
    except OSError as error:
        raise FileFailed(path, (error.strerror or "cannot be used").lower()) from error
