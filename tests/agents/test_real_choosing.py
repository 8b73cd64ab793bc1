"""What an owner chooses of what real agents offer, against a scripted model; `real.py` says how they are installed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.agents.real import OPENCODE, QWEN
from tests.agents.recorder import ALLOW, Recorder
from tests.agents.test_real_agents import Workplace, at_work, real

from myagent.agents.acp.presets import preset
from myagent.agents.choosing import NeedsBypass
from myagent.core.choices import Choice

__all__ = ["real"]

# In which of their modes they write unasked.
UNASKED = {"claude-p": "acceptEdits", "qwen": "auto-edit"}
# In which they ask all the same: as the directory is not trusted, and as the session is told to.
ASKED = {"gemini": "autoEdit", "claude": "acceptEdits"}


def test_modes_that_are_not_known_to_ask_need_bypass_and_act_unasked(real: object, tmp_path: Path) -> None:
    """And the choice taken back, or the server started again without bypass, it asks."""

    async def test(place: Workplace) -> None:
        known = preset(place.real.name)
        file = place.workspace / "hello.txt"
        turn = place.turn(f"STUB please write FILE={file} now")

        async def asked(*choices: Choice, bypass: bool) -> int:
            file.unlink(missing_ok=True)
            told = Recorder(ALLOW)
            end = await agent.run(replace(turn, choices=choices, allow_bypass=bypass), told)
            assert end.stop_reason == "end_turn" and file.exists(), (end, told.err)
            return len(told.asked)

        async with place.hosted() as agent:
            mode = next((row for row in agent.info.state["options"] if row["category"] == "mode"), None)
            if mode is None:
                pytest.skip("it has no modes")
            free = {row["value"] for row in mode["values"] if not row.get("guarded")}
            assert free == {known.asking, known.plan} - {None}
            for row in mode["values"]:
                if row["value"] not in free:
                    with pytest.raises(NeedsBypass):
                        agent.choose("one", "mode", row["value"], (), allow_bypass=False)
            if (asks := ASKED.get(place.real.name)) is not None:
                assert await asked(agent.choose("one", "mode", asks, (), allow_bypass=True), bypass=True) == 1
            if (unasked := UNASKED.get(place.real.name)) is None:
                return
            choice = agent.choose("one", "mode", unasked, (), allow_bypass=True)
            assert await asked(bypass=True) == 1
            assert await asked(choice, bypass=True) == 0
            assert await asked(choice, bypass=False) == 1
            assert await asked(choice, bypass=True) == 0
            assert await asked(replace_value(choice, known.asking or ""), bypass=True) == 1

    def replace_value(choice: Choice, value: str) -> Choice:
        return Choice(choice.option_id, value, choice.before)

    at_work(real, tmp_path, test)  # type: ignore[arg-type]


def test_another_model_is_chosen_in_mid_session(real: object, tmp_path: Path) -> None:
    async def test(place: Workplace) -> None:
        async with place.hosted() as agent:
            model = next((row for row in agent.info.state["options"] if row["category"] == "model"), None)
            others = [row["value"] for row in model["values"] if row["value"] != model["value"]] if model else []
            if model is None or not others or place.real is QWEN:
                pytest.skip("it offers one model at most, or others only to who signs in elsewhere")
            told = Recorder()
            await agent.run(place.turn("say hello"), told)
            choice = agent.choose("one", "model", others[0], (), allow_bypass=False)
            assert not choice.guarded
            await agent.apply("one", choice)
            if place.real is OPENCODE:
                return  # the others are models of its own service
            end = await agent.run(replace(place.turn("say hello"), choices=(choice,)), told)
            assert end.stop_reason == "end_turn", end
            assert "refused" not in told.err
            assert next(row["value"] for row in told.state["options"] if row["id"] == model["id"]) == others[0]

    at_work(real, tmp_path, test)  # type: ignore[arg-type]
