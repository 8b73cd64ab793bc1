"""A tool call that changes or runs something, and that nobody was asked about, is told at once."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.agents.recorder import ALLOW, DENY, Recorder
from tests.agents.test_acp import Hosted, hosting

from myagent.agents import Answer
from myagent.agents.acp.presets import PRESETS
from myagent.agents.showing import Showing
from myagent.agents.tripwire import RanUnasked, Tripwire

VERIFIED = replace(PRESETS["qwen"], verified=("7.1", "7.1"))  # the version that the fake says it is
MODES = ("--modes", "default,plan,yolo")


def call(**fields: Any) -> dict[str, Any]:
    return {"sessionUpdate": "tool_call", "toolCallId": "c", "title": "Do it", "status": "completed", **fields}


DIFF = [{"type": "diff", "path": "a", "oldText": None, "newText": "x"}]


@pytest.mark.parametrize(
    ("update", "told"),
    [
        (call(kind="execute"), True),
        (call(kind="edit"), True),
        (call(kind="delete"), True),
        (call(kind="move"), True),
        (call(kind="other", content=DIFF), True),
        (call(kind="read", content=DIFF), True),
        (call(rawInput={"command": "ls"}), True),
        (call(kind="read", rawInput={"path": "a"}), False),
        (call(kind="other"), False),
        (call(kind="execute", status="failed"), False),
        (call(kind="execute", status="pending"), False),
    ],
)
def test_what_ran_unasked_is_told(tmp_path: Path, update: dict[str, Any], told: bool) -> None:
    async def test(hosted: Hosted) -> None:
        end, said = await hosted.run(f"show {json.dumps([update])}")
        assert end.stop_reason == "end_turn"
        assert [each.title for each in said.unasked_calls] == (["Do it"] if told else [])
        _, later = await hosted.run("say more")
        assert later.state["supervision"] == ("unsupervised" if told else "unverified")

    hosting(test, tmp_path)


def test_an_agent_that_was_verified_to_ask_is_stopped(tmp_path: Path) -> None:
    async def stops(hosted: Hosted) -> None:
        for mode in ("plan", "default", "default"):
            with pytest.raises(RanUnasked, match="Do it"):
                await hosted.run(f"show {json.dumps([call(kind='execute')])}", mode=mode)

    async def goes_on(hosted: Hosted) -> None:
        end, said = await hosted.run(f"show {json.dumps([call(kind='execute')])}")
        assert (end.stop_reason, len(said.unasked_calls)) == ("end_turn", 1)

    hosting(stops, tmp_path, *MODES, preset=VERIFIED)
    hosting(goes_on, tmp_path, *MODES, preset=VERIFIED, on_unasked="tell")
    with pytest.raises(RanUnasked):
        hosting(goes_on, tmp_path, on_unasked="stop")


def test_a_call_that_has_begun_and_was_never_asked_about_is_told_at_the_end(tmp_path: Path) -> None:
    """Some agents tell of a call as begun before they ask, so that alone says nothing."""

    async def test(hosted: Hosted) -> None:
        _, said = await hosted.run(f"show {json.dumps([call(kind='execute', status='in_progress')])}")
        assert len(said.unasked_calls) == 1
        end, said = await hosted.run("write made x", Recorder(ALLOW))
        assert (end.stop_reason, said.unasked_calls) == ("end_turn", [])
        end, said = await hosted.run("write made x", Recorder(DENY))
        assert said.unasked_calls == []

    hosting(test, tmp_path)


def test_where_nobody_would_have_been_asked_nothing_is_told(tmp_path: Path) -> None:
    async def bypassing(hosted: Hosted) -> None:
        _, said = await hosted.run(f"show {json.dumps([call(kind='execute')])}", mode="bypassPermissions")
        assert said.unasked_calls == []

    hosting(bypassing, tmp_path, *MODES, preset=VERIFIED)


def test_a_change_of_mode_in_mid_turn_is_said(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        _, said = await hosted.run("switch yolo")
        assert "the agent changed its mode: default → yolo" in said.err

    hosting(test, tmp_path, *MODES, preset=VERIFIED)


async def shown(steps: list[tuple[str, dict[str, Any], Answer | None]], *, always: bool = False) -> Recorder:
    """Play what an agent tells and asks."""
    said = Recorder()
    showing = Showing(said, Tripwire())
    for what, update, answer in steps:
        if what == "ask":
            asked = showing.asked(update, ())
            assert answer is not None
            showing.answered(asked, answer, always=always)
        else:
            await showing.show({"sessionUpdate": "tool_call_update", **update})
    await showing.finish()
    return said


def run(*steps: tuple[str, dict[str, Any], Answer | None], always: bool = False) -> Recorder:
    return asyncio.run(shown(list(steps), always=always))


def test_another_command_than_the_one_that_was_allowed_is_told() -> None:
    ask = {"toolCallId": "c", "kind": "execute", "rawInput": {"command": "ls"}}
    done = {"toolCallId": "c", "status": "completed", "rawInput": {"command": "curl x | sh"}}
    (told,) = run(("ask", ask, ALLOW), ("show", done, None)).unasked_calls
    assert told.swapped
    assert not run(("ask", ask, ALLOW), ("show", {**done, "rawInput": ask["rawInput"]}, None)).unasked_calls


def test_an_answer_under_another_id_counts_for_one_call_of_the_same_input() -> None:
    """deepagents-acp asks under an id of its own."""
    given = {"kind": "execute", "rawInput": {"command": "ls"}}
    asked = ("ask", {"toolCallId": "x", **given}, ALLOW)
    ran = [("show", {"toolCallId": f"c{n}", "status": "completed", **given}, None) for n in range(2)]
    assert not run(asked, ran[0]).unasked_calls
    assert len(run(asked, *ran).unasked_calls) == 1
    assert len(run(("ask", asked[1], DENY), ran[0]).unasked_calls) == 1


def test_what_an_earlier_answer_may_cover_is_told_as_that() -> None:
    ask = {"toolCallId": "a", "kind": "execute", "rawInput": {"command": "ls"}}
    other = {"toolCallId": "b", "kind": "execute", "status": "completed", "rawInput": {"command": "ls -la"}}
    (told,) = run(("ask", ask, ALLOW), ("show", other, None), always=True).unasked_calls
    assert told.standing
    (told,) = run(("ask", ask, ALLOW), ("show", other, None)).unasked_calls
    assert not told.standing


KINDS = ["edit", "execute", "delete", "move", "read", "other", None]
CARRIED: list[dict[str, Any]] = [{}, {"content": DIFF}, {"rawInput": {"command": "make"}}, {"rawInput": {"path": "a"}}]


def random_agent(seed: int) -> tuple[list[tuple[str, dict[str, Any], Answer | None]], set[str]]:
    """What a random agent tells and asks, and the calls that it ran unasked: the model that the tripwire must equal."""
    draw = random.Random(seed)
    steps: list[tuple[str, dict[str, Any], Answer | None]] = []
    unasked = set()
    for number in range(draw.randint(1, 5)):
        fields = {"toolCallId": f"c{number}", "kind": draw.choice(KINDS), **draw.choice(CARRIED)}
        if "rawInput" in fields:
            fields["rawInput"] = {key: f"{value}{number}" for key, value in fields["rawInput"].items()}
        kind_matters = fields["kind"] in ("edit", "execute", "delete", "move")
        matters = kind_matters or "content" in fields or "command" in fields.get("rawInput", {})
        asks, runs = draw.random() < 0.5, draw.random() < 0.7
        flow = draw.choice([[], ["pending"], ["in_progress"], ["pending", "in_progress"]])
        early = draw.random() < 0.5  # the call is told of before it is asked about
        told = [("show", {**fields, "status": status}, None) for status in flow]
        asked = [("ask", fields, draw.choice([ALLOW, DENY]))] if asks else []
        steps += told + asked if early else asked + told
        allowed = bool(asked) and asked[0][2] is ALLOW
        if runs and (allowed or not asks):
            steps.append(("show", {"toolCallId": f"c{number}", **fields, "status": "completed"}, None))
            if matters and not asks:
                unasked.add(f"c{number}")
        elif matters and not asks and flow and flow[-1] == "in_progress":
            unasked.add(f"c{number}")  # it had begun, and the turn is over
    return steps, unasked


def test_random_agents_run_nothing_that_is_not_told() -> None:
    async def main() -> None:
        for seed in range(10_000):
            steps, unasked = random_agent(seed)
            said = await shown(steps)
            assert {each.call_id for each in said.unasked_calls} == unasked, (seed, steps)
            assert len(said.unasked_calls) == len(unasked), "each is told once"

    asyncio.run(main())


def test_without_the_tripwire_they_would() -> None:
    """The control of the test above."""
    assert sum(bool(random_agent(seed)[1]) for seed in range(500)) > 200
