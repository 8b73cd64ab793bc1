"""Every command that goes to a server, with every way in which that fails: one clear line, and the same exit code."""

from __future__ import annotations

import importlib
import io
from pathlib import Path
from typing import Any

import pytest

from myagent.cli.parser import make_parser

COMMANDS = {
    "client": ["client"],
    "prompt": ["client", "--prompt", "help"],
    "attach": ["attach"],
    "plain": ["attach", "--plain"],
    "sessions": ["sessions"],
    "export": ["export", "remote_none", "--format", "md"],
    "replay": ["replay", "remote_none"],
}
FAILURES = {
    "a wrong token": (["--url", "URL", "--token", "w" * 43], 3, "the token is wrong, expired or revoked (401)"),
    "no token at all": (["--url", "URL", "--token", "two words"], 3, "that is no token: "),
    "no server": (["--url", "ws://127.0.0.1:1", "--token", "t"], 3, "ws://127.0.0.1:1: no server is listening there"),
    "a wrong URL": (["--url", "ftp://127.0.0.1:1", "--token", "t"], 2, "its scheme is not ws, wss, http or https"),
    "plain": (
        ["--url", "ws://192.0.2.1:1", "--token", "secret"],
        3,
        "will not send the token unencrypted to 192.0.2.1",
    ),
    "no TLS there": (["--url", "WSS", "--token", "t"], 3, "cannot connect to wss://"),
    "no name": (["--remote", "nowhere"], 3, "there is no connection named nowhere"),
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def told(done: Any) -> str:
    """The one line that a failure may print."""
    assert done.stdout == ""
    assert done.stderr.startswith("[remote] ") and done.stderr.count("\n") == 1, done.stderr
    return str(done.stderr)


def test_what_fails_is_one_clear_line(serve: Any, inside: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)  # the full-screen client is refused without a terminal
    serving = serve()
    for name, command in COMMANDS.items():
        stdin = Terminal() if name == "attach" else io.StringIO()
        for failure, (options, code, line) in FAILURES.items():
            addressed = [each.replace("URL", serving.url).replace("WSS", f"wss{serving.url[2:]}") for each in options]
            done = inside("remote", *command, *addressed, stdin=stdin, XDG_CONFIG_HOME=str(tmp_path / "home"))
            assert line in told(done), (name, failure)
            assert done.returncode == code, (name, failure)
            assert "secret" not in done.stderr


def test_a_session_that_is_not_there(serve: Any, inside: Any) -> None:
    serving = serve()
    named = {"client", "prompt", "plain"}
    for name, command in COMMANDS.items():
        if name in ("sessions", "attach"):  # the full-screen client needs a terminal: tests/tui/test_tmux.py
            continue
        session = ["--session", "remote_none"] if name in named else []
        done = inside("remote", *command, *session, "--url", serving.url, "--token", _token(serving))
        assert done.returncode == 3, name
        assert done.stderr.splitlines()[-1] == "[remote] there is no session remote_none on that server", name


def test_a_follower_cannot_prompt(serve: Any, inside: Any) -> None:
    serving = serve()
    done = inside(
        "remote", "client", "--role", "follower", "--prompt", "help", "--url", serving.url, "--token", _token(serving)
    )
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].startswith("[remote] read-only follower: ")


def test_every_command_finds_what_runs_it() -> None:
    def runs(parser: Any) -> Any:
        subparsers = [action for action in parser.filled()._actions if hasattr(action, "_choices_actions")]
        if not subparsers:
            yield parser.get_default("run")
        for action in subparsers:
            for each in action.choices.values():
                yield from runs(each)

    named = list(runs(make_parser()))
    assert len(named) > 15
    for run in named:
        module, _, function = run.partition(":")
        assert callable(getattr(importlib.import_module(f"myagent.cli.{module}"), function)), run


def _token(serving: Any) -> str:
    import json

    return str(json.loads((serving.directory / ".myagent/remote/auth.json").read_text())["token"])


def test_a_refused_prompt_says_who_owns_and_a_watcher_that_owns_is_told(
    serve: Any, terminal: Any, myagent: Any, tmp_path: Path
) -> None:
    serve()
    watcher = terminal("remote", "client", "--label", "anna", cwd=tmp_path)
    watcher.read_until("--role follower watches without owning")
    refused = myagent("remote", "client", "--prompt", "help")
    assert refused.returncode == 3
    assert "(anna): try again when it has left" in refused.stderr
    watcher.type("\x03")
    assert watcher.finish() == 0
    assert watcher.text.endswith("^C"), "and the prompt of the shell begins on a new line"
    assert watcher.raw.endswith(b"\n")
    assert myagent("remote", "client", "--prompt", "help").returncode == 0


def test_a_wrong_token_from_a_file_names_the_file(serve: Any, inside: Any, tmp_path: Path) -> None:
    serving = serve()
    other = tmp_path / "other"
    serve(directory=_made(other))
    done = inside("remote", "client", "--url", serving.url, cwd=other)
    assert f"(401); the token is that of {other}/.myagent/remote/auth.json" in told(done)
    assert "auth.json" not in told(inside("remote", "client", "--url", serving.url, "--token", "w" * 43, cwd=other))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("remote serve --port abc", "argument --port: 'abc' is not a port"),
        ("remote client --promt=secret", "unknown option --promt; did you mean --prompt?"),
        ("remote serve --allow-bypass=1", "--allow-bypass takes no value"),
        ("remote clint", "there is no 'clint'; did you mean client?"),
        ("remote audit mend", "there is no 'mend'; there is: show, verify"),
        ("remote audit verify --head abc", "--head takes a hash"),
        ("remote client surplus", "unexpected argument 'surplus'"),
    ],
)
def test_wrong_usage_is_one_line_and_where_to_look(inside: Any, arguments: str, line: str) -> None:
    done = inside(*arguments.split())
    assert done.returncode == 2
    first, second = done.stderr.splitlines()
    assert line in first and "secret" not in done.stderr
    assert second.startswith("see: myagent remote") and second.endswith(" --help")


@pytest.mark.parametrize("arguments", [[], ["remote"], ["remote", "token"]], ids=str)
def test_a_group_alone_shows_its_help(inside: Any, arguments: list[str]) -> None:
    done = inside(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == inside(*arguments, "--help").stdout


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
