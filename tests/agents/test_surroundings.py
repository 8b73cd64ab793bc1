"""What the model agent knows of where it is, and that nothing of the directory runs to find it out."""

from __future__ import annotations

import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from tests.agents.modelled import Modelled, needs_models
from tests.agents.recorder import Recorder

from myagent.agents import Turn
from myagent.agents.builtin import surroundings as module
from myagent.agents.builtin.surroundings import AGENTS_CHARACTERS, git_state, surroundings

NOW = datetime.fromisoformat("2031-05-06T12:00:00+00:00")
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(root: Path, *arguments: str) -> None:
    name = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "init.defaultBranch=trunk")
    subprocess.run(["git", *name, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init")
    (root / "a.txt").write_text("a")
    git(root, "add", ".")
    git(root, "commit", "-m", "first")
    return root


async def test_directory_system_and_date(tmp_path: Path) -> None:
    here = await surroundings(tmp_path, NOW)
    assert f"- workspace: {tmp_path}\n" in here.text and "- date: Tuesday, 2031-05-06\n" in here.text
    assert "- system: Linux" in here.text and here.agents_file == ""
    odd = tmp_path / "a\nb\udcff"
    odd.mkdir()
    assert "/a b\\udcff\n" in (await surroundings(odd, NOW)).text


async def test_agents_md_is_read_bounded_and_said(tmp_path: Path) -> None:
    (tmp_path / "AGENTS.md").write_text("Use tabs.\n")
    here = await surroundings(tmp_path, NOW)
    assert here.text.endswith("how to work in it:\n\nUse tabs.\n\n")
    assert here.agents_file == "AGENTS.md was read (10 characters)"
    (tmp_path / "AGENTS.md").write_text("x" * 30_000)
    here = await surroundings(tmp_path, NOW)
    assert f"{'x' * AGENTS_CHARACTERS}\n[… cut here: it has 30000 characters …]" in here.text
    assert "x" * (AGENTS_CHARACTERS + 1) not in here.text
    assert here.agents_file == "AGENTS.md was read, its first 24000 of 30000 characters"


async def test_what_is_no_file_of_the_workspace_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    root = tmp_path / "workspace"
    root.mkdir()
    place = root / "AGENTS.md"
    place.symlink_to(tmp_path / "secret")
    here = await surroundings(root, NOW)
    assert "secret" not in here.text and here.agents_file.startswith("AGENTS.md was not read: ")
    place.unlink()
    place.write_bytes(b"\xff\xfe")
    assert (await surroundings(root, NOW)).agents_file.startswith("AGENTS.md was not read: ")
    place.unlink()
    place.mkdir()
    assert (await surroundings(root, NOW)).agents_file.startswith("AGENTS.md was not read: ")
    place.rmdir()
    place.write_text("  \n")
    assert (await surroundings(root, NOW)).agents_file == ""


@needs_git
async def test_the_state_of_git(repository: Path, tmp_path: Path) -> None:
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=repository, text=True)[:12]
    assert await git_state(repository) == f"branch trunk at {head}, clean"
    (repository / "a.txt").write_text("other")
    (repository / "new").write_text("")
    assert await git_state(repository) == f"branch trunk at {head}, 1 changed and 1 untracked files"
    (repository / "below").mkdir()
    assert (await git_state(repository / "below")).startswith("branch trunk")
    git(repository, "checkout", "--detach")
    assert (await git_state(repository)).startswith(f"detached at {head}, 1 changed")
    git(repository, "checkout", "trunk")
    git(tmp_path, "clone", str(repository), "clone")
    git(tmp_path / "clone", "commit", "--allow-empty", "-m", "second")
    assert (await git_state(tmp_path / "clone")).endswith("clean, +1 -0 from origin/trunk")
    assert await git_state(tmp_path) == "no repository"


@needs_git
@pytest.mark.parametrize(
    "setting", ["core.fsmonitor", "filter.x.clean", "filter.x.process", "core.sshcommand", "remote.origin.uploadpack"]
)
async def test_nothing_that_a_repository_names_is_started(
    repository: Path, tmp_path: Path, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / ".gitattributes").write_text("*.txt filter=x\n")
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\ncat\n")
    program.chmod(0o755)
    git(repository, "config", setting, str(program))
    (repository / "a.txt").write_text("b")  # as long as it was: git has to look into it
    state = await git_state(repository)
    assert state.startswith("branch trunk; not asked what has changed: its configuration sets ")
    assert not (tmp_path / "ran").exists()
    if setting == "filter.x.clean":  # the control: asked all the same, git starts it
        monkeypatch.setattr(module, "_HARMLESS", module.re.compile(".*", module.re.DOTALL))
        await git_state(repository)
        assert (tmp_path / "ran").exists()


@needs_models
async def test_the_model_is_told_and_so_is_whoever_watches(tmp_path: Path) -> None:
    (tmp_path / "AGENTS.md").write_text("Use tabs.\n")
    agent = Modelled(tmp_path)
    await agent.start()
    try:
        said = []
        for number, prompt in enumerate(("hello", "RECALL", "hello")):
            io = Recorder()
            await agent.run(Turn("session", f"turn-{number}", prompt, "default", tmp_path), io)
            said.append(io.err)
            if number == 1:
                (tmp_path / "AGENTS.md").write_text("Use four spaces.\n")
        assert said == ["AGENTS.md was read (10 characters)\n", "", "AGENTS.md was read (17 characters)\n"]
        systems = ["".join(m["content"] for m in asked["messages"] if m["role"] == "system") for asked in agent.asked]
        assert all(f"workspace: {tmp_path}" in system for system in systems)
        assert ["Use tabs." in system for system in systems] == [True, True, False] and "spaces" in systems[2]
        assert sum(m["role"] == "system" for m in agent.asked[2]["messages"]) == 1
    finally:
        await agent.close()
