"""Who may know whom: the rooms of the package, held to the list in ARCHITECTURE.md."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import myagent

PACKAGE = Path(__file__).parents[1] / "src" / "myagent"
SOURCES = sorted(PACKAGE.rglob("*.py"))
CORE_TESTS = sorted((Path(__file__).parent / "core").glob("*.py"))
FACE = PACKAGE / "__init__.py"  # offers what programs use, and loads nothing before it is asked for
LINES = 400  # the most that a file may have

TESTS = Path(__file__).parent
TEST_FILES = sorted(TESTS.rglob("test_*.py"))
KINDS = {"conformance", "e2e", "faults", "fuzz", "security"}  # folders of tests that go through many rooms
FROM_OUTSIDE = {"cli", "tui", "web"}  # rooms whose tests start the program or open the page
ABOUT_THE_WHOLE = {"test_benchmarks", "test_architecture", "test_docs", "test_extras"}

# Each room, from the top down, and the rooms that it may know: never one that stands above it. `core` and `exceptions`
# may be known by all, and `myagent` itself, which is the version and nothing else.
EVERYBODY = {"core", "exceptions", "extras", "myagent"}
KNOWS: dict[str, set[str]] = {
    "__main__": {"cli"},
    "cli": {
        "access",
        "agents",
        "client",
        "editors",
        "eventlog",
        "export",
        "host",
        "redaction",
        "relay",
        "server",
        "settings",
        "text",
        "tui",
    },
    "tui": {"client", "export", "text"},
    "export": {"client", "text"},
    "client": {"access"},
    "text": set(),
    "relay": {"access", "delivery", "eventlog", "host", "redaction", "server", "settings"},
    "server": {"access", "agents", "delivery", "editors", "eventlog", "host", "push", "settings"},
    "push": {"access", "delivery", "host", "redaction"},
    "host": {"agents", "delivery", "eventlog", "redaction", "settings"},
    "delivery": {"eventlog"},
    "access": set(),
    "redaction": set(),
    "settings": set(),
    "agents": set(),
    "editors": set(),
    "eventlog": set(),
    "core": set(),
    "exceptions": set(),
    "extras": set(),
    "myagent": set(),
}

# Every library from outside, and what of the standard library only one room may touch.
LIBRARIES: dict[str, set[str]] = {
    "msgspec": set(KNOWS) - {"exceptions", "extras", "myagent"},
    "websockets": {"client", "relay", "server"},
    "nats": {"relay"},
    "sqlite3": {"eventlog"},
    "subprocess": {"agents"},
    "threading": {"eventlog", "cli"},
    "prometheus_client": {"server"},
    "rich": {"tui"},
    "textual": {"tui"},
    "platformdirs": {"access", "client"},
    "keyring": {"client"},
    "apprise": {"host"},
    "http_ece": {"push"},
    "py_vapid": {"push"},
    "pydantic_ai": {"agents"},
    "openai": {"agents"},
    "httpx2": {"agents"},
    "mcp": {"agents"},
    "anyio": {"agents"},
    "dotenv": {"agents"},
    "segno": {"cli"},
    "re2": {"redaction"},
}

# Of the standard library, `core` has what computes; not what waits, tells the time, throws dice, or touches the world.
PURE = {
    *("__future__", "base64", "bisect", "collections", "dataclasses", "enum", "functools", "hashlib", "hmac"),
    *("itertools", "json", "math", "posixpath", "re", "typing", "unicodedata"),
}
# Adapters of one port, none of which may know another.
ADAPTERS = [
    ("eventlog.memory", "eventlog.sqlite"),
    ("agents.acp.host", "agents.claude.agent", "agents.builtin.command", "agents.exec", "agents.builtin.model"),
]


def name_of(path: Path) -> str:
    """A file's dotted name; that of a package is its directory's."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """The room of a module: `myagent.core.codec` is in `core`."""
    return module.split(".")[1] if "." in module else module


def imports_of(text: str) -> Iterator[str]:
    """Every module that a file imports, wherever in it; `from a import b` imports `a.b` if that is a module."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module is not None, "imports are absolute"
            base = node.module
            inner = [name for alias in node.names if exists(name := f"{base}.{alias.name}")]
            yield from inner
            if len(inner) < len(node.names):
                yield base


def exists(module: str) -> bool:
    path = PACKAGE.parent.joinpath(*module.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def trespasses(module: str, text: str) -> list[str]:
    """What a module imports and may not."""
    room, wrong = room_of(module), []
    for name in imports_of(text):
        top = name.partition(".")[0]
        if top == "myagent":
            known = room_of(name) in KNOWS[room] | EVERYBODY | {room}
            allowed = known and (room not in EVERYBODY or room_of(name) in {room, "exceptions"})
        elif room == "core":
            allowed = top in PURE | {"msgspec"}
        else:
            allowed = room in LIBRARIES[top] if top in LIBRARIES else top in sys.stdlib_module_names
        if not allowed:
            wrong.append(name)
    return wrong


def impurities(text: str) -> list[str]:
    """What waits, prints or opens files, without any import."""
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    tree = list(ast.walk(ast.parse(text)))
    called = [node.func.id for node in tree if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    found = [name for name in called if name in {"open", "print", "input", "exec", "eval", "__import__"}]
    return found + [type(node).__name__ for node in tree if isinstance(node, waiting)]


def misplaced(files: dict[Path, set[str]]) -> list[str]:
    """Rooms without tests, and test files that stand elsewhere than in the room that they test, or at all."""
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and (path / "__init__.py").exists()} | {"web"}
    wrong = [f"{room} has no tests" for room in rooms - {path.parts[0] for path in files}]
    for path, imports in files.items():
        room = path.parts[0]
        if len(path.parts) == 1:
            known = path.stem in ABOUT_THE_WHOLE
        else:
            known = room in KINDS | FROM_OUTSIDE or (room in rooms and any(room_of(name) == room for name in imports))
        if not known:
            wrong.append(str(path))
    return wrong


def every(paths: list[Path], root: Path = PACKAGE) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=[str(path.relative_to(root)) for path in paths])


