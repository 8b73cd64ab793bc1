"""Binds credentials to this user on this machine: what came with a copy, a clone or an archive is told from our own.

The key is in the user's state directory, which does not travel with a workspace.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

import platformdirs

from myagent.access.state_directory import UnsafeState, read_private, write_private
from myagent.exceptions import MyagentError

KEY_BYTES = 32


class Foreign(MyagentError):
    """Credentials that were not made by this user on this machine; they were not used, nor changed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return (
            f"{self.path} was not made by this user on this machine, so it is not used; if it is yours (a backup, a "
            "moved directory), run `myagent remote adopt`; else `myagent remote serve` makes a new one"
        )


class Seal:
    """What marks data as ours. Without a key nothing is."""

    def __init__(self, key: bytes | None) -> None:
        self._key = key

    @classmethod
    def of_this_user(cls) -> Seal:
        """With the key that this user has here; it is made on first use. Without one where none can be kept."""
        try:
            path = platformdirs.user_state_path("myagent") / "seal.key"
            if not path.is_absolute():  # there is no home directory
                return cls(None)
            key = read_private(path)
            if key is None:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                _create(path, secrets.token_bytes(KEY_BYTES))
                key = read_private(path)
        except (OSError, UnsafeState, RuntimeError):
            return cls(None)
        return cls(key if key is not None and len(key) == KEY_BYTES else None)

    def mark(self, purpose: str, data: bytes) -> str:
        """To be stored with the data."""
        if self._key is None:
            return ""
        return hmac.new(self._key, purpose.encode() + b"\0" + data, hashlib.sha256).hexdigest()

    def is_ours(self, purpose: str, data: bytes, mark: str) -> bool:
        return self._key is not None and hmac.compare_digest(self.mark(purpose, data).encode(), mark.encode())


def private_directories() -> list[Path]:
    """Where this program keeps what is secret, beside the workspaces: the key, and connections by name."""
    return [platformdirs.user_state_path("myagent"), platformdirs.user_config_path("myagent")]


class _Open(Seal):
    def is_ours(self, purpose: str, data: bytes, mark: str) -> bool:
        return True


UNSEALED = _Open(None)  # takes everything for ours


def _create(path: Path, key: bytes) -> None:
    """Put a key in place, unless another process has just done so: there is one key, and it is whole."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    write_private(temporary, key)
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
