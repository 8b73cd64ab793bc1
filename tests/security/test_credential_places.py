"""What is in a place that holds credentials is read with leave alone, in every mode, and nobody who watches sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from wire import Client, Scene, decide, scene

from myagent.agents.tools.credentials import COVERED, DEFAULT, Places, covered
from myagent.cli.commands.serve import _exposed

SECRET = "n0b0dy-5ees-th15"
FILES = (".env", ".ssh/id_ed25519", ".config/myagent/remotes/prod.json", ".aws/credentials", "deploy/server.pem")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"[default]\nTOKEN={SECRET}\n{SECRET}\n")
    (tmp_path / "notes.txt").write_text("TOKEN is in .env\n")
    (tmp_path / "link.txt").symlink_to(".env")
    return tmp_path


async def turn(here: Scene, owner: Client, prompt: str, answer: str, mode: str) -> tuple[list[dict[str, object]], int]:
    """Run a prompt, answering what is asked; the requests, and the exit code."""
    del here
    owner.messages.clear()
    await owner.send("user_message", prompt=prompt, permissionMode=mode)
    asked = []
    while True:
        message = await owner.next()
        if message["type"] not in ("permission_request", "terminal_state"):
            continue
        if message["type"] == "terminal_state":
            return asked, message["exitCode"]
        asked.append(message["request"])
        await decide(owner, message, answer)


@pytest.mark.parametrize("mode", ["default", "plan", "bypassPermissions"])
@pytest.mark.parametrize(
    "prompt",
    [
        *(f"read {name}" for name in FILES),
        "read link.txt",
        "grep TOKEN .env",
        "grep TOKEN .aws",
        "glob .ssh/*",
    ],
)
async def test_it_is_asked_for_in_every_mode_and_covered(home: Path, mode: str, prompt: str) -> None:
    async with scene(home, allow_bypass=True) as here:
        owner, watcher = await here.join(), await here.join()
        asked, code = await turn(here, owner, prompt, "deny", mode)
        assert [request["flags"] for request in asked] == [["credentials"]] and code == 1
        asked, code = await turn(here, owner, prompt, "allow", mode)
        assert len(asked) == 1 and code == 0
        for _ in range(2):
            await watcher.until("terminal_state")
        assert SECRET not in json.dumps([owner.messages, watcher.messages])
        if not prompt.startswith("glob"):
            assert COVERED in json.dumps(watcher.messages)


@pytest.mark.parametrize("prompt", ["grep TOKEN", "glob **", "glob .*"])
async def test_a_search_of_everything_passes_it_by_and_asks_nothing(home: Path, prompt: str) -> None:
    async with scene(home) as here:
        owner = await here.join()
        asked, code = await turn(here, owner, prompt, "deny", "default")
        said = "".join(message["chunk"] for message in owner.of("agent_stdout"))
        assert (asked, code) == ([], 0)
        assert SECRET not in said and "id_ed25519" not in said
        assert "holding credentials" in said or prompt == "glob .*"


async def test_a_change_shows_what_is_new_and_covers_what_was_there(home: Path) -> None:
    async with scene(home, allow_bypass=True) as here:
        owner = await here.join()
        prompt = "edit .env\n<<<<<<<\n[default]\n=======\n[default]\nNEW=1\n>>>>>>>"
        for mode, answer in (("default", "allow"), ("plan", ""), ("bypassPermissions", "deny")):
            asked, _ = await turn(here, owner, prompt, answer, mode)
            assert len(asked) == (0 if mode == "plan" else 1), "a plan changes nothing"
            assert SECRET not in json.dumps(owner.messages)
            if asked:
                assert "+NEW=1" in str(asked[0]["display"]) and COVERED in str(asked[0]["display"])
        assert (home / ".env").read_text() == f"[default]\nNEW=1\nTOKEN={SECRET}\n{SECRET}\n"


async def test_a_command_that_names_one_is_asked_for_in_every_mode(home: Path) -> None:
    async with scene(home, allow_bypass=True) as here:
        owner = await here.join()
        asked, _ = await turn(here, owner, "!wc -c < .aws/credentials", "deny", "bypassPermissions")
        assert [request["flags"] for request in asked] == [["credentials"]]


async def test_the_operator_says_what_else_is_one_and_what_is_none(home: Path) -> None:
    async with scene(home, credential_places=("notes.*", "!.env")) as here:
        owner = await here.join()
        assert len((await turn(here, owner, "read notes.txt", "deny", "default"))[0]) == 1
        assert (await turn(here, owner, "read .env", "deny", "default"))[0] == []
        assert SECRET in json.dumps(owner.messages), "without this, what is read is shown: the tests above can fail"


@pytest.mark.parametrize(
    "path",
    ["home/u/.ssh/config", "x/.ENV", "x/.env.local", "root/.aws/cli/cache/1", "etc/shadow", "a/b.pem", "home/u/id_rsa"],
)
def test_known_places(path: str) -> None:
    assert Places().hold(path.split("/"))


@pytest.mark.parametrize(
    "path",
    ["x/.env.example", "x/id_rsa.pub", "src/environment.py", "docs/ssh.md", "x/.environment/y", "etc/passwd", "x/sshd"],
)
def test_what_is_none(path: str) -> None:
    assert not Places().hold(path.split("/"))


def test_our_own_tokens_come_first() -> None:
    assert DEFAULT[0] == "myagent/remotes"


def test_names_stay_and_values_do_not() -> None:
    text = f'# {SECRET}\n[a]\nexport K=\'{SECRET}\'\n  "k": "{SECRET}",\n{SECRET}\r\n\nK=\n'
    assert covered(text) == (f'{COVERED}\n[a]\nexport K= {COVERED}\n  "k": {COVERED}\n{COVERED}\r\n\n{COVERED}\n')


async def test_serve_says_what_is_within_reach(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(home) as here:
        (said,) = _exposed(here.server)
        assert said.startswith("NOTE this directory holds credentials: .ssh, .aws, .env.")
        monkeypatch.setenv("HOME", str(home))
        (said,) = _exposed(here.server)
        assert said.startswith("NOTE this is your home directory; it holds credentials: ")
    (home / "project").mkdir()
    async with scene(home / "project") as here:
        assert _exposed(here.server) == []
