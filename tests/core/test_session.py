"""One session, row by row of the table at the head of `session.py`: prompts, turns, permission requests, recovery."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myagent.core.messages import (
    DecisionBody,
    Option,
    Outcome,
    PermissionDecision,
    PermissionRequest,
    PermissionResolved,
    Prompt,
    SessionId,
    TerminalState,
    UserMessage,
)
from myagent.core.permissions import REQUEST_BYTES, Answer, ToolCall
from myagent.core.refusals import AlreadyResolved, BadMessage, DigestMismatch, QueueFull, Refused, UnknownRequest
from myagent.core.session import QUEUE_LIMIT, RESOLUTIONS, WRITE_IDS, Session, Step
from myagent.core.telling import metadata
from myagent.core.turn import prompt_digest

NEW = Session(session_id=SessionId("s"), cwd="/w", created_at="t0", updated_at="t0", agent="command", mode="default")
CALL = ToolCall("shell", {"command": "make"}, "make", options=(Option("yes", "Allow", "allow_once"),))


def accept(session: Session, turn_id: str, prompt: str = "help") -> Step:
    return session.accept(UserMessage(id=turn_id, prompt=prompt), by="me", mode="default", now="t1")


def finish(session: Session, stop_reason: str = "end_turn", exit_code: int | None = None, **end: Any) -> Step:
    facts = {"message": None, "agent_session_id": None, **end}
    return session.finish(stop_reason=stop_reason, exit_code=exit_code, now="t2", **facts)


def ask(session: Session, request_id: str, turn_id: str = "1", call: ToolCall = CALL) -> Step:
    step = session.ask(call, request_id=request_id, turn_id=turn_id, expires_at="soon")
    assert isinstance(step, Step)
    return step


def decision(request_id: str, kind: Any = "allow", **body: Any) -> PermissionDecision:
    return PermissionDecision(id="d", permission_request_id=request_id, decision=DecisionBody(kind, **body))


def decide(session: Session, request_id: str, kind: Any = "allow", **body: Any) -> Step:
    step = session.decide(decision(request_id, kind, **body), by="me")
    assert step is not None
    return step


def cancel(session: Session, turn_id: str | None = None) -> Step:
    step = session.cancel(turn_id, by="me", now="t2")
    assert step is not None
    return step


def told(step: Step) -> list[tuple[str, ...]]:
    """What a step's events say, in short."""
    short: list[tuple[str, ...]] = []
    for event in step.events:
        match event:
            case Prompt():
                short.append(("prompt", event.id))
            case PermissionRequest():
                short.append(("request", event.id, event.permission_request_id))
            case PermissionResolved():
                short.append(("resolved", event.id, event.permission_request_id, event.outcome))
            case TerminalState():
                short.append(("terminal", event.id, event.stop_reason, str(event.exit_code)))
    return short


def running(*turn_ids: str) -> Session:
    """A session whose first turn runs; the others wait."""
    session = NEW
    for turn_id in turn_ids or ("1",):
        session = accept(session, turn_id).session
    return session


# --- nothing runs -------------------------------------------------------------------------------------------------


def test_a_prompt_begins_at_once_when_nothing_runs() -> None:
    step = accept(NEW, "1", "  help\nme")
    assert told(step) == [("prompt", "1")]
    assert step.begins is not None
    assert (step.begins.id, step.begins.prompt, step.begins.by) == ("1", "  help\nme", "me")
    assert (step.session.state, step.session.title, step.session.last_request_id) == ("running", "help", "1")


def test_when_nothing_runs_there_is_nothing_to_ask_decide_cancel_or_recover() -> None:
    for idle in (NEW, finish(running()).session):
        assert isinstance(idle.ask(CALL, request_id="p", turn_id="1", expires_at="soon"), Answer)
        with pytest.raises(UnknownRequest):
            idle.decide(decision("p"), by="me")
        assert idle.settle("p", "expired", by="server", reason="r") is None
        assert idle.cancel(None, by="me", now="t") is None
        assert idle.cancel("1", by="me", now="t") is None
        assert idle.recover(now="t") is None


