"""Questions: what of ACP's restricted schema can be asked, which answers fit, and that each counts once."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from myagent.core.forms import BadForm, as_sent, read
from myagent.core.messages import AnswerMessage, ConnectionId, Scope, SessionId, UserMessage
from myagent.core.ownership import OWNER_CREDENTIAL, Ownership, Seat
from myagent.core.questions import CANCELLED, Given, asked_form, asked_url, digest_of
from myagent.core.refusals import AlreadyAnswered, BadMessage, NotOwner, UnknownQuestion
from myagent.core.session import Session, Step

NOW = "2026-01-01T00:00:00.000Z"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[a-z]+$"},
        "colour": {"type": "string", "oneOf": [{"const": "r", "title": "Red"}, {"const": "g", "title": "Green"}]},
        "many": {"type": "array", "items": {"enum": ["x", "y", "z"]}, "minItems": 1, "maxItems": 2},
        "count": {"type": "integer", "minimum": 1, "maximum": 3, "default": 2},
        "part": {"type": "number", "minimum": 0.5},
        "sure": {"type": "boolean", "default": True},
    },
    "required": ["name"],
}


def answer(action: Any, content: dict[str, Any] | None = None, *, ident: str = "q") -> AnswerMessage:
    return AnswerMessage(id="m", question_id=ident, action=action, content=content)


def asking() -> Session:
    session = Session(session_id=SessionId("s"), cwd="/w", created_at=NOW, updated_at=NOW, agent="a", mode="default")
    begun = session.accept(UserMessage(id="t", prompt="go"), by="me", mode="default", now=NOW).session
    step = begun.ask_question(asked_form("what?", SCHEMA), question_id="q", turn_id="t", asked_at=NOW, expires_at=NOW)
    assert isinstance(step, Step)
    return step.session


def test_a_form_is_the_same_when_it_is_read_again() -> None:
    form = read(SCHEMA)
    assert read(form.schema()) == form


@pytest.mark.parametrize(
    ("field", "value", "fits"),
    [
        ("name", "abc", True),
        ("name", "a", False),
        ("name", "abcde", False),
        ("name", "AB", False),
        ("name", 1, False),
        ("colour", "r", True),
        ("colour", "Red", False),
        ("many", ["x", "z"], True),
        ("many", [], False),
        ("many", ["x", "x"], False),
        ("many", ["x", "y", "z"], False),
        ("many", ["w"], False),
        ("many", "x", False),
        ("count", 3, True),
        ("count", 4, False),
        ("count", 0, False),
        ("count", 1.0, False),
        ("count", True, False),
        ("part", 0.5, True),
        ("part", 1, True),
        ("part", 0.4, False),
        ("part", float("nan"), False),
        ("part", float("inf"), False),
        ("sure", False, True),
        ("sure", 0, False),
        ("unasked", "x", False),
    ],
)
def test_a_value_fits_its_field_or_is_refused(field: str, value: Any, fits: bool) -> None:
    def matches(pattern: str, text: str) -> bool:
        return text.islower()

    assert (read(SCHEMA).fault({"name": "ab", field: value}, matches) is None) is fits


def test_what_is_required_cannot_be_left_out() -> None:
    form = read(SCHEMA)
    assert form.fault({}) == "the field name is required"
    assert read({"properties": {"a": {"type": "string"}}, "required": ["a"]}).fault({"a": ""}) is not None


@pytest.mark.parametrize(
    "schema",
    [
        None,
        {"type": "array"},
        {"properties": {"a": {"type": "object"}}},
        {"properties": {"a": {"type": "array", "items": {"type": "string"}}}},
        {"properties": {"a": {"enum": [1]}}},
        {"properties": {"a": {"enum": ["x", "x"]}}},
        {"properties": {"a\u202e": {"type": "string"}}},
        {"properties": {"a": {"enum": ["x\u200b"]}}},
        {"properties": {"a": {}}, "required": ["b"]},
        {"properties": {f"f{n}": {} for n in range(65)}},
    ],
)
def test_what_cannot_be_asked_whole_is_not_asked(schema: Any) -> None:
    with pytest.raises(BadForm):
        read(schema)


@pytest.mark.parametrize(
    ("field", "may"),
    [
        ({"type": "string", "format": "password"}, False),
        *(
            ({"type": "string", "title": title}, False)
            for title in ("SSH key", "Seed phrase", "OpenAI key", "PIN code")
        ),
        ({"type": "string", "title": "Your passphrase"}, False),
        ({"type": "string", "title": "OpenAI API key"}, False),
        ({"enum": ["rotate the API key", "keep it"], "title": "Which password?"}, True),
        ({"type": "boolean", "title": "Is the API key set?"}, True),
        ({"type": "string", "title": "Spinning"}, True),
    ],
)
def test_a_form_that_asks_for_a_secret_is_not_asked(field: Any, may: bool) -> None:
    with nullcontext() if may else pytest.raises(BadForm, match="say what to do instead"):
        read({"properties": {"a": field}})
    with pytest.raises(BadForm):
        read({"properties": {"db_password": {"type": "string"}}})


def test_what_a_human_reads_shows_all_of_its_characters() -> None:
    schema = {"properties": {"a": {"title": "t\u202e", "oneOf": [{"const": "x", "title": "y\u200b"}]}}}
    (field,) = read(schema).fields
    assert (field.title, field.choices[0].title) == ("t\\u{202e}", "y\\u{200b}")


def test_what_was_sent_is_read_as_it_was_shown() -> None:
    """A client escapes nothing a second time; whoever reads what an agent gave escapes it, backslashes too."""
    sent = read({"properties": {"a": {"title": "t\u202e", "oneOf": [{"const": "x", "title": "y\u200b"}]}}}).schema()
    assert read(sent, shown=as_sent).schema() == sent
    assert read(sent).schema() != sent


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "file:///etc/passwd", "https://", "https://a@b/", "http://x y/"]
)
def test_an_address_that_nobody_should_open_is_not_shown(url: str) -> None:
    with pytest.raises(BadForm):
        asked_url("go there", url)


def test_an_answer_counts_once() -> None:
    step = asking().answer(answer("accept", {"name": "ab"}), by="me")
    assert step is not None
    assert [event.__struct_config__.tag for event in step.events] == ["question_resolved"]
    assert step.session.answer(answer("accept", {"name": "ab"}), by="me") is None
    with pytest.raises(AlreadyAnswered):
        step.session.answer(answer("accept", {"name": "cd"}), by="me")
    with pytest.raises(AlreadyAnswered):
        step.session.answer(answer("decline"), by="me")


def test_an_answer_that_does_not_fit_leaves_the_question_open() -> None:
    session = asking()
    with pytest.raises(BadMessage, match="the question stays open"):
        session.answer(answer("accept", {"name": "a"}), by="me")
    with pytest.raises(BadMessage):
        session.answer(answer("decline", {"name": "ab"}), by="me")
    with pytest.raises(UnknownQuestion):
        session.answer(answer("decline", ident="other"), by="me")
    assert [each.question_id for each in session.questions.open] == ["q"]


@pytest.mark.parametrize("how", ["cancel", "finish", "recover"])
def test_whatever_ends_a_turn_cancels_its_questions(how: str) -> None:
    session = asking()
    step = {
        "cancel": lambda: session.cancel("t", by="me", now=NOW),
        "recover": lambda: session.recover(now=NOW),
        "finish": lambda: session.finish(
            stop_reason="end_turn", exit_code=None, message=None, agent_session_id=None, now=NOW
        ),
    }[how]()
    assert step is not None
    assert not step.session.questions.open
    assert step.events[0].outcome == "cancel"  # type: ignore[union-attr]
    with pytest.raises(AlreadyAnswered):
        step.session.answer(answer("decline"), by="me")


def test_a_turn_that_is_over_asks_nothing() -> None:
    cancelled = asking().cancel("t", by="me", now=NOW)
    assert cancelled is not None
    asked = asked_form("what?", SCHEMA)
    given = cancelled.session.ask_question(asked, question_id="r", turn_id="t", asked_at=NOW, expires_at=NOW)
    assert given is CANCELLED


def test_a_question_too_large_to_be_shown_is_cancelled() -> None:
    asked = asked_form("x" * 70_000, SCHEMA)
    given = asking().ask_question(asked, question_id="r", turn_id="t", asked_at=NOW, expires_at=NOW)
    assert isinstance(given, Given)
    assert given.action == "cancel"


@pytest.mark.parametrize(
    ("scope", "credential", "may"),
    [
        ("approve", "invite", True),
        ("owner", "invite", True),
        ("stop", "invite", False),
        ("follower", "invite", False),
        ("owner", OWNER_CREDENTIAL, False),
    ],
)
def test_whoever_may_approve_may_answer_without_owning(scope: Scope, credential: str, may: bool) -> None:
    ownership = Ownership(epoch=0, ceiling=9, grace=0)
    for name, seat_scope, seat_credential in (("owner", "owner", OWNER_CREDENTIAL), ("other", scope, credential)):
        seat = Seat(ConnectionId(name), seat_scope, "", credential_id=seat_credential)
        ownership.join(seat, as_follower=name == "other", reclaim=None, token="t")
    ownership.admit(ConnectionId("owner"), answer("decline"))
    with nullcontext() if may else pytest.raises(NotOwner):
        ownership.admit(ConnectionId("other"), answer("decline"))
    with pytest.raises(NotOwner):  # the negative control: not all is open to them
        ownership.admit(ConnectionId("other"), UserMessage(id="t", prompt="go"))


@pytest.mark.parametrize(
    "name",
    [
        *("github_token", "token", "secret", "aws_secret", "passwd", "pwd", "pin_code", "credentials", "2fa"),
        *("раssword", "ｐａｓｓｗｏｒｄ", "pass\u200bword", "Пароль", "Contraseña", "密码"),
    ],
)
def test_names_that_ask_for_a_secret(name: str) -> None:
    with pytest.raises(BadForm):
        read({"properties": {name: {"type": "string"}}})


def test_what_is_kept_of_an_answer_says_nothing_without_its_key() -> None:
    given = answer("accept", {"pin": 4242})
    assert digest_of(given, b"one") == digest_of(given, b"one")
    assert digest_of(given, b"one") != digest_of(given, b"another")
