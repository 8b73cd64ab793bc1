"""A session in memory: contiguous whatever is added where, joined where it belongs together."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myagent.core.messages import (
    AgentStderr,
    AgentStdout,
    Gap,
    PermissionResolved,
    Prompt,
    SessionId,
    TerminalState,
)
from myagent.tui import story as story_module
from myagent.tui.story import ITEM_CHARACTERS, OutOfOrder, Said, Story, Told, Tool

SESSION = SessionId("s")


def event(kind: Any, seq: int, **fields: Any) -> Any:
    return kind(id="t", session_id=SESSION, seq=seq, **fields)


def said(story: Story) -> str:
    return "".join(item.text for item in story.items if isinstance(item, Said))


def test_what_was_said_in_one_go_is_one_item() -> None:
    story = Story(0)
    story.take(event(Prompt, 1, prompt="p", by="b"))
    story.take(event(AgentStdout, 2, chunk="a\x1b[3"))
    story.take(event(AgentStdout, 3, chunk="1mb"))
    story.take(event(AgentStderr, 4, chunk="c"))
    story.take(event(TerminalState, 5, exit_code=0, stop_reason="end_turn"))
    assert [type(item) for item in story.items] == [Told, Said, Said, Told]
    assert [item.plain for item in story.items if isinstance(item, Said)] == ["ab", "c"]
    assert all(item.ended for item in story.items if isinstance(item, Said))


def test_what_is_missing_is_noticed_and_what_is_there_is_passed_over() -> None:
    story = Story(4)
    with pytest.raises(OutOfOrder):
        story.take(event(AgentStdout, 6, chunk="x"))
    story.take(event(AgentStdout, 5, chunk="a"))
    story.take(event(AgentStdout, 5, chunk="a"))
    assert said(story) == "a"
    story.take(Gap(SESSION, 6, 9))
    story.take(event(AgentStdout, 10, chunk="b"))
    assert said(story) == "ab"
    assert isinstance(story.items[1], Told)


def test_a_tool_call_is_one_item_that_changes() -> None:
    story = Story(0)
    call = {"sessionUpdate": "tool_call", "toolCallId": "c", "title": "Read", "status": "pending"}
    story.take(event(AgentStderr, 1, chunk="[ ] Read\n", update=call))
    story.take(event(AgentStdout, 2, chunk="between"))
    done = {"sessionUpdate": "tool_call_update", "toolCallId": "c", "status": "completed", "title": None}
    story.take(event(AgentStderr, 3, chunk="", update=done))
    tool, _ = story.items
    assert isinstance(tool, Tool)
    assert (tool.call["title"], tool.call["status"]) == ("Read", "completed")


def test_a_plan_is_one_item_as_it_is_now() -> None:
    story = Story(0)
    for seq, status in enumerate(("pending", "completed"), 1):
        plan = {"sessionUpdate": "plan", "entries": [{"content": "look", "status": status}]}
        story.take(event(AgentStderr, seq, chunk="plan:\n", update=plan))
    (item,) = story.items
    assert isinstance(item, Tool)
    assert item.call["entries"][0]["status"] == "completed"


def test_a_decision_reaches_a_request_that_was_fetched_later() -> None:
    from myagent.client.incoming import read

    request = read(
        b'{"type":"permission_request","id":"t","sessionId":"s","seq":1,"permissionRequestId":"p",'
        b'"request":{"toolName":"bash","input":{},"display":"d","flags":[],"digest":"","expiresAt":""}}'
    )
    story = Story(1)
    story.take(event(PermissionResolved, 2, permission_request_id="p", outcome="deny", by="b"))
    story.prepend([request])  # type: ignore[list-item]
    first = story.items[0]
    assert isinstance(first, Told)
    assert first.resolved is not None


OUTPUT = st.text("ab \n\r\b\t表", max_size=12)


@given(st.lists(st.tuples(st.booleans(), OUTPUT), max_size=60), st.data(), st.integers(1, 40))
def test_wherever_it_is_cut_no_item_ends_within_a_line(
    chunks: list[tuple[bool, str]], data: st.DataObject, limit: int
) -> None:
    """Neither by the size of items, nor by the pages in which it is fetched, nor by what was let go."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(story_module, "ITEM_CHARACTERS", limit)
        events = [
            event(AgentStderr if error else AgentStdout, n, chunk=text) for n, (error, text) in enumerate(chunks, 1)
        ]
        cuts = sorted({data.draw(st.integers(0, len(events))) for _ in range(4)} | {0, len(events)})
        grown = Story(cuts[-2] if len(cuts) > 1 else 0)
        for each in events[grown.last :]:
            grown.take(each)
        grown.forget(data.draw(st.integers(0, len(grown.items))))
        while grown.first > 1:
            before = max(cut for cut in (0, *cuts) if cut < grown.first - 1) if grown.first > 1 else 0
            grown.prepend([each for each in events if before < each.seq < grown.first])
        whole = Story(0)
        for each in events:
            whole.take(each)
        for found in (grown, whole):
            items = [item for item in found.items if isinstance(item, Said)]
            for item, following in pairwise(items):
                if item.stream == following.stream:
                    assert item.plain.endswith("\n")
            assert "".join(item.raw for item in items) == "".join(text for _, text in chunks)
        assert said(grown) == said(whole)


