"""The real command line in real processes: a server in a fresh directory, and clients on pipes or on a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyte
import pytest

from myagent.__main__ import main

PATIENCE = 20.0  # seconds; a test that waits longer hangs
MYAGENT = [sys.executable, "-m", "myagent"]
WIDTH, HEIGHT = 200, 100


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MYAGENT_")}
    return {**kept, "TERM": "xterm-256color", "PYTHONWARNINGS": "error", **more}


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def reaped(process: subprocess.Popen[Any]) -> int:
    """The exit code of a program that is about to end; one that does not is killed, and fails the test."""
    try:
        return process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


class Serving:
    """A `myagent remote serve` that runs in `directory`; its lines up to the last of its announcement."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [*MYAGENT, "remote", "serve", "--port", "0", *options],
            cwd=directory, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.lines: list[str] = []
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if "connect with" in line:
                break
        else:
            raise AssertionError(self.process.communicate()[1])
        self.url = self.lines[0].removeprefix("[remote] listening ")

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            output, errors = self.process.communicate(timeout=PATIENCE)
        except BaseException:  # it does not end: nor is it left behind
            self.process.kill()
            self.process.communicate()
            raise
        return self.process.returncode, output, errors


class Terminal:
    """A program on a pseudo-terminal of its own, and what can be read on it."""

    def __init__(self, *arguments: str, cwd: Path, command: Sequence[str] = MYAGENT, **variables: str) -> None:
        self.screen = pyte.Screen(WIDTH, HEIGHT)
        self.raw = b""
        self._stream = pyte.ByteStream(self.screen)
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))

        def take_terminal() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [*command, *arguments], cwd=cwd, env=environment(**variables), stdin=slave, stdout=slave, stderr=slave,
            preexec_fn=take_terminal,
        )  # fmt: skip
        os.close(slave)

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip("\n")

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def read_until(self, wanted: Callable[[str], bool] | str) -> str:
        """Read until the screen shows something; return the screen."""
        found = wanted if callable(wanted) else lambda text: wanted in text
        deadline = time.monotonic() + PATIENCE
        while not found(self.text):
            assert time.monotonic() < deadline, self.text
            if not self._read(deadline):
                assert found(self.text), self.text
        return self.text

    def finish(self) -> int:
        """Read to the end; return the exit code."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            assert time.monotonic() < deadline, self.text
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO: the program has ended
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    with contextlib.ExitStack() as stack:

        def start(*options: str, directory: Path = tmp_path) -> Serving:
            serving = Serving(directory, *options)
            stack.callback(serving.stop)
            return serving

        yield start


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, cwd: Path, command: Sequence[str] = MYAGENT, **variables: str) -> Terminal:
            opened = Terminal(*arguments, cwd=cwd, command=command, **variables)
            stack.callback(opened.close)
            return opened

        yield start


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Done]:
    """The same as `myagent`, in this process: faster, for what needs no terminal and no process of its own."""
    for name in [name for name in os.environ if name.startswith("MYAGENT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: str, cwd: Path = tmp_path, stdin: str | io.StringIO = "", **variables: str) -> Done:
        with monkeypatch.context() as here:
            here.chdir(cwd)
            here.setattr("sys.stdin", stdin if isinstance(stdin, io.StringIO) else io.StringIO(stdin))
            for name, value in variables.items():
                here.setenv(name, value)
            capsys.readouterr()
            try:
                code = main(arguments)
            except SystemExit as left:
                code = int(left.code or 0)
            output, errors = capsys.readouterr()
        return Done(code, output, errors)

    return run


@pytest.fixture
def myagent(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(
        *arguments: str, cwd: Path = tmp_path, stdin: str = "", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*MYAGENT, *arguments],
            cwd=cwd, env=environment(**variables), input=stdin, capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip

    return run


@pytest.fixture
def writing_to(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The same as `myagent`, with a standard output of one's own, buffered as for users."""

    def run(output: int, *arguments: str) -> subprocess.CompletedProcess[str]:
        surroundings = environment(XDG_CONFIG_HOME=str(tmp_path / "home"))
        surroundings.pop("PYTHONUNBUFFERED", None)
        return subprocess.run(
            [*MYAGENT, *arguments], cwd=tmp_path, env=surroundings,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, text=True, timeout=PATIENCE,
        )  # fmt: skip

    return run
