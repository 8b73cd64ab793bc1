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
    "a wrong URL": (["--url", "http://127.0.0.1:1", "--token", "t"], 2, "its scheme is not ws or wss"),
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
