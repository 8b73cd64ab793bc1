"""Completion, in the parsers' own words and in real shells; and the page of the command line, held to the parsers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from myagent.cli.generators.completion import SCRIPTS, candidates
from myagent.cli.generators.reference import write
from myagent.cli.parser import make_parser

ROOT = Path(__file__).parents[2]


def complete(*words: str) -> list[str]:
    return [each.word for each in candidates(make_parser(), words)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("rem",), ["remote"]),
        (("remote", "se"), ["serve", "sessions"]),
        (("remote", "export", "x", "--format", ""), ["asciicast", "html", "jsonl", "md"]),
        (("remote", "export", "--format", "md", "x", "--out"), ["--output"]),
        (("remote", "client", "--role", "f"), ["follower"]),
        (("remote", "client", "--role=f"), ["--role=follower"]),
        (("remote", "token", ""), ["rotate"]),
        (("completion", ""), ["bash", "fish", "zsh"]),
        (("remote", "client", "--prompt", ""), []),
        (("remote", "dance", ""), []),
        (("remote", "login", "x", "--url", ""), []),
    ],
)
def test_words_are_completed(words: tuple[str, ...], expected: list[str]) -> None:
    assert complete(*words) == expected


def test_every_option_of_a_command_is_offered() -> None:
    offered = complete("remote", "attach", "--")
    assert {"--plain", "--session", "--remote", "--help"} <= set(offered)


def test_session_ids_and_names_are_offered(serve: Any, myagent: Any, tmp_path: Path) -> None:
    serving = serve()
    made = myagent("remote", "client", "--url", serving.url, "--prompt", "help")
    session = made.stderr.partition("session: ")[2].split()[0]
    for words in (("remote", "export"), ("remote", "attach", "--session"), ("remote", "replay")):
        given = (*words[:2], "--url", serving.url, *words[2:])
        assert myagent("__complete", *given, "").stdout == f"{session}\tcompleted: help\n"
    home = {"XDG_CONFIG_HOME": str(tmp_path / "home"), "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    login = ("remote", "login", "work", "--url", serving.url, "--token-stdin", "--no-check")
    assert myagent(*login, stdin="t" * 43, **home).returncode == 0
    assert myagent("__complete", "remote", "client", "--remote", "", **home).stdout == "work\n"
    assert myagent("__complete", "remote", "logout", "w", **home).stdout == "work\n"
    serving.stop()
    gone = myagent("__complete", "remote", "export", "--url", serving.url, "")
    assert (gone.returncode, gone.stdout.strip(), gone.stderr) == (0, "", "")


SHELLS = {
    "bash": (["bash", "--norc", "-i"], "PS1='$ '; source ./script"),
    "zsh": (["zsh", "-f", "-i"], "PS1='$ '; fpath=($PWD $fpath); autoload -U compinit; compinit -u -D"),
    "fish": (["fish", "--no-config", "-i"], "function fish_prompt; printf '$ '; end; source ./script"),
}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_completes(shell: str, serve: Any, terminal: Any, inside: Any, tmp_path: Path) -> None:
    """In the shell itself, on a terminal: a word is typed, Tab is pressed, and the line becomes longer."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    serving = serve()
    session = (
        inside("remote", "client", "--url", serving.url, "--prompt", "help").stderr.partition("session: ")[2].split()[0]
    )
    (tmp_path / "myagent").write_text(f'#!/bin/sh\nexec {sys.executable} -m myagent "$@"\n')
    (tmp_path / "myagent").chmod(0o755)
    (tmp_path / "zebra.html").touch()
    for name in ("script", "_myagent"):
        (tmp_path / name).write_text(SCRIPTS[shell])
    home = {
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "home"),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }
    login = ("remote", "login", "workplace", "--url", serving.url, "--token-stdin", "--no-check")
    keyring = {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    assert inside(*login, stdin="t" * 43, XDG_CONFIG_HOME=home["XDG_CONFIG_HOME"], **keyring).returncode == 0
    command, setup = SHELLS[shell]
    typed = terminal(cwd=tmp_path, command=command, **home, **keyring)
    typed.type(f"{setup}\n")
    typed.read_until(lambda _: _line(typed) == "$ ")
    for words, whole in (
        ("remote exp", "remote export "),
        ("remote export x --format=h", "remote export x --format=html "),
        (f"remote export --url {serving.url} rem", f"remote export --url {serving.url} {session} "),
        ("remote client --remote wor", "remote client --remote workplace "),
        ("remote export x --output zeb", "remote export x --output zebra.html "),
    ):
        typed.type(f"myagent {words}\t")
        typed.read_until(lambda _, whole=whole: _line(typed).endswith(whole))
        typed.type("\x15\x03")
        typed.read_until(lambda _: _line(typed) == "$ ")
    typed.type("\x15exit\n")
    typed.finish()


def _line(typed: Any) -> str:
    """What is written on the line of the cursor, up to it."""
    return str(typed.screen.display[typed.screen.cursor.y][: typed.screen.cursor.x])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_itself_accepts_its_script(shell: str, tmp_path: Path, myagent: Any) -> None:
    script = myagent("completion", shell).stdout
    assert script == SCRIPTS[shell]
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    path = tmp_path / "script"
    path.write_text(script)
    done = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_page_is_what_the_parsers_say() -> None:
    """Write it anew with `python -m myagent.cli.generators.reference > docs/cli.md`."""
    assert (ROOT / "docs" / "cli.md").read_text() == write()


def test_every_command_has_examples_and_exit_codes() -> None:
    page = write()
    for part in page.split("\n## `")[1:]:
        assert "exit codes:" in part, part.splitlines()[0]
