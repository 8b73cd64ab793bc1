"""The devices that want to be called, and the key that this server signs with: in a private file, sealed as ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

from myagent.access.seal import UNSEALED, Foreign, Seal
from myagent.access.state_directory import UnsafeState, read_private, write_private
from myagent.exceptions import MyagentError

LIMIT = 64  # devices that are called
LIMIT_EACH = 8  # of one credential


class TooMany(MyagentError):
    def __str__(self) -> str:
        return "too many devices are called already; turn it off on another one, or revoke that"


class Subscription(msgspec.Struct, frozen=True, rename="camel"):
    """A device, of the credential that it came by, and where its browser is called."""

    credential: str
    device: str
    endpoint: str
    p256dh: str
    auth: str


class PushFile(msgspec.Struct, frozen=True):
    """What `push.json` holds."""

    version: int
    key: str
    subscriptions: list[Subscription]
    seal: str = ""  # that it was made here, see `seal.py`


class PushBook:
    """Every change is durable when its method returns; who was dropped is called no more even if that is not."""

    def __init__(self, path: Path, *, seal: Seal = UNSEALED) -> None:
        self.path = path
        self.seal = seal
        self._key = ""
        self._devices: dict[str, Subscription] = {}
        self._unstored = False  # devices were dropped, which the file does not say yet

    def load(self) -> None:
        """Read the file, if there is one. Raises `UnsafeState`, and `Foreign` for one that was not made here."""
        content = self._read(self.path)
        if content is None:
            return
        if not self.seal.is_ours("push", _sealed(content.key, content.subscriptions), content.seal):
            raise Foreign(self.path)
        self._key = content.key
        self._devices = {each.device: each for each in content.subscriptions}

    def adopt(self, source: Path) -> bool:
        """Put the content of a file in place as ours; false if there is none. Raises `UnsafeState`, `OSError`."""
        content = self._read(source)
        if content is None:
            return False
        self._key = content.key
        self._save({each.device: each for each in content.subscriptions})
        return True

    def key(self, make: Callable[[], str]) -> str:
        """The private key; on first use it is made, and stored. Raises `OSError`, and what `make` does."""
        if not self._key:
            self._key = make()
            try:
                self._save(self._devices)
            except OSError:
                self._key = ""
                raise
        return self._key

    def all(self) -> list[Subscription]:
        return [*self._devices.values()]

    def has(self, device: str) -> bool:
        return device in self._devices

    def add(self, subscription: Subscription) -> None:
        """Raises `TooMany`, `OSError`."""
        others = {key: each for key, each in self._devices.items() if key != subscription.device}
        count = Counter(each.credential for each in others.values())
        if len(others) >= LIMIT or count[subscription.credential] >= LIMIT_EACH:
            raise TooMany
        self._save({**others, subscription.device: subscription})

    def drop(self, ended: str) -> list[str]:
        """Call a device no more, or all of a credential; returns those that were. Raises `OSError` if that is not
        durable."""
        gone = [key for key, each in self._devices.items() if ended in (key, each.credential)]
        for each in gone:
            del self._devices[each]
        if gone:
            self._unstored = True
            self._save(self._devices)
        return gone

    def store_again(self) -> None:
        """Store what could not be when a device was dropped. Raises `OSError`."""
        if self._unstored:
            self._save(self._devices)

    def _read(self, path: Path) -> PushFile | None:
        data = read_private(path)
        if data is None:
            return None
        try:
            content = msgspec.json.decode(data, type=PushFile)
        except (msgspec.DecodeError, RecursionError, ValueError):
            content = None
        if content is None or content.version != 1:
            raise UnsafeState(
                path, "does not hold devices to call of version 1", "mend it, or remove it: no device is called then"
            )
        return content

    def _save(self, devices: dict[str, Subscription]) -> None:
        rows = [*devices.values()]
        content = PushFile(1, self._key, rows, self.seal.mark("push", _sealed(self._key, rows)))
        write_private(self.path, msgspec.json.encode(content) + b"\n")
        self._devices = devices
        self._unstored = False


def _sealed(key: str, subscriptions: list[Subscription]) -> bytes:
    return msgspec.json.encode([key, subscriptions])