def test_what_was_decided_on_is_left_as_it_was() -> None:
    session = running("1", "2")
    before = msgspec.json.encode(session)
    for step in (accept(session, "3"), cancel(session), cancel(session, "2"), finish(session), ask(session, "p")):
        assert step.session is not session
    assert msgspec.json.encode(session) == before


# --- a turn runs --------------------------------------------------------------------------------------------------


def test_prompts_wait_in_order_and_one_begins_as_the_one_before_ends() -> None:
    session = running("1", "2", "3")
    assert [turn.id for turn in session.queue] == ["2", "3"]
    step = finish(session)
    assert told(step) == [("terminal", "1", "end_turn", "0"), ("prompt", "2")]
    assert step.begins is not None
    assert step.begins.id == "2"
    assert told(finish(step.session)) == [("terminal", "2", "end_turn", "0"), ("prompt", "3")]


def test_a_waiting_prompt_tells_nothing_yet() -> None:
    step = accept(running(), "2")
    assert (step.events, step.begins) == ((), None)


def test_sixteen_prompts_may_wait() -> None:
    session = running(*map(str, range(QUEUE_LIMIT + 1)))
    assert len(session.queue) == QUEUE_LIMIT == 16
    with pytest.raises(QueueFull):
        accept(session, "one more")
    assert accept(finish(session).session, "one more").session.queue[-1].id == "one more"
    assert accept(cancel(session, "5").session, "one more").session.queue[-1].id == "one more"


@pytest.mark.parametrize(
    ("stop_reason", "exit_code", "expected", "state"),
    [
        ("end_turn", None, 0, "completed"),
        ("cancelled", None, 130, "failed"),
        ("max_tokens", None, 1, "failed"),
        ("refusal", None, 1, "failed"),
        ("failed", None, 1, "failed"),
        ("end_turn", 3, 3, "failed"),
        ("failed", 0, 0, "completed"),
    ],
)
def test_the_exit_code_is_the_agents_own_or_the_one_that_the_stop_reason_means(
    stop_reason: str, exit_code: int | None, expected: int, state: str
) -> None:
    step = finish(running(), stop_reason, exit_code)
    assert told(step) == [("terminal", "1", stop_reason, str(expected))]
    assert (step.session.last_exit_code, step.session.state) == (expected, state)


def test_the_last_error_is_that_of_a_turn_that_failed() -> None:
    failed = finish(running(), "failed", message="no").session
    assert failed.last_error == "no"
    assert finish(accept(failed, "2").session, message="a note").session.last_error is None


def test_the_agents_session_id_is_kept_until_it_tells_another() -> None:
    session = finish(running(), agent_session_id="a1").session
    session = finish(accept(session, "2").session).session
    assert session.agent_session_id == "a1"
    assert finish(accept(session, "3").session, agent_session_id="a2").session.agent_session_id == "a2"


def test_the_mode_is_that_of_the_turn_that_runs() -> None:
    session = running("1")
    session = session.accept(UserMessage(id="2", prompt="p"), by="me", mode="plan", now="t").session
    assert session.mode == "default"
    step = finish(session)
    assert step.session.mode == "plan"
    assert step.begins is not None
    assert step.begins.mode == "plan"


# --- cancelling ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn_id", [None, "1"])
def test_cancelling_the_running_turn_closes_its_questions_and_waits_for_its_end(turn_id: str | None) -> None:
    session = ask(ask(running("1", "2"), "p").session, "q").session
    step = cancel(session, turn_id)
    assert told(step) == [("resolved", "1", "p", "cancelled"), ("resolved", "1", "q", "cancelled")]
    assert step.session.running is not None
    assert step.session.running.cancelling
    assert told(finish(step.session, "cancelled")) == [("terminal", "1", "cancelled", "130"), ("prompt", "2")]


def test_while_a_turn_is_being_cancelled() -> None:
    session = cancel(ask(running(), "p").session).session
    assert session.cancel(None, by="me", now="t") is None
    assert session.cancel("1", by="me", now="t") is None
    answer = session.ask(CALL, request_id="q", turn_id="1", expires_at="soon")
    assert isinstance(answer, Answer)
    assert answer.kind == "cancelled"
    with pytest.raises(AlreadyResolved, match="cancelled"):
        session.decide(decision("p"), by="me")
    queued = accept(session, "2")
    assert (queued.events, queued.begins) == ((), None)


