"""`client.run`: a prompt as one awaitable, its permission requests answered by a policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from wire import scene

from myagent.client import PromptRefused, Unknown, connect, to_json
from myagent.client.incoming import read
from myagent.core.messages import Option, PermissionRequest

WRITE = "write notes.txt\nhello"


async def test_a_turn_is_its_output_and_how_it_ended(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    async with scene(tmp_path) as served, connect(served.server.url, token=served.server.token) as client:
        result = await client.run("read a.txt")
        assert (result.ok, result.exit_code, result.stop_reason) == (True, 0, "end_turn")
        assert "one" in result.output
        again = await client.run("!exit 3", session=result.session, policy=lambda _: "allow")
        assert (again.session, again.exit_code, again.ok) == (result.session, 3, False)


@pytest.mark.parametrize(
    ("policy", "written"),
    [
        (None, False),
        (lambda _: "deny", False),
        (lambda _: "allow", True),
        (lambda request: next((each for each in request.request.options), "allow"), True),
    ],
    ids=["nothing is allowed without one", "deny", "allow", "an option"],
)
async def test_a_policy_decides(policy: Any, written: bool, tmp_path: Path) -> None:
    async with scene(tmp_path) as served, connect(served.server.url, token=served.server.token) as client:
        await client.run(WRITE, policy=policy)
    assert (tmp_path / "notes.txt").exists() is written


async def test_a_policy_may_wait_and_sees_what_a_human_would(tmp_path: Path) -> None:
    seen: list[PermissionRequest] = []

    async def policy(request: PermissionRequest) -> Any:
        seen.append(request)
        return "deny"

    async with scene(tmp_path) as served, connect(served.server.url, token=served.server.token) as client:
        result = await client.run(WRITE, policy=policy)
    [request] = seen
    assert "hello" in request.request.display
    assert not result.ok


async def test_a_follower_is_told_that_its_prompt_was_refused(tmp_path: Path) -> None:
    async with (
        scene(tmp_path) as served,
        connect(served.server.url, token=served.server.token),
        connect(served.server.url, token=served.server.token, role="follower") as follower,
    ):
        with pytest.raises(PromptRefused) as caught:
            await follower.run("help")
        assert caught.value.code == "not_owner"


def test_a_message_is_json_again() -> None:
    event = b'{"type":"agent_stdout","id":"t","sessionId":"s","seq":3,"chunk":"x"}'
    assert json.loads(to_json(read(event))) == json.loads(event)
    unknown = read(b'{"type":"of_tomorrow","a":[1]}')
    assert isinstance(unknown, Unknown)
    assert json.loads(to_json(unknown)) == {"type": "of_tomorrow", "a": [1]}
    assert Option("a", "A", "allow_once")
