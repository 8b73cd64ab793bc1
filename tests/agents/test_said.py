"""A human is asked about everything that an agent said of a tool call, not about what it said last."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from myagent.agents import ToolCall
from myagent.agents.rendering.request import UNSPECIFIED, options_of
from myagent.agents.rendering.turn import Rendering
from myagent.core.permissions import REQUEST_BYTES, TOO_LARGE, digest_of, request_body

COMMAND = "ls -la /tmp/some/where/that/is/quite/innocent; touch PWNED-TAIL"


def text(words: str) -> list[dict[str, Any]]:
    return [{"type": "content", "content": {"type": "text", "text": words}}]


def diff(path: str, old: str | None, new: str) -> dict[str, Any]:
    return {"type": "diff", "path": path, "oldText": old, "newText": new}


def asked(*updates: dict[str, Any]) -> ToolCall:
    """What a human is asked after these updates of one call, of which the last one is the permission request."""
    rendering = Rendering()
    for update in updates[:-1]:
        rendering.render({"sessionUpdate": "tool_call_update", "toolCallId": "t", **update})
    return rendering.asked({"toolCallId": "t", **updates[-1]}, ())


def test_a_request_with_a_shortened_sentence_shows_the_command_that_was_streamed() -> None:
    """kimi-code 2.1.0."""
    given = json.dumps({"command": COMMAND})
    call = asked(
        {"title": "Bash", "content": text(given[:20])},
        {"content": text(given)},
        {"title": "Bash", "content": text("Requesting approval to Running: ls -la /tmp/some…")},
    )
    assert f"earlier command: {COMMAND}" in call.text
    assert call.flags == ("truncated",)


@pytest.mark.parametrize(
    ("updates", "shown", "flags"),
    [
        ([{"content": text("A")}, {"content": text("B")}], ["B", "earlier text: A"], ("contradicts", "unspecified")),
        ([{"rawInput": {"command": "rm x"}}, {"content": text("tidy")}], ["command: rm x", "tidy"], ()),
        (
            [{"rawInput": {"command": "ls"}}, {"rawInput": {"command": "rm -rf ."}}],
            ["command: rm -rf .", "earlier command: ls"],
            ("contradicts",),
        ),
        (
            [{"content": [diff("a", "1\n", "2\n")]}, {"content": text("harmless")}],
            ["earlier change: --- a", "+2", "harmless"],
            (),
        ),
        (
            [{"content": [diff("a", "1\n", "2\n")]}, {"content": [diff("a", "1\n", "3\n")]}],
            ["+3", "+2"],
            ("contradicts",),
        ),
        (
            [{"title": "`ls -la`", "rawInput": {"command": "rm -rf /"}}],
            ["`ls -la`", "command: rm -rf /"],
            ("contradicts",),
        ),
        ([{"title": "ls -la", "rawInput": {"command": "rm -rf /"}}], ["ls -la", "command: rm -rf /"], ("contradicts",)),
        ([{"title": "List files", "rawInput": {"command": "ls"}}], ["command: ls"], ()),
        ([{"title": "Write a.txt", "kind": "edit", "content": [diff("/etc/passwd", "", "x")]}], [], ("contradicts",)),
        ([{"kind": "read", "content": [diff("a", "", "x")]}], [], ("contradicts",)),
        ([{"title": "go test ./...", "rawInput": {"command": "go test ./..."}}], [], ()),
        ([{"title": "go test ./..."}], [UNSPECIFIED], ("truncated", "unspecified")),
        ([{"title": "Bash"}], [UNSPECIFIED], ("unspecified",)),
        ([{"title": "Write", "kind": "edit", "content": text("a file")}], [UNSPECIFIED], ("unspecified",)),
        ([{"title": "Delete", "kind": "delete", "locations": [{"path": "a"}]}], ["file: a"], ()),
        ([{"title": "Which one?", "kind": "other", "content": text("A or B?")}], ["A or B?"], ()),
        (
            [{"content": [diff("a", "same\ntext", "same\ntext")], "kind": "edit"}],
            [" same\n text\n", "nothing changes"],
            (),
        ),
        (
            [{"content": [diff("a", "1", "2"), diff("a", "3", "4")], "kind": "edit"}],
            ["-1", "+2", "-3", "+4"],
            (),
        ),
    ],
)
def test_everything_is_shown_and_what_is_odd_is_flagged(
    updates: list[dict[str, Any]], shown: list[str], flags: tuple[str, ...]
) -> None:
    call = asked(*({"kind": "execute", **update} for update in updates))
    for part in shown:
        assert part in call.text
    assert call.flags == flags


def test_the_digest_binds_what_was_said_before() -> None:
    last = {"kind": "execute", "content": text("the same")}
    one = asked({"content": text("A")}, last)
    other = asked({"content": text("B")}, last)
    assert digest_of(one, "/w") != digest_of(other, "/w")
    assert digest_of(one, "/w") == digest_of(asked({"content": text("A")}, last), "/w")


def test_more_than_can_be_kept_is_not_asked() -> None:
    call = asked(*({"rawInput": {"command": f"{n}"}} for n in range(1000)))
    assert request_body(call, cwd="/w", expires_at="") is None
    assert TOO_LARGE.kind == "deny"
    big = asked({"content": text("a" * REQUEST_BYTES)}, {"content": text("b")})
    assert request_body(big, cwd="/w", expires_at="") is None


def test_a_call_that_streams_is_kept_once() -> None:
    whole = "x" * 2000
    call = asked(*({"content": text(whole[:n])} for n in range(1, len(whole) + 1)))
    assert call.text.count("xx") == len(whole) // 2
    assert "contradicts" not in call.flags


def test_what_real_agents_ask_has_no_warning() -> None:
    count = 0
    for path in sorted((Path(__file__).parent / "transcripts").glob("*.jsonl")):
        rendering = Rendering()
        for line in path.read_text().splitlines():
            message = json.loads(line)["msg"]
            params = message.get("params") or {}
            if message.get("method") == "session/request_permission":
                count += 1
                assert rendering.asked(params["toolCall"], options_of(params)).flags == (), path.name
            elif "update" in params and json.loads(line)["dir"] == "a2c":
                rendering.render(params["update"])
    assert count >= 10


SECRETS = [f"word{n}" for n in range(12)]


def hostile_update(draw: random.Random) -> dict[str, Any]:
    """One thing said of a call, with words that must then be shown."""
    word = draw.choice(SECRETS)
    return draw.choice(
        [
            {"title": f"Run {word}"},
            {"rawInput": {draw.choice(["command", "path", "x"]): f"{word} -v"}},
            {"rawInput": [word]},
            {"rawInput": word},
            {"rawInput": None},
            {"content": text(f"about {word}")},
            {"content": text(f"about {word}…")},
            {"content": []},
            {"content": [diff(f"{word}.txt", None, f"new {word}\n")]},
            {"content": [diff("a.txt", f"{word}\n", f"{word}\n")]},
            {"locations": [{"path": f"/w/{word}"}]},
            {"kind": draw.choice(["edit", "execute", "read", "other"])},
        ]
    )


def hidden(updates: list[dict[str, Any]], shown: str) -> set[str]:
    """Words that were said and are not shown."""
    return {word for word in SECRETS if any(word in json.dumps(update) for update in updates) and word not in shown}


def test_random_agents_hide_nothing() -> None:
    for seed in range(10_000):
        draw = random.Random(seed)
        updates = [hostile_update(draw) for _ in range(draw.randint(1, 6))]
        call = asked(*updates)
        assert not hidden(updates, call.text), (seed, updates, call.text)


def test_showing_the_last_word_alone_would_hide_some() -> None:
    """The control of the test above."""
    found = 0
    for seed in range(200):
        draw = random.Random(seed)
        updates = [hostile_update(draw) for _ in range(draw.randint(1, 6))]
        found += bool(hidden(updates, asked(updates[-1]).text))
    assert found > 50
