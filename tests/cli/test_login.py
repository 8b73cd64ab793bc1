"""Connections by name: kept privately, checked when made, used everywhere, forgotten; with a keyring and without."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

WITHOUT_KEYRING = {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
HELP = ("remote", "client", "--prompt", "help")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def run(myagent: Any, home: Path, tmp_path: Path) -> Any:
    """Run `myagent` as a user whose configuration is in `home`, away from the directory that is served."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def run(*arguments: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        variables = {"XDG_CONFIG_HOME": str(home), **WITHOUT_KEYRING, **variables}
        done: subprocess.CompletedProcess[str] = myagent(*arguments, cwd=elsewhere, stdin=stdin, **variables)
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def serving(serve: Any, tmp_path: Path) -> Any:
    directory = tmp_path / "served"
    directory.mkdir()
    return serve(directory=directory)


def token_of(serving: Any) -> str:
    return str(json.loads((serving.directory / ".myagent/remote/auth.json").read_text())["token"])


def test_a_connection_is_kept_used_listed_and_forgotten(run: Any, serving: Any, home: Path) -> None:
    token = token_of(serving)
    made = run("remote", "login", "work", "--url", serving.url, "--token-stdin", stdin=token + "\n")
    assert made.returncode == 0, made.stderr
    path = home / "myagent/remotes/work.json"
    assert made.stderr == f"[remote] work is {serving.url}; its token is in the file {path}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert run(*HELP, "--remote", "work").returncode == 0
    assert "completed" in run("remote", "sessions", "--remote", "work").stdout
    assert run("remote", "remotes").stdout == f"work  {serving.url}  token in file\n"
    listed = run("remote", "remotes", "--json").stdout
    assert json.loads(listed) == [{"name": "work", "url": serving.url, "token": "file"}]
    assert token not in listed + made.stderr
    assert run("remote", "logout", "work").returncode == 0
    assert not path.exists()
    gone = run(*HELP, "--remote", "work")
    assert gone.returncode == 3
    assert "there is no connection named work" in gone.stderr


def test_the_environment_names_a_server_and_a_token(run: Any, serving: Any) -> None:
    token = token_of(serving)
    assert run(*HELP, MYAGENT_REMOTE_URL=serving.url, MYAGENT_REMOTE_TOKEN=token).returncode == 0
    assert run(*HELP, MYAGENT_REMOTE_URL="ws://192.0.2.1:1", MYAGENT_REMOTE_TOKEN=token).returncode == 3
    chosen = run("remote", "sessions", "--url", serving.url, MYAGENT_REMOTE_URL="ftp://x", MYAGENT_REMOTE_TOKEN=token)
    assert chosen.returncode == 0
    assert run("remote", "sessions", MYAGENT_REMOTE_URL="ftp://x", MYAGENT_REMOTE_TOKEN=token).returncode == 2


def test_a_named_connection_is_not_sent_the_token_of_the_environment(run: Any, serving: Any) -> None:
    run("remote", "login", "work", "--url", serving.url, "--token-stdin", "--no-check", stdin="wrong" * 9)
    done = run("remote", "sessions", "--remote", "work", MYAGENT_REMOTE_TOKEN=token_of(serving))
    assert done.returncode == 3
    assert "token is wrong" in done.stderr


def test_a_wrong_token_is_found_when_it_is_given(run: Any, serving: Any, home: Path) -> None:
    done = run("remote", "login", "work", "--url", serving.url, "--token-stdin", stdin="w" * 43)
    assert done.returncode == 3
    assert "w" * 43 not in done.stderr
    assert not (home / "myagent").exists()