def test_cancelling_a_waiting_turn_takes_it_out_of_the_queue_with_its_terminal_state() -> None:
    step = cancel(running("1", "2", "3"), "2")
    assert told(step) == [("terminal", "2", "cancelled", "130")]
    assert [turn.id for turn in step.session.queue] == ["3"]
    assert step.session.running is not None
    assert not step.session.running.cancelling


def test_neither_a_turn_that_is_over_nor_another_in_its_place_is_cancelled() -> None:
    session = finish(running("1", "2")).session
    assert session.cancel("1", by="me", now="t") is None
    assert session.cancel("nothing", by="me", now="t") is None


# --- permission requests ------------------------------------------------------------------------------------------


def test_a_request_is_asked_and_decided() -> None:
    step = ask(running(), "p")
    assert told(step) == [("request", "1", "p")]
    assert step.session.knows_request("p")
    step = decide(step.session, "p", option_id="yes")
    assert told(step) == [("resolved", "1", "p", "allow")]
    assert step.session.open == ()
    assert step.session.chosen_option("p") == "yes"
    assert step.session.knows_request("p")


@pytest.mark.parametrize("turn_id", ["2", "0", ""])
def test_only_the_running_turn_may_ask(turn_id: str) -> None:
    answer = running("1", "2").ask(CALL, request_id="p", turn_id=turn_id, expires_at="soon")
    assert isinstance(answer, Answer)
    assert answer.kind == "cancelled"


def test_too_large_a_request_is_denied_without_an_event() -> None:
    call = ToolCall("write", "x" * REQUEST_BYTES, "")
    answer = running().ask(call, request_id="p", turn_id="1", expires_at="soon")
    assert isinstance(answer, Answer)
    assert answer.kind == "deny"


def test_the_same_decision_again_is_a_repetition_and_another_one_comes_too_late() -> None:
    session = decide(ask(running(), "p").session, "p", "deny", reason="no").session
    assert session.decide(decision("p", "deny", reason="said otherwise"), by="me") is None
    with pytest.raises(AlreadyResolved, match="deny"):
        session.decide(decision("p", "allow"), by="me")
    after_the_turn = finish(session).session
    assert after_the_turn.decide(decision("p", "deny"), by="me") is None


@pytest.mark.parametrize("outcome", ["expired", "cancelled"])
def test_what_nobody_decided_can_no_longer_be_decided(outcome: Outcome) -> None:
    step = ask(running(), "p").session.settle("p", outcome, by="server", reason="r")
    assert step is not None
    for kind in ("allow", "deny"):
        with pytest.raises(AlreadyResolved, match=outcome):
            step.session.decide(decision("p", kind), by="me")
    assert step.session.settle("p", outcome, by="server", reason="r") is None


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"digest": "0" * 64}, DigestMismatch),
        ({"option_id": "nothing"}, BadMessage),
        ({"option_id": "yes", "kind": "deny"}, BadMessage),
    ],
)
def test_a_refused_decision_leaves_the_request_open(body: dict[str, Any], refusal: type[Refused]) -> None:
    session = ask(running(), "p").session
    with pytest.raises(refusal):
        session.decide(decision("p", **body), by="me")
    right = decide(session, "p", digest=session.open[0].digest)
    assert told(right) == [("resolved", "1", "p", "allow")]


def test_the_end_of_a_turn_closes_its_questions_before_its_terminal_state() -> None:
    step = finish(ask(running("1", "2"), "p").session)
    assert told(step) == [("resolved", "1", "p", "cancelled"), ("terminal", "1", "end_turn", "0"), ("prompt", "2")]
    assert step.session.open == ()


# --- recovery -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cancelling", [False, True])
def test_recovery_ends_what_ran_and_what_waited_and_runs_nothing(cancelling: bool) -> None:
    session = ask(running("1", "2", "3"), "p").session
    if cancelling:
        session = cancel(session).session
    step = session.recover(now="t9")
    assert step is not None
    resolved = [] if cancelling else [("resolved", "1", "p", "cancelled")]
    assert told(step) == [*resolved, *(("terminal", turn, "interrupted", "1") for turn in "123")]
    assert step.begins is None
    assert (step.session.running, step.session.queue, step.session.open) == (None, (), ())
    assert (step.session.state, step.session.updated_at) == ("failed", "t9")
    assert step.session.recover(now="t9") is None


