"""What a model is told of earlier turns: kept as whole turns, bounded, and on disk where there is a place for it.

A turn is kept as JSON that only its endpoint can read. What may not be stored is covered before it is.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

LISTED = 200  # conversations, where they are listed
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Files(Protocol):
    """Private files, by name."""

    def read(self, name: str) -> bytes | None: ...

    def write(self, name: str, data: bytes) -> None:
        """Put a file in place, whole or not at all."""

    def delete(self, name: str) -> None:
        """Have a file there no more, if it was."""

    def names(self) -> list[tuple[str, float]]:
        """What there is, and when it was written (seconds since 1970)."""


class InMemory:
    """Files that end with the process."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}
        self._times: dict[str, float] = {}

    def read(self, name: str) -> bytes | None:
        return self._files.get(name)

    def write(self, name: str, data: bytes) -> None:
        self._files[name] = data
        self._times[name] = time.time()

    def delete(self, name: str) -> None:
        self._files.pop(name, None)
        self._times.pop(name, None)

    def names(self) -> list[tuple[str, float]]:
        return list(self._times.items())


def load(files: Files, name: str) -> list[bytes] | None:
    """The turns of a conversation, oldest first; `None` where there is none of that name. Blocks."""
    if _NAME.fullmatch(name) is None:  # what an agent of another kind left behind, or no name at all
        return None
    data = files.read(f"{name}.jsonl")
    return None if data is None else data.splitlines()


def kept(files: Files) -> list[tuple[str, float]]:
    """The names of the conversations, the latest first, and when each was kept. Blocks."""
    names = [(name.removesuffix(".jsonl"), time) for name, time in files.names() if name.endswith(".jsonl")]
    latest = sorted((row for row in names if _NAME.fullmatch(row[0])), key=lambda row: row[1], reverse=True)
    return latest[:LISTED]


def save(files: Files, name: str, turns: list[bytes], cover: Callable[[Any], Any]) -> bool:
    """Keep a conversation; false where its name is none that can be kept. Blocks."""
    if _NAME.fullmatch(name) is None:
        return False
    covered = [msgspec.json.encode(cover(msgspec.json.decode(turn))) for turn in turns]
    files.write(f"{name}.jsonl", b"".join(turn + b"\n" for turn in covered))
    return True


def forget(files: Files, name: str) -> None:
    """Keep a conversation no more. Blocks."""
    if _NAME.fullmatch(name) is not None:
        files.delete(f"{name}.jsonl")


def within(turns: list[bytes], characters: int) -> list[bytes]:
    """The latest of the turns that together are within a limit."""
    kept = 0
    for count, turn in enumerate(reversed(turns)):
        kept += len(turn)
        if kept > characters:
            return turns[len(turns) - count :]
    return turns
