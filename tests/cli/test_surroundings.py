"""Where it runs is not as expected: no home, no passwd entry, no leave to write, nobody who reads, a clock set back."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.cli.conftest import MYAGENT, PATIENCE, Serving, environment

from myagent.client.remotes import NoHome, directory
from myagent.core.session import Session
from myagent.host import session_store
from myagent.host.session_store import SessionStore

NOBODY = 54321  # a user id that no passwd entry has
# As that user, who may read what root keeps (this program, perhaps), and write nothing of it.
_READING = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
AS_NOBODY = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", *_READING]
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run as another user")


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A directory that every user can enter and nobody else can write."""
    with tempfile.TemporaryDirectory() as made:
        os.chmod(made, 0o755)
        yield Path(made)


def run(
    *arguments: str, cwd: Path | str, nobody: bool = False, stdin: str = "", **variables: str | None
) -> subprocess.CompletedProcess[str]:
    """A command; a variable that is `None` is not set."""
    kept = {name: value for name, value in {**environment(), **variables}.items() if value is not None}
    before = AS_NOBODY if nobody else []
    return subprocess.run(
        [*before, *MYAGENT, *arguments], cwd=cwd, env=kept, input=stdin, capture_output=True, text=True,
        timeout=PATIENCE,
    )  # fmt: skip


def one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 3, done
    assert done.stderr.count("\n") == 1 and done.stderr.startswith(("[remote] ", "[agent] ")), done.stderr
    for word in words:
        assert word in done.stderr


# --- files that cannot be used --------------------------------------------------------------------------------------


@root_only
def test_a_directory_that_may_not_be_written_is_named(open_to_all: Path) -> None:
    done = run("serve", "--port", "0", cwd=open_to_all, nobody=True)
    one_line(done, f"cannot use {open_to_all}/.myagent: Permission denied", "ls -ld")


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    for name, said in (("circle", "Too many levels of symbolic links"), ("long" * 100, "File name too long")):
        for command in (["serve"], ["agent", "hello"], ["remote", "invite"], ["remote", "audit"]):
            one_line(run(*command, "--cwd", name, cwd=tmp_path), f"cannot use the directory {name}: {said}")


def test_a_directory_that_no_user_may_write_is_named() -> None:
    done = run("serve", "--port", "0", "--cwd", "/sys/kernel", cwd="/")
    one_line(done, "/sys/kernel/.myagent")


def test_a_file_in_the_place_of_the_state_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / ".myagent").write_text("")
    one_line(run("serve", "--port", "0", cwd=tmp_path), f"{tmp_path}/.myagent is not a directory", "move it away")


@pytest.mark.parametrize(("made", "said"), [(None, "No such file"), ("directory", "Is a directory")])
@pytest.mark.parametrize("option", ["--tls-cert", "--tls-key"])
def test_a_tls_file_that_cannot_be_read_is_named(tmp_path: Path, option: str, made: str | None, said: str) -> None:
    good, bad = tmp_path / "good.pem", tmp_path / "bad.pem"
    good.write_text("x")
    if made is not None:
        bad.mkdir()
    other = {"--tls-cert": "--tls-key", "--tls-key": "--tls-cert"}[option]
    one_line(run("serve", "--port", "0", option, str(bad), other, str(good), cwd=tmp_path), option, str(bad), said)


