"""The directory `.myagent/remote/` of a workspace: private from its first byte, and held by one server at a time."""

from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import pwd
import secrets
import stat
from pathlib import Path

from myagent.exceptions import FileUnusable, MyagentError

LOCK = "server.lock"  # in the state directory; holds the server's process id
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


class NotText(MyagentError):
    """A directory whose name is no UTF-8."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        shown = os.fsencode(self.path).decode("utf-8", "backslashreplace")
        return f"{shown} cannot be shared: its name is not UTF-8, in which agents and clients are told it; rename it"


def check_name(workspace: Path) -> None:
    """Raises `NotText`."""
    try:
        os.fsencode(workspace).decode()
    except UnicodeDecodeError:
        raise NotText(workspace) from None


class StateDir:
    """`<workspace>/.myagent/remote/`, made on first use (0700, and ignored by git)."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.path = workspace / ".myagent" / "remote"
        self._lock: int | None = None
        self._workspace_lock: int | None = None  # outlives the directory, which anybody may delete

    def open(self) -> None:
        """Make or check the directory, and hold it. Raises `NotText`, `UnsafeState`, `AlreadyServed`,
        `FileUnusable`."""
        check_name(self.workspace)
        try:
            self._hold_workspace()
            _make(self.path)
            self._hold()
            _keep_from_git(self.path)
        except OSError as error:
            self.close()
            raise FileUnusable(error.filename or self.path, "use", error) from None
        except MyagentError:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the directory; idempotent."""
        for lock in (self._lock, self._workspace_lock):
            if lock is not None:
                os.close(lock)
        self._lock = self._workspace_lock = None

    def tend(self) -> None:
        """Put back what `git clean -x` takes and the directory needs no longer than to be left alone."""
        ignore = self.path.parent / ".gitignore"
        if self.path.is_dir() and not os.path.lexists(ignore):
            with contextlib.suppress(OSError):
                write_private(ignore, b"*\n")

    def _hold_workspace(self) -> None:
        try:
            lock = os.open(self.workspace, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except PermissionError:  # it may be entered and not read: then the lock inside has to do
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _holder(self.path / LOCK, os.fstat(lock))
            os.close(lock)
            raise AlreadyServed(self.workspace, pid) from None
        except OSError:  # a file system without locks
            os.close(lock)
            return
        self._workspace_lock = lock

    def _hold(self) -> None:
        path = self.path / LOCK
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


def _holder(path: Path, locked: os.stat_result) -> str:
    """The process id of who holds a workspace, for a human: of the lock file, or where that is gone, of the kernel."""
    try:
        if said := (read_private(path, 32) or b"").decode("ascii", "replace").strip():
            return said
        inode = f"{os.major(locked.st_dev):02x}:{os.minor(locked.st_dev):02x}:{locked.st_ino}"
        rows = [row.split() for row in Path("/proc/locks").read_text().splitlines()]
        return next((row[4] for row in rows if row[5] == inode and row[1] == "FLOCK"), "unknown")
    except (UnsafeState, OSError, LookupError):
        return "unknown"


def _keep_from_git(path: Path) -> None:
    """Make a directory look like a repository of its own: `git clean -fdx` passes over those, unless told `-ff`.
    What is above it is ignored by git already, so that nothing else sees it as one."""
    nested = path / ".git"
    if os.path.lexists(nested):
        return
    for directory in (nested, nested / "objects", nested / "refs"):
        directory.mkdir(mode=0o700)
    write_private(nested / "HEAD", b"ref: refs/heads/none\n")


def why_untrusted(workspace: Path) -> str:
    """Why commands must not believe what is in a workspace's state directory, in words; empty if they may. It, and
    each directory above it up to the workspace, belongs to this user, and nobody else may write there.

    The workspace itself may be root's, or one where each may only move what is theirs (as /tmp): then nobody can put
    another state directory in ours' place. To root, every workspace is as good: it is the other two that count.
    """
    remote = workspace / ".myagent" / "remote"
    for path in (remote, remote.parent, workspace):
        try:
            status = os.lstat(path)
        except OSError as error:
            return f"{path} cannot be looked at ({error.strerror})"
        if not stat.S_ISDIR(status.st_mode):
            return f"{path} is not a directory"
        owners = {os.geteuid()} if path != workspace else {os.geteuid(), 0}
        if status.st_uid not in owners and not (path == workspace and os.geteuid() == 0):
            return f"{path} belongs to another user"
        sticky = path == workspace and status.st_mode & stat.S_ISVTX
        if _others_may_write(status) and not sticky:
            return f"{path} can be written by others"
    return ""


def _others_may_write(status: os.stat_result) -> bool:
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not _is_own_group(status.st_gid)


def _is_own_group(gid: int) -> bool:
    """Whether a group has nobody in it but this user, as most systems make one for each."""
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    return group.gr_name == user.pw_name and user.pw_gid == gid and set(group.gr_mem) <= {user.pw_name}


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

    def delete(self, name: str) -> None:
        """Have a file there no more, if it was. Raises `OSError`."""
        (self.path / name).unlink(missing_ok=True)

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
    """Put a file in place whole, 0600 from its first byte, whatever the umask. Raises `OSError` that names it."""
    try:
        _write_private(path, data)
    except OSError as error:
        error.filename, error.filename2 = str(path), None  # not the temporary one's, or none at all
        raise


def _write_private(path: Path, data: bytes) -> None:
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
        with contextlib.suppress(OSError):  # it went with its directory
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
