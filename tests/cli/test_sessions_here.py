"""`invite` and `audit` take a part of an id, or the latest, as everything does; also when no server runs."""

from __future__ import annotations

import json
from typing import Any

import pytest


@pytest.fixture
def shared(serve: Any, myagent: Any) -> tuple[Any, list[str]]:
    """A server with two sessions, the latest first."""
    serving = serve()
    names = []
    for prompt in ("help", "glob *"):
        said = myagent("remote", "client", "--url", serving.url, "--prompt", prompt)
        names.append(said.stderr.partition("session: ")[2].split()[0])
    return serving, names[::-1]


def records(said: Any) -> set[str]:
    return {json.loads(line)["session"] for line in said.stdout.splitlines()}


def test_a_part_of_an_id_and_the_latest_are_enough(shared: Any, myagent: Any) -> None:
    serving, (latest, first) = shared
    here = ("--cwd", str(serving.directory))
    for wanted, meant in ((first[-8:], first), ("@latest", latest), (latest, latest)):
        made = json.loads(myagent("remote", "invite", "--session", wanted, "--json", *here).stdout)
        assert made["sessionId"] == meant
        assert records(myagent("remote", "audit", "--session", wanted, "--json", *here)) == {meant}


def test_so_it_is_without_a_server_and_for_what_was_deleted(shared: Any, myagent: Any) -> None:
    serving, (latest, first) = shared
    here = ("--cwd", str(serving.directory))
    assert myagent("remote", "delete", first, "--yes", "--url", serving.url).returncode == 0
    serving.stop()
    made = json.loads(myagent("remote", "invite", "--session", latest[-8:], "--json", *here).stdout)
    assert made["sessionId"] == latest
    assert records(myagent("remote", "audit", "--session", first[-8:], "--json", *here)) == {first}


@pytest.mark.parametrize("command", ["invite", "audit"])
def test_what_is_none_and_what_could_be_two_is_said(shared: Any, myagent: Any, command: str) -> None:
    serving, _ = shared
    here = ("--cwd", str(serving.directory))
    none = myagent("remote", command, "--session", "nothing", *here)
    assert (none.returncode, none.stdout) == (3, "")
    assert "there is no session nothing" in none.stderr
    both = myagent("remote", command, "--session", "remote_", *here)
    assert (both.returncode, both.stdout) == (3, "")
    assert "could be 2 sessions" in both.stderr
