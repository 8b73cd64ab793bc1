"""What is copied from a browser or from `invite` is understood by every command, also under a proxy's path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

HELP = ("remote", "client", "--prompt", "help")


@pytest.fixture(params=["", "/agent"])
def place(request: Any, serve: Any, tmp_path: Path) -> Any:
    """A server, where its page is, and the owner token."""
    directory = tmp_path / "served"
    directory.mkdir()
    serving = serve("--base-path", request.param, directory=directory) if request.param else serve(directory=directory)
    token = json.loads((directory / ".myagent/remote/auth.json").read_text())["token"]
    return serving, f"{serving.url.replace('ws', 'http')}{request.param}/", token


def test_every_form_of_an_address_leads_to_the_server(place: Any, myagent: Any, tmp_path: Path) -> None:
    serving, page, token = place
    path = page.partition("://")[2].rstrip("/")
    for url in (page, page.rstrip("/"), page.replace("http", "ws"), path):
        done = myagent(*HELP, "--url", url, cwd=tmp_path, MYAGENT_REMOTE_TOKEN=token)
        assert done.returncode == 0, (url, done.stderr)
        assert "completed" in myagent("remote", "sessions", "--url", url, "--token", token, cwd=tmp_path).stdout
    assert serving.process.poll() is None


def test_an_invites_link_is_all_that_a_command_needs(place: Any, myagent: Any, tmp_path: Path) -> None:
    serving, page, token = place
    assert myagent(*HELP, "--url", page, "--token", token, cwd=tmp_path).returncode == 0
    made = json.loads(myagent("remote", "invite", "--json", cwd=serving.directory).stdout)
    link = made["link"]
    assert link.startswith(page)
    [listed] = json.loads(myagent("remote", "sessions", "--json", "--url", link, cwd=tmp_path).stdout)
    exported = myagent("remote", "export", listed["sessionId"], "--format", "md", "--url", link, cwd=tmp_path)
    assert exported.returncode == 0
    assert "help" in exported.stdout
    refused = myagent(*HELP, "--url", link, cwd=tmp_path)
    assert refused.returncode == 3
    assert "follower" in refused.stderr
    both = myagent("remote", "sessions", "--url", link, "--token", token, cwd=tmp_path)
    assert both.returncode == 2
    assert "a token in the link already" in both.stderr
    for done in (refused, both):
        assert made["token"] not in done.stderr


def test_a_link_is_kept_by_name(place: Any, myagent: Any, tmp_path: Path) -> None:
    serving, _, _ = place
    link = json.loads(myagent("remote", "invite", "--json", cwd=serving.directory).stdout)["link"]
    home = {"XDG_CONFIG_HOME": str(tmp_path / "home"), "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    made = myagent("remote", "login", "work", "--url", link, cwd=tmp_path, **home)
    assert made.returncode == 0, made.stderr
    assert link.partition("#")[2] not in made.stderr
    assert myagent("remote", "sessions", "--remote", "work", cwd=tmp_path, **home).returncode == 0


def test_the_commands_of_every_day_are_there_without_remote(place: Any, myagent: Any, tmp_path: Path) -> None:
    serving, _, _ = place
    assert myagent("client", "--prompt", "help", cwd=serving.directory).returncode == 0
    assert "completed" in myagent("sessions", cwd=serving.directory).stdout
    for name in ("serve", "attach"):
        short, specified = myagent(name, "--help").stdout, myagent("remote", name, "--help").stdout
        assert short.partition("options:")[2] == specified.partition("options:")[2] != ""
