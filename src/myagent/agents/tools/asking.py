"""A question that a model or a command asks of whoever drives: its form, and what to tell of the answer."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from myagent.agents import Asked, Given
from myagent.agents.tools.workspace import ToolFailed
from myagent.core.forms import NO_SECRETS, BadForm, asks_secret
from myagent.core.questions import asked_form

CHOICES = 20  # in one question: more is a list to be searched, not one to be chosen from


class Ask(Struct):
    """Ask the person who drives one question, and wait for the answer. Only what you can neither find out nor decide
    yourself. Never a password, key or other secret: say instead what to do, such as to set a variable, and ask whether
    it is done."""

    question: str
    choices: Annotated[list[str], Meta(description="to choose from; none: the answer is free text")] = field(
        default_factory=list
    )
    several: Annotated[bool, Meta(description="whether more than one of the choices may be chosen")] = False


def asked(ask: Ask) -> Asked:
    """The form of a question. Raises `ToolFailed` for one that is not put to anybody."""
    choices = list(dict.fromkeys(choice.strip() for choice in ask.choices if choice.strip()))
    if not ask.question.strip():
        raise ToolFailed("the question is empty")
    if len(choices) > CHOICES:
        raise ToolFailed(f"{len(choices)} choices, the limit is {CHOICES}")
    if not choices and asks_secret(ask.question):
        raise ToolFailed(NO_SECRETS)
    answer: dict[str, Any] = {"type": "string", "title": "Answer"}
    if choices and ask.several:
        answer |= {"type": "array", "items": {"enum": choices}, "minItems": 1}
    elif choices:
        answer |= {"enum": choices}
    try:
        return asked_form(ask.question, {"properties": {"answer": answer}, "required": ["answer"]})
    except BadForm as error:
        raise ToolFailed(str(error)) from error


def answer(given: Given) -> str:
    """What was answered. Raises `ToolFailed` where nothing was."""
    if given.action == "accept" and given.content is not None:
        answer = given.content["answer"]
        return ", ".join(answer) if isinstance(answer, list) else str(answer)
    if given.action == "decline":
        raise ToolFailed("declined")
    raise ToolFailed(f"not answered: {given.reason}" if given.reason else "not answered")
