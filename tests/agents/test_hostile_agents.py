"""Whatever an agent says, asks and runs: what ran was shown whole, and allowed by an answer that chose it, or it is
told at once as unasked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from tests.agents.random_agent import CELLS, draw_agent, problems

from myagent.agents import Answer, ToolCall
from myagent.agents.acp import asking
from myagent.agents.said import Said
from myagent.agents.tripwire import Tripwire
from myagent.core.messages import Option
from myagent.core.permissions import canonical

AGENTS = 10_000
FEW = 3_000  # in which each planted bug must be found


def found(agents: int, *, enough: int = 10) -> list[str]:
    """What the first so many agents got away with."""

    async def main() -> list[str]:
        rows: list[str] = []
        for seed in range(agents):
            rows += await problems(seed)
            if len(rows) >= enough:
                break
        return rows

    return asyncio.run(main())


def test_random_agents_run_nothing_that_was_not_shown_and_chosen_or_told() -> None:
    assert found(AGENTS) == []


def test_they_try_everything_in_every_mode() -> None:
    seen = set()
    for seed in range(AGENTS):
        mode, deeds = draw_agent(seed)
        seen.update((mode, deed.kind, deed.says, deed.when, deed.runs) for deed in deeds)
    assert {*CELLS} <= seen


# --- planted bugs, each of which the agents must find -----------------------------------------------------------------


def sees_nothing(self: Tripwire, call: Mapping[str, Any]) -> str:
    return "none"


def takes_no_for_yes(self: Tripwire, asked: ToolCall, answer: Answer, *, always: bool) -> None:
    real_answered(self, asked, Answer("allow"), always=always)


def takes_any_asked_for_allowed(self: Tripwire, call: Mapping[str, Any]) -> str:
    """What it did before: a call that was asked about counted, whatever the answer was."""
    known = str(call.get("toolCallId"))
    return "none" if known in self._refused or self._asking[known] > 0 else real_sees(self, call)


def sees_no_swap(self: Tripwire, call_id: str, call: Mapping[str, Any]) -> bool:
    return False


def uses_an_answer_again(self: Tripwire, call: Mapping[str, Any]) -> bool:
    given = call.get("rawInput")
    for asked_id, allowed in self._inputs.items():
        if given and allowed == canonical(given) and asked_id not in self._seen:
            self._allowed[str(call.get("toolCallId"))] = self._allowed[asked_id]
            return True
    return False


def takes_the_first_option(answer: Answer, options: tuple[Option, ...]) -> str | None:
    verb = {"allow": "allow_", "deny": "reject_"}.get(answer.kind)
    return next((each.option_id for each in options if verb and each.kind.startswith(verb)), None)


def goes_on_changing(self: Said) -> dict[str, Any]:
    """What it did before: what was shown held what was said afterwards."""
    return {**real_data(self), "inputs": self.inputs}


real_answered, real_sees = Tripwire.answered, Tripwire.sees
real_data = Said.data


@pytest.mark.parametrize(
    ("where", "what", "bug"),
    [
        (Tripwire, "sees", sees_nothing),
        (Tripwire, "sees", takes_any_asked_for_allowed),
        (Tripwire, "answered", takes_no_for_yes),
        (Tripwire, "_swapped", sees_no_swap),
        (Tripwire, "_asked_elsewhere", uses_an_answer_again),
        (asking, "chosen_option", takes_the_first_option),
        (Said, "data", goes_on_changing),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_planted_bug_is_found(where: Any, what: str, bug: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(20) == []
    monkeypatch.setattr(where, what, bug)
    assert found(FEW, enough=1) != []
