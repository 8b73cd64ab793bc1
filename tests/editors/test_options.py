"""What the agent offers to be chosen, as an editor sees and sets it; a session that is deleted, by it or elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from tests.editors.desk import ALICE, Desk, ended, metadata, stdout, welcome

from myagent.core.messages import (
    Ack,
    Delete,
    Error,
    OptionSet,
    PermissionAllowed,
    Resume,
    RoleMessage,
    SessionDeleted,
    SessionId,
    SessionMetadata,
    SetOption,
)

S = SessionId("s")
MODEL: dict[str, Any] = {
    "id": "model",
    "name": "Model",
    "category": "model",
    "type": "select",
    "value": "small",
    "values": [{"value": "small", "name": "Small"}, {"value": "large", "name": "Large", "guarded": True}],
}
SWITCH: dict[str, Any] = {"id": "fast", "name": "Fast", "category": "", "type": "boolean", "value": False, "values": []}
ODD: list[Any] = [None, 1, {}, {"id": "x"}, {"id": 1, "name": "n"}, {"id": "e", "name": "n", "values": []}]


def offering(*rows: Any) -> dict[str, Any]:
    return {"agent_state": {"options": [*rows]}}


def chosen(frames: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Of the first frame that tells of options: the id and value of each."""
    for frame in frames:
        body = frame.get("result") or frame.get("params", {}).get("update", {})
        if "configOptions" in body:
            return [(each["id"], each["currentValue"]) for each in body["configOptions"]]
    return []


def test_what_is_offered_is_told_and_what_an_editor_cannot_show_is_not() -> None:
    desk = Desk()
    desk.open(**offering(MODEL, SWITCH, *ODD))
    frames = desk.says(SessionMetadata(session=metadata(**offering(MODEL | {"value": "large"}, SWITCH))))
    assert chosen(frames) == [("model", "large")]
    assert desk.says(SessionMetadata(session=metadata(**offering(MODEL | {"value": "large"}, SWITCH)))) == []
    assert "without asking" in frames[0]["params"]["update"]["configOptions"][0]["options"][1]["description"]


def test_switches_are_for_editors_that_know_them() -> None:
    desk = Desk(greets=False)
    desk.says(RoleMessage(role="owner"), welcome())
    desk.ask("initialize", protocolVersion=1, clientCapabilities={"session": {"configOptions": {"boolean": {}}}})
    desk.open(**offering(MODEL))
    frames = desk.says(SessionMetadata(session=metadata(**offering(MODEL, SWITCH))))
    assert chosen(frames) == [("model", "small"), ("fast", False)]
    assert desk.ask("session/set_config_option", sessionId="s", configId="fast", type="boolean", value=True) == []
    assert desk.command().value is True


def test_an_option_is_set_by_the_owner_and_answered_with_all_of_them() -> None:
    desk = Desk()
    desk.open(**offering(MODEL))
    assert desk.ask("session/set_config_option", sessionId="s", configId="model", value="large") == []
    command = desk.command()
    assert command == SetOption(id=command.id, session_id=S, name="model", value="large")
    assert chosen(desk.says(Ack(id=command.id, session_id=S, duplicate=False))) == [("model", "large")]


@pytest.mark.parametrize(
    ("option", "value"), [("none", "large"), (None, "large"), ("model", "none"), ("model", True), ("model", 1)]
)
def test_what_is_not_offered_is_refused(option: Any, value: Any) -> None:
    desk = Desk()
    desk.open(**offering(MODEL))
    [refused] = desk.ask("session/set_config_option", sessionId="s", configId=option, value=value)
    assert refused["error"]["code"] == -32602
    assert desk.commands == []


def test_a_follower_sets_nothing_and_deletes_nothing() -> None:
    desk = Desk(role="follower", owner=ALICE)
    desk.open(**offering(MODEL))
    for method, more in (
        ("session/set_config_option", {"configId": "model", "value": "large"}),
        ("session/delete", {}),
    ):
        [refused] = desk.ask(method, sessionId="s", **more)
        assert "alice" in refused["error"]["message"]
    assert desk.commands == []


def test_what_needs_allow_bypass_is_refused_in_the_servers_words() -> None:
    desk = Desk()
    desk.open(**offering(MODEL))
    desk.ask("session/set_config_option", sessionId="s", configId="model", value="large")
    [refused] = desk.says(Error(id=desk.command().id, message="it needs --allow-bypass", code="not_allowed"))
    assert "--allow-bypass" in refused["error"]["message"]


def test_a_load_whose_last_event_is_no_turns_is_answered() -> None:
    """Else it would wait for ever where the connection is lost before `replayed`."""
    for last in (
        OptionSet(id="o", session_id=S, seq=3, option_id="model", value="large", by="alice"),
        PermissionAllowed(
            id="t", session_id=S, seq=3, permission_request_id="p", by="alice", allowed_by=("alice",), people=2
        ),
    ):
        desk = Desk()
        desk.ask("session/load", sessionId="s", cwd="/w", mcpServers=[])
        load = desk.command()
        assert isinstance(load, Resume)
        desk.says(Ack(id=load.id, session_id=S, duplicate=False))
        assert not [frame for frame in desk.says(stdout("a", seq=1), ended(seq=2)) if "result" in frame]
        desk.says(RoleMessage(role="owner"), welcome(metadata(head=3)))  # of a new connection
        assert [frame for frame in desk.says(last) if "result" in frame]


def test_a_session_is_deleted_once_nothing_of_it_is_left() -> None:
    desk = Desk()
    desk.open()
    assert desk.ask("session/delete", sessionId="s") == []
    command = desk.command()
    assert command == Delete(id=command.id, session_id=S)
    [answer] = desk.says(Ack(id=command.id, session_id=S, duplicate=False))
    assert answer["result"] == {}


def test_what_waits_for_a_session_that_was_deleted_elsewhere_is_told() -> None:
    desk = Desk()
    desk.open(**offering(MODEL))
    desk.ask("session/set_config_option", sessionId="s", configId="model", value="large")
    [refused] = desk.says(SessionDeleted(session_id=S, by="alice"))
    assert "deleted by alice" in refused["error"]["message"]
    assert desk.says(stdout("late")) == []
    [gone] = desk.ask("session/prompt", sessionId="s", prompt=[{"type": "text", "text": "x"}])
    assert gone["error"]["code"] == -32002
