"""Claude's AskUserQuestion as a form: a choice for each of its questions, and a line for an answer of one's own."""

from __future__ import annotations

from typing import Any

from myagent.agents import Asked, Given
from myagent.agents.rendering import JSON
from myagent.core.forms import BadForm
from myagent.core.questions import asked_form

ASKS = "AskUserQuestion"


def question(given: JSON) -> Asked | None:
    """The form of a use of the tool; `None` of one that cannot be shown."""
    rows = given.get("questions")
    if not isinstance(rows, list) or not rows:
        return None
    properties: dict[str, Any] = {}
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not isinstance(row.get("question"), str):
            return None
        options = [each for each in row.get("options") or [] if isinstance(each, dict) and each.get("label")]
        choices = [
            {"const": str(place), "title": str(each["label"]), "description": each.get("description")}
            for place, each in enumerate(options, 1)
        ]
        title = {"title": row["question"]}
        if row.get("multiSelect"):
            properties[f"question {number}"] = {"type": "array", "items": {"anyOf": choices}, **title}
        elif choices:
            properties[f"question {number}"] = {"type": "string", "oneOf": choices, **title}
        properties[f"other {number}"] = {
            "type": "string",
            "title": "Something else",
            "description": "in your own words, instead of the choices above",
        }
    try:
        return asked_form("Claude has a question" if len(rows) == 1 else f"Claude has {len(rows)} questions", {
            "type": "object", "properties": properties,
        })  # fmt: skip
    except BadForm:
        return None


def answered(given: JSON, told: Given) -> JSON:
    """The tool's answer as claude wants it: what was chosen, by the question's own words."""
    if told.action == "cancel":
        if told.reason == "the turn was cancelled":
            return {"behavior": "deny", "message": "cancelled", "interrupt": True}
        return {"behavior": "deny", "message": f"nobody answered{f': {told.reason}' if told.reason else ''}"}
    content = told.content or {}
    answers: dict[str, str] = {}
    for number, row in enumerate(given["questions"], 1):
        labels = [each["label"] for each in row.get("options") or [] if isinstance(each, dict) and each.get("label")]
        chosen = content.get(f"question {number}", [])
        places = chosen if isinstance(chosen, list) else [chosen]
        words = content.get(f"other {number}") or ", ".join(str(labels[int(place) - 1]) for place in places)
        if words:
            answers[row["question"]] = words
    if told.action == "decline" or not answers:
        return {"behavior": "deny", "message": "the user declined to answer"}
    return {"behavior": "allow", "updatedInput": given | {"answers": answers}}