# --- what is kept and what is told --------------------------------------------------------------------------------


def test_a_session_survives_being_stored() -> None:
    session = cancel(ask(running("1", "2"), "p").session, "2").session
    session = decide(ask(session, "q").session, "q", option_id="yes").session
    assert msgspec.json.decode(msgspec.json.encode(session), type=Session) == session


def test_metadata() -> None:
    session = finish(running(), agent_session_id="a").session
    session = accept(accept(session, "2").session, "3", "x" * 300).session
    told = metadata(session, head=7)
    assert (told.version, told.session_id, told.cwd, told.agent, told.head) == (1, "s", "/w", "command", 7)
    assert (told.state, told.last_exit_code, told.agent_session_id) == ("running", 0, "a")
    assert told.write_ids == ["1", "2", "3"]
    assert [(each.id, len(each.prompt)) for each in told.queue] == [("3", 200)]
    assert metadata(NEW, head=0).state == "idle"


def test_the_title_is_the_first_line_of_the_first_prompt_unless_the_agent_has_one() -> None:
    session = accept(NEW, "1", "\n first line " + "x" * 100 + "\nsecond").session
    session = accept(session, "2", "other").session
    assert session.title.startswith("first line xxx")
    assert len(session.title) == 80
    named = msgspec.structs.replace(session, agent_state={"title": "by the agent"})
    assert metadata(named, head=0).title == "by the agent"


def test_the_last_ids_and_the_last_resolutions_are_kept() -> None:
    session = running("first")
    for number in range(WRITE_IDS):
        session = finish(accept(session, str(number)).session).session
    assert session.write_ids == tuple(map(str, range(WRITE_IDS)))
    session = running()
    for number in range(RESOLUTIONS + 1):
        session = decide(ask(session, str(number)).session, str(number)).session
    assert len(session.resolved) == RESOLUTIONS
    with pytest.raises(UnknownRequest):
        session.decide(decision("0"), by="me")


def test_prompts_are_told_apart_by_every_character() -> None:
    prompts = ["", " ", "help", "help ", "Help", "hel\u0440", "e\u0301", "\u00e9"]
    assert len(set(map(prompt_digest, prompts))) == len(prompts)


# --- whatever happens ---------------------------------------------------------------------------------------------

moves = st.lists(
    st.tuples(
        st.sampled_from(["accept", "accept", "cancel", "finish", "ask", "decide", "settle", "recover", "store"]),
        st.integers(0, 25),
        st.sampled_from(["allow", "deny"]),
    ),
    max_size=60,
)


class Everything:
    """A session through any sequence of moves, and all that its events have said."""

    def __init__(self) -> None:
        self.session = NEW
        self.accepted: list[str] = []
        self.asked: list[str] = []
        self.begun: list[str] = []
        self.told: list[tuple[str, ...]] = []

    def make(self, move: str, number: int, kind: Any) -> None:
        session, step = self.session, None
        turns = [None, *(turn for turn in self.accepted)]
        request = self.asked[number % len(self.asked)] if self.asked else "none"
        try:
            match move:
                case "accept":
                    step = accept(session, str(len(self.accepted)))
                    self.accepted.append(str(len(self.accepted)))
                case "cancel":
                    step = session.cancel(turns[number % len(turns)], by="me", now="t")
                case "finish" if session.running:
                    step = finish(session)
                case "ask" if session.running:
                    answered = session.ask(
                        CALL, request_id=str(len(self.asked)), turn_id=session.running.turn.id, expires_at="soon"
                    )
                    if isinstance(answered, Step):
                        step = answered
                        self.asked.append(str(len(self.asked)))
                case "decide":
                    step = session.decide(decision(request, kind), by="me")
                case "settle":
                    step = session.settle(request, "expired", by="server", reason="r")
                case "recover":
                    step = session.recover(now="t")
                case "store":
                    self.session = msgspec.json.decode(msgspec.json.encode(session), type=Session)
        except Refused:
            assert step is None
        if step is not None:
            self.session = step.session
            self.told += told(step)
            if step.begins is not None:
                self.begun.append(step.begins.id)

    def check(self) -> None:
        """What must be true at every moment."""
        session = self.session
        prompts = [each[1] for each in self.told if each[0] == "prompt"]
        ended = Counter(each[1] for each in self.told if each[0] == "terminal")
        pending = [*([session.running.turn.id] if session.running else []), *(turn.id for turn in session.queue)]
        assert prompts == self.begun  # a prompt is shown exactly when its turn begins
        assert len(set(prompts)) == len(prompts)
        assert Counter(self.accepted) == ended + Counter(pending)  # each ends once, or is still to end
        assert session.running or not session.queue
        assert len(session.queue) <= QUEUE_LIMIT
        resolved = Counter(each[2] for each in self.told if each[0] == "resolved")
        assert Counter(self.asked) == resolved + Counter(each.permission_request_id for each in session.open)
        assert all(session.running and each.turn_id == session.running.turn.id for each in session.open)
        for turn in ended:
            last = max(at for at, each in enumerate(self.told) if each[1] == turn)
            assert self.told[last][0] == "terminal"  # nothing is said of a turn after its end


