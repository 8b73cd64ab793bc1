"""The conversation of an editor with a shared session, written down; each frame is held against ACP's schema."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from tests.core.test_pictures import png
from tests.editors.desk import ALICE, Desk, ended, metadata, request, resolved, stderr, stdout, texts, welcome

from myagent.core.messages import (
    Ack,
    Activity,
    AnswerMessage,
    Cancel,
    Claim,
    ConnectionInfo,
    Connections,
    ControlRequested,
    Error,
    Gap,
    Handover,
    ImageItem,
    OpenSession,
    OwnerChanged,
    PermissionDecision,
    Prompt,
    Question,
    QuestionResolved,
    Replayed,
    RequestControl,
    Resume,
    RoleMessage,
    SessionMetadata,
    UserMessage,
    Who,
)
from myagent.editors.waiting import SessionsWanted

TEXT = [{"type": "text", "text": "help"}]


def ack(message: Any, session: str | None = "s", *, duplicate: bool = False) -> Ack:
    return Ack(id=message.id, session_id=session, duplicate=duplicate)  # type: ignore[arg-type]


def prompt(text: str, turn: str = "t", by: str = "alice", seq: int | None = None) -> Prompt:
    return Prompt(id=turn, session_id="s", seq=seq, prompt=text, by=by)  # type: ignore[arg-type]


def told(frames: list[dict[str, Any]]) -> dict[str, Any]:
    """The only result or error."""
    [found] = [frame for frame in frames if "method" not in frame]
    return found.get("result", found.get("error"))


# --- sessions -----------------------------------------------------------------------------------------------------


def test_nothing_is_answered_before_initialize() -> None:
    desk = Desk(greets=False)
    assert told(desk.ask("session/list"))["message"] == "`initialize` comes first"
    assert told(desk.ask("initialize", protocolVersion=7, clientCapabilities={}))["protocolVersion"] == 1


def test_a_new_session_is_an_empty_one_of_ours() -> None:
    desk = Desk()
    assert desk.ask("session/new", cwd="/w", mcpServers=[]) == []
    opens = desk.command()
    assert isinstance(opens, OpenSession)
    frames = desk.says(ack(opens), SessionMetadata(session=metadata()))
    assert told(frames)["sessionId"] == "s"
    assert told(frames)["modes"]["currentModeId"] == "default"
    [commands] = [frame["params"]["update"] for frame in frames if "method" in frame]
    assert [row["name"] for row in commands["availableCommands"]] == ["who", "claim", "release", "handover"]


def test_a_session_that_was_made_on_a_lost_connection_is_asked_for_again_by_its_id() -> None:
    desk = Desk()
    desk.ask("session/new", cwd="/w", mcpServers=[])
    opens = desk.command()
    desk.says(welcome())
    assert desk.command() == opens


def test_servers_of_the_editor_are_refused_with_the_reason_unless_it_was_said_to_leave_them_out() -> None:
    servers = [{"name": "x", "command": "/x", "args": [], "env": []}]
    assert "runs at the host" in told(Desk().ask("session/new", cwd="/w", mcpServers=servers))["message"]
    assert Desk(without_mcp=True).ask("session/new", cwd="/w", mcpServers=servers) == []


def test_another_directory_of_this_machine_is_refused_and_one_below_is_not() -> None:
    desk = Desk(directory="/w")
    assert "/else" in told(desk.ask("session/new", cwd="/else", mcpServers=[]))["message"]
    assert "/w-2" in told(desk.ask("session/new", cwd="/w-2", mcpServers=[]))["message"]
    assert desk.ask("session/new", cwd="/w/sub/..", mcpServers=[]) == []


def test_a_list_has_pages_that_lose_nothing_when_a_session_moves_on() -> None:
    desk = Desk()
    rows = [metadata(f"s{n:03}", updated_at=f"2026-01-01T00:{n // 60:02}:{n % 60:02}Z") for n in range(120)]
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        desk.ask("session/list", **cursor)
        wanted = desk.command()
        assert isinstance(wanted, SessionsWanted)
        desk.editor.listed(wanted, rows)
        page = told(desk.drain())
        seen += [row["sessionId"] for row in page["sessions"]]
        if "nextCursor" not in page:
            break
        cursor = {"cursor": page["nextCursor"]}
        rows[10] = metadata("s010", updated_at="2026-01-02T00:00:00Z")
    assert set(seen) | {"s010"} == {f"s{n:03}" for n in range(120)}
    assert len(seen) == len(set(seen)) == 119
    desk.ask("session/list", cursor="bad")
    desk.editor.listed(desk.command(), rows)
    assert told(desk.drain())["code"] == -32602


def test_a_list_is_of_a_directory_here_and_of_the_editors_own_elsewhere() -> None:
    here, elsewhere = Desk(directory="/w"), Desk()
    for desk, cwd, wanted in ((here, "/w", ["/w"]), (here, "/w/sub", []), (elsewhere, "/mine", ["/mine"])):
        desk.ask("session/list", cwd=cwd)
        desk.editor.listed(desk.command(), [metadata()])
        assert [row["cwd"] for row in told(desk.drain())["sessions"]] == wanted


def test_a_load_tells_the_whole_conversation_before_its_answer() -> None:
    desk = Desk()
    assert desk.ask("session/load", sessionId="s", cwd="/w", mcpServers=[]) == []
    resume = desk.command()
    assert isinstance(resume, Resume) and resume.after_seq == 0
    assert desk.says(stdout("superseded", seq=9)) == []
    frames = desk.says(
        ack(resume),
        SessionMetadata(session=metadata(head=4, title="help")),
        prompt("help", by="alice", seq=1),
        stdout("yes", seq=2),
        ended(seq=3),
    )
    assert texts(frames) == [("user_message_chunk", "alice: help"), ("agent_message_chunk", "yes")]
    assert not [frame for frame in frames if "method" not in frame]
    last = desk.says(prompt("mine", turn="u", by="zed", seq=4), Replayed(id=resume.id, session_id="s", head=4))  # type: ignore[arg-type]
    assert texts(last) == [("user_message_chunk", "mine")]
    assert told(last)["modes"]
    assert [frame.get("method") for frame in last][:2] == ["session/update", None]
    assert texts(desk.says(stdout("live", turn="u", seq=5))) == [("agent_message_chunk", "live")]


def test_a_load_of_an_empty_session_is_answered_and_of_none_refused() -> None:
    desk = Desk()
    desk.ask("session/load", sessionId="s", cwd="/w", mcpServers=[])
    resume = desk.command()
    frames = desk.says(ack(resume), SessionMetadata(session=metadata()), Replayed(id=resume.id, session_id="s", head=0))  # type: ignore[arg-type]
    assert "modes" in told(frames)
    desk.ask("session/load", sessionId="none", cwd="/w", mcpServers=[])
    frames = desk.says(Error(id=desk.command().id, message="no such session", code="unknown_session"))
    assert told(frames)["code"] == -32002


def test_a_load_goes_on_over_a_lost_connection_and_tells_nothing_twice() -> None:
    desk = Desk()
    desk.ask("session/load", sessionId="s", cwd="/w", mcpServers=[])
    first = desk.command()
    desk.says(welcome(metadata(head=3)))
    assert desk.command() == first  # it had no ack
    desk.says(ack(first), SessionMetadata(session=metadata(head=3)), prompt("a", seq=1))
    frames = desk.says(welcome(metadata(head=5)), stdout("b", seq=2))
    assert desk.commands == []  # whoever connects reads on by itself
    assert texts(frames) == [("agent_message_chunk", "b")]
    assert told(desk.says(stdout("c", seq=3))) is not None


def test_a_load_of_what_the_new_connection_does_not_know_is_asked_for_from_where_it_was() -> None:
    desk = Desk()
    desk.ask("session/load", sessionId="s", cwd="/w", mcpServers=[])
    desk.says(ack(desk.command()), SessionMetadata(session=metadata(head=3)), prompt("a", seq=1))
    desk.says(welcome())
    again = desk.command()
    assert (again.session_id, again.after_seq) == ("s", 1)
    frames = desk.says(ack(again), SessionMetadata(session=metadata(head=3)), stdout("b", seq=2), stdout("c", seq=3))
    assert texts(frames) == [("agent_message_chunk", "b"), ("agent_message_chunk", "c")]
    assert told(frames)


def test_a_load_of_an_empty_session_ends_also_when_only_its_ack_came_before_the_connection_was_lost() -> None:
    desk = Desk()
    desk.ask("session/load", sessionId="s", cwd="/w", mcpServers=[])
    assert desk.says(ack(desk.command())) == []
    assert "modes" in told(desk.says(welcome(metadata())))


def test_what_is_no_longer_kept_is_said() -> None:
    desk = Desk()
    desk.open()
    assert "3 events" in texts(desk.says(Gap("s", 1, 3)))[0][1]  # type: ignore[arg-type]


def test_a_closed_session_is_silent_and_its_own_turns_are_cancelled() -> None:
    desk = Desk()
    desk.open()
    turn = desk.prompts("sleep")
    assert told(desk.ask("session/close", sessionId="s")) == {}
    assert desk.command().turn_id == turn
    assert desk.says(stdout("late", turn=turn)) == []
    assert told(desk.says(ended(turn, "cancelled")))["stopReason"] == "cancelled"
    assert told(desk.ask("session/prompt", sessionId="s", prompt=TEXT))["code"] == -32002


# --- turns --------------------------------------------------------------------------------------------------------


def test_a_prompt_is_answered_by_the_end_of_its_own_turn() -> None:
    desk = Desk()
    desk.open()
    desk.ask("session/set_mode", sessionId="s", modeId="plan")
    turn = desk.prompts("help")
    other = desk.says(prompt("else", turn="x"), stdout("for alice", turn="x"), ended("x"))
    assert texts(other) == [("user_message_chunk", "alice: else"), ("agent_message_chunk", "for alice")]
    assert other[-1]["params"]["update"]["_meta"]["myagent"]["stopReason"] == "end_turn"
    assert texts(desk.says(stdout("yes", turn=turn))) == [("agent_message_chunk", "yes")]
    assert told(desk.says(ended(turn)))["stopReason"] == "end_turn"


def test_the_mode_that_was_chosen_goes_with_the_prompts_and_no_other_does() -> None:
    desk = Desk()
    desk.open()
    desk.ask("session/prompt", sessionId="s", prompt=TEXT)
    assert desk.command().permission_mode is None
    desk.ask("session/set_mode", sessionId="s", modeId="plan")
    desk.ask("session/prompt", sessionId="s", prompt=TEXT)
    assert desk.command().permission_mode == "plan"
    assert told(desk.ask("session/set_mode", sessionId="s", modeId="yolo"))["code"] == -32602


@pytest.mark.parametrize("stop", ["failed", "interrupted"])
def test_a_turn_that_could_not_run_is_an_error_with_the_reason(stop: str) -> None:
    desk = Desk()
    desk.open()
    turn = desk.prompts("help")
    assert desk.says(Error(id=turn, message="the agent is gone", code="internal")) == []
    assert told(desk.says(ended(turn, stop)))["message"] == "the agent is gone"
    turn = desk.prompts("help")
    assert told(desk.says(ended(turn, stop, message="the server stopped")))["message"] == "the server stopped"


def test_a_prompt_on_a_lost_connection_is_not_sent_twice_by_us_and_ends_once() -> None:
    desk = Desk()
    desk.open()
    turn = desk.prompts("help")
    assert desk.says(RoleMessage(role="owner"), welcome(metadata())) == []
    assert desk.commands == []
    assert told(desk.says(ended(turn)))["stopReason"] == "end_turn"
    assert desk.says(ended(turn)) != [] and desk.judge.waiting == {}  # as anybody's, and no answer


def test_cancelling_is_of_ones_own_turns_else_as_the_owner_of_what_runs() -> None:
    desk = Desk()
    desk.open()
    desk.tell("session/cancel", sessionId="s")
    assert desk.commands == []
    turn = desk.prompts("sleep")
    desk.tell("session/cancel", sessionId="s")
    assert desk.command() == Cancel(id="m2", session_id="s", turn_id=turn)  # type: ignore[arg-type]
    desk.says(ended(turn, "cancelled"), SessionMetadata(session=metadata(state="running")))
    desk.tell("session/cancel", sessionId="s")
    assert desk.command().turn_id is None
    desk.says(RoleMessage(role="follower"))
    desk.tell("session/cancel", sessionId="s")
    assert desk.commands == []


def test_a_request_that_is_taken_back_is_answered_all_the_same() -> None:
    desk = Desk()
    desk.open()
    desk.ask("session/new", cwd="/w", mcpServers=[])
    opens = desk.command()
    assert told(desk.tell("$/cancel_request", requestId=3))["code"] == -32800
    assert desk.says(ack(opens)) == []
    turn = desk.prompts("sleep")
    desk.tell("$/cancel_request", requestId=4)
    assert desk.command().turn_id == turn
    assert told(desk.says(ended(turn, "cancelled")))["stopReason"] == "cancelled"


def test_pictures_are_sent_before_the_prompt_where_the_agent_takes_them() -> None:
    desk = Desk(takes=("image",))
    desk.open()
    data = png(4, 3) + bytes(600_000)
    image = {"type": "image", "data": base64.b64encode(data).decode(), "mimeType": "image/svg+xml"}
    desk.ask("session/prompt", sessionId="s", prompt=[image, {"type": "text", "text": "look"}])
    digest = hashlib.sha256(data).hexdigest()
    *parts, message = desk.commands
    assert [(part.digest, part.size) for part in parts] == [(digest, len(data))] * 2
    assert b"".join(part.data for part in parts) == data and parts[1].offset == len(parts[0].data)
    assert (message.prompt, message.content) == ("look", (ImageItem(digest),))
    bad = {**image, "data": base64.b64encode(b"<svg/>").decode()}
    assert "no PNG" in told(desk.ask("session/prompt", sessionId="s", prompt=[bad]))["message"]
    huge = {**image, "data": base64.b64encode(png(4, 3) + bytes(1 << 20)).decode()}
    assert "larger than 1048576 bytes" in told(desk.ask("session/prompt", sessionId="s", prompt=[huge]))["message"]


@pytest.mark.parametrize("takes", [(), ("file",), ("image", "file")])
def test_an_editor_is_told_whether_pictures_can_be_sent(takes: tuple[str, ...]) -> None:
    desk = Desk(takes=takes)
    said = told(desk.ask("initialize", protocolVersion=1))["agentCapabilities"]["promptCapabilities"]
    assert said["image"] is ("image" in takes)


def test_what_cannot_be_sent_is_refused_in_words() -> None:
    desk = Desk()
    desk.open()
    image = [{"type": "image", "data": "AA", "mimeType": "image/png"}]
    assert "images" in told(desk.ask("session/prompt", sessionId="s", prompt=image))["message"]
    large = [{"type": "text", "text": "x" * 1001}]
    assert "1001 bytes" in told(desk.ask("session/prompt", sessionId="s", prompt=large))["message"]
    assert told(desk.ask("session/prompt", sessionId="s", prompt=[]))["code"] == -32602


def test_only_mine_tells_nothing_of_other_peoples_turns_but_all_of_a_load() -> None:
    desk = Desk(only_mine=True)
    desk.open()
    assert texts(desk.says(prompt("else", turn="x"), stdout("no", turn="x"), ended("x"))) == []
    turn = desk.prompts("help")
    assert texts(desk.says(stdout("yes", turn=turn))) == [("agent_message_chunk", "yes")]
    assert desk.says(request("p", turn="x")) == []


# --- permission requests ------------------------------------------------------------------------------------------


def test_a_request_is_asked_once_and_answered_with_what_was_shown() -> None:
    desk = Desk()
    desk.open()
    turn = desk.prompts("!ls")
    asked = request(turn=turn, tool_call_id="call-1", flags=("bidi",))
    [frame] = desk.says(asked)
    assert frame["params"]["toolCall"]["toolCallId"] == "call-1"
    assert "bidi" in frame["params"]["toolCall"]["content"][0]["content"]["text"]
    assert [row["kind"] for row in frame["params"]["options"]] == ["allow_once", "reject_once"]
    assert desk.says(asked, request(turn=turn, pending=True)) == []
    answer = {"outcome": {"outcome": "selected", "optionId": "myagent:allow"}}
    desk.gives({"jsonrpc": "2.0", "id": frame["id"], "result": answer})
    decision = desk.command()
    assert isinstance(decision, PermissionDecision)
    assert (decision.decision.kind, decision.decision.option_id, decision.decision.digest) == ("allow", None, "d")
    assert desk.says(ack(decision), resolved(turn=turn)) == []


@pytest.mark.parametrize(
    "answer",
    [
        {"result": {"outcome": {"outcome": "selected", "optionId": "myagent:deny"}}},
        {"result": {"outcome": {"outcome": "selected", "optionId": "made up"}}},
        {"result": {"outcome": {"outcome": "cancelled"}}},
        {"result": {"outcome": "allow"}},
        {"result": None},
        {"error": {"code": -32601, "message": "no"}},
    ],
)
def test_whatever_else_is_answered_denies(answer: dict[str, Any]) -> None:
    desk = Desk()
    desk.open()
    [frame] = desk.says(request())
    desk.gives({"jsonrpc": "2.0", "id": frame["id"], **answer})
    assert desk.command().decision.kind == "deny"


def test_one_that_is_resolved_elsewhere_is_taken_back_and_a_late_answer_is_nothing() -> None:
    desk = Desk()
    desk.open()
    [frame] = desk.says(request())
    assert [each["method"] for each in desk.says(resolved())] == ["$/cancel_request"]
    desk.gives({"jsonrpc": "2.0", "id": frame["id"], "error": {"code": -32800, "message": "cancelled"}})
    assert desk.commands == []


def test_it_is_asked_of_whoever_may_answer_and_taken_back_from_who_may_no_longer() -> None:
    desk = Desk(role="follower", owner=ALICE)
    desk.open()
    assert desk.says(request()) == []
    assert [each["method"] for each in desk.says(RoleMessage(role="owner"))] == ["session/request_permission"]
    assert [each["method"] for each in desk.says(RoleMessage(role="follower"))] == ["$/cancel_request"]


def test_one_of_a_session_that_is_not_open_waits_until_it_is() -> None:
    desk = Desk()
    assert desk.says(request()) == []
    desk.ask("session/resume", sessionId="s", cwd="/w", mcpServers=[])
    frames = desk.says(ack(desk.command()), SessionMetadata(session=metadata()))
    assert [frame.get("method") for frame in frames if frame.get("method") != "session/update"] == [
        None,
        "session/request_permission",
    ]


def test_a_load_asks_what_is_open_and_not_what_was() -> None:
    desk = Desk()
    desk.ask("session/load", sessionId="s", cwd="/w", mcpServers=[])
    resume = desk.command()
    frames = desk.says(
        ack(resume),
        SessionMetadata(session=metadata(head=3)),
        request("old", seq=1),
        resolved("old"),
        request("new", seq=3),
        Replayed(id=resume.id, session_id="s", head=3),  # type: ignore[arg-type]
    )
    [asked] = [frame for frame in frames if frame.get("method") == "session/request_permission"]
    assert asked["params"]["_meta"]["myagent"]["permissionRequestId"] == "new"


def test_an_answer_that_did_not_count_is_asked_again() -> None:
    desk = Desk()
    desk.open()
    [frame] = desk.says(request())
    answer = {"outcome": {"outcome": "selected", "optionId": "myagent:allow"}}
    desk.gives({"jsonrpc": "2.0", "id": frame["id"], "result": answer})
    refused = Error(id=desk.command().id, message="changed", code="digest_mismatch")
    assert [each["method"] for each in desk.says(refused)] == ["session/request_permission"]


# --- people -------------------------------------------------------------------------------------------------------


def test_a_followers_prompt_is_refused_in_words_that_name_the_owner() -> None:
    desk = Desk(role="follower", owner=ALICE)
    desk.open()
    refusal = told(desk.ask("session/prompt", sessionId="s", prompt=TEXT))
    assert refusal["message"] == "read-only follower: the slot is taken by alice; /claim asks for it"
    assert desk.commands == []
    assert "read-only follower" in told(desk.ask("session/new", cwd="/w", mcpServers=[]))["message"]


def test_a_prompt_that_lost_the_slot_on_its_way_is_refused_in_the_same_words() -> None:
    desk = Desk()
    desk.open()
    desk.ask("session/prompt", sessionId="s", prompt=TEXT)
    turn = desk.command()
    desk.says(OwnerChanged(owner_epoch=2, owner=ALICE, why="claimed"))
    refusal = told(desk.says(Error(id=turn.id, message="…", code="stale_owner")))
    assert refusal["message"] == "read-only follower: the slot is taken by alice; /claim asks for it"


def line(desk: Desk, text: str) -> list[dict[str, Any]]:
    return desk.ask("session/prompt", sessionId="s", prompt=[{"type": "text", "text": text}])


def test_the_lines_that_show_and_move_ownership() -> None:
    desk = Desk()
    desk.open()
    people = [
        ConnectionInfo("c_me", "owner", "owner", "zed", "2026"),  # type: ignore[arg-type]
        ConnectionInfo("c_alice", "follower", "owner", "alice", "2026"),  # type: ignore[arg-type]
    ]
    line(desk, "/who")
    who = desk.command()
    assert isinstance(who, Who)
    frames = desk.says(Connections(id=who.id, connections=people))
    assert "follower: alice c_alice" in texts(frames)[0][1]
    assert told(frames)["stopReason"] == "end_turn"
    line(desk, "/handover bob")
    assert "nobody here" in texts(desk.says(Connections(id=desk.command().id, connections=people)))[0][1]
    line(desk, "/handover alice")
    desk.says(Connections(id=desk.command().id, connections=people))
    handover = desk.command()
    assert isinstance(handover, Handover) and handover.to == "c_alice"
    assert texts(desk.says(ack(handover, None))) == [("agent_message_chunk", "the slot is theirs; you are watching")]
    desk.says(RoleMessage(role="follower"), OwnerChanged(owner_epoch=3, owner=ALICE, why="handed_over"))
    assert texts(line(desk, "/who")) == [("agent_message_chunk", "alice owns this session; 0 follow")]
    assert "only the owner" in told(line(desk, "/release"))["message"]
    line(desk, "/claim")
    claim = desk.command()
    assert isinstance(claim, Claim)
    assert desk.says(Error(id=claim.id, message="taken", code="not_claimable")) == []
    ask = desk.command()
    assert isinstance(ask, RequestControl)
    assert texts(desk.says(ack(ask, None))) == [("agent_message_chunk", "the owner was asked for it")]
    desk.says(OwnerChanged(owner_epoch=4, owner=None, why="lost"))
    line(desk, "/claim")
    assert desk.says(Error(id=desk.command().id, message="kept", code="not_claimable")) == []
    takes = desk.command()
    assert takes.force
    refused = desk.says(Error(id=takes.id, message="the slot is kept", code="not_claimable"))
    assert texts(refused) == [("agent_message_chunk", "the slot is kept")]
    line(desk, "/claim force")
    takes = desk.command()
    assert takes.force
    assert told(desk.says(ack(takes, None)))["stopReason"] == "end_turn"
    line(desk, "at once, before the role is told")
    assert isinstance(desk.command(), UserMessage)


def test_who_asks_for_control_is_shown_to_the_owner() -> None:
    desk = Desk()
    desk.open()
    asked = desk.says(ControlRequested(connection_id="c_alice", label="alice"))  # type: ignore[arg-type]
    assert texts(asked) == [("agent_thought_chunk", "[alice asks for control: /handover alice gives it]\n")]


def test_who_may_approve_is_asked_and_may_stop_what_runs_and_cannot_prompt() -> None:
    desk = Desk(role="follower", owner=ALICE, scope="follower", may="approve")
    desk.open(state="running")
    assert [each["method"] for each in desk.says(request())] == ["session/request_permission"]
    desk.tell("session/cancel", sessionId="s")
    assert isinstance(desk.command(), Cancel)
    assert "this credential can approve" in told(desk.ask("session/prompt", sessionId="s", prompt=TEXT))["message"]


def test_what_a_rule_allows_is_not_asked() -> None:
    desk = Desk()
    desk.open()
    assert desk.says(request(rule_id="r")) == []


def test_a_command_of_the_agents_keeps_its_name_and_ours_gets_another() -> None:
    desk = Desk()
    desk.open(agent_state={"commands": [{"name": "release", "description": "publish"}]})
    rows = desk.judge.updates[-1]["update"]["availableCommands"]
    assert [row["name"] for row in rows] == ["release", "who", "claim", "myagent:release", "handover"]
    line(desk, "/release 1.2")
    assert isinstance(desk.command(), UserMessage)
    line(desk, "/myagent:release")
    assert desk.command().__struct_config__.tag == "release"


def test_who_owns_is_told_beside_the_conversation() -> None:
    desk = Desk()
    desk.open()
    [frame] = desk.says(OwnerChanged(owner_epoch=2, owner=ALICE, why="claimed"))
    assert frame["params"]["update"]["_meta"]["myagent"]["owner"]["label"] == "alice"


# --- output -------------------------------------------------------------------------------------------------------


def chunk(text: str) -> dict[str, Any]:
    return {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}


def test_an_update_that_takes_several_events_is_told_once() -> None:
    desk = Desk()
    desk.open()
    whole = "é" * 5000
    frames = desk.says(stdout(whole[:2000], update=chunk(whole)), stdout(whole[2000:4000]), stdout(whole[4000:]))
    assert texts(frames) == [("agent_message_chunk", whole)]
    assert texts(desk.says(stdout("text of its own"))) == [("agent_message_chunk", "text of its own")]


def test_a_lines_end_that_sets_texts_apart_is_not_told_and_one_that_was_said_is() -> None:
    desk = Desk()
    desk.open()
    frames = desk.says(
        stdout("a", update=chunk("a")), stdout("\n"), stdout("b", update=chunk("b")), stdout("\n"), stdout("c")
    )
    assert [text for _, text in texts(frames)] == ["a", "b", "\n", "c"]
    assert [text for _, text in texts(desk.says(stdout("\n"), ended()))] == ["\n"]


def test_text_without_an_update_is_the_agents_message_or_stands_beside_it() -> None:
    desk = Desk()
    desk.open()
    frames = desk.says(stdout("out"), stderr("err"))
    assert texts(frames) == [("agent_message_chunk", "out"), ("agent_thought_chunk", "err")]


@pytest.mark.parametrize(
    "update",
    [
        {"sessionUpdate": "from the future", "content": 3},
        {"sessionUpdate": "agent_message_chunk", "content": "text"},
        {"sessionUpdate": "tool_call"},
        {"sessionUpdate": "plan", "entries": [{"content": "x", "priority": "urgent", "status": "pending"}]},
        {"sessionUpdate": "usage_update", "used": -1, "size": 0},
        "nothing",
    ],
)
def test_an_update_that_the_protocol_does_not_know_is_told_by_its_text(update: Any) -> None:
    desk = Desk()
    desk.open()
    assert texts(desk.says(stdout("as text", update=update))) == [("agent_message_chunk", "as text")]


def test_terminals_of_the_host_and_odd_kinds_are_left_out_of_a_tool_call() -> None:
    desk = Desk()
    desk.open()
    update = {
        "sessionUpdate": "tool_call", "toolCallId": "1", "kind": "quantum", "status": "?",
        "content": [{"type": "terminal", "terminalId": "t"}, {"type": "diff", "path": "a", "newText": "b"}],
    }  # fmt: skip
    [frame] = desk.says(stderr("", update=update))
    call = frame["params"]["update"]
    assert call == {
        "sessionUpdate": "tool_call",
        "toolCallId": "1",
        "title": "1",
        "content": [{"type": "diff", "path": "a", "newText": "b"}],
    }


def test_every_kind_of_update_passes_whole() -> None:
    note = {"audience": ["user"], "lastModified": "2026", "priority": 0.5}
    link = {"type": "resource_link", "name": "a", "uri": "file:///a", "size": 3, "title": "A"}
    whole: list[dict[str, Any]] = [
        chunk("a") | {"messageId": "m", "_meta": {"x": [1]}},
        {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "a", "annotations": note}},
        {"sessionUpdate": "agent_message_chunk", "content": {"type": "image", "data": "AA", "mimeType": "image/png"}},
        {"sessionUpdate": "agent_message_chunk", "content": {"type": "audio", "data": "AA", "mimeType": "audio/wav"}},
        {"sessionUpdate": "agent_thought_chunk", "content": link},
        {
            "sessionUpdate": "agent_thought_chunk",
            "content": {"type": "resource", "resource": {"uri": "a", "blob": "AA"}},
        },
        {"sessionUpdate": "user_message_chunk", "content": {"type": "resource", "resource": {"uri": "a", "text": "t"}}},
        {
            "sessionUpdate": "tool_call_update",
            "toolCallId": "1",
            "kind": "edit",
            "status": "completed",
            "title": "t",
            "content": [{"type": "content", "content": {"type": "text", "text": "x"}}],
            "locations": [{"path": "/a", "line": 3}],
            "rawInput": {"a": [None]},
            "rawOutput": 0,
        },
        {"sessionUpdate": "plan", "entries": [{"content": "x", "priority": "high", "status": "pending"}]},
        {"sessionUpdate": "usage_update", "used": 1, "size": 2**40, "cost": {"amount": 0.5, "currency": "USD"}},
    ]
    desk = Desk()
    desk.open()
    for update in whole:
        [frame] = desk.says(stderr("shown", update=update))
        assert frame["params"]["update"] == update


# --- questions ----------------------------------------------------------------------------------------------------

FORM = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "title": "Name", "description": "of the branch", "minLength": 1},
        "kind": {"type": "string", "enum": ["a", "b"]},
        "count": {"type": "integer", "minimum": 1, "default": 3},
        "sure": {"type": "boolean", "default": False},
    },
    "required": ["name"],
}


def question(**more: Any) -> Question:
    fields = {"question_id": "q", "message": "which?", "asked_at": "2026", "expires_at": "2026"}
    return Question(id="t", session_id="s", **(fields | {"schema": FORM} | more))  # type: ignore[arg-type]


def showing(*kinds: str) -> Desk:
    desk = Desk(greets=False)
    desk.says(RoleMessage(role="owner"), welcome())
    desk.ask("initialize", protocolVersion=1, clientCapabilities={"elicitation": {kind: {} for kind in kinds}})
    desk.open()
    return desk


@pytest.mark.parametrize(
    ("result", "action", "content"),
    [
        ({"action": "accept", "content": {"name": "x"}}, "accept", {"name": "x"}),
        ({"action": "decline"}, "decline", None),
        ({"action": "cancel"}, "cancel", None),
        ({"action": "what"}, "cancel", None),
        (None, "cancel", None),
    ],
)
def test_a_question_is_put_to_an_editor_that_can_show_it(result: Any, action: str, content: Any) -> None:
    desk = showing("form")
    [frame] = desk.says(question())
    assert (frame["method"], frame["params"]["requestedSchema"]) == ("elicitation/create", FORM)
    assert desk.says(question(pending=True)) == []
    desk.gives({"jsonrpc": "2.0", "id": frame["id"], "result": result})
    answer = desk.command()
    assert isinstance(answer, AnswerMessage)
    assert (answer.question_id, answer.action, answer.content) == ("q", action, content)


def test_an_address_is_a_question_of_its_own_kind_and_is_taken_back_when_it_was_answered_elsewhere() -> None:
    desk = showing("url")
    [frame] = desk.says(question(schema=None, url="https://example.org/x", host="example.org"))
    assert frame["params"]["url"] == "https://example.org/x"
    gone = QuestionResolved(id="t", session_id="s", question_id="q", outcome="accept", by="alice")  # type: ignore[arg-type]
    assert [each["method"] for each in desk.says(gone)] == ["$/cancel_request"]


def test_an_editor_that_cannot_show_a_question_is_told_of_it_once() -> None:
    desk = showing("url")
    [(kind, text)] = texts(desk.says(question()))
    assert kind == "agent_thought_chunk"
    assert "which?" in text
    assert desk.says(question(pending=True)) == []


def test_what_the_agent_does_of_its_own_is_told_as_a_turn() -> None:
    desk = Desk()
    desk.open()
    begun = desk.says(Activity(id="x", session_id="s", origin="agent"))  # type: ignore[arg-type]
    assert begun[0]["params"]["update"]["_meta"]["myagent"]["origin"] == "agent"
    assert texts(desk.says(stdout("done", turn="x"))) == [("agent_message_chunk", "done")]
