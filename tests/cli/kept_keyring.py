"""A backend for the `keyring` library that keeps secrets in the file named by $KEPT_KEYRING; it can be locked."""

from __future__ import annotations

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked


class KeptKeyring(KeyringBackend):
    priority = 5
    name = "kept"

    @property
    def _path(self) -> Path:
        path = Path(os.environ["KEPT_KEYRING"])
        if path.with_suffix(".locked").exists():
            raise KeyringLocked("it is locked")
        return path

    def _all(self) -> dict[str, str]:
        return json.loads(self._path.read_text()) if self._path.exists() else {}

    def get_password(self, service: str, username: str) -> str | None:
        return self._all().get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self._path.write_text(json.dumps({**self._all(), f"{service}/{username}": password}))

    def delete_password(self, service: str, username: str) -> None:
        self._path.write_text(json.dumps({k: v for k, v in self._all().items() if k != f"{service}/{username}"}))