def test_a_token_does_not_travel_in_the_clear(run: Any) -> None:
    url = "ws://192.0.2.1:1"
    checked = run("remote", "login", "work", "--url", url, "--token-stdin", stdin="secret-token")
    assert checked.returncode == 3
    assert "unencrypted" in checked.stderr
    assert run("remote", "login", "work", "--url", url, "--no-check", "--token-stdin", stdin="secret").returncode == 0
    used = run("remote", "sessions", "--remote", "work")
    assert used.returncode == 3
    assert "unencrypted" in used.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["login", "../work", "--url", "ws://127.0.0.1:1", "--token-stdin"],
        ["login", "work", "--url", "ftp://127.0.0.1:1", "--token-stdin"],
        ["login", "work", "--url", "ws://127.0.0.1:1"],
        ["login", "work", "--url", "ws://127.0.0.1:1", "--token", "x"],
        ["login", "work"],
        ["logout", ".."],
        ["client", "--remote", "work", "--url", "ws://127.0.0.1:1"],
        ["client", "--remote", "work", "--port", "1"],
        ["sessions", "--remote", "a/b"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(run: Any, arguments: list[str]) -> None:
    done = run("remote", *arguments, stdin="secret")
    assert done.returncode == 2, done.stderr
    assert "secret" not in done.stderr


def test_a_file_that_others_can_read_is_not_used(run: Any, home: Path) -> None:
    run("remote", "login", "work", "--url", "ws://127.0.0.1:1", "--no-check", "--token-stdin", stdin="secret")
    os.chmod(home / "myagent/remotes/work.json", 0o644)
    for command in (["sessions", "--remote", "work"], ["remotes"], ["logout", "work"]):
        done = run("remote", *command)
        assert done.returncode == 3
        assert "can be read by others" in done.stderr


def test_a_file_that_is_not_ours_is_one_clear_line(run: Any, home: Path) -> None:
    run("remote", "login", "work", "--url", "ws://127.0.0.1:1", "--no-check", "--token-stdin", stdin="secret")
    for content in ("", "[]", '{"version": 2, "url": "u", "token": "t"}', '{"version": 1, "url": "u"}', "[" * 9999):
        (home / "myagent/remotes/work.json").write_text(content)
        done = run("remote", "sessions", "--remote", "work")
        assert done.returncode == 3
        assert done.stderr.count("\n") == 1
        assert "remove it, and login again" in done.stderr


def test_the_token_is_asked_for_and_not_shown(terminal: Any, home: Path, tmp_path: Path) -> None:
    variables = {"XDG_CONFIG_HOME": str(home), **WITHOUT_KEYRING}
    screen = terminal(
        "remote", "login", "work", "--url", "ws://127.0.0.1:1", "--no-check", cwd=tmp_path, **variables
    )  # fmt: skip
    screen.read_until("Token (it is not shown):")
    screen.type("secret-token\n")
    assert screen.finish() == 0
    assert "secret-token" not in screen.text
    assert json.loads((home / "myagent/remotes/work.json").read_text())["token"] == "secret-token"


def test_a_keyring_keeps_the_token_where_there_is_one(run: Any, serving: Any, home: Path, tmp_path: Path) -> None:
    pytest.importorskip("keyring")
    secrets, locked = tmp_path / "secrets.json", tmp_path / "secrets.locked"
    variables = {
        "PYTHON_KEYRING_BACKEND": "kept_keyring.KeptKeyring",
        "PYTHONPATH": str(Path(__file__).parent),
        "KEPT_KEYRING": str(secrets),
    }
    token = token_of(serving)
    made = run("remote", "login", "work", "--url", serving.url, "--token-stdin", stdin=token, **variables)
    assert made.stderr == f"[remote] work is {serving.url}; its token is in the system's keyring (kept)\n"
    assert token not in (home / "myagent/remotes/work.json").read_text()
    assert json.loads(secrets.read_text()) == {"myagent-remote/work": token}
    assert run("remote", "sessions", "--remote", "work", **variables).returncode == 0
    assert "keyring (kept)" in run("remote", "remotes", **variables).stdout
    without = run("remote", "sessions", "--remote", "work")
    assert without.returncode == 3
    assert "login again" in without.stderr
    locked.touch()
    refused = run("remote", "sessions", "--remote", "work", **variables)
    assert refused.returncode == 3
    assert "it is locked" in refused.stderr
    other = run("remote", "login", "other", "--url", serving.url, "--token-stdin", stdin=token, **variables)
    assert other.returncode == 0
    assert "did not take the token: it is locked" in other.stderr
    assert json.loads((home / "myagent/remotes/other.json").read_text())["token"] == token
    locked.unlink()
    assert run("remote", "logout", "work", **variables).returncode == 0
    assert json.loads(secrets.read_text()) == {}
