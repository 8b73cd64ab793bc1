"""Names and arguments that are no UTF-8, and names that shells split: refused in one line, or pasted back whole."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.cli.conftest import MYAGENT, PATIENCE, Serving, environment

from myagent.cli import pasting
from myagent.cli.pasting import quoted

BAD = b"w\xff"


def run(*arguments: bytes | str, cwd: bytes | str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*MYAGENT, *arguments], cwd=cwd, env=environment(), input=stdin, capture_output=True, timeout=PATIENCE
    )


def one_line(done: subprocess.CompletedProcess[bytes], code: int, *words: str) -> None:
    said = done.stderr.decode()
    assert done.returncode == code, said
    assert "Traceback" not in said and said.count("\n") <= 2
    for word in words:
        assert word in said


@pytest.mark.parametrize("arguments", [("remote", "serve", "--port", "0"), ("agent", "say hello")])
def test_a_directory_whose_name_is_not_utf8_is_refused_in_a_sentence(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    directory = os.fsencode(tmp_path) + b"/" + BAD
    os.mkdir(directory)
    one_line(run(*arguments, cwd=directory), 3, "w\\xff cannot be shared: its name is not UTF-8", "rename it")
    one_line(run(*arguments, "--cwd", directory, cwd=tmp_path), 3, "w\\xff cannot be shared")
    assert os.listdir(directory) == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("client", "--prompt", BAD), "--prompt"),
        (("client", "--label", BAD), "--label"),
        (("client", "--session", BAD), "--session"),
        (("attach", BAD), "LINK"),
        (("attach", "--session", BAD), "--session"),
        (("invite", "--label", BAD), "--label"),
        (("revoke", BAD), "ID"),
        (("login", BAD, "--url", "localhost"), "NAME"),
        (("serve", "--", BAD), "COMMAND"),
        (("serve", "--redact", BAD), "--redact"),
        (("export", BAD, "--format", "md"), "session"),
        (("audit", "--session", BAD), "--session"),
    ],
)
def test_an_argument_that_is_not_utf8_is_refused(
    serve: Callable[..., Serving], tmp_path: Path, arguments: tuple[bytes | str, ...], named: str
) -> None:
    serve()
    done = run("remote", *arguments, cwd=tmp_path)
    one_line(done, 2, named.lower() if named == "session" else named)


def test_a_prompt_on_standard_input_that_is_not_utf8_is_answered(serve: Callable[..., Serving], tmp_path: Path) -> None:
    serve("--allow-bypass", "--permission-mode", "bypassPermissions")
    done = run("remote", "client", "--prompt", "-", cwd=tmp_path, stdin=b"help \xff")
    assert "Traceback" not in done.stderr.decode() and done.returncode in (0, 1, 2)


@pytest.mark.parametrize("name", ["a b", "it's", '"x"', "👨‍💻", "new\nline", "-n", "$HOME", "\u202ereversed", "t\tb"])
def test_the_command_that_serve_prints_can_be_pasted(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    directory.mkdir()
    with subprocess.Popen(
        [*MYAGENT, "remote", "serve", "--port", "0", "--cwd", str(directory), "--invite"],
        cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True,
    ) as serving:  # fmt: skip
        assert serving.stdout is not None
        said = []
        for line in serving.stdout:
            said.append(line.rstrip("\n"))
            if "to end it" in line:
                break
        serving.terminate()
    connect = next(line for line in said if "connect with: " in line).partition("connect with: ")[2]
    revoke = said[-1].partition("to end it: ")[2]
    going = [connect.partition(" && ")[0], f"cd {revoke.partition(' --cwd ')[2]}"]
    for command in going:
        pasted = subprocess.run(["bash", "-c", f"{command} && pwd"], cwd=tmp_path, capture_output=True, check=True)
        assert pasted.stdout.decode() == f"{directory}\n"


_WORDS = st.binary(min_size=1, max_size=12).map(lambda raw: raw.replace(b"\0", b"'"))


@settings(max_examples=60, deadline=None)
@given(st.lists(_WORDS, min_size=1, max_size=20))
@example([b"=+", b"=", b"=ls", b"a=b", b"==", b"~", b"-n"])  # zsh: the path of a command
def test_every_word_comes_back_from_a_shell_as_it_was(words: list[bytes]) -> None:
    script = "printf '%s\\0' " + " ".join(quoted(os.fsdecode(word)) for word in words)
    script.encode()  # can be printed
    assert "\n" not in script
    for shell in ("bash", "zsh"):
        said = subprocess.run([shell, "-c", script], capture_output=True, check=True).stdout
        assert said.split(b"\0")[:-1] == words


def test_the_check_notices_a_word_that_is_only_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: what was printed before."""
    monkeypatch.setattr(pasting, "_written", lambda character: pasting.escape(character))
    said = subprocess.run(["bash", "-c", f"printf %s {quoted('a' + chr(0x200D))}"], capture_output=True, check=True)
    assert said.stdout.decode() != "a\u200d"