@given(moves)
def test_every_accepted_prompt_ends_in_exactly_one_terminal_state(made: list[tuple[str, int, str]]) -> None:
    everything = Everything()
    for move in made:
        everything.make(*move)
        everything.check()
    while everything.session.running:
        everything.make("finish", 0, "")
    everything.check()
    terminals = [each[1] for each in everything.told if each[0] == "terminal"]
    assert sorted(terminals) == sorted(everything.accepted)


class Forgetful(Session, frozen=True):
    """Negative control: takes a waiting turn out of the queue without saying so."""

    def cancel(self, turn_id: str | None, *, by: str, now: str) -> Step | None:
        step = super().cancel(turn_id, by=by, now=now)
        return step and Step(step.session, tuple(each for each in step.events if not isinstance(each, TerminalState)))


def test_a_terminal_state_that_is_missing_is_found() -> None:
    everything = Everything()
    everything.session = Forgetful(**{name: getattr(NEW, name) for name in NEW.__struct_fields__})
    for move in (("accept", 0, ""), ("accept", 0, ""), ("cancel", 2, "")):
        everything.make(*move)
    with pytest.raises(AssertionError):
        everything.check()


def test_a_turn_of_the_agents_own_begins_only_where_nothing_runs_or_waits() -> None:
    step = NEW.begin_own("own", now="t1")
    assert step is not None and [event.__struct_config__.tag for event in step.events] == ["activity"]
    own = step.session
    assert (own.state, own.is_held_up) == ("running", False)
    assert own.begin_own("again", now="t1") is None
    assert accept(NEW, "p").session.begin_own("own", now="t1") is None

    held = accept(own, "p")
    assert (held.events, held.begins, held.session.is_held_up) == ((), None, True)
    ended = finish(held.session)
    assert [(type(event), event.id) for event in ended.events] == [(TerminalState, "own"), (Prompt, "p")]
    assert ended.begins is not None and ended.begins.origin == "person" and not ended.session.is_held_up


def test_an_own_turn_asks_in_the_mode_of_the_turn_before_and_recovers_like_any() -> None:
    planned = NEW.accept(UserMessage(id="p", prompt="x"), by="me", mode="plan", now="t1").session
    step = finish(planned).session.begin_own("own", now="t3")
    assert step is not None and step.session.running is not None and step.session.running.turn.mode == "plan"
    asked = step.session.ask(CALL, request_id="r", turn_id="own", expires_at="t9")
    assert isinstance(asked, Step)
    recovered = asked.session.recover(now="t4")
    assert recovered is not None
    assert [(type(event), event.id) for event in recovered.events] == [
        (PermissionResolved, "own"),
        (TerminalState, "own"),
    ]


def test_what_an_older_server_stored_is_a_persons_turn() -> None:
    stored = msgspec.to_builtins(accept(NEW, "p").session)
    del stored["running"]["turn"]["origin"]
    session = msgspec.convert(stored, Session)
    assert session.running is not None and session.running.turn.origin == "person"