@pytest.mark.parametrize("command", [["serve"], ["client"], ["sessions"], ["remote", "invite"], ["agent", "hello"]])
def test_a_directory_that_was_deleted_is_named(tmp_path: Path, command: list[str]) -> None:
    script = 'mkdir gone; cd gone; rmdir ../gone; exec "$@"'
    done = subprocess.run(
        ["bash", "-c", script, "bash", *MYAGENT, *command],
        cwd=tmp_path, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    one_line(done, "gone", "No such file")


# --- no home --------------------------------------------------------------------------------------------------------


@root_only
@pytest.mark.parametrize("home", [None, "", "relative"])
def test_without_a_home_connections_by_name_are_refused_in_a_line(open_to_all: Path, home: str | None) -> None:
    login = ["remote", "login", "x", "--url", "ws://127.0.0.1:1", "--no-check", "--token-stdin"]
    commands = [(["remote", "remotes"], ""), (login, "t" * 43), (["client", "--remote", "x"], "")]
    for command, stdin in commands:
        done = run(*command, cwd=open_to_all, nobody=True, stdin=stdin, HOME=home, XDG_CONFIG_HOME=None)
        one_line(done, "there is no home directory", "XDG_CONFIG_HOME")
    assert list(open_to_all.iterdir()) == []  # nothing was made where one happened to stand


@root_only
def test_without_a_home_a_server_runs(open_to_all: Path) -> None:
    os.chown(open_to_all, NOBODY, NOBODY)
    with subprocess.Popen(
        [*AS_NOBODY, *MYAGENT, "serve", "--port", "0"], cwd=open_to_all, env={"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as serving:  # fmt: skip
        assert serving.stdout is not None and serving.stderr is not None
        first = serving.stdout.readline()
        done = run("client", "--prompt", "help", cwd=open_to_all, nobody=True, HOME=None)
        serving.terminate()
        errors = serving.stderr.read()
    assert "listening" in first and done.returncode == 0, (done, errors)
    assert "Traceback" not in errors


@pytest.mark.parametrize("home", [None, "", "relative"])
def test_a_home_that_is_none_is_that_of_the_passwd_entry(monkeypatch: pytest.MonkeyPatch, home: str | None) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("HOME")
    expected = Path(os.path.expanduser("~")) / ".config/myagent/remotes"
    if home is not None:
        monkeypatch.setenv("HOME", home)
    try:
        assert directory() == expected
    except NoHome:
        assert not expected.is_absolute()
    monkeypatch.setenv("HOME", "/missing")
    assert directory() == Path("/missing/.config/myagent/remotes")


# --- limits, pipes, clocks ------------------------------------------------------------------------------------------


def test_a_command_of_an_agent_gets_the_file_limit_that_the_user_had(tmp_path: Path) -> None:
    """The server raises its own: every client is a file."""
    soft, hard = 600, resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with subprocess.Popen(
        ["bash", "-c", f'ulimit -Sn {soft}; exec "$@"', "bash", *MYAGENT, "serve", "--port", "0", "--allow-bypass",
         "--permission-mode", "bypassPermissions"],
        cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True,
    ) as serving:  # fmt: skip
        assert serving.stdout is not None
        assert "listening" in serving.stdout.readline()
        done = run("client", "--prompt", "!ulimit -Sn; ulimit -Hn", cwd=tmp_path)
        own = resource.prlimit(serving.pid, resource.RLIMIT_NOFILE)
        serving.terminate()
    assert done.stdout.split() == [str(soft), str(hard)]
    assert own == (hard, hard)  # negative control: without `file_limit` a command has this one


def test_a_server_whose_lines_nobody_reads_goes_on_and_says_so(tmp_path: Path) -> None:
    """`serve | head -1`"""
    with subprocess.Popen(
        [*MYAGENT, "serve", "--port", "0"],
        cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as serving:  # fmt: skip
        assert serving.stdout is not None and serving.stderr is not None
        serving.stdout.close()
        said = serving.stderr.readline()
        done = run("client", "--prompt", "help", cwd=tmp_path)
        serving.terminate()
        rest = serving.stderr.read()
    assert "nobody reads standard output any more" in said
    assert done.returncode == 0 and serving.returncode == 0
    assert "Traceback" not in rest


def test_a_clock_that_was_set_back_does_not_sort_what_is_new_below_what_is_old(
    serve: Callable[..., Serving], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = "import sys, time, datetime as d\nfrom myagent.host import session_store as s\n" \
        "s.now = lambda: s.iso(d.datetime.now(d.UTC) + d.timedelta(days=1))\n" \
        "from myagent.__main__ import main\nsys.exit(main())"  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", ahead, "serve", "--port", "0"],
        cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True,
    ) as early:  # fmt: skip
        assert early.stdout is not None
        assert "listening" in early.stdout.readline()
        run("client", "--prompt", "help old", cwd=tmp_path)
        early.terminate()
    serve()
    for title in ("help new", "help newer"):
        run("client", "--prompt", title, cwd=tmp_path)
    listed = [line for line in run("sessions", cwd=tmp_path).stdout.splitlines() if "help" in line]
    assert ["newer" in listed[0], "old" in listed[2]] == [True, True], listed


def test_a_stamp_is_never_before_the_last_change(monkeypatch: pytest.MonkeyPatch) -> None:
    class Latest(SessionStore):
        def __init__(self, latest: str) -> None:
            self._latest = latest

    store = Latest("2026-05-01T00:00:00.999Z")
    monkeypatch.setattr(session_store, "now", lambda: session_store.iso(datetime(2026, 4, 1, tzinfo=UTC)))
    assert [store.stamp(), store.stamp()] == ["2026-05-01T00:00:01.000Z", "2026-05-01T00:00:01.001Z"]
    monkeypatch.setattr(session_store, "now", lambda: session_store.iso(datetime(2026, 6, 1, tzinfo=UTC)))
    assert store.stamp() == "2026-06-01T00:00:00.000Z"
    assert "updated_at" in Session.__struct_fields__
