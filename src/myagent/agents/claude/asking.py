"""Claude's AskUserQuestion: put as a form, and answered as claude wants it."""

from __future__ import annotations

from myagent.agents import Asked, Given
from myagent.agents.question_form import form_of, words_of
from myagent.agents.rendering import JSON

ASKS = "AskUserQuestion"


def question(given: JSON) -> Asked | None:
    """The form of a use of the tool; `None` of one that cannot be shown."""
    return form_of(given.get("questions"), "Claude")


def answered(given: JSON, told: Given) -> JSON:
    """The tool's answer as claude wants it: what was chosen, by the question's own words."""
    if told.action == "cancel":
        if told.reason == "the turn was cancelled":
            return {"behavior": "deny", "message": "cancelled", "interrupt": True}
        return {"behavior": "deny", "message": f"nobody answered{f': {told.reason}' if told.reason else ''}"}
    rows = given["questions"]
    words = words_of(rows, told.content or {})
    answers = {row["question"]: said for row, said in zip(rows, words, strict=True) if said}
    if told.action == "decline" or not answers:
        return {"behavior": "deny", "message": "the user declined to answer"}
    return {"behavior": "allow", "updatedInput": given | {"answers": answers}}