@given(st.lists(st.tuples(st.booleans(), st.text(max_size=20)), max_size=60), st.data())
def test_fetched_in_any_pages_it_is_the_same_text(chunks: list[tuple[bool, str]], data: st.DataObject) -> None:
    events = [event(AgentStderr if error else AgentStdout, n, chunk=text) for n, (error, text) in enumerate(chunks, 1)]
    plain = "".join(text for _, text in chunks).encode("utf-8", "replace").isascii()
    cuts = sorted({data.draw(st.integers(0, len(events))) for _ in range(4)} | {0, len(events)})
    story = Story(cuts[-1])
    for start, end in reversed(list(pairwise(cuts))):
        story.prepend(events[start:end])
    assert story.first == 1
    whole = Story(0)
    for each in events:
        whole.take(each)
    if plain:
        assert said(story) == said(whole)
    assert whole.last == len(events)


def test_long_output_is_several_items_and_the_beginning_can_be_let_go() -> None:
    story = Story(0)
    for seq in range(1, 11):
        story.take(event(AgentStdout, seq, chunk="x" * (ITEM_CHARACTERS - 1) + "\n"))
    assert len(story.items) == 10
    assert all(item.more for item in story.items if isinstance(item, Said))
    story.forget(4)
    assert story.first == 5
    story.prepend([event(AgentStdout, seq, chunk="y") for seq in range(1, 5)])
    assert story.first == 1
    assert said(story) == "yyyy" + ("x" * (ITEM_CHARACTERS - 1) + "\n") * 6


def test_a_tool_call_that_was_open_when_its_turn_ended_goes_on_no_more() -> None:
    def call(seq: int, name: str, status: str) -> Any:
        return event(AgentStderr, seq, chunk="", update=tool(name, status))

    def tool(name: str, status: str) -> dict[str, str]:
        return {"sessionUpdate": "tool_call", "toolCallId": name, "title": name, "status": status}

    events = [call(1, "a", "in_progress"), call(2, "b", "completed")]
    ended = event(TerminalState, 3, exit_code=130, stop_reason="cancelled")
    other = AgentStderr(id="u", session_id=SESSION, seq=4, chunk="", update=tool("c", "in_progress"))
    wanted = ["not_finished", "completed", "in_progress"]
    whole = Story(0)
    for each in (*events, ended, other):
        whole.take(each)
    assert [item.call["status"] for item in whole.items if isinstance(item, Tool)] == wanted
    late = Story(2)  # what was before the end is fetched when the end is there
    late.take(ended)
    late.take(other)
    late.prepend(events)
    assert [item.call["status"] for item in late.items if isinstance(item, Tool)] == wanted
