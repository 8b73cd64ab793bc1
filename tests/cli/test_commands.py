"""The command line on pipes: help, what is imported for it, exit codes, and one clear line for every failure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from myagent import __version__

HEAVY = ("asyncio", "websockets", "msgspec", "sqlite3", "ssl")
SERVE_OPTIONS = {
    "--agent", "--agent-option", "--allow-unsupervised", "--on-unasked", "--model", "--base-url", "--context", "--mcp",
    "--trust-directory", "--agent-idle", "--auth-method", "--asking-mode", "--plan-mode", "--sandbox",
    "--agent-user", "--takeover", "--pair",
    "--help", "--host", "--port", "--cwd", "--permission-mode", "--allow-bypass", "--owner-grace", "--on-owner-leave",
    "--permission-timeout", "--tls-cert", "--tls-key", "--insecure-plain", "--allow-origin", "--allowed-host",
    "--max-connections", "--retain-events", "--max-log", "--base-path", "--metrics-open", "--invite",
    "--approve-by", "--owner-away",
    "--notify", "--notify-after", "--notify-details", "--quiet", "--redact", "--credential-place",
    "--redact-known", "--no-redact-known", "--activity-quiet", "--stop-with-stdin",
    "--publish", "--name", "--publish-replicas", "--name-wait",
}  # fmt: skip
CLIENT_OPTIONS = {
    "--help", "--remote", "--url", "--host", "--port", "--token", "--ca", "--insecure-plain", "--prompt", "--session",
    "--after", "--role", "--label", "--permission-mode", "--raw", "--reconnect", "--no-reconnect", "--take-over",
    "--timestamps", "--continue", "--option", "--image", "--file",
}  # fmt: skip
SESSIONS_OPTIONS = {
    "--help", "--remote", "--url", "--host", "--port", "--token", "--ca", "--insecure-plain", "--json", "--all",
    "--search",
}  # fmt: skip


def one_line(text: str) -> str:
    """The one line that a failure may print."""
    assert "Traceback" not in text
    assert text.count("\n") == 1
    assert text.startswith("[remote] ")
    return text


def options(help_text: str) -> set[str]:
    lines = help_text.partition("\noptions:\n")[2].partition("\n\n")[0].splitlines()
    named = [word.strip(",") for line in lines if line.startswith("  -") for word in line.split("  ")[1].split()]
    return {word for word in named if word.startswith("--")}


def test_help_lists_every_command(myagent: Any) -> None:
    shown = myagent("--help").stdout
    for command in ("myagent serve", "myagent client", "myagent sessions", "myagent remote --help"):
        assert command in shown
    commands = set(myagent("remote", "--help").stdout.partition("{")[2].partition("}")[0].split(","))
    assert commands >= {"serve", "client", "sessions", "invite", "invites", "revoke", "token", "audit", "doctor"}


@pytest.mark.parametrize(
    ("command", "expected"), [("serve", SERVE_OPTIONS), ("client", CLIENT_OPTIONS), ("sessions", SESSIONS_OPTIONS)]
)
def test_help_of_a_command_has_all_options_examples_and_exit_codes(
    myagent: Any, command: str, expected: set[str]
) -> None:
    shown = myagent("remote", command, "--help", COLUMNS="200").stdout
    assert options(shown) == expected
    assert "examples:" in shown
    assert "exit codes:" in shown


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["remote", "client", "--help"], ["remote", "serve", "-h"]]
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom myagent.__main__ import main\ntry: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        f"sys.exit(' '.join(set(sys.modules) & set({HEAVY!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.stderr.strip() == ""


def test_version(myagent: Any) -> None:
    assert myagent("--version").stdout == f"myagent {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["remote"],
        ["remote", "dance"],
        ["remote", "client", "--url", "ws://127.0.0.1:1", "--port", "1"],
        ["remote", "client", "--after", "3"],
        ["remote", "client", "--prompt", " "],
        ["remote", "client", "--permission-mode", "--option", "plan"],
        ["remote", "client", "--token", "x", "--url", "ftp://127.0.0.1:1"],
        ["remote", "client", "--port", "70000"],
        ["remote", "sessions", "--token", "x", "--url", "ws://"],
        ["remote", "serve", "--port", "-1"],
        ["remote", "serve", "--cwd", "nowhere"],
        ["remote", "serve", "--tls-cert", "cert.pem"],
        ["remote", "serve", "--permission-mode", "--option", "bypassPermissions"],
        ["remote", "serve", "--owner-grace", "soon"],
        ["remote", "serve", "--host", "0.0.0.0", "--port", "0"],
        ["remote", "serve", "--agent", "acp"],
        ["remote", "serve", "--redact", "("],
        ["remote", "serve", "--redact", "x*"],
        ["remote", "invite", "--expires", "soon"],
        ["remote", "invite", "--uses", "0"],
        ["remote", "revoke"],
        ["remote", "token"],
        ["remote", "audit", "mend"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(myagent: Any, arguments: list[str]) -> None:
    done = myagent(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr
    assert not done.stdout


def test_serve_announces_itself_at_once_and_stops_in_time(serve: Any) -> None:
    serving = serve()
    port = serving.url.rpartition(":")[2]
    assert serving.lines == [
        f"[remote] listening ws://127.0.0.1:{port}",
        f"[remote] directory {serving.directory}",
        "[remote] agent command (no model configured: command mode)",
        "[remote] wall same user: the agent could read the owner token from disk",
        f"[remote] auth file {serving.directory}/.myagent/remote/auth.json",
        f"[remote] page http://127.0.0.1:{port}/ "
        "(owner: paste the token of the auth file; others: myagent remote invite)",
        f"[remote] connect with: myagent remote client --url ws://127.0.0.1:{port}",
    ]
    assert int(port) > 0
    assert serving.stop(signal.SIGINT) == (0, "[remote] stopping\n", "")


def test_two_servers_in_one_directory(serve: Any, myagent: Any) -> None:
    serving = serve()
    done = myagent("remote", "serve", "--port", "0")
    assert done.returncode == 3
    assert str(serving.process.pid) in one_line(done.stderr)


def test_a_port_in_use(serve: Any, myagent: Any, tmp_path: Path) -> None:
    serving = serve()
    other = tmp_path / "other"
    other.mkdir()
    done = myagent("remote", "serve", "--port", serving.url.rpartition(":")[2], "--cwd", str(other))
    assert done.returncode == 3
    assert "in use" in one_line(done.stderr)


def test_a_pipe_gets_the_agent_alone(serve: Any, myagent: Any) -> None:
    serving = serve()
    (serving.directory / "a.txt").write_text("content of a\n")
    done = myagent("remote", "client", "--url", serving.url, "--prompt", "read a.txt")
    assert done.returncode == 0
    assert done.stdout == "content of a\n"
    assert all(line.startswith("[remote] ") for line in done.stderr.splitlines())
    assert "[remote] role: owner" in done.stderr


def test_the_exit_code_is_1_when_the_turn_failed(serve: Any, myagent: Any) -> None:
    serving = serve()
    assert myagent("remote", "client", "--url", serving.url, "--prompt", "read nothing.txt").returncode == 1


def test_without_a_terminal_a_permission_is_denied_at_once_and_said(serve: Any, myagent: Any) -> None:
    serving = serve()
    done = myagent("remote", "client", "--url", serving.url, "--prompt", "!touch made", stdin="y\n")
    assert done.returncode == 1
    assert "permission denied" in done.stderr
    assert "there is no terminal to ask on" in done.stderr
    assert not (serving.directory / "made").exists()


def test_a_session_is_continued_and_listed(serve: Any, myagent: Any) -> None:
    serving = serve()
    assert myagent("remote", "sessions", "--url", serving.url).stdout == "no sessions yet\n"
    first = myagent("remote", "client", "--url", serving.url, "--prompt", "help")
    session = first.stderr.partition("session: ")[2].split()[0]
    again = myagent("remote", "client", "--url", serving.url, "--session", session, "--prompt", "glob *")
    assert again.returncode == 0
    assert f"session: {session}" in again.stderr
    listed = json.loads(myagent("remote", "sessions", "--url", serving.url, "--json").stdout)
    assert [(entry["sessionId"], entry["state"]) for entry in listed] == [(session, "completed")]
    table = myagent("remote", "sessions", "--url", serving.url).stdout.splitlines()
    assert table[0].split() == ["SESSION", "STATE", "UPDATED", "EVENTS", "TITLE"]
    assert table[1].startswith(session)


def test_the_token_is_found_in_the_directory_above_in_the_environment_or_given(serve: Any, myagent: Any) -> None:
    serving = serve()
    below = serving.directory / "a" / "b"
    below.mkdir(parents=True)
    elsewhere = Path(os.path.realpath("/"))
    token = json.loads((serving.directory / ".myagent/remote/auth.json").read_text())["token"]
    ask = ("remote", "client", "--url", serving.url, "--prompt", "help")
    assert myagent(*ask, cwd=below).returncode == 0
    assert myagent(*ask, cwd=elsewhere, MYAGENT_REMOTE_TOKEN=token).returncode == 0
    assert myagent(*ask, "--token", token, cwd=elsewhere, MYAGENT_REMOTE_TOKEN="wrong").returncode == 0
    done = myagent(*ask, cwd=elsewhere)
    assert done.returncode == 3
    assert "no token" in one_line(done.stderr)


@pytest.mark.parametrize("command", [["client"], ["client", "--prompt", "help"], ["sessions"]])
def test_every_failure_to_connect_is_one_clear_line(serve: Any, myagent: Any, command: list[str]) -> None:
    serving = serve()
    wrong = myagent("remote", *command, "--url", serving.url, "--token", "w" * 43)
    assert wrong.returncode == 3
    assert "token" in one_line(wrong.stderr)
    plain = myagent("remote", *command, "--url", "ws://192.0.2.1:1", "--token", "secret-token")
    assert plain.returncode == 3
    assert "unencrypted" in one_line(plain.stderr)
    assert "secret-token" not in plain.stderr
    encrypted = myagent("remote", *command, "--url", serving.url.replace("ws:", "wss:"))
    assert encrypted.returncode == 3
    one_line(encrypted.stderr)
    serving.stop()
    gone = myagent("remote", *command, "--url", serving.url)
    assert gone.returncode == 3
    assert "no server is listening there" in one_line(gone.stderr)


def test_an_unknown_session_is_one_clear_line(serve: Any, myagent: Any) -> None:
    serving = serve()
    for more in ([], ["--prompt", "help"]):
        done = myagent("remote", "client", "--url", serving.url, "--session", "remote_none", *more)
        assert done.returncode == 3
        assert one_line(done.stderr) == "[remote] there is no session remote_none on that server\n"
