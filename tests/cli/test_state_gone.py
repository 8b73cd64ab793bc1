"""The state directory is deleted under a running server: it notices, says so, takes nothing more, and stays alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import MYAGENT, PATIENCE, Serving, environment

from myagent.access.state_directory import StateDir
from myagent.eventlog.database import Identity

OPEN = ("--allow-bypass", "--permission-mode", "bypassPermissions")


def run(*arguments: str, cwd: Path, token: str = "") -> subprocess.CompletedProcess[str]:
    variables = {"MYAGENT_REMOTE_TOKEN": token} if token else {}
    return subprocess.run(
        [*MYAGENT, *arguments], cwd=cwd, env=environment(**variables), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=PATIENCE,
    )  # fmt: skip


def token_of(directory: Path) -> str:
    return str(json.loads((directory / ".myagent/remote/auth.json").read_text())["token"])


def git(directory: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=directory, check=True, capture_output=True, text=True).stdout


def read_until(serving: Serving, words: str) -> str:
    """What the server says on its stderr, up to a line with these words."""
    assert serving.process.stderr is not None
    said = ""
    for line in serving.process.stderr:
        said += line
        if words in line:
            return said
    raise AssertionError(said)


def delete(directory: Path) -> None:
    while (directory / ".myagent").exists():  # the server may lay a file in it just then
        shutil.rmtree(directory / ".myagent", ignore_errors=True)


def move_away(directory: Path) -> None:
    (directory / ".myagent").rename(directory / "moved")


def replace(directory: Path) -> None:
    """What `git stash -a` and back, a restored backup or a copy does: other files, with the same names and content."""
    shutil.copytree(
        directory / ".myagent", directory / "copy", ignore=lambda where, names: [n for n in names if "sock" in n]
    )
    delete(directory)
    (directory / "copy").rename(directory / ".myagent")


def delete_log(directory: Path) -> None:
    (directory / ".myagent/remote/sessions.db").unlink()


def delete_wal(directory: Path) -> None:
    (directory / ".myagent/remote/sessions.db-wal").unlink()


@pytest.mark.parametrize("lose", [delete, move_away, replace, delete_log, delete_wal])
def test_a_server_without_its_state_says_so_and_takes_nothing_more(
    serve: Callable[..., Serving], tmp_path: Path, lose: Callable[[Path], None]
) -> None:
    serving = serve(*OPEN)
    token = token_of(tmp_path)
    first = run("client", "--prompt", "!echo before", "--url", serving.url, cwd=tmp_path, token=token)
    assert first.returncode == 0
    lose(tmp_path)
    # Nobody asks it anything: it notices by itself.
    assert "nothing more can be stored" in read_until(serving, "CRITICAL")
    refused = run("client", "--prompt", "!touch ran", "--url", serving.url, cwd=tmp_path, token=token)
    assert refused.returncode == 3 and "was deleted or replaced: nothing can be stored" in refused.stderr
    assert not (tmp_path / "ran").exists()
    # What was said before can be had.
    session = first.stderr.partition("session: ")[2].split()[0]
    exported = run("remote", "export", session, "--format", "md", "--url", serving.url, cwd=tmp_path, token=token)
    assert "before" in exported.stdout, exported.stderr
    # No other server starts here, whatever is or is not in its place.
    second = run("serve", "--port", "0", cwd=tmp_path)
    assert second.returncode == 3 and f"another server (process {serving.process.pid}) already shares" in second.stderr
    code, _, errors = serving.stop()
    assert code == 3 and "Traceback" not in errors
    if lose in (delete, move_away):
        again = serve()
        again.stop()


def test_a_turn_that_runs_is_stopped_and_its_client_told(serve: Callable[..., Serving], tmp_path: Path) -> None:
    serving = serve(*OPEN)
    with subprocess.Popen(
        [*MYAGENT, "client", "--prompt", "!touch begun; sleep 600"],
        cwd=tmp_path, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    ) as client:  # fmt: skip
        assert client.stderr is not None
        for line in client.stderr:
            if "session: " in line:
                break
        delete(tmp_path)
        said = client.stderr.read()
        assert client.wait(PATIENCE) == 1
    assert "was deleted or replaced" in said
    read_until(serving, "CRITICAL")


def test_git_clean_passes_over_the_state(serve: Callable[..., Serving], tmp_path: Path) -> None:
    """`git clean -fdx`, as agents run it, takes nothing that matters; to git there is nothing here besides."""
    git(tmp_path, "init", "-q")
    serving = serve(*OPEN)
    (tmp_path / "build").write_text("")
    git(tmp_path, "add", "-A")
    assert git(tmp_path, "status", "--short").split() == ["A", "build"]
    git(tmp_path, "rm", "-q", "--cached", "build")
    git(tmp_path, "clean", "-fdx")
    assert not (tmp_path / "build").exists()
    assert run("client", "--prompt", "!echo after", cwd=tmp_path).stdout == "after\n"
    code, _, _ = serving.stop()
    assert code == 0
    serve()
    assert git(tmp_path, "status", "--short") == ""  # what hides it from git is back


def test_a_second_server_is_refused_also_when_nothing_names_the_first(tmp_path: Path) -> None:
    first = StateDir(tmp_path)
    first.open()
    try:
        delete(tmp_path)
        done = run("serve", "--port", "0", cwd=tmp_path)
        assert done.returncode == 3 and f"process {os.getpid()}" in done.stderr
        assert not (tmp_path / ".myagent").exists()
    finally:
        first.close()


def test_the_check_notices_a_server_that_does_not_look(tmp_path: Path) -> None:
    """Negative control: with its look at the files taken out, a server acknowledges what is nowhere."""
    blind = (
        "from myagent.eventlog.database import Identity; Identity.check = lambda self: None;"
        "from myagent.__main__ import main; main()"
    )
    assert callable(Identity.check)
    with subprocess.Popen(
        [sys.executable, "-c", blind, "serve", "--port", "0", *OPEN],
        cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        token = token_of(tmp_path)
        delete(tmp_path)
        done = run("client", "--prompt", "!echo lost", "--url", url, cwd=tmp_path, token=token)
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
    assert done.returncode == 0 and done.stdout == "lost\n"
