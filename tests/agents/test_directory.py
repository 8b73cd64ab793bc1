"""What a directory's settings would have an agent start: it is named and accepted, or the agent does not run."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.agents.hostile import plant
from tests.agents.test_acp import Hosted, hosting

from myagent.agents.acp.directory import SETTINGS_BYTES, Program, StartsPrograms, programs, untold
from myagent.agents.acp.operator import Operator
from myagent.agents.acp.presets import PRESETS, UNKNOWN

CODEX, COPILOT = PRESETS["codex"], PRESETS["copilot"]
SERVER = '[mcp_servers.planted]\ncommand = "sh"\nargs = ["-c", "true \\u001b[2J"]\n'


def settings(directory: Path, content: str = SERVER) -> None:
    (directory / ".codex").mkdir(exist_ok=True)
    (directory / ".codex" / "config.toml").write_text(content)


def env(home: Path) -> dict[str, str]:
    return {"HOME": str(home)}


def test_programs_are_named_with_their_whole_command(tmp_path: Path) -> None:
    work, ran = tmp_path / "work", tmp_path / "ran"
    work.mkdir()
    plant(work, ran)
    (server,) = programs(CODEX, work, env(tmp_path))
    assert server == Program(".codex/config.toml", "MCP server planted", f"/bin/sh -c 'touch {ran}/codex-mcp'")
    hooks = programs(COPILOT, work, env(tmp_path))
    assert {each.what for each in hooks} >= {"hook sessionStart", "hook userPromptSubmitted", "hook preToolUse"}
    assert {each.file for each in hooks} == {".github/hooks/planted.json", ".github/copilot/settings.json"}
    assert all(str(ran) in each.command for each in hooks)
    for other in ("gemini", "qwen", "claude", "vibe", "kimi"):
        assert programs(PRESETS[other], work, env(tmp_path)) == ()


def test_what_a_file_says_cannot_drive_the_terminal(tmp_path: Path) -> None:
    settings(tmp_path)
    (program,) = programs(CODEX, tmp_path, {})
    assert "\x1b" in program.command and "\x1b" not in str(program)


def test_directories_above_count_and_the_users_own_settings_do_not(tmp_path: Path) -> None:
    """A repository's settings count also where one works deeper in it."""
    home, deep = tmp_path / "home", tmp_path / "home" / "repository" / "deep"
    deep.mkdir(parents=True)
    settings(home)
    assert programs(CODEX, deep, env(home)) == programs(CODEX, home, env(home)) == ()
    settings(deep.parent)
    (program,) = programs(CODEX, deep, env(home))
    assert program.file == str(deep.parent / ".codex" / "config.toml")
    assert programs(CODEX, deep, env(home) | {"CODEX_HOME": str(deep.parent / ".codex")}) != ()  # now `home` counts
    assert programs(CODEX, home, {"HOME": "/elsewhere"}) != ()


@pytest.mark.parametrize("content", ["[mcp", "mcp_servers = 3", "mcp_servers.x = 3", " " * (SETTINGS_BYTES + 1)])
def test_a_file_that_cannot_be_understood_is_a_program_by_itself(tmp_path: Path, content: str) -> None:
    settings(tmp_path, content)
    assert len(programs(CODEX, tmp_path, {})) == 1


def test_settings_that_start_nothing_are_none(tmp_path: Path) -> None:
    settings(tmp_path, 'model = "x"\n[mcp_servers.far]\nurl = "https://example.org/mcp"\n')
    assert programs(CODEX, tmp_path, {}) == ()
    assert programs(CODEX, tmp_path / "nowhere", {"HOME": str(tmp_path)}) == ()


def test_what_is_not_known_is_said() -> None:
    assert untold(CODEX, "2.6.0") == ""
    assert "not known" in untold(CODEX, "9.0.0")
    assert "not known" in untold(UNKNOWN, "2.6.0")
    assert "not known" in untold(PRESETS["goose"], "1.0.0")


FAKE = ("--name", "@agentclientprotocol/codex-acp", "--modes", "read-only", "--store")


def test_a_hosted_agent_is_not_even_started_where_nobody_accepted(tmp_path: Path) -> None:
    settings(tmp_path)

    async def test(hosted: Hosted) -> None:
        with pytest.raises(StartsPrograms, match="MCP server planted: sh -c") as refusal:
            await hosted.agent.start()
        assert str(refusal.value).count("\n") == 1
        assert "--trust-directory" in str(refusal.value).splitlines()[1]
        assert not hosted.agent.tally

    hosting(test, tmp_path, *FAKE, str(tmp_path), preset=CODEX)


@pytest.mark.parametrize("trusts", [True, False])
def test_what_was_accepted_starts_and_nothing_that_came_later(tmp_path: Path, trusts: bool) -> None:
    """An agent may write its own settings anew, and die: what they name now was not what was accepted."""
    settings(tmp_path)
    accepted = frozenset(programs(CODEX, tmp_path, {}))
    operator = Operator(trusts_directory=True) if trusts else Operator(accepted=accepted)

    async def test(hosted: Hosted) -> None:
        await hosted.agent.start()
        assert await hosted.says("mode") == "read-only"
        settings(tmp_path, SERVER + '[mcp_servers.more]\ncommand = "other"\n')
        end, _ = await hosted.run("mode", session="another")
        assert (end.stop_reason == "end_turn") == trusts
        await hosted.run("die 1")
        end, _ = await hosted.run("mode")
        assert (end.stop_reason == "end_turn") == trusts
        assert trusts or "MCP server more" in str(end.message)
        settings(tmp_path)
        assert await hosted.says("mode") == "read-only"

    hosting(test, tmp_path, *FAKE, str(tmp_path), preset=CODEX, operator=operator)


def test_one_that_is_recognised_by_its_own_words_is_refused_too(tmp_path: Path) -> None:
    settings(tmp_path)

    async def test(hosted: Hosted) -> None:
        with pytest.raises(StartsPrograms):
            await hosted.agent.start()

    hosting(test, tmp_path, *FAKE, str(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        (".opencode/plugin/a.js", "x", ["plug-in"]),
        (".opencode/plugins/a.ts", "x", ["plug-in"]),
        ("opencode.json", '{"plugin": ["./a.js"]}', ["plug-in"]),
        ("opencode.jsonc", '// why\n{"plugins": ["./a.js"]}', ["plug-ins"]),
        (".opencode/opencode.jsonc", '// why\n{"\\u0070lugin": ["./a.js"]}', ["plug-ins"]),
        ("opencode.jsonc", '// why\n{"model": "x"}', []),
    ],
)
def test_plug_ins_of_opencode(tmp_path: Path, name: str, content: str, found: list[str]) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    assert [each.what for each in programs(PRESETS["opencode"], tmp_path, env(tmp_path / "home"))] == found
    if name.startswith(".opencode"):
        assert programs(PRESETS["opencode"], tmp_path, env(tmp_path)) == (), "what is in one's own home is one's own"
