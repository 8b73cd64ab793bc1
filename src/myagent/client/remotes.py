"""Connections by name: a server's URL and token, kept in the user's configuration directory, one private file each.

Where the system has a keyring, and the `keyring` library is installed, the token is there and not in the file.
"""

from __future__ import annotations

import os
import pwd
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import platformdirs

from myagent.access.state_directory import UnsafeState, read_private, write_private
from myagent.exceptions import FileUnusable, MyagentError

KEYRING_SERVICE = "myagent-remote"
RECOMMENDED = 1  # of a keyring backend's priority: those below keep secrets readable, or nowhere

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SUFFIX = ".json"


class BadName(MyagentError):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"{self.name!r} is no name for a connection: letters, digits, dot, dash and underscore, 64 at most"


class UnknownRemote(MyagentError):
    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(name, known)
        self.name, self.known = name, known

    def __str__(self) -> str:
        known = f"; there are: {', '.join(self.known)}" if self.known else "; none is kept here"
        return (
            f"there is no connection named {self.name}{known}; make it with: myagent remote login {self.name} --url …"
        )


class KeyringFailed(MyagentError):
    """The system's keyring has the token, and does not give it."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"the system's keyring does not give the token of {self.name}: {self.reason}"


class Remote(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a file holds. Without a `token`, the keyring named in `keyring` has it."""

    version: int
    url: str
    token: str | None = None
    keyring: str | None = None
    ca: str | None = None  # the file of the certificates to trust, where they are not the system's

    @property
    def place(self) -> str:
        """Where the token is, for a human."""
        return f"keyring ({self.keyring})" if self.token is None else "file"


@dataclass(frozen=True, slots=True)
class Saved:
    """How a connection was kept: `fallback` says why the keyring was not used although there is one."""

    remote: Remote
    path: Path
    fallback: str = ""


class NoHome(MyagentError):
    """There is no place of the user's own."""

    def __str__(self) -> str:
        return (
            "there is no home directory to keep connections in: set HOME (or XDG_CONFIG_HOME) to an absolute path, or "
            "give --url and MYAGENT_REMOTE_TOKEN instead of a name"
        )


def directory() -> Path:
    """Where the files are. Raises `NoHome`: what is relative would put tokens where one happens to stand."""
    named = [os.environ.get(name, "") for name in ("XDG_CONFIG_HOME", "HOME")]
    if any(map(os.path.isabs, named)) and not (named[0] and not os.path.isabs(named[0])):
        return platformdirs.user_config_path("myagent") / "remotes"
    if os.path.isabs(named[1]):
        return Path(named[1]) / ".config" / "myagent" / "remotes"
    try:
        home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        raise NoHome from None
    if not os.path.isabs(home):
        raise NoHome
    return Path(home) / ".config" / "myagent" / "remotes"


def check_name(name: str) -> None:
    """Raises `BadName`."""
    if not _NAME.fullmatch(name):
        raise BadName(name)


def names() -> list[str]:
    """The names that are kept, sorted. Raises `NoHome`, `FileUnusable`."""
    try:
        entries = os.listdir(directory())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise FileUnusable(directory(), "look into", error) from None
    found = (entry.removesuffix(_SUFFIX) for entry in entries if entry.endswith(_SUFFIX))
    return sorted(name for name in found if _NAME.fullmatch(name))


def load(name: str) -> Remote:
    """Raises `BadName`, `UnknownRemote`, `UnsafeState`."""
    path = _path(name)
    data = read_private(path)
    if data is None:
        raise UnknownRemote(name, names())
    try:
        remote = msgspec.json.decode(data, type=Remote)
    except (msgspec.DecodeError, RecursionError):
        remote = None
    if remote is None or remote.version != 1 or (remote.token is None) == (remote.keyring is None):
        raise UnsafeState(path, "does not hold a connection of version 1", "remove it, and login again")
    return remote


def token(name: str, remote: Remote) -> str:
    """The token of a connection. Raises `KeyringFailed`."""
    if remote.token is not None:
        return remote.token
    backend = _keyring()
    if backend is None:
        raise KeyringFailed(name, "there is none here now; login again")
    try:
        found = backend.get_password(KEYRING_SERVICE, name)
    except _keyring_errors() as error:
        raise KeyringFailed(name, str(error) or type(error).__name__) from None
    if found is None:
        raise KeyringFailed(name, "it has none; login again")
    return str(found)


def save(name: str, url: str, secret: str, *, ca: str | None = None) -> Saved:
    """Keep a connection, in place of one of the same name. Raises `BadName`, `UnsafeState`."""
    path = _path(name)
    try:
        for parent in (path.parent.parent, path.parent):
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UnsafeState(path.parent, f"cannot be made ({error.strerror})", "mend what is in its way") from None
    backend, fallback = _keyring(), ""
    remote = Remote(1, url, token=secret, ca=ca)
    if backend is not None:
        try:
            backend.set_password(KEYRING_SERVICE, name, secret)
            remote = Remote(1, url, keyring=str(backend.name), ca=ca)
        except _keyring_errors() as error:
            fallback = str(error) or type(error).__name__
    try:
        write_private(path, msgspec.json.encode(remote) + b"\n")
    except OSError as error:
        raise UnsafeState(path, f"cannot be written ({error.strerror})", "mend its directory's permissions") from None
    return Saved(remote, path, fallback)


def forget(name: str) -> None:
    """Remove a connection and its token. Raises as `load` does, and `KeyringFailed`."""
    remote = load(name)
    backend = _keyring() if remote.token is None else None
    if backend is not None:
        try:
            if backend.get_password(KEYRING_SERVICE, name) is not None:
                backend.delete_password(KEYRING_SERVICE, name)
        except _keyring_errors() as error:
            raise KeyringFailed(name, str(error) or type(error).__name__) from None
    _path(name).unlink()


def _path(name: str) -> Path:
    check_name(name)
    return directory() / f"{name}{_SUFFIX}"


def _keyring() -> Any:
    """The system's keyring, `None` if there is none that keeps a secret."""
    try:
        import keyring
    except ImportError:
        return None
    try:
        backend = keyring.get_keyring()
    except (RuntimeError, KeyError, OSError):  # it looks for its settings at home, and there is none
        return None
    return backend if backend.priority >= RECOMMENDED else None


def _keyring_errors() -> tuple[type[Exception], ...]:
    from keyring.errors import KeyringError

    return (KeyringError, OSError, RuntimeError)
