"""Completion, in the parsers' own words and in real shells; and the page of the command line, held to the parsers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from myagent.cli.completion import SCRIPTS, candidates
from myagent.cli.parser import make_parser
from myagent.cli.reference import write

ROOT = Path(__file__).parents[2]


def complete(*words: str) -> list[str]:
    return candidates(make_parser(), words)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("rem",), ["remote"]),
        (("remote", "se"), ["serve", "sessions"]),
        (("remote", "export", "x", "--format", ""), ["asciicast", "html", "jsonl", "md"]),
        (("remote", "export", "--format", "md", "x", "--out"), ["--output"]),
        (("remote", "client", "--role", "f"), ["follower"]),
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
        assert myagent("__complete", *given, "").stdout == f"{session}\n"
    home = {"XDG_CONFIG_HOME": str(tmp_path / "home"), "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    login = ("remote", "login", "work", "--url", serving.url, "--token-stdin", "--no-check")
    assert myagent(*login, stdin="t" * 43, **home).returncode == 0
    assert myagent("__complete", "remote", "client", "--remote", "", **home).stdout == "work\n"
    assert myagent("__complete", "remote", "logout", "w", **home).stdout == "work\n"
    serving.stop()
    gone = myagent("__complete", "remote", "export", "--url", serving.url, "")
    assert (gone.returncode, gone.stdout.strip(), gone.stderr) == (0, "", "")


def test_bash_completes(tmp_path: Path) -> None:
    (tmp_path / "myagent").write_text(f'#!/bin/sh\nexec {sys.executable} -m myagent "$@"\n')
    (tmp_path / "myagent").chmod(0o755)
    script = f"""{SCRIPTS["bash"]}
PATH={tmp_path}:$PATH
for line in "remote exp" "remote export x --format a" "completion "; do
    read -r -a COMP_WORDS <<< "myagent $line"
    [[ $line == *" " ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
    _myagent
    echo "${{COMPREPLY[*]}}"
done
"""
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["export", "asciicast", "bash fish zsh"]


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
    """Write it anew with `python -m myagent.cli.reference > docs/cli.md`."""
    assert (ROOT / "docs" / "cli.md").read_text() == write()


def test_every_command_has_examples_and_exit_codes() -> None:
    page = write()
    for part in page.split("\n## `")[1:]:
        assert "exit codes:" in part, part.splitlines()[0]
