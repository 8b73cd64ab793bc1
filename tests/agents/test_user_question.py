"""A question that comes as a permission request, as qwen-code marks its own, is put as a form and answered beside the
outcome; whatever is not marked so is asked about as any tool call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.agents.recorder import Recorder
from tests.agents.test_acp import Hosted, hosting

from myagent.agents import Answer, Given
from myagent.agents.acp import asking
from myagent.agents.question_form import form_of, words_of

SUBMIT = [
    {"optionId": "proceed_once", "name": "Submit", "kind": "allow_once"},
    {"optionId": "cancel", "name": "Cancel", "kind": "reject_once"},
]
ROWS = [
    {"question": "Which colour?", "header": "Colour", "options": [{"label": "Red"}, {"label": "Blue"}]},
    {"question": "Which sizes?", "options": [{"label": "S"}, {"label": "L"}], "multiSelect": True},
    {"question": "Why?", "options": []},
]
MARKED = {"toolName": "ask_user_question", "qwenInteractionKind": "user_question", "qwenQuestions": ROWS}


def survey(tmp_path: Path, said: Recorder, meta: Any = MARKED, options: Any = SUBMIT) -> Any:
    async def test(hosted: Hosted) -> None:
        await hosted.run(f"survey {json.dumps([meta, options])}", said)

    hosting(test, tmp_path)
    return json.loads(said.out)


@pytest.mark.parametrize(
    ("given", "result"),
    [
        (
            Given("accept", {"question 1": "2", "question 2": ["1", "2"], "other 3": "because"}),
            {
                "outcome": {"outcome": "selected", "optionId": "proceed_once"},
                "answers": {"0": "Blue", "1": "S, L", "2": "because"},
            },
        ),
        (
            Given("accept", {"question 1": "1", "other 1": "green"}),
            {"outcome": {"outcome": "selected", "optionId": "proceed_once"}, "answers": {"0": "green"}},
        ),
        (Given("decline"), {"outcome": {"outcome": "selected", "optionId": "proceed_once"}, "answers": {}}),
        (Given("cancel", reason="nobody answered in time"), {"outcome": {"outcome": "cancelled"}}),
    ],
)
def test_it_is_put_as_a_form_and_answered_by_number(given: Given, result: Any, tmp_path: Path) -> None:
    said = Recorder()
    said.given = given
    assert survey(tmp_path, said) == result
    assert said.asked == []
    [asked] = said.questions
    assert asked.message == "The agent has 3 questions"
    assert asked.form is not None
    assert [each.name for each in asked.form.fields] == ["question 1", "other 1", "question 2", "other 2", "other 3"]


@pytest.mark.parametrize(
    ("meta", "options"),
    [
        ({**MARKED, "qwenInteractionKind": "tool"}, SUBMIT),
        ({**MARKED, "qwenQuestions": "x"}, SUBMIT),
        ({**MARKED, "qwenQuestions": [{"question": 1}]}, SUBMIT),
        ({**MARKED, "qwenQuestions": []}, SUBMIT),
        ({}, SUBMIT),
        (MARKED, [*SUBMIT, {"optionId": "always", "name": "Always", "kind": "allow_always"}]),
        (MARKED, SUBMIT[1:]),
    ],
)
def test_what_is_not_marked_as_a_question_or_cannot_be_shown_is_asked_about(
    meta: Any, options: Any, tmp_path: Path
) -> None:
    said = Recorder(answer=Answer("deny"))
    answer = survey(tmp_path, said, meta, options)
    assert "answers" not in answer
    assert (len(said.asked), said.questions) == (1, [])


def test_a_host_that_takes_the_mark_from_nobody_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control."""
    monkeypatch.setattr(asking, "questions_of", lambda *_: None)
    with pytest.raises((AssertionError, KeyError)):
        test_it_is_put_as_a_form_and_answered_by_number(Given("decline"), {}, tmp_path)


def test_nothing_chosen_is_nothing_said() -> None:
    assert words_of(ROWS, {}) == ["", "", ""]
    assert form_of([{"question": "x", "options": "y"}], "x") is not None
    assert form_of({}, "x") is None
