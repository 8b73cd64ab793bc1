"""`remote pair` and `serve --pair`: a link for one device, listed and revoked alone; and `client --take-over`."""

from __future__ import annotations

import json
import re
from typing import Any

from websockets.sync.client import connect

LINK = re.compile(r"https?://\S+/#pair\.(myagent_inv_([a-z2-7]{8})_\S+)")


def test_a_device_is_paired_listed_and_revoked(serve: Any, myagent: Any) -> None:
    serving = serve("--quiet")
    shown = myagent("remote", "pair", "--scope", "approve").stdout
    found = LINK.search(shown)
    assert found is not None, shown
    assert "within 5 minutes" in shown
    assert found[0].startswith(serving.url.replace("ws", "http", 1))
    [made] = json.loads(myagent("remote", "invites", "--json").stdout)["invites"]
    assert (made["id"], made["may"], made["scope"], made["uses"], made["devices"]) == (
        found[2], "approve", "follower", 1, [],
    )  # fmt: skip
    for _ in range(2):  # the same user here is the same device
        sessions = myagent("remote", "sessions", "--url", found[0])
        assert sessions.returncode == 0, sessions.stderr
    [made] = json.loads(myagent("remote", "invites", "--json").stdout)["invites"]
    [device] = made["devices"]
    assert made["used"] == 1
    assert myagent("remote", "revoke", device["id"]).returncode == 0
    assert myagent("remote", "sessions", "--url", found[0]).returncode == 3


def test_serve_tells_a_link_that_pairs(serve: Any) -> None:
    serving = serve("--quiet", "--pair")
    said = "".join(serving.process.stdout.readline() for _ in range(2))
    assert LINK.search(said), said
    assert "own, prompt, approve" in said


def test_an_invite_says_what_it_allows(serve: Any, myagent: Any) -> None:
    serve("--quiet")
    assert "may answer permission requests" in myagent("remote", "invite", "--scope", "approve").stdout
    assert re.search(r"\bapprove\b", myagent("remote", "invites").stdout)
    assert myagent("remote", "invite", "--scope", "own").returncode == 2


def test_a_client_takes_over_from_the_same_token_when_it_is_told_to(serve: Any, myagent: Any) -> None:
    serving = serve("--quiet")
    token = json.loads((serving.directory / ".myagent/remote/auth.json").read_text())["token"]
    headers = {"Authorization": f"Bearer {token}"}
    with connect(serving.url, additional_headers=headers, compression=None, proxy=None) as owner:
        assert json.loads(owner.recv())["type"] == "ready"
        assert json.loads(owner.recv()) == {"type": "role", "role": "owner"}
        assert myagent("remote", "client", "--prompt", "help").returncode == 3
        assert myagent("remote", "client", "--prompt", "help", "--take-over").returncode == 0
        told = [json.loads(owner.recv()) for _ in range(8)]
        assert [each["why"] for each in told if each["type"] == "owner_changed" and each["owner"]][-1] == "taken_over"
