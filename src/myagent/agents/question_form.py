"""Questions with choices, as Claude's AskUserQuestion and qwen's ask_user_question have them, as a form.

It has a choice for each, and a line for an answer of one's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from myagent.agents import Asked
from myagent.agents.rendering import JSON
from myagent.core.forms import BadForm
from myagent.core.questions import asked_form


def form_of(rows: Any, who: str) -> Asked | None:
    """`rows`: each with a `question`, `options` of `label` and `description`, and `multiSelect`.

    `None` for what cannot be shown.
    """
    if not isinstance(rows, list) or not rows:
        return None
    properties: dict[str, Any] = {}
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not isinstance(row.get("question"), str):
            return None
        choices = [
            {"const": str(place), "title": label, "description": description}
            for place, (label, description) in enumerate(_options(row), 1)
        ]
        title = {"title": row["question"]}
        if choices and row.get("multiSelect"):
            properties[f"question {number}"] = {"type": "array", "items": {"anyOf": choices}, **title}
        elif choices:
            properties[f"question {number}"] = {"type": "string", "oneOf": choices, **title}
        properties[f"other {number}"] = {
            "type": "string",
            "title": "Something else",
            "description": "in your own words, instead of the choices above",
        }
    message = f"{who} has a question" if len(rows) == 1 else f"{who} has {len(rows)} questions"
    try:
        return asked_form(message, {"type": "object", "properties": properties})
    except BadForm:
        return None


def words_of(rows: list[JSON], content: Mapping[str, Any]) -> list[str]:
    """What was answered to each of the rows of a form: the labels that were chosen, or the words; empty for none."""
    found = []
    for number, row in enumerate(rows, 1):
        labels = [label for label, _ in _options(row)]
        chosen = content.get(f"question {number}", [])
        places = chosen if isinstance(chosen, list) else [chosen]
        found.append(content.get(f"other {number}") or ", ".join(labels[int(place) - 1] for place in places))
    return found


def _options(row: JSON) -> list[tuple[str, Any]]:
    options = row.get("options")
    rows = [each for each in (options if isinstance(options, list) else []) if isinstance(each, dict)]
    return [(str(each["label"]), each.get("description")) for each in rows if each.get("label")]
