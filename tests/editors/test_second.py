"""An editor of version 2 (a draft): each frame is held against its published schema."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from tests.editors.desk import ALICE, SECOND, Desk, ended, metadata, request, resolved, stdout, welcome
from tests.editors.hostile import BYTES, ODD, PARAMETERS, SHAPES, SILENT
from tests.editors.second_judge import fits, needs_schema

from myagent.core.messages import (
    Ack,
    Cancel,
    Connections,
    Error,
    PermissionDecision,
    Prompt,
    Question,
    Replayed,
    Resume,
    RoleMessage,
    SessionMetadata,
    UserMessage,
)
from myagent.editors import second_forms as forms
from myagent.editors.board import Board

pytestmark = needs_schema

TEXT = [{"type": "text", "text": "help"}]
CALL = {"sessionUpdate": "tool_call", "toolCallId": "c", "title": "ls", "kind": "execute", "status": "pending"}


def told(frames: list[dict[str, Any]]) -> dict[str, Any]:
    """The only result or error."""
    [found] = [frame for frame in frames if "method" not in frame]
    return found.get("result", found.get("error"))


def updates(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [frame["params"]["update"] for frame in frames if frame.get("method") == "session/update"]


def states(frames: list[dict[str, Any]]) -> list[str]:
    rows = [each for each in updates(frames) if each["sessionUpdate"] == "state_update"]
    return [f"{each['state']} {each.get('stopReason', '')}".strip() for each in rows]


def ack(message: Any) -> Ack:
    return Ack(id=message.id, session_id="s", duplicate=False)  # type: ignore[arg-type]


def prompted(desk: Desk, text: str = "help") -> tuple[UserMessage, list[dict[str, Any]]]:
    """A turn that runs, and what came of its prompt."""
    assert desk.ask("session/prompt", sessionId="s", prompt=[{"type": "text", "text": text}]) == []
    turn = desk.command()
    frames = desk.says(ack(turn), Prompt(id=turn.id, session_id="s", seq=1, prompt=text, by="zed"))  # type: ignore[arg-type]
    return turn, frames


def opened(**options: Any) -> Desk:
    desk = Desk(second=True, **options)
    desk.open()
    return desk


def test_it_is_negotiated_and_says_that_it_is_a_draft_of_a_date() -> None:
    desk = Desk(second=True, greets=False)
    desk.says(RoleMessage(role="owner"), welcome())
    said = told(desk.ask("initialize", **SECOND))
    assert (said["protocolVersion"], said["info"]["name"], said["authMethods"]) == (2, "myagent", [])
    assert said["capabilities"]["session"]["prompt"] == {"embeddedContext": {}}
    assert said["capabilities"]["_meta"]["myagent"]["schema"] == forms.SCHEMA_DATE == "2026-11-02"


def test_without_info_there_is_no_introduction() -> None:
    desk = Desk(second=True, greets=False)
    assert told(desk.ask("initialize", protocolVersion=2))["code"] == -32602


def test_who_asks_for_version_1_gets_it_and_who_was_not_told_of_version_2_too() -> None:
    from myagent.editors.editor import Editor
    from myagent.editors.second import Second

    first = Desk()
    first.editor = Second(Editor(version="1", new_id=lambda: "m"))
    assert told(first.ask("initialize", protocolVersion=1))["protocolVersion"] == 1
    plain = Desk(greets=False)
    assert told(plain.ask("initialize", **SECOND))["protocolVersion"] == 1


def test_a_prompt_is_answered_when_it_is_taken_and_its_turn_ends_as_a_state() -> None:
    desk = opened()
    turn, frames = prompted(desk)
    assert told(frames) == {"messageId": f"{turn.id}/prompt"}
    [said, running] = updates(frames)
    assert (said["sessionUpdate"], said["messageId"]) == ("user_message", f"{turn.id}/prompt")
    assert said["content"] == [{"type": "text", "text": "help"}]
    assert running["state"] == "running"
    assert [each["sessionUpdate"] for each in updates(desk.says(stdout("x", turn=turn.id)))] == ["agent_message_chunk"]
    frames = desk.says(ended(turn.id))
    assert states(frames) == ["idle end_turn"]
    assert [each for each in frames if "method" not in each] == []


def test_a_queued_prompt_stands_in_the_conversation_when_it_begins() -> None:
    desk = opened()
    first, _ = prompted(desk)
    desk.ask("session/prompt", sessionId="s", prompt=TEXT)
    second = desk.command()
    assert updates(desk.says(ack(second))) == []
    frames = desk.says(ended(first.id), Prompt(id=second.id, session_id="s", prompt="help", by="zed"))
    assert states(frames) == ["idle end_turn", "running"]


def test_a_prompt_that_is_refused_is_an_error_and_nothing_runs() -> None:
    desk = opened(role="follower", owner=ALICE)
    frames = desk.ask("session/prompt", sessionId="s", prompt=TEXT)
    assert "alice" in told(frames)["message"]
    assert states(frames) == []


def test_a_turn_that_fails_or_is_cancelled_says_so() -> None:
    desk = opened()
    turn, _ = prompted(desk)
    desk.tell("session/cancel", sessionId="s")
    assert isinstance(desk.command(), Cancel)
    assert states(desk.says(ended(turn.id, "cancelled"))) == ["idle cancelled"]
    turn, _ = prompted(desk)
    [state] = updates(desk.says(ended(turn.id, "failed", message="no model")))
    assert (state["stopReason"], state["error"]["message"]) == ("error", "no model")


def test_somebody_elses_turn_is_told_alike_with_a_name() -> None:
    desk = opened(role="follower", owner=ALICE)
    frames = desk.says(Prompt(id="t", session_id="s", prompt="hello", by="alice"), stdout("x"), ended())  # type: ignore[arg-type]
    assert states(frames) == ["running", "idle end_turn"]
    assert updates(frames)[0]["content"][0]["text"] == "alice: hello"


def test_what_is_asked_wants_action_until_it_is_answered() -> None:
    desk = opened()
    turn, _ = prompted(desk)
    diff = {"sessionUpdate": "tool_call", "toolCallId": "c", "title": "edit"}
    desk.says(stdout("", turn=turn.id, update=diff))
    frames = desk.says(request(turn=turn.id, title="rm -r x", tool_call_id="c"))
    [asked] = [each for each in frames if each["method"] == "session/request_permission"]
    assert asked["params"]["title"] == "rm -r x"
    assert asked["params"]["subject"]["toolCall"]["toolCallId"] == "c"
    assert states(frames) == ["requires_action"]
    answer = {"outcome": {"outcome": "selected", "optionId": "myagent:allow"}}
    assert states(desk.gives({"jsonrpc": "2.0", "id": asked["id"], "result": answer})) == ["running"]
    assert isinstance(desk.command(), PermissionDecision)


def test_what_is_answered_elsewhere_is_taken_back_and_the_turn_runs_on() -> None:
    desk = opened()
    turn, _ = prompted(desk)
    desk.says(request(turn=turn.id))
    frames = desk.says(resolved(turn=turn.id))
    assert [each["method"] for each in frames] == ["$/cancel_request", "session/update"]
    assert states(frames) == ["running"]


def test_a_question_is_put_as_version_2_has_it() -> None:
    desk = opened()
    schema = {"type": "object", "properties": {"name": {"type": "string", "title": "Name"}}, "required": ["name"]}
    event = Question(
        id="t", session_id="s", seq=1, question_id="q", message="which?", schema=schema, expires_at="", asked_at=""
    )  # type: ignore[arg-type]
    frames = desk.says(event)
    assert [each["method"] for each in frames] == ["elicitation/create", "session/update"]


def test_a_resume_from_the_start_tells_whole_messages_and_ends_with_the_state() -> None:
    desk = Desk(second=True)
    assert desk.ask("session/resume", sessionId="s", cwd="/w", replayFrom={"type": "start"}) == []
    command = desk.command()
    assert isinstance(command, Resume)
    assert command.after_seq == 0
    frames = desk.says(
        ack(command),
        SessionMetadata(session=metadata(head=6, state="running")),
        Prompt(id="t", session_id="s", seq=1, prompt="hello", by="alice"),  # type: ignore[arg-type]
        stdout("one ", seq=2),
        stdout("two", seq=3),
        stdout("", seq=4, update=CALL),
        stdout("three", seq=5),
        ended(seq=6),
        Replayed(id=command.id, session_id="s", head=6),  # type: ignore[arg-type]
    )
    rows = updates(frames)
    assert [each["sessionUpdate"] for each in rows[:5]] == [
        "user_message",
        "agent_message",
        "tool_call_update",
        "agent_message",
        "state_update",
    ]
    assert rows[1]["content"] == [{"type": "text", "text": "one two"}]
    assert rows[3]["content"] == [{"type": "text", "text": "three"}]
    assert rows[1]["messageId"] != rows[3]["messageId"]
    assert rows[4]["state"] == "running"
    assert [each["configId"] for each in told(frames)["configOptions"]] == ["myagent:mode"]
    assert [each["sessionUpdate"] for each in updates(desk.says(stdout("live", seq=7)))] == ["agent_message_chunk"]


def test_a_resume_from_elsewhere_is_refused_and_one_from_nowhere_tells_nothing() -> None:
    desk = Desk(second=True)
    refusal = told(desk.ask("session/resume", sessionId="s", cwd="/w", replayFrom={"type": "message"}))
    assert refusal["code"] == -32602
    desk.ask("session/resume", sessionId="s", cwd="/w", replayFrom=None)
    assert desk.command().after_seq is None


@pytest.mark.parametrize("method", ["session/load", "session/set_mode", "authenticate", "auth/login", "session/fork"])
def test_what_version_2_does_not_have_is_no_method(method: str) -> None:
    desk = opened()
    desk.judge.names = {**desk.judge.names, method: "Error"}
    assert told(desk.ask(method, sessionId="s", cwd="/w", modeId="plan", methodId="x"))["code"] == -32601


def test_the_permission_mode_is_an_option_beside_the_agents() -> None:
    rows = [
        {"id": "model", "name": "Model", "category": "model", "value": "a", "values": [{"value": "a"}, {"value": "b"}]}
    ]
    desk = Desk(second=True)
    desk.open(agent_state={"options": rows})
    answer = told(
        desk.ask("session/set_config_option", sessionId="s", configId="myagent:mode", type="id", value="plan")
    )
    assert [(each["configId"], each["currentValue"]) for each in answer["configOptions"]] == [
        ("myagent:mode", "plan"),
        ("model", "a"),
    ]
    assert desk.ask("session/set_config_option", sessionId="s", configId="model", type="id", value="b") == []
    answer = told(desk.says(ack(desk.command())))
    assert [(each["configId"], each["currentValue"]) for each in answer["configOptions"]] == [
        ("myagent:mode", "plan"),
        ("model", "b"),
    ]
    turn, _ = prompted(desk)
    assert turn.permission_mode == "plan"


def test_a_line_of_ours_is_a_message_that_is_answered() -> None:
    desk = opened(role="follower", owner=ALICE)
    frames = desk.ask("session/prompt", sessionId="s", prompt=[{"type": "text", "text": "/who"}])
    rows = updates(frames)
    assert [each["sessionUpdate"] for each in rows] == ["user_message", "agent_message_chunk", "state_update"]
    assert told(frames)["messageId"] == rows[0]["messageId"]
    assert "alice owns" in rows[1]["content"]["text"]
    assert states(frames) == ["idle end_turn"]


@pytest.mark.parametrize("old", [None, "a\nb\n", "a\n" * 3000])
def test_a_diff_is_a_patch_of_an_absolute_path(old: str | None) -> None:
    content = {"type": "diff", "path": "src/x.py", "newText": "a\nc\n", **({} if old is None else {"oldText": old})}
    call = {"toolCallId": "c", "title": "t", "content": [content], "locations": [{"path": "src/x.py", "line": 3}]}
    said = forms.tool_call(call, "/w")
    fits("ToolCallUpdate", said)
    [diff] = said["content"]
    assert diff["changes"][0] == {
        "operation": "add" if old is None else "modify",
        "path": "/w/src/x.py",
        "fileType": "text",
    }
    assert diff["patch"]["text"].startswith("diff --git a/w/src/x.py b/w/src/x.py\n")
    assert "\n+c\n" in diff["patch"]["text"]
    assert said["locations"] == [{"path": "/w/src/x.py", "line": 3}]


def test_plans_usage_and_thoughts_are_told() -> None:
    desk = opened()
    entries = [{"content": "x", "priority": "high", "status": "pending"}]
    frames = desk.says(
        stdout("", update={"sessionUpdate": "plan", "entries": entries}),
        stdout("", update={"sessionUpdate": "usage_update", "used": 1, "size": 2}),
        stdout("h", update={"sessionUpdate": "agent_thought_chunk", "content": {"type": "text", "text": "h"}}),
    )
    assert [each["sessionUpdate"] for each in updates(frames)] == ["plan_update", "usage_update", "agent_thought_chunk"]


def test_an_attached_observer_is_told_in_version_2_too() -> None:
    desk = Desk(second=True, role="follower", owner=ALICE)
    desk.ask("session/attach", sessionId="s", historyPolicy="none", role="observer")
    assert told(desk.says(ack(desk.command())))["role"] == "observer"
    desk.says(request("p", tool_call_id="call"))
    assert updates(desk.says(resolved("p")))[0]["type"] == "permission_resolved"


def test_a_new_connection_beneath_answers_nothing_twice() -> None:
    desk = opened()
    desk.ask("session/prompt", sessionId="s", prompt=TEXT)
    turn = desk.command()
    assert told(desk.says(ack(turn)))
    again = Ack(id=turn.id, session_id="s", duplicate=True)  # type: ignore[arg-type]
    frames = desk.says(welcome(), again, Prompt(id=turn.id, session_id="s", prompt="help", by="zed"), ended(turn.id))
    assert [each for each in frames if "method" not in each] == []
    assert states(frames) == ["running", "idle end_turn"]


def test_a_line_that_is_answered_after_its_session_was_closed_tells_nothing() -> None:
    desk = opened()
    desk.ask("session/prompt", sessionId="s", prompt=[{"type": "text", "text": "/who"}])
    who = desk.command()
    desk.ask("session/close", sessionId="s")
    frames = desk.says(Connections(id=who.id, connections=[]))
    assert [set(each) & {"result", "method"} for each in frames] == [{"result"}]


def test_a_server_that_is_gone_for_good_leaves_nothing_running() -> None:
    desk = opened()
    prompted(desk)
    desk.editor.lost("revoked")
    [state] = updates(desk.drain())
    assert (state["state"], state["stopReason"], state["error"]["message"]) == ("idle", "error", "revoked")


@pytest.mark.parametrize(("frame", "code"), [*BYTES, *SHAPES, *PARAMETERS, *SILENT])
def test_hostile_messages_are_answered_as_in_version_1(frame: bytes, code: int | None) -> None:
    desk = opened()
    desk.editor.from_editor(frame)
    errors = [json.loads(each)["error"]["code"] for each in desk.editor.frames()]
    assert errors == ([] if code is None else [code])


@pytest.mark.parametrize("odd", ODD)
def test_odd_values_are_refused_and_break_nothing(odd: Any) -> None:
    desk = opened()
    for method, params in (
        ("session/resume", {"sessionId": odd, "cwd": "/w", "replayFrom": {"type": "start"}}),
        ("session/resume", {"sessionId": "s", "cwd": "/w", "replayFrom": odd or {"type": odd}}),
        ("session/prompt", {"sessionId": "s", "prompt": odd}),
        ("session/set_config_option", {"sessionId": "s", "configId": "myagent:mode", "value": odd}),
        ("session/set_config_option", {"sessionId": odd, "configId": odd}),
    ):
        desk.ask(method, **params)
        desk.commands = []
    assert states(prompted(desk)[1]) == ["running"]


def test_a_core_that_answers_at_the_end_as_well_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control of the answers."""
    monkeypatch.setattr(Board, "_is_answered", lambda *_: False)
    desk = opened()
    prompted(desk)
    desk.editor.lost("revoked")
    with pytest.raises(KeyError):
        desk.drain()


def test_what_does_not_fit_the_draft_is_found() -> None:
    """The negative control of the judge: version 1's update, an unknown one, a message without an id."""
    for update in (
        {"sessionUpdate": "tool_call", "toolCallId": "c", "title": "x"},
        {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "x"}},
        {"sessionUpdate": "state_update", "state": "idle", "stopReason": 7},
    ):
        with pytest.raises((KeyError, jsonschema.ValidationError)):
            fits("UpdateSessionNotification", {"sessionId": "s", "update": update})


def test_a_refusal_of_the_server_is_the_prompts_answer() -> None:
    desk = opened()
    desk.ask("session/prompt", sessionId="s", prompt=TEXT)
    frames = desk.says(Error(id=desk.command().id, message="the queue is full", code="queue_full"))
    assert told(frames)["message"] == "the queue is full"
