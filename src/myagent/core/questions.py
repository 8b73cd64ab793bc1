"""Questions of an agent's: a form to fill in, or an address to visit; what is asked, and who may answer how.

`cancel` is the answer to everything unexpected. An answer counts once: the same again repeats it, another is too late.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from myagent.core.display import escape, flags
from myagent.core.forms import FORM_CHARACTERS, BadForm, Form, Matches, as_sent, read
from myagent.core.messages import AnswerMessage, Question, QuestionOutcome, SessionId
from myagent.core.refusals import AlreadyAnswered, BadMessage, UnknownQuestion

# Of an address: a host, perhaps with a port, and no user name that could pass for one; backslashes mislead.
_ADDRESS = re.compile(r"(?i:https?)://(?P<host>\[[0-9a-fA-F:.]+\]|[^\s/?#@:\\\[\]]+)(?::[0-9]{1,5})?(?:[/?#][^\s\\]*)?")
EXPIRED = "nobody answered in time"
RESOLUTIONS = 256  # closed questions remembered, to tell "already answered" from "unknown"


@dataclass(frozen=True, slots=True)
class Asked:
    """What an agent wants to know: `form`, or an address `url` for a human to visit."""

    message: str
    form: Form | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """What became of a question; `content` only with `accept` of a form."""

    action: QuestionOutcome
    content: Mapping[str, Any] | None = None
    reason: str | None = None


CANCELLED = Given("cancel", reason="the turn is over")


def asked_form(message: str, schema: Any) -> Asked:
    """A question with a form. Raises `BadForm`."""
    return Asked(message, form=read(schema))


def asked_url(message: str, url: str) -> Asked:
    """A question with an address. Raises `BadForm` for one that nobody should open."""
    if _ADDRESS.fullmatch(url) is None or escape(url) != url:
        raise BadForm("the address is none that can be shown and opened: http or https, a host, no user name")
    return Asked(message, url=url)


def question_event(
    asked: Asked, *, question_id: str, turn_id: str, session_id: SessionId, asked_at: str, expires_at: str
) -> Question | None:
    """A question as it is sent; `None` if it is too large to be asked."""
    address = _ADDRESS.fullmatch(asked.url or "")
    texts = [asked.message]
    for each in asked.form.fields if asked.form else ():
        texts += [each.name, each.title, each.description, *(choice.title for choice in each.choices)]
    event = Question(
        id=turn_id,
        session_id=session_id,
        question_id=question_id,
        message=escape(asked.message),
        schema=asked.form.schema() if asked.form is not None else None,
        url=asked.url,
        host=address["host"].lower() if address else None,
        flags=tuple(flags("\n".join(texts), (asked.url,) if asked.url else (), ())),
        asked_at=asked_at,
        expires_at=expires_at,
    )
    return event if len(msgspec.json.encode(event)) <= FORM_CHARACTERS else None


class OpenQuestion(msgspec.Struct, frozen=True):
    """A question that waits for its answer; `schema` is `None` where an address was given."""

    question_id: str
    turn_id: str
    schema: dict[str, Any] | None = None

    def take(self, message: AnswerMessage, matches: Matches | None) -> Given:
        """Take an answer, or refuse it and leave the question open."""
        if message.action != "accept" or self.schema is None:
            if message.content is not None:
                raise BadMessage("`content` belongs to an accepted form alone", message.id)
            return Given(message.action)
        content = message.content or {}
        if (fault := read(self.schema, shown=as_sent).fault(content, matches)) is not None:
            raise BadMessage(f"{fault}; the question stays open", message.id)
        return Given("accept", content)


class QuestionResolution(msgspec.Struct, frozen=True):
    """A question that is no longer open: enough to tell a repeated answer from another one."""

    question_id: str
    outcome: QuestionOutcome
    digest: str = ""

    def repeats(self, message: AnswerMessage, key: bytes) -> bool:
        return message.action == self.outcome and digest_of(message, key) == self.digest


class OpenQuestions(msgspec.Struct, frozen=True):
    """Those of one session: what is open, and what was, the latest last."""

    open: tuple[OpenQuestion, ...] = ()
    closed: tuple[QuestionResolution, ...] = ()

    def asked(self, event: Question) -> OpenQuestions:
        question = OpenQuestion(event.question_id, event.id, event.schema)
        return OpenQuestions((*self.open, question), self.closed)

    def find(self, question_id: str) -> OpenQuestion | None:
        """One that is open."""
        return next((each for each in self.open if each.question_id == question_id), None)

    def knows(self, question_id: str) -> bool:
        """Whether a question is open here, or was."""
        return question_id in (*(each.question_id for each in self.open), *(each.question_id for each in self.closed))

    def check_repeated(self, message: AnswerMessage, key: bytes) -> None:
        """Whether an answer to what is not open was given before. Raises `UnknownQuestion`, `AlreadyAnswered`."""
        before = next((each for each in self.closed if each.question_id == message.question_id), None)
        if before is None:
            raise UnknownQuestion
        if not before.repeats(message, key):
            raise AlreadyAnswered(before.outcome)

    def without(self, question: OpenQuestion, outcome: QuestionOutcome, digest: str) -> OpenQuestions:
        """With one closed."""
        left = tuple(each for each in self.open if each is not question)
        closed = (*self.closed, QuestionResolution(question.question_id, outcome, digest))
        return OpenQuestions(left, closed[-RESOLUTIONS:])


def digest_of(message: AnswerMessage, key: bytes) -> str:
    """What makes two answers the same. It is stored, and tells nobody who has not the key what was answered."""
    return hmac.new(key, msgspec.json.encode(message.content, order="deterministic"), hashlib.sha256).hexdigest()
