"""Letting somebody watch: the link that `serve --invite` and `invite` print, and its QR code on a terminal."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any

import pytest
import segno

LINK = re.compile(r"https?://\S+/#(myagent_inv_([a-z2-7]{8})_\S+)")
HALVES = {" ": (1, 1), "▀": (0, 1), "▄": (1, 0), "█": (0, 0)}  # which of the two modules in a character are dark
NAME = ("--allowed-host", "agent.example.org")


def link_in(text: str) -> re.Match[str]:
    found = LINK.search(text)
    assert found is not None, text
    return found


def modules_in(screen: str) -> list[list[int]]:
    """What a camera sees of the QR code on a screen: its modules, without the light ones around it."""
    drawn = [line for line in screen.splitlines() if "█" in line and set(line) <= set(HALVES)]
    rows = [[HALVES[character][half] for character in line] for line in drawn for half in (0, 1)]
    while rows and not any(rows[-1]):
        rows.pop()
    while rows and not any(rows[0]):
        rows.pop(0)
    return [row[2:-2] for row in rows]


def code_of(link: str) -> list[list[int]]:
    return [list(row) for row in segno.make(link, micro=False).matrix]


def test_serve_makes_an_invite_that_is_like_any_other(serve: Any, myagent: Any) -> None:
    serving = serve("--quiet", "--invite", "review on Friday")
    said = "".join(serving.process.stdout.readline() for _ in range(3))
    link = link_in(said)
    assert link[0].startswith(serving.url.replace("ws", "http", 1) + "/#")
    assert "opens on this machine alone" in said
    [listed] = json.loads(myagent("remote", "invites", "--json").stdout)["invites"]
    assert (listed["id"], listed["label"], listed["scope"]) == (link[2], "review on Friday", "follower")
    times = [datetime.fromisoformat(listed[name]) for name in ("createdAt", "expiresAt")]
    assert times[1] - times[0] == timedelta(hours=24)
    prompt = ("remote", "client", "--url", serving.url, "--prompt", "help")
    refused = myagent(*prompt, MYAGENT_REMOTE_TOKEN=link[1])
    assert (refused.returncode, "follower" in refused.stderr) == (3, True)
    assert myagent("remote", "revoke", link[2]).returncode == 0
    assert "401" in myagent(*prompt, MYAGENT_REMOTE_TOKEN=link[1]).stderr
    _, rest, errors = serving.stop()
    assert (rest, errors) == ("[remote] stopping\n", "")  # and no QR code in a pipe


def test_a_server_that_is_not_asked_makes_none(serve: Any, myagent: Any) -> None:
    serving = serve()
    assert json.loads(myagent("remote", "invites", "--json").stdout)["invites"] == []
    assert serving.stop()[1] == "[remote] stopping\n"


def test_a_server_serves_all_the_same_when_there_are_too_many(serve: Any, myagent: Any) -> None:
    first = serve()
    for _ in range(2):
        assert myagent("remote", "invite").returncode == 0
    first.stop()
    path = first.directory / ".myagent" / "remote" / "invites.json"
    kept = json.loads(path.read_text())
    kept["invites"] = [{**kept["invites"][0], "id": f"aaaaaa{a}{b}"} for a in "abcdefghij" for b in "abcdefghij"]
    path.write_text(json.dumps(kept))
    assert myagent("remote", "adopt").returncode == 0
    serving = serve("--invite")
    assert "revoke one first" in serving.process.stderr.readline()
    assert myagent("remote", "client", "--url", serving.url, "--prompt", "help").returncode == 0


@pytest.mark.parametrize("colour", [True, False])
def test_a_terminal_shows_a_code_of_exactly_the_link(terminal: Any, tmp_path: Any, colour: bool) -> None:
    variables = {} if colour else {"NO_COLOR": "1"}
    serving = terminal("remote", "serve", "--port", "0", "--invite", *NAME, cwd=tmp_path, **variables)
    size = len(code_of("http://agent.example.org:12345/#" + "x" * 62)) // 2 + 2
    shown = serving.read_until(lambda text: len(re.findall("^█.*█$", text, re.MULTILINE)) >= size)
    link = link_in(shown)[0]
    assert link.startswith("http://agent.example.org:")
    assert modules_in(shown) == code_of(link)
    assert modules_in(shown) != code_of(link[:-1] + "x")  # a code of another link is told from it
    assert (b"\x1b[" in serving.raw) == colour
    serving.type("\x03")
    assert serving.finish() == 0


def test_a_link_that_opens_here_alone_is_drawn_only_when_asked(serve: Any, terminal: Any) -> None:
    serving = serve()
    for option, drawn in ((), False), (("--qr",), True), (("--no-qr",), False):
        screen = terminal("remote", "invite", *option, cwd=serving.directory)
        assert screen.finish() == 0
        assert "opens on this machine alone" in screen.text
        assert ("▀" in screen.text) == drawn
        if drawn:
            assert modules_in(screen.text) == code_of(link_in(screen.text)[0])


def test_where_a_code_cannot_be_drawn_the_link_remains(serve: Any, terminal: Any, myagent: Any) -> None:
    serving = serve(*NAME)
    done = myagent("remote", "invite", "--qr", PYTHONIOENCODING="ascii")
    assert (done.returncode, "encoding" in done.stdout, LINK.search(done.stdout) is None) == (0, True, False)
    screen = terminal("remote", "invite", cwd=serving.directory, COLUMNS="30")
    assert screen.finish() == 0
    assert "no QR code: the terminal is less than" in screen.text
    assert link_in(screen.text)
    assert "▀" not in screen.text
