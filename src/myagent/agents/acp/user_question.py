"""qwen-code's questions, which come as a permission request that it marks itself (from 0.24 on).

They are put as a form; the answers go back beside the outcome, by the number of each question.
"""

from __future__ import annotations

from typing import Any

from myagent.agents import Asked, Given
from myagent.agents.question_form import form_of, words_of
from myagent.agents.rendering import JSON
from myagent.core.messages import Option

_CANCELLED: JSON = {"outcome": {"outcome": "cancelled"}}


def questions_of(call: JSON, options: tuple[Option, ...]) -> list[JSON] | None:
    """What is asked, if a permission request is no more than that: the agent marks it, which no model can."""
    match call.get("_meta"):
        case {"qwenInteractionKind": "user_question", "qwenQuestions": list(rows)} if _submits(options) is not None:
            return rows
    return None


def form(rows: list[JSON]) -> Asked | None:
    """`None` for what cannot be shown, which is then asked about as any tool call."""
    return form_of(rows, "The agent")


def answered(rows: list[JSON], options: tuple[Option, ...], given: Given | None) -> JSON:
    """The result of the permission request; `None`: nobody could be asked.

    Who declines hands in no answers, and the model is told so; a cancel ends the agent's turn.
    """
    if given is None or given.action == "cancel":
        return _CANCELLED
    words = words_of(rows, given.content or {}) if given.action == "accept" else []
    answers: dict[str, Any] = {str(number): said for number, said in enumerate(words) if said}
    return {"outcome": {"outcome": "selected", "optionId": _submits(options)}, "answers": answers}


def _submits(options: tuple[Option, ...]) -> str | None:
    """The one option that hands in."""
    found = [option.option_id for option in options if option.kind.startswith("allow")]
    return found[0] if len(found) == 1 else None
