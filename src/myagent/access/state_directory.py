"""The directory `.myagent/remote/` of a workspace: private from its first byte, and held by one server at a time."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from pathlib import Path

from myagent.exceptions import MyagentError

FILE_BYTES = 64 * 1024  # no token, invite or the like is larger


class UnsafeState(MyagentError):
    """A file or directory of ours is not as private as it must be; nothing of it was read or changed."""

    def __init__(self, path: Path, why: str, remedy: str) -> None:
        super().__init__(path, why, remedy)
        self.path, self.why, self.remedy = path, why, remedy

    def __str__(self) -> str:
        return f"{self.path} {self.why}; {self.remedy}"


class AlreadyServed(MyagentError):
    """Another server holds this workspace."""

    def __init__(self, workspace: Path, pid: str) -> None:
        super().__init__(workspace, pid)
        self.workspace, self.pid = workspace, pid

    def __str__(self) -> str:
        return (
            f"another server (process {self.pid}) already shares {self.workspace}; stop it, or serve another directory"
        )


class StateDir:
    """`<workspace>/.myagent/remote/`, made on first use (0700, and ignored by git)."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.path = workspace / ".myagent" / "remote"
        self._lock: int | None = None

    def open(self) -> None:
        """Make or check the directory, and hold it. Raises `UnsafeState`, `AlreadyServed`."""
        _make(self.path)
        self._hold()

    def close(self) -> None:
        """Let go of the directory; idempotent."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _hold(self) -> None:
        path = self.path / "server.lock"
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            lock = os.open(path, flags, 0o600)
        except OSError as error:
            raise UnsafeState(path, f"cannot be opened ({error.strerror})", "remove it") from None
        try:
            _check_file(path, os.fstat(lock))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
            os.close(lock)
            raise AlreadyServed(self.workspace, pid or "unknown") from None
        except UnsafeState:
            os.close(lock)
            raise
        os.ftruncate(lock, 0)
        os.pwrite(lock, b"%d\n" % os.getpid(), 0)
        self._lock = lock


class PrivateFiles:
    """Files in `<workspace>/.myagent/<directory>/`, which is made when the first one is written."""

    def __init__(self, workspace: Path, directory: str, *, file_bytes: int = FILE_BYTES) -> None:
        self.path = workspace / ".myagent" / directory
        self._file_bytes = file_bytes

    def read(self, name: str) -> bytes | None:
        """A whole file, `None` if there is none. Raises `UnsafeState`."""
        return read_private(self.path / name, self._file_bytes)

    def write(self, name: str, data: bytes) -> None:
        """Put a file in place whole. Raises `UnsafeState`, `OSError`."""
        _make(self.path)
        write_private(self.path / name, data)

    def names(self) -> list[tuple[str, float]]:
        """The regular files there, and when each was written (seconds since 1970); none where nobody can look."""
        try:
            with os.scandir(self.path) as entries:
                files = [entry for entry in entries if entry.is_file(follow_symlinks=False)]
                return [(entry.name, entry.stat(follow_symlinks=False).st_mtime) for entry in files]
        except OSError:
            return []


def _make(path: Path) -> None:
    """Make or check a directory below `.myagent`, and that one."""
    parent = path.parent
    for directory in (parent, path):
        if not os.path.lexists(directory):
            directory.mkdir(mode=0o700)
        _check_directory(directory)
    ignore = parent / ".gitignore"
    if not os.path.lexists(ignore):
        write_private(ignore, b"*\n")


def read_private(path: Path, file_bytes: int = FILE_BYTES) -> bytes | None:
    """Read a secret file of ours, `None` if there is none. Raises `UnsafeState` unless it is a regular file of one
    link, ours, and readable by nobody else; never blocks on a FIFO, never follows a link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if path.is_symlink():
            raise UnsafeState(path, "is a link", "remove the link; a new file is made on the next start") from None
        raise UnsafeState(path, f"cannot be read ({error.strerror})", "remove it or mend its permissions") from None
    try:
        _check_file(path, os.fstat(descriptor))
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(file_bytes + 1)
    finally:
        os.close(descriptor)
    if len(data) > file_bytes:
        raise UnsafeState(path, f"is larger than {file_bytes} bytes", "it is not ours: move it away")
    return data


def write_private(path: Path, data: bytes) -> None:
    """Put a file in place whole, 0600 from its first byte, whatever the umask."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        os.fsync(descriptor)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    finally:
        os.close(descriptor)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _check_directory(path: Path) -> None:
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        raise UnsafeState(path, "is not a directory", "move it away")
    if status.st_uid != os.geteuid():
        raise UnsafeState(path, "belongs to another user", "remove it, or serve as that user")
    if status.st_mode & 0o022:
        raise UnsafeState(path, "can be written by others", f"run: chmod go-w {path}")


def _check_file(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnsafeState(path, "is not a regular file", "remove it")
    if status.st_nlink != 1:
        raise UnsafeState(path, "has a second name (hard link)", "remove it; a new file is made on the next start")
    if status.st_uid != os.geteuid():
        raise UnsafeState(path, "belongs to another user", "remove it, or serve as that user")
    if status.st_mode & 0o077:
        raise UnsafeState(path, "can be read by others", f"run: chmod 600 {path}")
