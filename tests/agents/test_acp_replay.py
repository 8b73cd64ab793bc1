"""Every recorded transcript of a real agent replays through the ACP host, and every line of it is accounted for."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.agents.told import Told

from myagent.agents import Turn
from myagent.agents.acp import AcpAgent
from myagent.agents.presets import PRESETS, UNKNOWN

HERE = Path(__file__).parent
TRANSCRIPTS = sorted((HERE / "transcripts").glob("*.jsonl"))


def frames(transcript: Path) -> list[tuple[str, dict[str, Any]]]:
    rows = [json.loads(line) for line in transcript.read_text().splitlines()]
    return [(row["dir"], row["msg"]) for row in rows]


def agent(transcript: Path, tmp_path: Path) -> AcpAgent:
    argv = [sys.executable, "-I", str(HERE / "replay_agent.py"), str(transcript), str(tmp_path / "sent")]
    preset = PRESETS.get(transcript.name.split("-")[0], UNKNOWN)
    return AcpAgent(argv, cwd=tmp_path, preset=preset, env=keys(transcript))


def keys(transcript: Path) -> dict[str, str]:
    """The keys with which the recorder had the agent authenticate, or none."""
    authenticated = any(msg.get("method") == "authenticate" for _, msg in frames(transcript))
    return dict.fromkeys(("GEMINI_API_KEY", "OPENAI_API_KEY"), "x" if authenticated else "")


def turn(transcript: Path, cwd: Path, agent_session_id: str | None = None) -> Turn:
    prompts = [
        msg["params"]["prompt"][0]["text"] for _, msg in frames(transcript) if msg.get("method") == "session/prompt"
    ]
    return Turn("remote_1", "turn-1", prompts[0], "default", cwd, agent_session_id)


def said(transcript: Path) -> str:
    """What the recorded agent said during its prompt, as plain text."""
    text, prompted = "", False
    for direction, msg in frames(transcript):
        prompted |= msg.get("method") == "session/prompt"
        if msg.get("method") == "session/load":
            break
        update = msg.get("params", {}).get("update", {}) if direction == "a2c" else {}
        if prompted and update.get("sessionUpdate") == "agent_message_chunk":
            text += update["content"].get("text", "")
    return text


def accounted_for(hosted: AcpAgent, tmp_path: Path) -> None:
    sent = int((tmp_path / "sent").read_text())
    assert sum(hosted.tally.values()) == sent, hosted.tally
    assert not {"garbage", "ignored", "dropped"} & set(hosted.tally), hosted.tally


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript_replays(transcript: Path, tmp_path: Path) -> None:
    asyncio.run(_replays(transcript, tmp_path))


async def _replays(transcript: Path, tmp_path: Path) -> None:
    hosted, told = agent(transcript, tmp_path), Told()
    decision = transcript.stem.rsplit("-", 1)[-1]
    await hosted.start()
    if decision == "cancel":
        running = asyncio.create_task(hosted.run(turn(transcript, tmp_path), told))
        await told.asked.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    else:
        told.answer("deny" if decision == "deny" else "allow")
        end = await hosted.run(turn(transcript, tmp_path), told)
        assert end.stop_reason == "end_turn", end
        assert end.agent_session_id
    await hosted.close()
    accounted_for(hosted, tmp_path)
    assert len(told.calls) == 1
    call = told.calls[0]
    assert "hello.txt" in call.text
    assert {option.kind for option in call.options} >= {"allow_once", "reject_once"}
    assert told.out.replace("\n", "") == said(transcript).replace("\n", "")
    assert not told.open_calls(), "every tool call that was shown has ended"


LOADED = [path for path in TRANSCRIPTS if '"session/load"' in path.read_text()]


@pytest.mark.parametrize("transcript", LOADED, ids=lambda path: path.stem)
def test_a_loaded_session_is_not_shown_again(transcript: Path, tmp_path: Path) -> None:
    asyncio.run(_loads(transcript, tmp_path))


async def _loads(transcript: Path, tmp_path: Path) -> None:
    loads = [msg for _, msg in frames(transcript) if msg.get("method") == "session/load"]
    agent_session_id = loads[0]["params"]["sessionId"]
    hosted, told = agent(transcript, tmp_path), Told()
    end = await hosted.run(turn(transcript, tmp_path, agent_session_id), told)
    await hosted.close()
    assert (end.stop_reason, end.agent_session_id) == ("end_turn", agent_session_id)
    assert (told.out, told.err, told.updates) == ("", "", [])
    assert hosted.tally["replayed"] > 0
    accounted_for(hosted, tmp_path)


def test_the_replay_notices_a_host_that_does_otherwise(tmp_path: Path) -> None:
    """Negative control: allowing what the recorder denied ends the replaying agent, and the turn with it."""
    transcript = HERE / "transcripts" / "opencode-1.18.34-deny.jsonl"

    async def otherwise() -> None:
        hosted, told = agent(transcript, tmp_path), Told()
        told.answer("allow")
        end = await hosted.run(turn(transcript, tmp_path), told)
        await hosted.close()
        assert (end.stop_reason, end.exit_code) == ("failed", 3)
        assert "where" in str(end.message)

    asyncio.run(otherwise())