# --- the rooms ----------------------------------------------------------------------------------------------------


@every([path for path in SOURCES if path != FACE])
def test_imports_point_down(path: Path) -> None:
    module = name_of(path)
    assert room_of(module) in KNOWS, "a new room: say in KNOWS, and in ARCHITECTURE.md, who it is and whom it knows"
    assert not trespasses(module, path.read_text())


def test_the_face_loads_what_is_asked_for_and_has_what_it_says() -> None:
    program = (
        "import sys, myagent; assert not [name for name in sys.modules if name.startswith('myagent.')]\n"
        "assert set(myagent.__all__) <= set(dir(myagent)); [getattr(myagent, name) for name in myagent.__all__]\n"
        "assert not hasattr(myagent, 'nothing_of_that_name')"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    typed = {
        alias.asname
        for node in ast.walk(ast.parse(FACE.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed - {None} == set(myagent.__all__) - {"__version__"}


def test_no_room_knows_one_above_it() -> None:
    above: set[str] = set()
    for room, knows in KNOWS.items():
        assert not knows & (above | {room}), room
        assert knows <= KNOWS.keys(), room
        assert room == "myagent" or exists(f"myagent.{room}"), "a room that is no longer there"
        above.add(room)


def test_adapters_of_a_port_do_not_know_each_other() -> None:
    for port in ADAPTERS:
        for adapter in port:
            text = PACKAGE.joinpath(*adapter.split(".")).with_suffix(".py").read_text()
            others = {f"myagent.{other}" for other in port if other != adapter}
            assert others.isdisjoint(imports_of(text)), adapter


@every(sorted((PACKAGE / "core").glob("*.py")))
def test_core_waits_for_nothing_and_touches_nothing(path: Path) -> None:
    assert not impurities(path.read_text())


@every(SOURCES)
def test_a_file_says_its_purpose_first_and_is_not_long(path: Path) -> None:
    text = path.read_text()
    assert text.startswith(('"""', 'r"""'))
    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= LINES


def test_tests_stand_in_the_room_that_they_test() -> None:
    assert misplaced({path.relative_to(TESTS): set(imports_of(path.read_text())) for path in TEST_FILES}) == []


@every(CORE_TESTS, CORE_TESTS[0].parent)
def test_tests_of_core_need_no_loop_no_mock_and_no_sleep(path: Path) -> None:
    text = path.read_text()
    tops = {name.partition(".")[0] for name in imports_of(text)}
    assert not tops & {"asyncio", "unittest", "time", "threading", "random"}
    assert not impurities(text)
    names = {node.arg for node in ast.walk(ast.parse(text)) if isinstance(node, ast.arg)}
    assert not names & {"monkeypatch", "mocker", "tmp_path"}


# --- negative controls --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("myagent.core.session", "import time"),
        ("myagent.core.session", "from datetime import datetime"),
        ("myagent.core.session", "import logging"),
        ("myagent.core.session", "def f():\n    import asyncio"),
        ("myagent.core.session", "from myagent.eventlog import Stored"),
        ("myagent.core.session", "from myagent import eventlog"),
        ("myagent.exceptions", "from myagent.core.messages import Event"),
        ("myagent.eventlog.sqlite", "from myagent.agents import Agent"),
        ("myagent.agents.acp.host", "if TYPE_CHECKING:\n    from myagent.host.host import Host"),
        ("myagent.delivery.fanout", "from myagent.server.connection import Connection"),
        ("myagent.host.host", "from myagent.server.server import Server"),
        ("myagent.host.host", "import websockets"),
        ("myagent.host.host", "from websockets.server import ServerProtocol"),
        ("myagent.server.connection", "import sqlite3"),
        ("myagent.client.view", "from myagent.host.host import Host"),
        ("myagent.server.server", "import requests"),
    ],
)
def test_a_trespass_is_found(module: str, text: str) -> None:
    assert trespasses(module, text)


@pytest.mark.parametrize(
    ("path", "imports"),
    [
        ("delivery/test_host.py", {"myagent.host.host"}),
        ("lane/test_lane.py", {"myagent.host.host"}),
        ("test_host.py", {"myagent.host.host"}),
    ],
)
def test_a_misplaced_test_is_found(path: str, imports: set[str]) -> None:
    files = {path.relative_to(TESTS): set(imports_of(path.read_text())) for path in TEST_FILES}
    assert misplaced({**files, Path(path): imports}) == [path]
    without = {name: imports for name, imports in files.items() if name.parts[0] != "delivery"}
    assert misplaced(without) == ["delivery has no tests"]


@pytest.mark.parametrize("text", ["async def f(): ...", "def f():\n    print(1)", "x = open('f')"])
def test_an_impurity_is_found(text: str) -> None:
    assert impurities(text)
