"""What an ACP agent offers to be chosen: set in every session as the operator wants it, and told; or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.agents.test_acp import Hosted, hosting

from myagent.agents.acp.directory import NOT_KNOWN
from myagent.agents.acp.offers import offer_named, offers_of
from myagent.agents.choosing import NotOffered
from myagent.exceptions import AgentUnavailable

TRANSCRIPTS = Path(__file__).parent / "transcripts"


@pytest.mark.parametrize(
    ("offer", "options", "chosen"),
    [
        ("config", {}, {"m1": "big", "effort": "low", "fast": False}),
        ("config", {"m1": "small", "fast": "on"}, {"m1": "small", "effort": "low", "fast": True}),
        ("config", {"model": "small"}, {"m1": "small", "effort": "low", "fast": False}),  # by its category
        ("models", {"model": "small"}, {"model": "small"}),  # of agents before config options
    ],
)
def test_what_was_chosen_is_set_in_every_session_and_told(
    tmp_path: Path, offer: str, options: dict[str, str], chosen: dict[str, Any]
) -> None:
    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        assert {row["id"]: row["value"] for row in hosted.agent.info.state["config"]} == chosen
        assert hosted.agent.info.note == "; ".join(
            [
                "unverified: it may or may not ask (it has no modes)",
                *(f"{name}={value}" for name, value in options.items()),
                NOT_KNOWN,
            ]
        )
        for session in ("one", "two"):
            _, told = await hosted.run("chosen", session=session)
            assert json.loads(told.out).items() >= chosen.items()
            assert {row["id"]: row["value"] for row in told.state["config"]} == chosen

    hosting(test, tmp_path, "--offer", offer, options=options)


def test_a_choice_leaves_the_mode_alone(tmp_path: Path) -> None:
    """Also where the mode is a config option: that one is the host's, and is not on offer."""

    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        assert hosted.agent.info.note == f"unverified: it may or may not ask (mode ask); effort=low; {NOT_KNOWN}"
        assert await hosted.says("mode") == "ask"

    hosting(
        test, tmp_path, "--modes", "auto,ask", "--mode-by", "config", "--offer", "config", options={"effort": "low"}
    )


@pytest.mark.parametrize(
    ("offer", "options", "said"),
    [
        ("config", {"model": "huge"}, "does not offer model=huge; it offers big, small$"),
        ("config", {"fast": "perhaps"}, "does not offer fast=perhaps; it offers true, false$"),
        ("config", {"speed": "9"}, "does not offer the option speed; it offers m1, effort, fast$"),
        ("config", {"m": "auto"}, "does not offer the option m; it offers m1, effort, fast$"),
        ("models", {"effort": "low"}, "does not offer the option effort; it offers model$"),
        ("", {"model": "small"}, "does not offer the option model, nor anything else$"),
        ("config", {"effort": "high"}, "refused effort=high: not for this account$"),
    ],
)
def test_what_is_not_offered_ends_the_start(tmp_path: Path, offer: str, options: dict[str, str], said: str) -> None:
    async def test(hosted: Hosted) -> None:
        with pytest.raises(AgentUnavailable, match=said):
            await hosted.agent.start()
        end, _ = await hosted.run("say x")  # and every turn, should it be tried all the same
        assert end.stop_reason == "failed"

    arguments = ("--modes", "auto,ask", "--mode-by", "config", "--offer", offer)
    hosting(test, tmp_path, *(arguments if offer else ()), options=options)


@pytest.mark.parametrize(
    ("transcript", "names"),
    [
        ("claude-agent-acp-0.101", [("model",), ("effort", "thought_level"), ("fast", "model_config")]),
        ("codex-acp-2.6", [("collaboration_mode",), ("model",)]),
        ("gemini-cli-0.61", [("model",)]),
        ("opencode-1.18.34", [("model",)]),
        ("qwen-code-0.15.10", [("model",)]),
    ],
)
def test_what_recorded_agents_offer_is_known(transcript: str, names: list[tuple[str, ...]]) -> None:
    lines = (TRANSCRIPTS / f"{transcript}.jsonl").read_text().splitlines()
    results = [json.loads(line)["msg"].get("result") for line in lines]
    made = next(result for result in results if isinstance(result, dict) and "sessionId" in result)
    offers = offers_of(made)
    assert [offer.names for offer in offers][: len(names)] == names
    model = offer_named(offers, "model")
    assert model.current is None or model.current in model.values
    assert "mode" not in {name for offer in offers for name in offer.names}
    with pytest.raises(NotOffered, match="does not offer model=gpt-1; it offers"):
        model.params("gpt-1", called="model")


def test_an_error_names_only_the_first_of_many() -> None:
    assert str(NotOffered("model=x", map(str, range(100)))).endswith("10, 11, 88 more")


def test_offers_of_another_shape_are_passed_over() -> None:
    for nothing in ({}, {"configOptions": 7}, {"configOptions": [7, {"id": 7}, {"id": "x"}]}, {"models": {}}):
        assert offers_of(nothing) == ()
