"""Every recorded transcript of a real agent replays through the ACP host, and every line of it is accounted for."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.agents.contract import check_updates
from tests.agents.recorder import ALLOW, DENY, Recorder

from myagent.agents import Turn
from myagent.agents.acp.host import AcpAgent
from myagent.agents.acp.presets import PRESETS, UNKNOWN

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


async def never() -> None:
    """What happens while nobody decides."""
    await asyncio.Event().wait()


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
    hosted = agent(transcript, tmp_path)
    decision = transcript.stem.rsplit("-", 1)[-1]
    told = Recorder(DENY if decision == "deny" else ALLOW, never if decision == "cancel" else None)
    await hosted.start()
    if decision == "cancel":
        running = asyncio.create_task(hosted.run(turn(transcript, tmp_path), told))
        await told.until(lambda: bool(told.asked))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    else:
        end = await hosted.run(turn(transcript, tmp_path), told)
        assert end.stop_reason == "end_turn", end
        assert end.agent_session_id
    await hosted.close()
    accounted_for(hosted, tmp_path)
    assert len(told.asked) == 1
    call = told.asked[0]
    assert "hello.txt" in call.text
    assert {option.kind for option in call.options} >= {"allow_once", "reject_once"}
    assert told.out.replace("\n", "") == said(transcript).replace("\n", "")
    check_updates(told.updates)


LOADED = [path for path in TRANSCRIPTS if '"session/load"' in path.read_text()]


@pytest.mark.parametrize("transcript", LOADED, ids=lambda path: path.stem)
def test_a_loaded_session_is_not_shown_again(transcript: Path, tmp_path: Path) -> None:
    asyncio.run(_loads(transcript, tmp_path))


async def _loads(transcript: Path, tmp_path: Path) -> None:
    loads = [msg for _, msg in frames(transcript) if msg.get("method") == "session/load"]
    agent_session_id = loads[0]["params"]["sessionId"]
    hosted, told = agent(transcript, tmp_path), Recorder()
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
        hosted = agent(transcript, tmp_path)
        end = await hosted.run(turn(transcript, tmp_path), Recorder(ALLOW))
        await hosted.close()
        assert (end.stop_reason, end.exit_code) == ("failed", 3)
        assert "where" in str(end.message)

    asyncio.run(otherwise())
