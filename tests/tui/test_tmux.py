"""The full-screen client as people run it: the real program in a real tmux, keys sent, the pane read."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import MYAGENT, Serving, environment

PATIENCE = 20.0

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


class Tmux:
    """A tmux server of its own, with a window of its own size for each client."""

    def __init__(self, directory: Path) -> None:
        self._socket = str(directory / "tmux.sock")
        self._directory = directory

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self._socket, "-f", "/dev/null", *arguments],
            capture_output=True, text=True, timeout=PATIENCE, env=environment(),
        )  # fmt: skip
        return done.stdout

    def open(self, name: str, width: int, height: int, *command: str, **variables: str) -> None:
        settings = [part for key, value in variables.items() for part in ("-e", f"{key}={value}")]
        self.run(
            "new-session", "-d", "-s", name, "-x", str(width), "-y", str(height), "-c", str(self._directory),
            *settings, f"{shlex.join(command)}; echo left with $?; cat",
        )  # fmt: skip

    def keys(self, name: str, *keys: str) -> None:
        self.run("send-keys", "-t", name, *keys)

    def text(self, name: str, *how: str) -> str:
        return self.run("capture-pane", "-p", "-t", name, *how)

    def until(self, name: str, wanted: str | Callable[[str], bool]) -> str:
        found = wanted if callable(wanted) else lambda text: wanted in text
        deadline = time.monotonic() + PATIENCE
        while not found(text := self.text(name)):
            assert time.monotonic() < deadline, f"{wanted} is not there:\n{text}"
            time.sleep(0.05)  # tmux tells nobody when a pane changes
        return text

    def close(self) -> None:
        self.run("kill-server")


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    server = Tmux(tmp_path)
    yield server
    server.close()


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    server = Serving(tmp_path)
    yield server
    server.stop()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60)])
def test_allow_deny_and_handing_over(tmux: Tmux, serving: Serving, width: int, height: int) -> None:
    attach = (*MYAGENT, "remote", "attach", "--url", serving.url)
    tmux.open("anna", width, height, *attach, "--label", "anna")
    tmux.until("anna", "OWNER")
    tmux.open("ben", width, height, *attach, "--label", "ben")
    tmux.until("ben", "owner: anna")
    tmux.keys("anna", "-l", "!echo made > made.txt")
    tmux.keys("anna", "Enter")
    asked = tmux.until("anna", "y allow")
    assert "Permission needed" in asked
    assert "| !echo made" in asked or "echo made > made.txt" in asked
    assert "waiting for the owner" in tmux.until("ben", "not yours: the owner answers")
    tmux.keys("anna", "y")
    tmux.until("anna", "Turn ended: exit 0")
    tmux.until("ben", "Permission allowed by anna")
    assert (serving.directory / "made.txt").read_text() == "made\n"
    tmux.keys("anna", "F3")
    tmux.until("anna", "Hand the ownership over to")
    tmux.keys("anna", "Down", "Enter")
    tmux.until("ben", "OWNER")
    tmux.until("anna", "owner: ben")
    tmux.keys("ben", "-l", "!rm made.txt")
    tmux.keys("ben", "Enter")
    tmux.until("ben", "y allow")
    tmux.keys("ben", "n")
    tmux.until("anna", "Permission denied by ben")
    tmux.until("ben", "Turn ended: exit 1")
    assert (serving.directory / "made.txt").exists()
    tmux.keys("ben", "C-q")
    tmux.until("ben", "left with 0")


def test_without_colour(tmux: Tmux, serving: Serving) -> None:
    attach = (*MYAGENT, "remote", "attach", "--url", serving.url)
    tmux.open("anna", 80, 24, *attach, NO_COLOR="1")
    tmux.until("anna", "OWNER")
    tmux.keys("anna", "-l", "write a.txt")
    tmux.keys("anna", "C-j")
    tmux.keys("anna", "-l", "one")
    tmux.keys("anna", "Enter")
    shown = tmux.until("anna", "y allow")
    assert "+one" in shown
    assert not _coloured(tmux.text("anna", "-e"))
    tmux.keys("anna", "y")
    tmux.until("anna", "Turn ended: exit 0")
    assert (serving.directory / "a.txt").read_text() == "one"


def _coloured(text: str) -> bool:
    """Whether anything but grey is asked for."""
    for red, green, blue in re.findall(r"[34]8;2;(\d+);(\d+);(\d+)", text):
        if not red == green == blue:
            return True
    return re.search(r"\x1b\[(?:\d+;)*[34][1-6]m", text) is not None


def test_failures_are_one_clear_line(tmux: Tmux, serving: Serving) -> None:
    for more, wanted in (
        (("--session", "remote_none"), "there is no session remote_none on that server"),
        (("--token", "w" * 43), "the token is wrong"),
    ):
        tmux.open("anna", 80, 24, *MYAGENT, "remote", "attach", "--url", serving.url, *more)
        tmux.until("anna", wanted)
        tmux.until("anna", "left with 3")
        tmux.run("kill-session", "-t", "anna")


def test_without_a_terminal_it_says_so(tmp_path: Path, serving: Any) -> None:
    done = subprocess.run(
        [*MYAGENT, "remote", "attach", "--url", serving.url],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr == "[remote] attach needs a terminal; with --plain it works without one\n"


def test_listings_keep_their_lines_and_can_be_copied(tmux: Tmux, serving: Serving) -> None:
    """Also in a session that this client began: who says it is known only when it is there."""
    attach = (*MYAGENT, "remote", "attach", "--url", serving.url)
    tmux.open("anna", 80, 24, *attach)
    tmux.until("anna", "OWNER")
    tmux.keys("anna", "-l", "help")
    tmux.keys("anna", "Enter")
    tmux.until("anna", lambda text: "\n  glob PATTERN           list files" in text)
    tmux.keys("anna", "F8")
    tmux.until("anna", "what the agent said last")
    tmux.keys("anna", "Enter")
    tmux.until("anna", "copied, to the buffer of tmux too")
    assert "\n  glob PATTERN           list files" in tmux.run("show-buffer")


def test_new_lines_in_a_prompt(tmux: Tmux, serving: Serving) -> None:
    tmux.open("anna", 80, 24, *MYAGENT, "remote", "attach", "--url", serving.url)
    tmux.until("anna", "OWNER")
    tmux.keys("anna", "-l", "write a.txt")
    tmux.keys("anna", "M-Enter")
    tmux.keys("anna", "-l", "one")
    tmux.keys("anna", "C-j")
    tmux.keys("anna", "-l", "two")
    tmux.keys("anna", "Enter")
    tmux.until("anna", "y allow")
    tmux.keys("anna", "y")
    tmux.until("anna", "Turn ended: exit 0")
    assert (serving.directory / "a.txt").read_text() == "one\ntwo"
