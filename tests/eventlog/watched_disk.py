"""A layer under SQLite that records what reaches the disk, and can make it fail: for the connections of this process.

It is put between the library that Python's `sqlite3` uses and its own file layer, so that the code under test is the
one that ships. https://www.sqlite.org/c3ref/vfs.html has the structures.
"""

from __future__ import annotations

import ctypes
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_P = ctypes.c_void_p
_OPEN = ctypes.CFUNCTYPE(ctypes.c_int, _P, _P, _P, ctypes.c_int, _P)
_CLOSE = ctypes.CFUNCTYPE(ctypes.c_int, _P)
_WRITE = ctypes.CFUNCTYPE(ctypes.c_int, _P, _P, ctypes.c_int, ctypes.c_int64)
_TRUNCATE = ctypes.CFUNCTYPE(ctypes.c_int, _P, ctypes.c_int64)
_SYNC = ctypes.CFUNCTYPE(ctypes.c_int, _P, ctypes.c_int)


class _Vfs(ctypes.Structure):
    _fields_ = [
        ("iVersion", ctypes.c_int),
        ("szOsFile", ctypes.c_int),
        ("mxPathname", ctypes.c_int),
        ("pNext", _P),
        ("zName", ctypes.c_char_p),
        ("pAppData", _P),
        ("xOpen", _OPEN),
        ("others", _P * 16),
    ]


class _Methods(ctypes.Structure):
    _fields_ = [
        ("iVersion", ctypes.c_int),
        ("xClose", _CLOSE),
        ("xRead", _P),
        ("xWrite", _WRITE),
        ("xTruncate", _TRUNCATE),
        ("xSync", _SYNC),
        ("others", _P * 13),
    ]


@dataclass(frozen=True)
class Write:
    path: str
    offset: int
    data: bytes


@dataclass(frozen=True)
class Truncate:
    path: str
    size: int


@dataclass(frozen=True)
class Sync:
    path: str


Operation = Write | Truncate | Sync


@dataclass
class Disk:
    """What was asked of the disk. `failing` maps a class of operations to the code that SQLite is to be given."""

    operations: list[Operation] = field(default_factory=list)
    failing: dict[type[Operation], int] = field(default_factory=dict)
    refused: int = 0  # operations that were made to fail

    def after_power_loss(self, at: int, chance: random.Random) -> dict[str, bytes]:
        """The files if the power goes before operation `at`: of what was not yet synced anything may be there."""
        files: dict[str, bytearray] = {}
        unsynced: dict[str, list[Operation]] = {}
        for operation in self.operations[:at]:
            waiting = unsynced.setdefault(operation.path, [])
            waiting.append(operation)
            if isinstance(operation, Sync):
                for done in waiting:
                    _apply(files, done)
                waiting.clear()
        for waiting in unsynced.values():
            luck = chance.choice((0.0, 0.5, 0.9))
            for operation in waiting:
                if chance.random() < luck:
                    torn = isinstance(operation, Write) and chance.random() < 0.1
                    if torn and isinstance(operation, Write):
                        half = chance.randrange(len(operation.data))
                        operation = Write(operation.path, operation.offset, operation.data[:half])
                    _apply(files, operation)
        return {path: bytes(content) for path, content in files.items()}


def _apply(files: dict[str, bytearray], operation: Operation) -> None:
    content = files.setdefault(operation.path, bytearray())
    match operation:
        case Write(_, offset, data):
            content.extend(bytes(max(0, offset + len(data) - len(content))))
            content[offset : offset + len(data)] = data
        case Truncate(_, size):
            del content[size:]


@contextmanager
def watched() -> Iterator[Disk]:
    """Within it, new connections of `sqlite3` go through a `Disk`. It must outlive them."""
    found = re.search(r"(/\S*libsqlite3\S*)", Path("/proc/self/maps").read_text()) if Path("/proc").exists() else None
    if found is None:
        pytest.skip("this Python has SQLite built in, where no layer can be put under it")
    library = ctypes.CDLL(found[1])
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    library.sqlite3_vfs_find.argtypes = [ctypes.c_char_p]
    library.sqlite3_vfs_register.argtypes = [ctypes.POINTER(_Vfs), ctypes.c_int]
    library.sqlite3_vfs_unregister.argtypes = [ctypes.POINTER(_Vfs)]
    below = library.sqlite3_vfs_find(None)

    disk = Disk()
    paths: dict[int, str] = {}  # address of an open file → its path
    methods: dict[int, tuple[_Methods, _Methods]] = {}  # address of SQLite's table → a copy of it, ours

    def wrap(address: int) -> _Methods:
        if address not in methods:
            original = _Methods.from_buffer_copy(ctypes.string_at(address, ctypes.sizeof(_Methods)))
            ours = _Methods.from_buffer_copy(original)

            def close(file: int) -> int:
                paths.pop(file, None)
                return int(original.xClose(file))

            def write(file: int, data: int, size: int, offset: int) -> int:
                operation = Write(paths[file], offset, ctypes.string_at(data, size))
                return done(operation, lambda: int(original.xWrite(file, data, size, offset)))

            def truncate(file: int, size: int) -> int:
                return done(Truncate(paths[file], size), lambda: int(original.xTruncate(file, size)))

            def sync(file: int, flags: int) -> int:
                return done(Sync(paths[file]), lambda: int(original.xSync(file, flags)))

            ours.xClose, ours.xWrite = _CLOSE(close), _WRITE(write)
            ours.xTruncate, ours.xSync = _TRUNCATE(truncate), _SYNC(sync)
            methods[address] = (original, ours)
        return methods[address][1]

    def done(operation: Operation, call: object) -> int:
        assert callable(call)
        if type(operation) in disk.failing:
            disk.refused += 1
            return disk.failing[type(operation)]
        disk.operations.append(operation)
        return int(call())

    def opened(_: int, name: int, file: int, flags: int, out: int) -> int:
        code = int(below.contents.xOpen(ctypes.addressof(below.contents), name, file, flags, out))
        table = _P.from_address(file)  # the first member of an open file
        if code == 0 and table.value and name:
            paths[file] = ctypes.string_at(name).decode()
            table.value = ctypes.addressof(wrap(table.value))
        return code

    vfs = _Vfs.from_buffer_copy(below.contents)
    vfs.pNext, vfs.zName, vfs.xOpen = None, b"watched", _OPEN(opened)
    library.sqlite3_vfs_register(ctypes.byref(vfs), 1)
    try:
        yield disk
    finally:
        library.sqlite3_vfs_unregister(ctypes.byref(vfs))
        library.sqlite3_vfs_register(below, 1)
