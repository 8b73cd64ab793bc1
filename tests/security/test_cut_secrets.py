"""What an adapter cuts is covered all the same: a secret across the cut shows no more than its beginning."""

from __future__ import annotations

import pytest

from myagent.agents.rendering.bounds import cut
from myagent.agents.rendering.state import state_of
from myagent.core.codec import encode
from myagent.redaction.redactor import BEGINNING, Redactor

TOKEN = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6"
GITHUB = "ghp_" + "a1B2" * 9


def longest(text: str, secret: str) -> int:
    """The most characters of a secret's beginning that a text has."""
    return max((size for size in range(len(secret) + 1) if secret[:size] in text), default=0)


@pytest.mark.parametrize("secret", [TOKEN, GITHUB])
@pytest.mark.parametrize("shown", range(0, 45, 3))
def test_no_more_than_a_beginning_is_left(secret: str, shown: int) -> None:
    redactor = Redactor()
    redactor.register(TOKEN)
    said = "x " * 100 + secret + " and more of it"
    told = cut(said, 200 + shown)
    assert longest(told, secret) == min(shown, len(secret))  # the negative control: uncovered, it is there
    for covered in (
        redactor.text(told),
        redactor.data({"title": told})["title"],
        redactor.encoded(encode({"title": told})).decode(),
    ):
        assert longest(covered, secret) < BEGINNING
        assert "more characters)" in covered


def test_the_states_of_an_agent_are_cut_so_that_this_is_seen() -> None:
    redactor = Redactor()
    redactor.register(TOKEN)
    update = {"sessionUpdate": "session_info_update", "title": "x " * 79 + TOKEN}
    state = state_of(update)
    assert state is not None
    assert longest(state["title"], TOKEN) > BEGINNING
    assert longest(redactor.data(state)["title"], TOKEN) < BEGINNING


def test_what_only_looks_cut_is_left() -> None:
    assert Redactor().text("nothing of a secret… (12 more characters)") == "nothing of a secret… (12 more characters)"
