"""session/attach and session/detach, as the open proposal has them; each frame is held against the published schema."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.editors.desk import ALICE, ME, Desk, ended, metadata, request, resolved, stdout, texts, welcome

from myagent.core.messages import (
    Ack,
    ConnectionInfo,
    Connections,
    Error,
    OwnerChanged,
    PermissionDecision,
    Prompt,
    Replayed,
    Resume,
    RoleMessage,
    SessionMetadata,
    Who,
)
from myagent.editors import attaching
from myagent.editors.permits import Permits

WATCHER: dict[str, Any] = {"role": "follower", "owner": ALICE}
TEXT = [{"type": "text", "text": "help"}]


def told(frames: list[dict[str, Any]]) -> dict[str, Any]:
    """The only result or error."""
    [found] = [frame for frame in frames if "method" not in frame]
    return found.get("result", found.get("error"))


def attach(desk: Desk, *events: Any, head: int = 0, **params: Any) -> dict[str, Any]:
    """Attach to the session of these events, with who is here where the desk may know; the answer."""
    assert desk.ask("session/attach", sessionId="s", **params) == []
    command = desk.command()
    assert isinstance(command, Resume)
    frames = desk.says(
        Ack(id=command.id, session_id="s", duplicate=False),  # type: ignore[arg-type]
        SessionMetadata(session=metadata(head=head)),
        *events,
        *([] if command.after_seq is None else [Replayed(id=command.id, session_id="s", head=head)]),  # type: ignore[arg-type]
    )
    if desk.commands:
        who = desk.command()
        assert isinstance(who, Who)
        rows = [
            ConnectionInfo("c_me", "owner", "owner", "zed", "2026"),  # type: ignore[arg-type]
            ConnectionInfo("c_bob", "follower", "follower", "bob", "2026"),  # type: ignore[arg-type]
        ]
        frames = desk.says(Connections(id=who.id, connections=rows))
    return told(frames)


def history(prompt: str = "hello") -> list[Any]:
    asked = request("p1", tool_call_id="call", seq=2)
    return [
        Prompt(id="t", session_id="s", seq=1, prompt=prompt, by="alice", at=1_793_872_920_000),  # type: ignore[arg-type]
        asked,
        replace(resolved("p1"), seq=3),
        stdout("said", seq=4),
        request("p2", tool_call_id="second", seq=5),
    ]


def test_it_is_advertised_as_an_extension_with_the_roles_that_can_be_had() -> None:
    desk = Desk(greets=False)
    desk.says(RoleMessage(role="owner"), welcome(metadata(agent_state={"supervision": "verified"})))
    said = told(desk.ask("initialize", protocolVersion=1))["agentCapabilities"]
    assert said["sessionCapabilities"]["attach"]["roles"] == ["controller", "observer"]
    assert said["sessionCapabilities"]["attach"]["_meta"]["myagent"]["extension"].endswith("/533")
    assert said["_meta"]["myagent"]["hosted"] == {"agent": "command", "supervision": "verified"}
    invited = Desk(greets=False)
    invited.says(RoleMessage(role="follower"), welcome(owner=ALICE, scope="follower"))
    said = told(invited.ask("initialize", protocolVersion=1))["agentCapabilities"]
    assert said["sessionCapabilities"]["attach"]["roles"] == ["observer"]


def test_with_its_full_history_a_session_is_told_as_by_a_load_and_listed() -> None:
    desk = Desk(**WATCHER)
    answer = attach(desk, *history(), head=5, historyPolicy="full")
    assert answer["history"] == [
        {"type": "prompt", "content": "hello", "timestamp": "2026-11-05T10:02:00.000Z"},
        {"type": "permission_request", "toolCallId": "call", "status": "allow"},
        {"type": "permission_request", "toolCallId": "second", "status": "pending"},
    ]
    assert texts([{"params": each} for each in desk.judge.updates]) == [
        ("user_message_chunk", "alice: hello"),
        ("agent_message_chunk", "said"),
    ]
    assert (answer["sessionId"], answer["role"], answer["historyPolicy"]) == ("s", "controller", "full")
    assert [(each["name"], each["role"]) for each in answer["connectedClients"]] == [
        ("alice", "controller"),
        ("c_me", "controller"),
    ]


def test_with_what_is_pending_only_what_waits_is_listed_and_nothing_is_told() -> None:
    desk = Desk(**WATCHER)
    desk.says(*history())  # a connection is told them, whether the session is open here or not
    answer = attach(desk, historyPolicy="pending_only")
    assert answer["history"] == [{"type": "permission_request", "toolCallId": "second", "status": "pending"}]
    assert texts([{"params": each} for each in desk.judge.updates]) == []
    assert "history" not in attach(desk, historyPolicy="none")


def test_an_owner_is_told_who_is_here() -> None:
    desk = Desk()
    answer = attach(desk, role="controller", historyPolicy="none")
    assert [(each["name"], each["role"]) for each in answer["connectedClients"]] == [
        ("zed", "controller"),
        ("bob", "observer"),
    ]
    assert answer["connectedClients"][0]["_meta"]["myagent"]["role"] == "owner"


def test_an_owner_that_loses_its_slot_meanwhile_is_attached_all_the_same() -> None:
    desk = Desk()
    desk.ask("session/attach", sessionId="s", historyPolicy="none")
    desk.says(Ack(id=desk.command().id, session_id="s", duplicate=False))  # type: ignore[arg-type]
    frames = desk.says(Error(id=desk.command().id, message="read-only follower", code="not_owner"))
    assert told(frames)["sessionId"] == "s"


def test_a_controller_prompts_and_is_asked_and_an_observer_neither() -> None:
    desk = Desk()
    attach(desk, role="controller", historyPolicy="none")
    desk.prompts("help")
    assert [each["method"] for each in desk.says(request(turn="m2"))] == ["session/request_permission"]
    watcher = Desk()  # though it owns
    attach(watcher, role="observer", historyPolicy="none")
    assert watcher.says(request()) == []
    for method, params in (
        ("session/prompt", {"prompt": TEXT}),
        ("session/prompt", {"prompt": [{"type": "text", "text": "/release"}]}),
        ("session/set_mode", {"modeId": "plan"}),
        ("session/set_config_option", {"configId": "model", "value": "x"}),
        ("session/delete", {}),
    ):
        assert told(watcher.ask(method, sessionId="s", **params))["message"].startswith("attached as an observer")
    watcher.says(SessionMetadata(session=metadata(state="running")))
    watcher.tell("session/cancel", sessionId="s")
    assert watcher.commands == []


def test_an_observer_that_loads_the_session_is_none_any_more() -> None:
    desk = Desk()
    attach(desk, role="observer", historyPolicy="none")
    desk.says(request())
    desk.ask("session/resume", sessionId="s", cwd="/w", mcpServers=[])
    frames = desk.says(Ack(id=desk.command().id, session_id="s", duplicate=False))  # type: ignore[arg-type]
    assert "session/request_permission" in [each.get("method") for each in frames]


def test_who_may_not_own_can_only_observe() -> None:
    desk = Desk(**WATCHER, scope="follower", may="watch")
    refusal = told(desk.ask("session/attach", sessionId="s", role="controller"))
    assert (refusal["code"], refusal["data"]) == (-32002, {"code": "not_owner", "details": refusal["message"]})
    assert attach(desk, historyPolicy="none")["role"] == "observer"


def test_a_session_that_is_none_is_refused_in_the_proposals_code() -> None:
    desk = Desk()
    desk.ask("session/attach", sessionId="s")
    refusal = told(desk.says(Error(id=desk.command().id, message="no such session", code="unknown_session")))
    assert refusal["code"] == -32001


def test_what_somebody_else_answers_is_told_to_those_who_attached_and_to_nobody_else() -> None:
    desk = Desk(**WATCHER)
    attach(desk, historyPolicy="none")
    desk.says(request("p", tool_call_id="call"))
    [frame] = desk.says(resolved("p", outcome="deny"))
    update = frame["params"]["update"]
    assert (update["sessionUpdate"], update["type"]) == ("session_info_update", "permission_resolved")
    assert (update["toolCallId"], update["resolvedBy"]["name"]) == ("call", "alice")
    assert update["_meta"]["myagent"]["outcome"] == "deny"
    plain = Desk(**WATCHER)
    plain.open()
    plain.says(request("p"))
    assert plain.says(resolved("p")) == []


def test_its_own_answer_is_not_told_back() -> None:
    desk = Desk()
    attach(desk, role="controller", historyPolicy="none")
    [asked] = desk.says(request("p"))
    desk.gives(
        {
            "jsonrpc": "2.0",
            "id": asked["id"],
            "result": {"outcome": {"outcome": "selected", "optionId": "myagent:allow"}},
        }
    )
    assert isinstance(desk.command(), PermissionDecision)
    assert desk.says(resolved("p")) == []


def test_an_owner_who_is_gone_is_told() -> None:
    desk = Desk(**WATCHER)
    attach(desk, historyPolicy="none")
    frames = desk.says(OwnerChanged(owner_epoch=2, owner=None, why="lost"))
    gone = [each["params"]["update"] for each in frames if "type" in each["params"]["update"]]
    assert [(each["type"], each["client"]["name"]) for each in gone] == [("client_disconnected", "alice")]
    frames = desk.says(OwnerChanged(owner_epoch=3, owner=ME, why="claimed"))
    assert not [each for each in frames if "type" in each["params"]["update"]]


def test_who_detaches_is_told_nothing_more_and_its_turn_goes_on() -> None:
    desk = Desk()
    attach(desk, role="controller", historyPolicy="none")
    turn = desk.prompts("help")
    assert told(desk.ask("session/detach", sessionId="s")) == {"sessionId": "s", "status": "detached"}
    assert desk.commands == []  # nothing is cancelled
    assert desk.says(stdout("more", turn=turn)) == []
    assert told(desk.says(ended(turn)))["stopReason"] == "end_turn"
    assert told(desk.ask("session/detach", sessionId="s"))["code"] == -32001


def test_an_attach_is_asked_for_again_on_a_new_connection_and_answered_once() -> None:
    desk = Desk()
    desk.ask("session/attach", sessionId="s", historyPolicy="none")
    first = desk.command()
    desk.says(welcome())
    assert desk.command() == first
    desk.says(Ack(id=first.id, session_id="s", duplicate=False))
    who = desk.command()
    desk.says(welcome())
    assert desk.command() == who
    assert told(desk.says(Connections(id=who.id, connections=[])))["connectedClients"] == []


def test_an_attach_that_is_taken_back_leaves_the_session_closed() -> None:
    desk = Desk()
    desk.ask("session/attach", sessionId="s", historyPolicy="none")
    desk.says(Ack(id=desk.command().id, session_id="s", duplicate=False))  # type: ignore[arg-type]
    desk.command()
    assert told(desk.tell("$/cancel_request", requestId=2))["code"] == -32800
    assert desk.says(stdout("x")) == []


def test_a_side_that_asks_observers_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control."""
    askable = Permits._is_askable

    def careless(self: Permits, key: str, event: Any) -> bool:
        self._board.open[event.session_id].role = None
        return askable(self, key, event)

    monkeypatch.setattr(Permits, "_is_askable", careless)
    monkeypatch.setattr(attaching, "check_controller", lambda *_: None)
    with pytest.raises(AssertionError):
        test_a_controller_prompts_and_is_asked_and_an_observer_neither()
