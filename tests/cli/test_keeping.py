"""`rename`, `archive` and `delete` against a real server, and the short names of sessions wherever one is named."""

from __future__ import annotations

import json
from typing import Any

import pytest


@pytest.fixture
def shared(serve: Any, myagent: Any) -> tuple[Any, list[str]]:
    """A server with two sessions, the older one first."""
    serving = serve()
    (serving.directory / "a.txt").write_text("content of a\n")
    sessions = []
    for prompt in ("read a.txt", "read b.txt"):
        told = myagent("remote", "client", "--url", serving.url, "--prompt", prompt).stderr
        sessions.append(told.partition("session: ")[2].split()[0])
    return serving, sessions


def listed(myagent: Any, serving: Any, *options: str) -> dict[str, str]:
    told = json.loads(myagent("remote", "sessions", "--json", "--url", serving.url, *options).stdout)
    return {each["sessionId"]: each["title"] for each in told}


def test_sessions_are_named_put_away_and_deleted(shared: Any, myagent: Any) -> None:
    serving, (first, second) = shared
    at = ("--url", serving.url)
    renamed = myagent("remote", "rename", *at, "@latest", "the second")
    assert (renamed.returncode, renamed.stdout) == (0, f"[remote] {second} is renamed\n")
    assert listed(myagent, serving) == {first: "read a.txt", second: "the second"}
    assert myagent("remote", "archive", *at, second).returncode == 0
    assert list(listed(myagent, serving)) == [first]
    assert set(listed(myagent, serving, "--all")) == {first, second}
    rows = {row.split()[0]: row for row in myagent("remote", "sessions", "--all", *at).stdout.splitlines()}
    assert {name: "archived" in rows[name] for name in (first, second)} == {first: False, second: True}
    assert myagent("remote", "archive", *at, "--undo", second).returncode == 0
    assert set(listed(myagent, serving)) == {first, second}
    unasked = myagent("remote", "delete", *at, first)
    assert unasked.returncode == 2
    assert "--yes" in unasked.stderr
    gone = myagent("remote", "delete", *at, "--yes", first, second, first)
    assert gone.returncode == 0
    assert sorted(gone.stdout.splitlines()) == sorted(f"[remote] {each} is deleted" for each in (first, second))
    assert listed(myagent, serving, "--all") == {}
    assert not [path for path in (serving.directory / ".myagent").rglob("*.db*") if b"read a.txt" in path.read_bytes()]
    again = myagent("remote", "delete", *at, "--yes", first)
    assert (again.returncode, again.stderr) == (3, f"[remote] there is no session {first} on that server\n")


def test_deleting_asks_on_a_terminal(shared: Any, myagent: Any, terminal: Any) -> None:
    serving, (first, _) = shared
    asked = terminal("remote", "delete", "--url", serving.url, first, cwd=serving.directory)
    asked.read_until("Delete for good? [y/N]")
    asked.type("n\r")
    asked.read_until("nothing was deleted")
    assert first in listed(myagent, serving)


def test_who_does_not_own_is_told_who_does(shared: Any, myagent: Any, terminal: Any) -> None:
    serving, (first, _) = shared
    owner = terminal("remote", "client", "--url", serving.url, "--label", "anna", cwd=serving.directory)
    owner.read_until("role: owner")
    refused = myagent("remote", "delete", "--yes", "--url", serving.url, first)
    assert refused.returncode == 3
    assert "anna owns this workspace" in refused.stderr
    assert first in listed(myagent, serving)


@pytest.mark.parametrize("command", ["export", "replay", "client"])
def test_a_part_of_an_id_names_a_session(shared: Any, myagent: Any, command: str) -> None:
    serving, (first, second) = shared
    more = {
        "export": lambda name: (name, "--format", "md"),
        "replay": lambda name: (name, "--speed", "0"),
        "client": lambda name: ("--session", name, "--prompt", "read a.txt"),
    }[command]
    done = myagent("remote", command, "--url", serving.url, *more(first.rpartition("_")[2]))
    assert (done.returncode, "content of a" in done.stdout) == (0, True), done.stderr
    several = myagent("remote", command, "--url", serving.url, *more("remote_2"))
    assert several.returncode == 3
    assert "could be 2 sessions" in several.stderr
    assert first in several.stderr
    assert second in several.stderr


def test_continue_is_the_latest_session(shared: Any, myagent: Any) -> None:
    serving, (_, second) = shared
    told = myagent("remote", "client", "--url", serving.url, "--continue", "--prompt", "read a.txt").stderr
    assert f"session: {second}" in told


def test_what_was_said_is_found_in_all_sessions(shared: Any, myagent: Any) -> None:
    serving, (first, _) = shared
    at = ("--url", serving.url)
    found = myagent("remote", "sessions", *at, "--search", "CONTENT of")
    assert (found.returncode, found.stderr) == (0, "")
    head, *hits = found.stdout.splitlines()
    assert head == f"{first}  read a.txt"
    assert any("content of a" in hit for hit in hits)
    assert all(hit.startswith("  #") for hit in hits)
    assert myagent("remote", "sessions", *at, "--search", "nowhere").stdout == "not found\n"
    told = json.loads(myagent("remote", "sessions", *at, "--search", "content", "--json").stdout)
    assert {hit["sessionId"] for hit in told["hits"]} == {first}
    link = myagent("remote", "invite", "--json", "--cwd", str(serving.directory)).stdout
    refused = myagent("remote", "sessions", *at, "--token", json.loads(link)["token"], "--search", "content")
    assert (refused.returncode, refused.stderr) == (3, "[remote] only the owner's token may search in all sessions\n")
