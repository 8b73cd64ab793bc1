"""What a preset does so that an agent asks, whatever settings it finds; real agents show that it works for each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.agents.test_acp import Hosted, hosting

from myagent.agents.acp.directory import NOT_KNOWN
from myagent.agents.acp.presets import CLAUDE_ASKS, PRESETS

QWEN = "QWEN_CODE_SYSTEM_SETTINGS_PATH"


async def named(hosted: Hosted) -> Path:
    """The file that the agent's environment names."""
    return Path(json.loads(await hosted.says(f"env {QWEN}"))[QWEN])


@pytest.mark.parametrize("preset", [PRESETS["qwen"], None], ids=["named", "recognised"])
def test_an_agent_gets_its_file_anew_with_each_start(
    tmp_path: Path, preset: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that is known only by what it says of itself; and what the operator set otherwise does not count."""
    monkeypatch.setenv(QWEN, "/somewhere/else")

    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        file = await named(hosted)
        rules = json.loads(file.read_text())
        assert {"Edit", "Bash"} <= set(rules["permissions"]["ask"])
        file.write_text("{}")  # as qwen-code does, which writes its settings in its newest form
        await hosted.run("die 1")
        again = await named(hosted)
        anew = json.loads(again.read_text())
        assert anew.pop("mcp") != rules.pop("mcp"), "a name that nobody could have guessed"
        assert anew == rules
        await hosted.agent.close()
        assert not file.exists() and not again.exists()

    options = {"preset": preset} if preset else {}
    hosting(test, tmp_path, "--name", "qwen-code", "--modes", "yolo,default", **options)


def test_what_the_operator_set_counts_where_that_was_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(QWEN, "/somewhere/else")

    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        assert hosted.agent.info.note == (
            f"UNSUPERVISED: it may run tools without asking, as {QWEN} says (mode default); {NOT_KNOWN}"
        )
        assert await named(hosted) == Path("/somewhere/else")

    hosting(test, tmp_path, "--name", "qwen-code", "--modes", "yolo,default", allow_unsupervised=True)


@pytest.mark.parametrize("accepted", [False, True])
def test_claude_is_told_with_each_session_what_to_ask_for(tmp_path: Path, accepted: bool) -> None:
    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        told = json.loads(await hosted.says("meta"))
        if accepted:
            assert told is None
            assert hosted.agent.info.note.startswith(
                "UNSUPERVISED: it may run tools without asking, as its own settings"
            )
        else:
            options = told["claudeCode"]["options"]
            assert options["settingSources"] == ["user"]
            assert options["settings"]["permissions"]["ask"] == list(CLAUDE_ASKS)
            assert hosted.agent.info.note == f"unverified: it may or may not ask (mode default); {NOT_KNOWN}"

    arguments = ("--name", "claude-agent-acp", "--modes", "auto,default")
    hosting(test, tmp_path, *arguments, allow_unsupervised=accepted)


def test_a_model_that_is_asked_without_a_key_is_said(tmp_path: Path) -> None:
    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        assert hosted.agent.info.note == (
            "unverified: it may or may not ask (mode default); "
            f"no GEMINI_API_KEY: it asks the model at GOOGLE_GEMINI_BASE_URL without a key; {NOT_KNOWN}"
        )

    nothing = {"GEMINI_API_KEY": "", "GOOGLE_GENAI_USE_VERTEXAI": ""}
    env = nothing | {"GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:1"}
    hosting(test, tmp_path, "--name", "gemini-cli", "--modes", "default", env=env)
    gemini = PRESETS["gemini"]
    assert gemini.caution(env | {"GEMINI_API_KEY": "x"}) == gemini.caution(nothing) == ""
